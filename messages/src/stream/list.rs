//! Going through all streams by name, those in memory and those in the store as one.

use super::{StreamError, Streams};
use crate::{
    channel::{Channel, Status},
    model::{StreamId, StreamName},
    store::StreamEntry,
};
use std::collections::BTreeMap;

/// A stream of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: StreamName,
    /// Its identity.
    pub id: StreamId,
    /// Where it ends, and whether for good.
    pub status: Status,
}

impl Streams {
    /// The first streams whose names begin with `prefix` and come after `after`, in the order of the
    /// bytes of their names.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<Listed>, StreamError> {
        self.gather().await?;
        let (mut found, mut after) = (Vec::new(), after.cloned());
        loop {
            // Memory first: what leaves it meanwhile is in the store then.
            let live = self.live(prefix, after.as_ref());
            let stored = self.store.list(prefix, after.as_ref(), limit).await.map_err(|error| {
                tracing::warn!(%error, "cannot list the streams of the store");
                StreamError::StoreUnavailable
            })?;
            // A full page says nothing of what is behind it.
            after = stored.get(limit.saturating_sub(1)).map(|last| last.name.clone());
            found.extend(merge(live, stored, after.as_ref()));
            if found.len() >= limit || after.is_none() {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    /// What is in memory, also names under which there is nothing (yet, or any more).
    fn live(&self, prefix: &str, after: Option<&StreamName>) -> Vec<(StreamName, Option<Listed>)> {
        let wanted = |name: &StreamName| {
            name.as_str().starts_with(prefix) && after.is_none_or(|after| name > after)
        };
        let slots = self.slots.iter().filter(|slot| wanted(slot.key()));
        let channels: Vec<_> = slots.filter_map(|slot| slot.value().get().cloned()).collect();
        let listed = |channel: &Channel| {
            let (name, id) = (channel.name().clone(), channel.id());
            channel.status().map(|status| Listed { name, id, status })
        };
        channels.iter().map(|channel| (channel.name().clone(), listed(channel))).collect()
    }
}

/// Both as one, up to the name `end`. Memory knows better, also when it knows that there is nothing
/// any more.
fn merge(
    live: Vec<(StreamName, Option<Listed>)>,
    stored: Vec<StreamEntry>,
    end: Option<&StreamName>,
) -> impl Iterator<Item = Listed> {
    let mut all: BTreeMap<StreamName, Option<Listed>> = BTreeMap::new();
    for stream in stored {
        let status = Status { tail: stream.tail, closed: stream.closed };
        let listed = Listed { name: stream.name.clone(), id: stream.id, status };
        all.insert(stream.name, Some(listed));
    }
    all.extend(live.into_iter().filter(|(name, _)| end.is_none_or(|end| name <= end)));
    all.into_values().flatten()
}
