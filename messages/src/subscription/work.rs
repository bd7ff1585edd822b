//! What subscriptions do by themselves: they notice changes, wake, call webhooks, write wake events,
//! and end leases.

use super::{
    Delivery, Due, Fence, Subscription, SubscriptionError, SubscriptionId, Subscriptions,
    entry::Entry,
    view::{self, Notification, WakeEvent},
};
use crate::{
    limits::{DELIVERY_WAIT_MS_MAX, RETRY_MS_MAX, RETRY_MS_MIN},
    model::{StreamId, StreamName},
    stream::{Addition, StreamError, Streams, records},
    webhook::{Letter, PostError, Reply},
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A wake that has to be sent.
struct Outgoing {
    fence: Fence,
    what: What,
}

enum What {
    Webhook { url: String, notification: Notification, wait: Duration },
    Event { stream: StreamName, event: WakeEvent },
}

/// What came of it.
enum Outcome {
    /// The webhook was called at this time and has answered well.
    Delivered { sent_ms: u64, done: bool },
    /// The event is written.
    Announced,
    /// Neither.
    Failed,
}

/// What a webhook may answer.
#[derive(Default, Deserialize)]
struct WebhookAnswer {
    #[serde(default)]
    done: bool,
}

impl Subscriptions {
    /// Works until it is stopped. `first` is the first id of streams that begin in this run.
    pub async fn run(self: Arc<Self>, first: StreamId) {
        let loaded = match &self.afar {
            Some(afar) => self.load_afar(afar).await,
            None => self.load(first).await,
        };
        if loaded.is_err() {
            return;
        }
        while !self.stop.is_cancelled() {
            self.drain();
            let now_ms = self.parts.clock.now_ms();
            let (due, next_ms) = self.agenda.take(now_ms);
            for id in due {
                let this = self.clone();
                self.tasks.spawn(async move { this.attend(&id).await });
            }
            let wait_ms = next_ms.map_or(RETRY_MS_MAX, |next_ms| next_ms - now_ms);
            tokio::select! {
                () = self.parts.commits.changes().news() => {}
                () = self.agenda.earlier() => {}
                () = tokio::time::sleep(Duration::from_millis(wait_ms.min(RETRY_MS_MAX))) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Ends all work, once the loop has been stopped. What is on its way is given up: it is done
    /// again after the next start.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.look_away().await;
    }

    /// Leaves nothing for the next start to find out, after the last change. What cannot be stored is
    /// found out then.
    pub async fn finish(&self) {
        if self.keys.get().is_none() {
            return;
        }
        let next = self.parts.streams.next_id();
        self.drain();
        let finished = async {
            self.save_links().await.map_err(|error| error.to_string())?;
            if self.afar.is_some() {
                // Numbers of streams do not tell there which are new.
                return Ok(());
            }
            self.parts.store.set_compared(next).await.map_err(|error| error.to_string())
        };
        if let Err(error) = finished.await {
            tracing::debug!(%error, "the next start compares the streams of this run again");
        }
    }

    /// Looks at the clock and at all changes again. For tests with a clock of their own.
    pub fn nudge(&self) {
        self.agenda.nudge();
    }

    /// Does what is due about a subscription.
    async fn attend(self: &Arc<Self>, id: &SubscriptionId) {
        let Ok(entry) = self.entry(id) else { return };
        let evaluated = self.step(&entry, |subscription, at| Ok((subscription.evaluate(at), ())));
        if evaluated.await.is_err() {
            // It is gone, or comes again when the store is back.
            return;
        }
        let unsure = std::mem::take(&mut entry.inner().unsure);
        if let Some(outgoing) = self.begin_sending(&entry) {
            // Whoever is told is looked at before.
            return self.send(&entry, outgoing).await;
        }
        if unsure && self.is_kept(&entry).await.is_err() {
            entry.inner().unsure = true;
            self.agenda.set(&entry.id, Some(self.parts.clock.now_ms() + RETRY_MS_MIN));
            return;
        }
        self.schedule(&entry, &mut entry.inner());
    }

    /// Takes the present wake to send it, if that is due and nobody does it yet.
    fn begin_sending(&self, entry: &Entry) -> Option<Outgoing> {
        let mut inner = entry.inner();
        let hurry = std::mem::take(&mut inner.hurry);
        let now_ms = self.parts.clock.now_ms();
        let subscription = inner.live().ok()?;
        let generation = subscription.state.generation;
        match subscription.due() {
            Some(Due::Send(at_ms)) if hurry || at_ms <= now_ms => {}
            _ => return None,
        }
        if inner.sending == Some(generation) {
            return None;
        }
        let what = self.what(&entry.id, subscription, now_ms)?;
        let state = &subscription.state;
        let fence = Fence {
            token_incarnation: state.incarnation,
            token_generation: generation,
            generation,
            wake_id: state.wake.as_ref()?.id.clone(),
        };
        if subscription.is_failing() {
            self.parts.commits.stats().wakes.retries.one();
        }
        inner.sending = Some(generation);
        Some(Outgoing { fence, what })
    }

    fn what(&self, id: &SubscriptionId, subscription: &Subscription, now_ms: u64) -> Option<What> {
        Some(match &subscription.config.delivery {
            Delivery::Webhook(url) => {
                let origin = self.parts.public_url.as_deref().unwrap_or(&subscription.state.origin);
                let notification = view::notify(id, subscription, self.keys.get()?, origin)?;
                let wait_ms = subscription.config.lease_ttl_ms.min(DELIVERY_WAIT_MS_MAX);
                let wait = Duration::from_millis(wait_ms);
                What::Webhook { url: url.clone(), notification, wait }
            }
            Delivery::PullWake(stream) => {
                let event = view::announce(id, subscription, now_ms)?;
                What::Event { stream: stream.clone(), event }
            }
        })
    }

    /// Sends a wake and takes note of what came of it.
    async fn send(self: &Arc<Self>, entry: &Arc<Entry>, outgoing: Outgoing) {
        let Outgoing { fence, what } = outgoing;
        let outcome = tokio::select! {
            outcome = self.carry(entry, what) => outcome,
            () = self.stop.cancelled() => return,
        };
        let noted = self.step(entry, |subscription, at| {
            let plan = match outcome {
                Outcome::Delivered { sent_ms, done } => {
                    subscription.delivered(&fence, sent_ms, done, at)
                }
                Outcome::Announced => subscription.announced(&fence),
                Outcome::Failed => subscription.failed(&fence, at),
            };
            Ok((plan, ()))
        });
        let noted = noted.await;
        let mut inner = entry.inner();
        if inner.sending == Some(fence.generation) {
            inner.sending = None;
        }
        match noted {
            // It is sent once more when the store is back: better twice than never.
            Err(SubscriptionError::NotStored) => {}
            _ => self.schedule(entry, &mut inner),
        }
    }

    async fn carry(&self, entry: &Arc<Entry>, what: What) -> Outcome {
        let id = &entry.id;
        let wakes = &self.parts.commits.stats().wakes;
        match what {
            What::Webhook { url, notification, wait } => {
                let _calling = wakes.calling.hold();
                let Ok(_place) = self.deliveries.acquire().await else { return Outcome::Failed };
                match self.is_kept(entry).await {
                    Ok(true) => self.call(id, url, &notification, wait).await,
                    // It is gone, and nobody takes note of this.
                    Ok(false) => Outcome::Failed,
                    Err(error) => {
                        tracing::warn!(%error, "cannot see whose webhook this is; trying again");
                        Outcome::Failed
                    }
                }
            }
            What::Event { stream, event } => {
                match append_message(&self.parts.streams, &stream, &event).await {
                    Ok(()) => {
                        wakes.events.one();
                        Outcome::Announced
                    }
                    Err(error) => {
                        wakes.event_errors.one();
                        tracing::warn!(subscription = %id, wake_stream = %stream, %error,
                            "cannot write a wake event; trying again");
                        Outcome::Failed
                    }
                }
            }
        }
    }

    async fn call(
        &self,
        id: &SubscriptionId,
        url: String,
        notification: &Notification,
        wait: Duration,
    ) -> Outcome {
        let body = serde_json::to_vec(notification).unwrap_or_default();
        let Some(keys) = self.keys.get() else { return Outcome::Failed };
        // The lease begins here and not before: the call may have waited for its turn.
        let sent_ms = self.parts.clock.now_ms();
        let signature = keys.sign(sent_ms / 1000, &body);
        let letter = Letter { url, signature, body: body.into(), wait };
        let (wakes, begun) = (&self.parts.commits.stats().wakes, Instant::now());
        let reply = self.parts.post.post(letter).await;
        wakes.times.time(begun.elapsed());
        match reply {
            Ok(Reply { status: 200..=299, body }) => {
                wakes.delivered.one();
                let answer: WebhookAnswer = serde_json::from_slice(&body).unwrap_or_default();
                Outcome::Delivered { sent_ms, done: answer.done }
            }
            // URLs may hold secrets: they are not logged.
            Ok(Reply { status, .. }) => {
                wakes.refused.one();
                tracing::debug!(subscription = %id, status, "a webhook has refused");
                Outcome::Failed
            }
            Err(error @ (PostError::Unsafe | PostError::Rejected(_))) => {
                wakes.rejected.one();
                tracing::warn!(subscription = %id, %error, "a webhook is not called");
                Outcome::Failed
            }
            Err(error) => {
                wakes.unanswered.one();
                tracing::debug!(subscription = %id, %error, "a webhook cannot be called");
                Outcome::Failed
            }
        }
    }
}

/// Appends a message to a stream of JSON messages, which exists.
async fn append_message(
    streams: &Streams,
    stream: &StreamName,
    message: &WakeEvent,
) -> Result<(), StreamError> {
    let channel = streams.find(stream).await?;
    let body = serde_json::to_vec(message).unwrap_or_default();
    let records = records(body.into(), channel.holds_messages())?;
    let addition = Addition { records, ..Addition::default() };
    streams.append(&channel, addition).await.map(drop)
}
