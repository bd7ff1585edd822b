//! How streams end: deleted by somebody, by time, or with the last fork that needed them.

use super::{StreamError, Streams, shared::Ended};
use crate::{
    admission::Over,
    channel::{Channel, change_cost},
    committer::{Entry, Ticket},
    limits::REAP_STREAMS_MAX,
    model::{Change, Delete},
};
use futures::future::join_all;
use std::sync::Arc;

impl Streams {
    /// Deletes a stream. With forks it is only hidden until they are gone. Returns once that is
    /// durable. Cancel safe: it happens or not, whether or not anybody waits.
    ///
    /// # Errors
    /// There is nothing to delete any more, or nothing can be deleted now.
    pub async fn delete(&self, channel: &Arc<Channel>) -> Result<(), StreamError> {
        if let Some(shared) = &self.shared {
            return match shared.end(channel, false).await? {
                Ended::Now(Over::Deleted) => shared.release_sources(channel).await,
                Ended::Before(over) => Err(over.into()),
                Ended::Now(_) | Ended::Not => Ok(()),
            };
        }
        match self.end(channel, |_| true).await? {
            Ok(ticket) => Ok(ticket.durable().await?),
            Err(over) => {
                self.commits.settled().durable().await?;
                Err(over.into())
            }
        }
    }

    /// Deletes a stream whose time is over, unless it has been used meanwhile.
    pub(super) async fn expire(&self, channel: &Arc<Channel>) -> Result<(), StreamError> {
        let now_ms = self.clock.now_ms();
        if let Some(shared) = &self.shared {
            if let Ended::Now(Over::Deleted) = shared.end(channel, true).await? {
                shared.release_sources(channel).await?;
            }
            return Ok(());
        }
        if let Ok(ticket) = self.end(channel, |channel| channel.is_expired(now_ms)).await? {
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
            // If it cannot be queued, nothing more is taken at all, and the next start finds it.
            if !state.release_fork() || self.forget(&source).is_err() {
                return;
            }
            drop(state);
            next = source.source_channel().cloned();
        }
    }

    /// Queues the end of a stream that nobody needs any more, whose state is locked. There must be
    /// room for that: it makes room.
    fn forget(&self, channel: &Arc<Channel>) -> Result<Ticket, StreamError> {
        let entry = deletion(channel, Over::Deleted);
        let cost = change_cost(&entry.change);
        let ticket = self.commits.enqueue(entry)?;
        self.budget.take_at_once(cost);
        Ok(ticket)
    }

    /// Deletes streams that have expired unseen, and hidden ones that nobody needs any more. Returns
    /// whether there may be more, once the flusher has removed these.
    ///
    /// # Errors
    /// The store does not answer, or nothing can be deleted now.
    pub async fn reap(&self) -> Result<bool, StreamError> {
        let now_ms = self.clock.now_ms();
        let names = self.store.ended(now_ms, REAP_STREAMS_MAX).await.map_err(|error| {
            tracing::warn!(%error, "cannot look for streams that are over");
            StreamError::StoreUnavailable
        })?;
        let found = join_all(names.iter().map(|name| self.find_any(name))).await;
        let mut last = None;
        // One that has begun anew since has another row, which is looked at another time.
        for channel in found.into_iter().flatten() {
            last = self.reap_one(&channel, now_ms).await?.or(last);
        }
        if let Some(ticket) = last {
            ticket.durable().await?;
        }
        Ok(names.len() == REAP_STREAMS_MAX as usize)
    }

    async fn reap_one(
        &self,
        channel: &Arc<Channel>,
        now_ms: u64,
    ) -> Result<Option<Ticket>, StreamError> {
        if let Some(shared) = &self.shared {
            let over = channel.writer().over;
            match over {
                Some(Over::Hidden) if shared.release(channel).await? => {
                    shared.release_sources(channel).await?;
                }
                None if channel.is_expired(now_ms) => self.expire(channel).await?,
                None if channel.outlives_row() => shared.touch(channel),
                _ => {}
            }
            return Ok(None);
        }
        let over = channel.writer().over;
        match over {
            Some(Over::Hidden) => self.forget_hidden(channel),
            // Its rows are about to go.
            Some(Over::Deleted | Over::Replaced) => Ok(None),
            None if channel.is_expired(now_ms) => {
                let ended = self.end(channel, |channel| channel.is_expired(now_ms)).await?;
                Ok(ended.ok())
            }
            None => {
                if channel.outlives_row() {
                    self.commits.mark_dirty(channel);
                }
                Ok(None)
            }
        }
    }

    /// Deletes a hidden stream whose last fork went in a run that was cut short.
    fn forget_hidden(&self, channel: &Arc<Channel>) -> Result<Option<Ticket>, StreamError> {
        let mut state = channel.writer();
        if state.over != Some(Over::Hidden) || state.forks > 0 {
            return Ok(None);
        }
        let ticket = self.forget(channel)?;
        state.over = Some(Over::Deleted);
        drop(state);
        self.release_source(channel);
        Ok(Some(ticket))
    }
}

fn deletion(channel: &Arc<Channel>, over: Over) -> Entry {
    let delete = if over == Over::Hidden { Delete::Hidden } else { Delete::Whole };
    Entry { channel: channel.clone(), change: Change::Delete(delete), replaced: None }
}
