//! What spans two names: a stream that branches off from another one.
//!
//! How many streams branch off from one decides whether it can go. That is counted in the store, so no
//! crash can make it wrong. For this the row of a fork is written before the log has it, and then the
//! source is told ([`Branch`]). Whoever ends the source counts first and adds with a compare: so either
//! the row was counted, or the source is told behind its end, and the fork does not begin.

use super::{
    Shared,
    ask::{Branch, Release, Step, Trial},
    line::Standing,
};
use crate::{
    admission::Over,
    channel::Channel,
    model::{Flush, StreamId, StreamName},
    shared_log::Scope,
    stream::StreamError,
};
use std::sync::Arc;
use tokio::{sync::oneshot, time::Instant};

impl Shared {
    /// Begins a life that branches off from another one.
    pub(super) async fn begin_fork(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        trial: Trial,
        until: Instant,
    ) -> Result<(), StreamError> {
        let Some(fork) = trial.steps.first().map(|step| step.channel.clone()) else {
            return Err(StreamError::Stopping);
        };
        let row = self.store_fork(&fork, standing.version, &trial.steps).await?;
        let source = fork.fork().map(|fork| (fork.source_name.clone(), fork.source));
        let over = match source {
            Some((name, life)) => self.branch(&name, life).await,
            None => Ok(None),
        };
        let begun = match over {
            Ok(None) => self.attempt(name, standing, trial, until).await,
            Ok(Some(Over::Hidden)) => Err(StreamError::SourceHidden),
            Ok(Some(_)) => Err(StreamError::NoSource),
            Err(error) => Err(error),
        };
        match begun {
            Ok(true) => return Ok(()),
            // It may have happened. If it has not, it has still begun: the row says so.
            Err(StreamError::LogUnavailable) => return Err(StreamError::LogUnavailable),
            // Somebody has found the row, and goes on from it. Whoever asks again finds it, too.
            Ok(false) if standing.life == fork.id() => return Err(StreamError::Overloaded),
            _ => {}
        }
        let gone = Flush { remove: true, ..row };
        if let Err(error) = self.store.flush(&[gone]).await {
            tracing::warn!(%error, stream = %name, "a fork that did not begin is there nevertheless");
        }
        Err(begun.err().unwrap_or(StreamError::Overloaded))
    }

    async fn store_fork(
        &self,
        fork: &Arc<Channel>,
        version: u64,
        steps: &[Step],
    ) -> Result<Flush, StreamError> {
        for Step { change, .. } in steps {
            fork.replay(change.clone()).map_err(|_| StreamError::Damaged)?;
        }
        fork.set_version(version + steps.len() as u64);
        let flush = fork.flush(usize::MAX).ok_or(StreamError::Damaged)?;
        let flushes = [flush];
        self.store.flush(&flushes).await.map_err(|error| {
            tracing::warn!(%error, stream = %fork.name(), "cannot store a fork");
            StreamError::StoreUnavailable
        })?;
        let [flush] = flushes;
        fork.flushed(flush.clone(), self.memory.keep_bytes());
        Ok(flush)
    }

    /// Puts into the order of a life that something branches off. Returns how it has ended, if it has.
    async fn branch(&self, name: &StreamName, life: StreamId) -> Result<Option<Over>, StreamError> {
        let this = self.this.upgrade().ok_or(StreamError::Stopping)?;
        let (answer, answered) = oneshot::channel();
        self.line(name).ask(&this, Branch { life, outcome: None, answer });
        answered.await.unwrap_or(Err(StreamError::Stopping))
    }

    /// `channel` is gone: whatever was kept only for it goes, too, all the way up. If that is cut short,
    /// whoever looks for hidden streams finds them.
    pub(in super::super) async fn release_sources(
        self: &Arc<Self>,
        channel: &Channel,
    ) -> Result<(), StreamError> {
        let mut next = channel.source_channel().cloned();
        while let Some(source) = next {
            // The row of the fork has to go before those that are left are counted.
            self.all_stored(Scope::Streams, true).await;
            if !self.release(&source).await? {
                return Ok(());
            }
            next = source.source_channel().cloned();
        }
        Ok(())
    }

    /// Ends a hidden life that nothing branches off from. Returns whether it is gone now.
    pub(in super::super) async fn release(
        self: &Arc<Self>,
        channel: &Channel,
    ) -> Result<bool, StreamError> {
        let (answer, answered) = oneshot::channel();
        let release = Release { life: channel.id(), outcome: false, answer };
        self.line(channel.name()).ask(self, release);
        answered.await.unwrap_or(Err(StreamError::Stopping))
    }
}
