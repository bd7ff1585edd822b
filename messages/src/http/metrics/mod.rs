//! `GET /metrics`: what is counted, in the text formats of Prometheus. Everything is looked up when it is
//! asked for; nothing is kept for it.

mod process;
mod text;
mod work;

use super::{
    App,
    problem::Problem,
    traffic::{KINDS, TRANSPORTS},
};
use crate::{
    auth::Access,
    model::StreamName,
    stats::{Spread, Spreading},
};
use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::IntoResponse,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, text::encode},
    metrics::MetricType,
    registry::{Registry, Unit},
};
use std::fmt;
use text::Format;

/// What a token must be allowed to read where there are keys.
const NAME: &str = "__metrics";

/// For whoever may read the stream `__metrics`, whether there is one or not.
pub(super) async fn show(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let principal = app.auth.bearer(&headers).await?;
    let name: StreamName = NAME.parse().map_err(|_| Problem::not_found())?;
    principal.check(Access::Read, &name)?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(app)));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = encode(&mut text, &registry);
    let format = Format::asked_for(&headers);
    let said = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept"),
    ];
    Ok((said, format.write(text)))
}

/// One look at everything.
struct Scrape(App);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

/// Labels of one number.
struct Labels<'a>(&'a [(&'static str, &'a str)]);

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|label| {
            let mut encoder = encoder.encode_label();
            let mut key = encoder.encode_label_key()?;
            prometheus_client::encoding::EncodeLabelKey::encode(&label.0, &mut key)?;
            let mut value = key.encode_label_value()?;
            prometheus_client::encoding::EncodeLabelValue::encode(&label.1, &mut value)?;
            value.finish()
        })
    }
}

/// Writes numbers with what they mean.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn begin(
        &mut self,
        (name, help): (&str, &str),
        unit: Option<&Unit>,
        kind: MetricType,
        each: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        each(self.0.encode_descriptor(&format!("messages_{name}"), help, unit, kind)?)
    }

    fn count(&mut self, what: (&str, &str), value: u64) -> fmt::Result {
        self.begin(what, None, MetricType::Counter, |mut number| {
            number.encode_counter::<Labels<'_>, u64, f64>(&value, None)
        })
    }

    fn level(&mut self, what: (&str, &str), value: f64) -> fmt::Result {
        self.begin(what, None, MetricType::Gauge, |mut number| number.encode_gauge(&value))
    }

    fn spread(&mut self, what: (&str, &str), unit: Option<&Unit>, spread: &Spread) -> fmt::Result {
        self.begin(what, unit, MetricType::Histogram, |number| write_spread(number, &spread.get()))
    }

    fn seconds(&mut self, what: (&str, &str), spread: &Spread) -> fmt::Result {
        self.spread(what, Some(&Unit::Seconds), spread)
    }
}

fn write_spread(mut number: MetricEncoder<'_>, spread: &Spreading) -> fmt::Result {
    number.encode_histogram::<Labels<'_>>(spread.sum, spread.count, &spread.ranges, None)
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.requests(&mut page)?;
        self.pipeline(&mut page)?;
        self.readers(&mut page)?;
        self.memory(&mut page)?;
        self.database(&mut page)?;
        self.who(&mut page)?;
        self.wakes(&mut page)?;
        self.chat(&mut page)?;
        self.others(&mut page)?;
        self.traces(&mut page)?;
        process::journal(&mut page, &self.0.journal)?;
        process::write(&mut page, self.0.streams.stats().uptime())
    }
}

