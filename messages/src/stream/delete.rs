//! How streams end: deleted by somebody, by time, or with the last fork that needed them.

use super::{StreamError, Streams};
use crate::{
    admission::Over,
    channel::{Channel, change_cost},
    committer::{Entry, Ticket},
    limits::REAP_STREAMS_MAX,
    model::{Change, Delete},
};
use std::sync::Arc;

impl Streams {
    /// Deletes a stream. With forks it is only hidden until they are gone. Returns once that is
    /// durable. Cancel safe: it happens or not, whether or not anybody waits.
    ///
    /// # Errors
    /// There is nothing to delete any more, or nothing can be deleted now.
    pub async fn delete(&self, channel: &Arc<Channel>) -> Result<(), StreamError> {
        match self.end(channel, |_| true).await? {
            Ok(ticket) => Ok(ticket.durable().await?),
            Err(over) => {
                self.commits.settled().durable().await?;
                Err(over.into())
            }
        }
    }

    /// Deletes a stream whose time is over.
    pub(super) async fn expire(&self, channel: &Arc<Channel>) -> Result<(), StreamError> {
        let now_ms = self.clock.now_ms();
        if let Ok(ticket) = self.end(channel, |channel| channel.is_expired(now_ms)).await? {
            tracing::debug!(stream = %channel.name(), "expired");
            ticket.durable().await?;
        }
        Ok(())
    }

    /// Ends the life of a stream if that is still `due`.
    async fn end(
        &self,
        channel: &Arc<Channel>,
        due: impl Fn(&Channel) -> bool,
    ) -> Result<Result<Ticket, Over>, StreamError> {
        self.check_trouble()?;
        let cost = change_cost(&Change::Delete(Delete::Whole));
        let room = self.budget.take(cost).await?;
        let (over, ticket) = {
            let mut state = channel.writer();
            if !due(channel) {
                return Ok(Ok(self.commits.settled()));
            }
            let over = match state.admit_deletion() {
                Ok(over) => over,
                Err(over) => return Ok(Err(over)),
            };
            match self.commits.enqueue(deletion(channel, over)) {
                Ok(ticket) => (over, ticket),
                Err(failed) => {
                    state.over = None;
                    return Err(failed.into());
                }
            }
        };
        room.keep();
        if over == Over::Deleted {
            self.release_source(channel);
        }
        Ok(Ok(ticket))
    }

    /// `channel` is gone: whatever was kept only for it goes, too, all the way up.
    pub(super) fn release_source(&self, channel: &Channel) {
        let mut next = channel.source_channel().cloned();
        while let Some(source) = next {
            let mut state = source.writer();
            if !state.release_fork() {
                return;
            }
            // If this fails, nothing more is taken at all, and the next start finds it.
            if self.commits.enqueue(deletion(&source, Over::Deleted)).is_err() {
                return;
            }
            drop(state);
            next = source.source_channel().cloned();
        }
    }

    /// Deletes streams that have expired unseen, and hidden ones that nobody needs any more. Returns
    /// whether there may be more.
    ///
    /// # Errors
    /// The store does not answer, or nothing can be deleted now.
    pub async fn reap(&self) -> Result<bool, StreamError> {
        let now_ms = self.clock.now_ms();
        let found = self.store.ended(now_ms, REAP_STREAMS_MAX).await.map_err(|error| {
            tracing::warn!(%error, "cannot look for expired streams");
            StreamError::StoreUnavailable
        })?;
        let more = found.len() == REAP_STREAMS_MAX as usize;
        let mut ended = 0;
        for name in found {
            let Ok(channel) = self.find_any(&name).await else {
                continue;
            };
            if channel.is_expired(now_ms) {
                self.expire(&channel).await?;
                ended += 1;
            } else if self.forget_hidden(&channel)? {
                ended += 1;
            } else if channel.over().is_none() {
                // Somebody is connected to it: the store shall know that it lives.
                self.touch(&channel);
            }
        }
        Ok(more && ended > 0)
    }

    /// Deletes a hidden stream whose last fork went in a run that was cut short.
    fn forget_hidden(&self, channel: &Arc<Channel>) -> Result<bool, StreamError> {
        let mut state = channel.writer();
        let unneeded = state.over == Some(Over::Hidden) && state.forks == 0;
        if unneeded {
            self.commits.enqueue(deletion(channel, Over::Deleted))?;
            state.over = Some(Over::Deleted);
            drop(state);
            self.release_source(channel);
        }
        Ok(unneeded)
    }
}

fn deletion(channel: &Arc<Channel>, over: Over) -> Entry {
    let delete = if over == Over::Hidden { Delete::Hidden } else { Delete::Whole };
    Entry { channel: channel.clone(), change: Change::Delete(delete), replaced: None }
}
