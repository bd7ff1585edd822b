//! What is done beside appends and reads: who is let in, who is woken, what is said in conversations, and
//! what is asked of the database.

use super::{Labels, Page, Scrape};
use crate::stats::Count;
use prometheus_client::metrics::MetricType;
use std::fmt;

impl Page<'_> {
    /// Counts of one kind, one for each value of a label.
    fn counts<'a>(
        &mut self,
        what: (&str, &str),
        label: &'static str,
        counts: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> fmt::Result {
        self.begin(what, None, MetricType::Counter, |mut number| {
            counts.into_iter().try_for_each(|(value, count)| {
                number
                    .encode_family(&Labels(&[(label, value)]))?
                    .encode_counter::<Labels<'_>, u64, f64>(&count, None)
            })
        })
    }
}

impl Scrape {
    pub(super) fn who(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = self.0.auth.stats();
        let what = ("auth_failures", "Who was not let in, by the reason");
        page.counts(what, "reason", stats.refusals.all())?;
        page.count(("tickets", "Tickets that were handed out"), stats.tickets.get())?;
        let what = ("tickets_refused", "Tickets that were asked for in vain");
        page.count(what, stats.tickets_refused.get())
    }

    pub(super) fn wakes(&self, page: &mut Page<'_>) -> fmt::Result {
        let wakes = &self.0.streams.stats().wakes;
        let get = |(outcome, count): (&'static str, &Count)| (outcome, count.get());
        let calls = [
            ("delivered", &wakes.delivered),
            ("refused", &wakes.refused),
            ("unanswered", &wakes.unanswered),
            ("rejected", &wakes.rejected),
        ];
        let what = ("webhook_calls", "Calls of webhooks, by what came of them");
        page.counts(what, "outcome", calls.map(get))?;
        page.seconds(("webhook", "How long webhooks take to answer"), &wakes.times)?;
        let what = ("webhooks_calling", "Calls that are on their way, or wait for their turn");
        page.level(what, wakes.calling.get() as f64)?;
        let events = [("written", &wakes.events), ("failed", &wakes.event_errors)];
        let what = ("wake_events", "Wake events, by what came of them");
        page.counts(what, "outcome", events.map(get))?;
        let what = ("wake_retries", "Wakes that were sent again");
        page.count(what, wakes.retries.get())?;
        let Some(subscriptions) = self.0.subscriptions.here() else { return Ok(()) };
        let census = subscriptions.census();
        page.level(("subscriptions", "Subscriptions at work here"), census.all as f64)?;
        let what = ("subscriptions_pending", "Those with a wake that is not delivered yet");
        page.level(what, census.pending as f64)?;
        let what = ("subscriptions_failing", "Those of them whose wake has failed before");
        page.level(what, census.failing as f64)
    }

    pub(super) fn chat(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = self.0.streams.stats();
        let what = ("chat_sends", "Messages that were sent to conversations");
        page.count(what, stats.messages.get())?;
        let what = ("chat_duplicates", "Messages that had been sent before, and were answered so");
        page.count(what, stats.message_duplicates.get())
    }

    pub(super) fn database(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(readers) = self.0.streams.store_readers() else { return Ok(()) };
        let what = ("sql_readers", "Connections to the database for reading");
        page.level(what, f64::from(readers.open))?;
        let what = ("sql_readers_busy", "Those of them that somebody reads with");
        page.level(what, f64::from(readers.busy))?;
        page.level(("sql_readers_max", "How many there may be"), f64::from(readers.max))?;
        page.seconds(("sql_wait", "How long somebody waits for one of them"), readers.waits)
    }
}