impl Scrape {
    fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let traffic = &self.0.traffic;
        let what = ("requests", "Requests that were answered, by what they are about and how");
        page.begin(what, None, MetricType::Counter, |mut number| {
            for (kind, name) in KINDS {
                for (class, count) in traffic.answers(kind).all() {
                    number
                        .encode_family(&Labels(&[("kind", name), ("class", class)]))?
                        .encode_counter::<Labels<'_>, u64, f64>(&count, None)?;
                }
            }
            Ok(())
        })?;
        let what = ("request_duration", "Until the head of the answer was there");
        page.begin(what, Some(&Unit::Seconds), MetricType::Histogram, |mut number| {
            for (kind, name) in KINDS {
                let times = traffic.times(kind).get();
                write_spread(number.encode_family(&Labels(&[("kind", name)]))?, &times)?;
            }
            Ok(())
        })?;
        let what = ("problems", "Requests that were refused or failed, by the code of the problem");
        page.begin(what, None, MetricType::Counter, |mut number| {
            for (code, count) in traffic.problem_counts() {
                number
                    .encode_family(&Labels(&[("code", code)]))?
                    .encode_counter::<Labels<'_>, u64, f64>(&count, None)?;
            }
            Ok(())
        })?;
        let doors = &traffic.connections;
        let what = ("connections", "Connections that are open, and requests on those of HTTP/2");
        page.level(what, doors.open.get() as f64)?;
        let what = ("connections_refused", "Connections for which there was no place");
        page.count(what, doors.refused.get())?;
        page.level(("sockets", "WebSockets that are open"), traffic.sockets.get() as f64)
    }

    fn pipeline(&self, page: &mut Page<'_>) -> fmt::Result {
        let stats = self.0.streams.stats();
        page.count(("appends", "Appends that were taken and are durable"), stats.appends.get())?;
        page.count(("append_records", "Records of these appends"), stats.records.get())?;
        page.count(("append_bytes", "Bytes of these records"), stats.bytes.get())?;
        let what = ("append_duplicates", "Appends that had happened before, and were answered so");
        page.count(what, stats.duplicates.get())?;
        let what = ("append_refusals", "Appends that were refused, as by a closed stream");
        page.count(what, stats.refusals.get())?;
        let what = ("commit_queue", "How long a group of changes waits for the one before it");
        page.seconds(what, &stats.queue)?;
        let what = ("commit_journal", "How long the journal takes for a group, with its barrier");
        page.seconds(what, &stats.journal)?;
        let what = ("commit_publish", "Until readers and writers were told of a group");
        page.seconds(what, &stats.publish)?;
        page.spread(("commit_group", "Changes in a group"), None, &stats.groups)?;
        let what = ("journal_bytes", "Bytes of changes that were written to the journal");
        page.count(what, stats.journal_bytes.get())?;
        page.seconds(("flush", "How long a transaction of the flusher takes"), &stats.flushes)?;
        let what = ("flush_errors", "Transactions of the flusher that failed; each is tried again");
        page.count(what, stats.flush_errors.get())?;
        page.count(("flush_rows", "Rows of content that were written"), stats.rows.get())?;
        page.count(("flush_records", "Records in these rows"), stats.row_records.get())?;
        page.count(("flush_bytes", "Bytes of these rows"), stats.row_bytes.get())?;
        let unstored = self.0.streams.unstored();
        let what = ("unstored_streams", "Streams that wait for the flusher");
        page.level(what, unstored as f64)?;
        let lag = if unstored == 0 { 0.0 } else { stats.lag().as_secs_f64() };
        let what = ("flush_lag_seconds", "How long ago the database had everything that there was");
        page.level(what, lag)
    }

    fn readers(&self, page: &mut Page<'_>) -> fmt::Result {
        let (traffic, stats) = (&self.0.traffic, self.0.streams.stats());
        let what = ("readers", "Reads that are open, by transport");
        page.begin(what, None, MetricType::Gauge, |mut number| {
            for (transport, name) in TRANSPORTS {
                let readers = traffic.readers(transport);
                number.encode_family(&Labels(&[("transport", name)]))?.encode_gauge(&readers)?;
            }
            Ok(())
        })?;
        let what = ("readers_behind", "Readers whose last bytes came from the database");
        page.level(what, stats.behind.get() as f64)?;
        let what = ("readers_behind_bytes", "How far these were from the end, all together");
        page.level(what, stats.behind_bytes.get() as f64)?;
        let what = ("deliveries", "Pieces of content that readers took");
        page.count(what, stats.deliveries.get())?;
        page.count(("delivered_bytes", "Bytes of these pieces"), stats.delivered_bytes.get())?;
        let what = ("page", "How long the database takes for a page, for who is behind memory");
        page.seconds(what, &stats.pages)?;
        page.count(("page_errors", "Pages that could not be read"), stats.page_errors.get())
    }

    fn memory(&self, page: &mut Page<'_>) -> fmt::Result {
        let streams = &self.0.streams;
        page.level(("channels", "Streams that are in memory"), streams.loaded() as f64)?;
        let (used, most) = streams.unstored_bytes();
        let what = ("unstored_bytes", "Bytes that are durable and not in the database yet");
        page.level(what, used as f64)?;
        let what = ("unstored_bytes_max", "How many these may be before appends have to wait");
        page.level(what, most as f64)?;
        let (used, most) = streams.window_bytes();
        page.level(("window_bytes", "Bytes of content in memory"), used as f64)?;
        let what = ("window_bytes_max", "How many may stay there though the database has them");
        page.level(what, most as f64)?;
        let ready = streams.ready().is_ok();
        page.level(("ready", "Whether appends are taken"), f64::from(u8::from(ready)))
    }

    /// What there is only where there are traces.
    fn traces(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(traces) = &self.0.traces else { return Ok(()) };
        let what = ("spans_exported", "Spans that the collector of traces has taken");
        page.count(what, traces.spans().exported.get())?;
        let what = ("spans_dropped", "Spans that it has not taken, or that had to wait too long");
        page.count(what, traces.spans().dropped.get())
    }

    /// What there is only on one of several nodes.
    fn others(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(shared) = self.0.streams.shared() else { return Ok(()) };
        let (log, memory) = (shared.log().stats(), shared.log_memory());
        page.seconds(("redis", "How long Redis takes for a script"), &log.times)?;
        let what = ("redis_errors", "Scripts to which Redis gave no answer");
        page.count(what, log.errors.get())?;
        page.count(("redis_adds", "Additions to the log"), log.adds.get())?;
        page.count(("redis_added_bytes", "Bytes of these additions"), log.added_bytes.get())?;
        let what = ("redis_conflicts", "Additions that another node was faster than");
        page.count(what, log.conflicts.get())?;
        let what = ("redis_claims", "Streams that no node was at work on, and that were asked for");
        page.count(what, log.claims.get())?;
        let what =
            ("redis_disconnects", "Connections for commands that broke; they are made again");
        page.count(what, log.disconnects.get())?;
        page.count(("redis_reads", "Reads of what other nodes have added"), log.reads.get())?;
        let what = ("redis_memory_bytes", "Memory that Redis uses, of its fullest server");
        page.level(what, memory.used_bytes as f64)?;
        let what = ("redis_memory_bytes_max", "What it may use before appends are refused; 0: all");
        page.level(what, memory.max_bytes as f64)
    }
}
