//! Requests about a subscription that is there.

use super::{
    Ack, Claimed, Config, Delivery, Description, Fence, Hook, KeySet, Refusal, Sight, Subscription,
    SubscriptionError, SubscriptionId, Subscriptions, view,
};
use crate::{limits::LINKS_MAX, model::StreamName};
use std::{collections::BTreeSet, sync::Arc};

/// What a worker sends about its wake. It holds a token, so nothing prints it.
#[derive(Clone)]
pub struct Report {
    /// From the header `Authorization`.
    pub token: String,
    /// The wake.
    pub wake_id: String,
    /// Its generation.
    pub generation: u64,
    /// How far it has come.
    pub acks: Vec<Ack>,
    /// Whether it is done.
    pub done: bool,
}

impl Subscriptions {
    /// Tells what a subscription is and how far it is.
    ///
    /// # Errors
    /// There is none.
    pub async fn get(
        self: &Arc<Self>,
        id: SubscriptionId,
        origin: String,
    ) -> Result<Description, SubscriptionError> {
        let this = self.clone();
        let work = async move {
            this.drain();
            this.describe(&id, &origin)
        };
        self.detached(work).await
    }

    /// What a subscription was asked to be.
    ///
    /// # Errors
    /// There is none.
    pub async fn config(self: &Arc<Self>, id: SubscriptionId) -> Result<Config, SubscriptionError> {
        let this = self.clone();
        let work = async move { Ok(this.entry(&id)?.inner().live()?.config.clone()) };
        self.detached(work).await
    }

    /// Deletes a subscription; one that is not there is deleted already.
    ///
    /// # Errors
    /// It cannot be stored.
    pub async fn delete(self: &Arc<Self>, id: SubscriptionId) -> Result<(), SubscriptionError> {
        let this = self.clone();
        let work = async move {
            let Ok(entry) = this.entry(&id) else { return Ok(()) };
            this.end(&entry).await
        };
        self.detached(work).await
    }

    /// Links streams by name, where they end now.
    ///
    /// # Errors
    /// There is no such subscription, or it cannot link these.
    pub async fn add(
        self: &Arc<Self>,
        id: SubscriptionId,
        streams: BTreeSet<StreamName>,
    ) -> Result<(), SubscriptionError> {
        let this = self.clone();
        let work = async move {
            let entry = this.entry(&id)?;
            let mut ends = Vec::with_capacity(streams.len());
            for stream in streams {
                let end = this.end_of(&stream).await?;
                ends.push((stream, end));
            }
            this.step(&entry, |subscription, _| {
                if ends.iter().any(|(name, _)| subscription.config.wake_stream() == Some(name)) {
                    return Err(Config::own_wake_stream().into());
                }
                if subscription.links.len() + ends.len() > LINKS_MAX {
                    return Err(SubscriptionError::TooManyStreams);
                }
                Ok((Some(subscription.add(&ends)), ()))
            })
            .await?;
            this.registry_mut().changed();
            this.begin_to_care(|name| ends.iter().any(|(end, _)| end == name)).await?;
            // What has happened before that has not been seen.
            for (stream, end) in ends {
                let sight = match (this.end_of(&stream).await?, end) {
                    (Some((life, tail)), _) => Sight::At(life, tail),
                    (None, Some((life, _))) => Sight::Gone(life),
                    (None, None) => continue,
                };
                if this.registry().may_wake(&entry, &stream) {
                    entry.see(&stream, sight);
                }
            }
            this.schedule(&entry, &mut entry.inner());
            Ok(())
        };
        self.detached(work).await
    }

    /// Takes back a link by name. The link by the pattern stays.
    ///
    /// # Errors
    /// There is no such subscription.
    pub async fn remove(
        self: &Arc<Self>,
        id: SubscriptionId,
        stream: StreamName,
    ) -> Result<(), SubscriptionError> {
        let this = self.clone();
        let work = async move {
            let entry = this.entry(&id)?;
            this.step(&entry, |subscription, _| Ok((subscription.remove(&stream), ()))).await
        };
        self.detached(work).await
    }

