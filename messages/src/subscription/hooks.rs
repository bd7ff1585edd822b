//! What there is to webhooks of conversations beside what all subscriptions do: they are listed,
//! replayed, and end with the access of their owners.

use super::{Description, Hook, SubscriptionError, SubscriptionId, Subscriptions, entry::Entry};
use crate::{
    model::{Offset, StreamName},
    store::SubscriptionWrite,
};
use std::sync::Arc;

impl Subscriptions {
    /// The webhooks of a conversation, also of owners who have just left it.
    ///
    /// # Errors
    /// The server stops.
    pub async fn hooks(
        self: &Arc<Self>,
        conversation: String,
        origin: String,
    ) -> Result<Vec<(Hook, Description)>, SubscriptionError> {
        let this = self.clone();
        let work = async move {
            this.drain();
            let hooks: Vec<_> = this.registry().hooks(&conversation).collect();
            // One that begins or ends at this moment is not there.
            let describe = |(hook, entry): (Hook, Arc<Entry>)| {
                Some((hook, this.describe(&entry.id, &origin).ok()?))
            };
            Ok(hooks.into_iter().filter_map(describe).collect())
        };
        self.detached(work).await
    }

    /// Lets a subscription go on from another place of a stream, as if it had come just so far.
    ///
    /// # Errors
    /// There is no such subscription, or it does not have this place.
    pub async fn replay(
        self: &Arc<Self>,
        id: SubscriptionId,
        stream: StreamName,
        to: Offset,
    ) -> Result<(), SubscriptionError> {
        let this = self.clone();
        let work = async move {
            let entry = this.entry(&id)?;
            this.step(&entry, |subscription, at| {
                Ok((Some(subscription.replay(&stream, to, at)?), ()))
            })
            .await
        };
        self.detached(work).await
    }

    /// Whether a subscription may be told anything. One of a conversation may not when its owner
    /// takes part no more, and is deleted then: leaving is an event of the conversation, so it
    /// causes the wake that finds this out, also after a crash.
    pub(super) async fn is_kept(&self, entry: &Arc<Entry>) -> Result<bool, SubscriptionError> {
        let Some(hook) = Hook::of(&entry.id) else { return Ok(true) };
        let kept = self.parts.members.keep(&hook).await?;
        if !kept {
            self.end(entry).await?;
        }
        Ok(kept)
    }

    /// Deletes a subscription, unless it is gone already.
    pub(super) async fn end(&self, entry: &Arc<Entry>) -> Result<(), SubscriptionError> {
        let _turn = entry.turn.lock().await;
        if entry.inner().live().is_ok() {
            let saved = self.save(&entry.id, SubscriptionWrite::Delete).await;
            saved.map_err(|_| SubscriptionError::NotStored)?;
            self.forget(entry);
        }
        Ok(())
    }
}
