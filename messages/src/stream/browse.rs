//! A list of streams for those who look at it, page by page.

use super::{StreamError, Streams};
use crate::{
    channel::{Channel, Status},
    limits::{BROWSE_NAMES_MAX, BROWSE_PAGE_ROWS, TABLES_WAIT_MS_MAX},
    model::{Lifetime, Offset, StreamName},
    shared_log::Scope,
    store::StreamDetails,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::timeout;

/// What a list shows of a stream.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name.
    pub name: StreamName,
    /// Its content type.
    pub content_type: Arc<str>,
    /// Where it ends, and whether for good.
    pub status: Status,
    /// Up to where it is in the database.
    pub stored: Offset,
    /// Readers that are connected to this node.
    pub readers: usize,
    /// When it goes away by itself.
    pub lifetime: Lifetime,
    /// The stream that it branches off from, and where.
    pub fork: Option<(StreamName, Offset)>,
    /// When it came into the database, in the words of that; `None` as long as it has not.
    pub created: Option<String>,
}

/// A part of a list.
#[derive(Debug)]
pub struct Page {
    /// What it shows, by name.
    pub streams: Vec<Shown>,
    /// After which text the list goes on; `None` where this is its end.
    pub next: Option<String>,
}

/// What somebody wants to see.
pub struct Sight<'a> {
    /// What names begin with, in order, none of them the beginning of another one.
    pub prefixes: &'a [String],
    /// Only names behind this text.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Which of them at all.
    pub wanted: &'a (dyn Fn(&StreamName) -> bool + Sync),
}

/// Names that were looked at, and where they end if there may be more.
type Looked = (BTreeMap<StreamName, Option<Shown>>, Option<String>);

impl Streams {
    /// One page of what `sight` wants to see. It looks at a bounded number of names, so it may show fewer
    /// than there are, or none, and goes on at `next`. The streams of chat are not shown.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn browse(&self, sight: Sight<'_>) -> Result<Page, StreamError> {
        self.gather().await?;
        let Sight { prefixes, mut after, limit, wanted } = sight;
        let (mut streams, mut seen): (Vec<Shown>, _) = (Vec::new(), 0);
        for prefix in prefixes {
            loop {
                let is_behind = |after: &str| after > prefix.as_str() && !after.starts_with(prefix);
                if after.as_deref().is_some_and(is_behind) {
                    break;
                }
                let (page, end) = self.look(prefix, after.as_deref()).await?;
                let of_chat = page.keys().any(|name| name.in_chat().is_some());
                seen += page.len();
                for shown in page.into_values().flatten().filter(|shown| wanted(&shown.name)) {
                    if streams.len() == limit {
                        let next = streams.last().map(|last| last.name.to_string());
                        return Ok(Page { streams, next });
                    }
                    streams.push(shown);
                }
                let Some(end) = end else { break };
                // There may be very many conversations, and nobody sees them here.
                let behind = StreamName::behind_chat();
                after = Some(if of_chat && end.as_str() < behind { behind.into() } else { end });
                if seen >= BROWSE_NAMES_MAX {
                    return Ok(Page { streams, next: after });
                }
            }
        }
        Ok(Page { streams, next: None })
    }

    /// On several nodes, what is in memory is that of all: better to look where all of it will be.
    ///
    /// # Errors
    /// It takes too long.
    pub(super) async fn gather(&self) -> Result<(), StreamError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let most = Duration::from_millis(TABLES_WAIT_MS_MAX);
        let stored = timeout(most, shared.all_stored(Scope::Streams, true)).await;
        stored.map_err(|_| StreamError::StoreUnavailable)
    }

    async fn look(&self, prefix: &str, after: Option<&str>) -> Result<Looked, StreamError> {
        // Memory first: what leaves it meanwhile is in the store then.
        let live = self.first_live(prefix, after);
        let stored = self.store.browse(prefix, after, BROWSE_PAGE_ROWS).await.map_err(|error| {
            tracing::warn!(%error, "cannot list the streams of the store");
            StreamError::StoreUnavailable
        })?;
        // A full page says nothing of what is behind it.
        let full = |len: usize| len >= BROWSE_PAGE_ROWS;
        let ends = [
            stored.last().filter(|_| full(stored.len())).map(|last| last.entry.name.clone()),
            live.keys().next_back().filter(|_| full(live.len())).cloned(),
        ];
        let end = ends.into_iter().flatten().min();
        let now_ms = self.clock.now_ms();
        let mut page: BTreeMap<StreamName, Option<Shown>> =
            stored.into_iter().map(|row| (row.entry.name.clone(), of_row(row, now_ms))).collect();
        // Memory knows better, also when it knows that there is nothing any more.
        for (name, channel) in live {
            let created = page.get_mut(&name).and_then(|shown| shown.take()?.created);
            let shown = of_channel(&channel, now_ms).map(|shown| Shown { created, ..shown });
            page.insert(name, shown);
        }
        page.retain(|name, _| end.as_ref().is_none_or(|end| name <= end));
        self.add_readers(&mut page);
        Ok((page, end.map(|end| end.to_string())))
    }

    /// The first channels in memory of these names: no more than one page, however many there are.
    fn first_live(&self, prefix: &str, after: Option<&str>) -> BTreeMap<StreamName, Arc<Channel>> {
        let mut first = BTreeMap::new();
        for slot in &self.slots {
            let name = slot.key().as_str();
            if !name.starts_with(prefix) || after.is_some_and(|after| name <= after) {
                continue;
            }
            let Some(channel) = slot.value().get() else { continue };
            first.insert(slot.key().clone(), channel.clone());
            if first.len() > BROWSE_PAGE_ROWS {
                first.pop_last();
            }
        }
        first
    }

    /// Where nodes share a log, what is at work here knows its readers and maybe a later end.
    fn add_readers(&self, page: &mut BTreeMap<StreamName, Option<Shown>>) {
        let channels = self.shared.as_ref().map(|shared| shared.channels()).unwrap_or_default();
        for channel in channels {
            let Some(Some(shown)) = page.get_mut(channel.name()) else { continue };
            shown.readers = channel.readers();
            let status = channel.status().filter(|status| {
                status.tail.records >= shown.status.tail.records && !channel.is_uncertain()
            });
            shown.status = status.unwrap_or(shown.status);
        }
    }
}

fn of_row(row: StreamDetails, now_ms: u64) -> Option<Shown> {
    let StreamDetails { entry, content_type, lifetime, expires_ms, fork, created } = row;
    let is_there = expires_ms.is_none_or(|ms| ms > now_ms);
    is_there.then(|| Shown {
        name: entry.name,
        content_type: content_type.into(),
        status: Status { tail: entry.tail, closed: entry.closed },
        stored: entry.tail,
        readers: 0,
        lifetime,
        fork,
        created: Some(created),
    })
}

fn of_channel(channel: &Channel, now_ms: u64) -> Option<Shown> {
    let status = channel.status().filter(|_| !channel.is_expired(now_ms))?;
    Some(Shown {
        name: channel.name().clone(),
        content_type: channel.content_type().clone(),
        status,
        stored: channel.stored(),
        readers: channel.readers(),
        lifetime: channel.lifetime(),
        fork: channel.fork().map(|fork| (fork.source_name.clone(), fork.at)),
        created: None,
    })
}
