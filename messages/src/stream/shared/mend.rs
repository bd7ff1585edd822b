//! When the log is behind what a node or the store knows of a name.

use super::{Shared, ask::nothing, line::Standing};
use crate::{
    model::StreamName,
    shared_log::{self, Addition, Head, Known},
    stream::StreamError,
};

impl Shared {
    /// What is here is further than the log says. Returns whether that can be.
    pub(super) async fn is_ahead(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        head: Head,
    ) -> Result<bool, StreamError> {
        // Heard of something later meanwhile.
        let now = self.log.head(name).await.map_err(|error| self.trouble(&error))?;
        if now.is_some_and(|now| now.version >= standing.version) {
            return Ok(true);
        }
        let row = self.loader.load(name).await?;
        standing.ahead = row.is_some_and(|row| row.version > head.version);
        if !standing.ahead {
            tracing::error!(
                stream = %name, ?head, version = standing.version,
                "Redis has lost changes that were acknowledged; the stream goes on from what there is"
            );
            self.lose(standing.channel.take());
            *standing = Standing::default();
        }
        Ok(false)
    }

    /// The store is further than the log: a fork was stored and its node died before the log had it,
    /// or Redis has lost what was stored already. Lets the log go on from what the store has.
    pub(super) async fn mend(
        &self,
        name: &StreamName,
        standing: &mut Standing,
        head: Head,
    ) -> Result<(), StreamError> {
        let Some(row) = self.loader.load(name).await? else { return Ok(()) };
        if row.version <= head.version {
            return Ok(());
        }
        tracing::warn!(stream = %name, ?head, version = row.version, "the log goes on from the database");
        let addition = Addition {
            changes: vec![shared_log::encode(
                self.attempt_number(),
                row.id,
                &nothing(row.tail, row.tied),
            )],
            skip: row.version - head.version - 1,
            life: row.id,
            expires_ms: None,
        };
        let known = Known::Last { life: head.life, version: head.version };
        self.log.add(name, known, addition).await.map_err(|error| self.trouble(&error))?;
        standing.ahead = false;
        Ok(())
    }
}
