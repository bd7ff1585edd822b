//! What happens to any name, on any node, for whoever has to know all of it.
//!
//! A name that comes to have something for the database is told ([`Shared::unstored`]), but what happens
//! to it before the database has that is not. So whoever cares for it watches it for that long.

use super::Shared;
use crate::{channel::Channel, model::StreamName, shared_log::Scope, stream::StreamError};
use std::sync::Arc;

impl Shared {
    /// Turns on, or off, that this node is told of all names: see [`Shared::unstored`].
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn watch_all(&self, watch: bool) -> Result<(), StreamError> {
        self.log.watch_all(watch).await.map_err(|error| self.trouble(&error))
    }

    /// The names that have something for the database now.
    ///
    /// # Errors
    /// The log does not answer.
    pub async fn unstored_names(&self) -> Result<Vec<StreamName>, StreamError> {
        let mut names = Vec::new();
        for scope in [Scope::Chat, Scope::Streams] {
            let found = self.log.unstored_names(scope).await;
            names.extend(found.map_err(|error| self.trouble(&error))?);
        }
        Ok(names)
    }

    /// The channel of a name as it is when this is called, or later. All its changes are noted in the list
    /// of changes from then on, until [`Shared::unwatch`]. That is no use of the stream.
    ///
    /// # Errors
    /// The log or the store does not answer.
    pub async fn watch(
        self: &Arc<Self>,
        name: &StreamName,
    ) -> Result<Option<Arc<Channel>>, StreamError> {
        let line = self.line(name);
        line.watch(true);
        line.follow(&*self.log).await.map_err(|error| self.trouble(&error))?;
        self.look(name).await
    }

    /// Ends that, some time after this.
    pub fn unwatch(&self, name: &StreamName) {
        if let Some(line) = self.lines.get(name) {
            line.watch(false);
        }
    }
}