    /// Gives the pending work to a worker.
    ///
    /// # Errors
    /// Another one has it, or there is none.
    pub async fn claim(
        self: &Arc<Self>,
        id: SubscriptionId,
        worker: String,
    ) -> Result<Claimed, SubscriptionError> {
        let this = self.clone();
        let work = async move {
            let entry = this.entry(&id)?;
            let claiming = this.step(&entry, |subscription, at| {
                only_pull_wake(subscription)?;
                Ok(match subscription.claim(&worker, at) {
                    Ok(plan) => (Some(plan), Ok(())),
                    // A wake that nobody can claim is over, so that there can be a next one.
                    Err(refusal) => (subscription.evaluate(at), Err(refusal)),
                })
            });
            claiming.await??;
            let inner = entry.inner();
            let claimed = view::claimed(&id, inner.live()?, this.key_ring()?);
            claimed.ok_or(SubscriptionError::Refused(Refusal::Fenced))
        };
        self.detached(work).await
    }

    /// Takes the report of a worker that has claimed. Returns whether there is a next wake.
    ///
    /// # Errors
    /// It has lost its wake, or its report is wrong.
    pub async fn ack(
        self: &Arc<Self>,
        id: SubscriptionId,
        report: Report,
    ) -> Result<bool, SubscriptionError> {
        self.report(id, report, only_pull_wake).await
    }

    /// Takes the report of a webhook.
    ///
    /// # Errors
    /// It has lost its wake, or its report is wrong.
    pub async fn callback(
        self: &Arc<Self>,
        id: SubscriptionId,
        report: Report,
    ) -> Result<bool, SubscriptionError> {
        self.report(id, report, only_webhook).await
    }

    async fn report(
        self: &Arc<Self>,
        id: SubscriptionId,
        report: Report,
        check: fn(&Subscription) -> Result<(), SubscriptionError>,
    ) -> Result<bool, SubscriptionError> {
        let this = self.clone();
        let work = async move {
            if Hook::of(&id).is_some() {
                // Without a token nobody learns whether there is one.
                this.fence(&id, &report)?;
            }
            let entry = this.entry(&id)?;
            let fence = this.fence(&id, &report)?;
            if !this.is_kept(&entry).await? {
                return Err(SubscriptionError::NotFound);
            }
            this.catch_up(&entry, &report.acks).await?;
            this.step(&entry, |subscription, at| {
                check(subscription)?;
                let (plan, next) = subscription.ack(&fence, &report.acks, report.done, at)?;
                Ok((Some(plan), next))
            })
            .await
        };
        self.detached(work).await
    }

    /// Takes the work back from a worker that does not want it.
    ///
    /// # Errors
    /// It has lost it already.
    pub async fn release(
        self: &Arc<Self>,
        id: SubscriptionId,
        report: Report,
    ) -> Result<(), SubscriptionError> {
        let this = self.clone();
        let work = async move {
            let entry = this.entry(&id)?;
            let fence = this.fence(&id, &report)?;
            this.step(&entry, |subscription, at| {
                only_pull_wake(subscription)?;
                Ok((Some(subscription.release(&fence, at)?), ()))
            })
            .await
        };
        self.detached(work).await
    }

    fn fence(&self, id: &SubscriptionId, report: &Report) -> Result<Fence, SubscriptionError> {
        let Report { token, wake_id, generation, .. } = report;
        let fence = self.key_ring()?.fence(id, token, *generation, wake_id.clone());
        fence.ok_or(SubscriptionError::BadToken)
    }

    /// The keys that webhooks are verified with.
    ///
    /// # Errors
    /// The server stops.
    pub async fn key_set(self: &Arc<Self>) -> Result<KeySet, SubscriptionError> {
        let this = self.clone();
        self.detached(async move { Ok(this.key_ring()?.public()) }).await
    }
}

fn only_pull_wake(subscription: &Subscription) -> Result<(), SubscriptionError> {
    match subscription.config.delivery {
        Delivery::PullWake(_) => Ok(()),
        Delivery::Webhook(_) => Err(SubscriptionError::WrongType("pull-wake")),
    }
}

fn only_webhook(subscription: &Subscription) -> Result<(), SubscriptionError> {
    match subscription.config.delivery {
        Delivery::Webhook(_) => Ok(()),
        Delivery::PullWake(_) => Err(SubscriptionError::WrongType("webhook")),
    }
}
