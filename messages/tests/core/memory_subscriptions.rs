//! The part of the plainest store that keeps subscriptions and lists streams.

use super::memory_store::MemoryStore;
use futures::future::{BoxFuture, ready};
use messages::{
    model::{StoredStream, StreamId, StreamName},
    store::{
        FoundLink, StoreError, StoredLink, StoredSubscription, StreamDetails, StreamEntry,
        StreamList, SubscriptionSave, SubscriptionStore, SubscriptionWrite,
    },
};
use std::{collections::BTreeMap, time::Duration};

#[derive(Clone, Default)]
pub struct Subscriptions {
    rows: BTreeMap<String, (String, String)>,
    links: BTreeMap<(String, StreamName), StoredLink>,
    compared: u64,
    secrets: BTreeMap<String, Vec<u8>>,
}

impl Subscriptions {
    fn delete(&mut self, id: &str) -> bool {
        self.links.retain(|(of, _), _| of != id);
        self.rows.remove(id).is_some()
    }

    fn put(&mut self, id: &str, links: &[StoredLink]) {
        for link in links {
            self.links.insert((id.into(), link.stream.clone()), link.clone());
        }
    }

    fn write(&mut self, SubscriptionSave { id, write }: &SubscriptionSave) -> bool {
        match write {
            SubscriptionWrite::Create { config, state, links } => {
                let existed = self.delete(id);
                self.rows.insert(id.clone(), (config.clone(), state.clone()));
                self.put(id, links);
                existed
            }
            SubscriptionWrite::Update { state, put, remove } => {
                let Some(row) = self.rows.get_mut(id) else { return false };
                row.1.clone_from(state);
                for stream in remove {
                    self.links.remove(&(id.clone(), stream.clone()));
                }
                self.put(id, put);
                true
            }
            SubscriptionWrite::Delete => self.delete(id),
        }
    }
}

impl SubscriptionStore for MemoryStore {
    fn subscriptions(&self) -> BoxFuture<'_, Result<Vec<StoredSubscription>, StoreError>> {
        let subscriptions = self.subscriptions.lock().unwrap();
        let make = |(id, (config, state)): (&String, &(String, String))| {
            let (id, config, state) = (id.clone(), config.clone(), state.clone());
            StoredSubscription { id, config, state }
        };
        Box::pin(ready(Ok(subscriptions.rows.iter().map(make).collect())))
    }

    fn subscription_links<'a>(
        &'a self,
        (subscription, stream): (&'a str, &'a str),
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<FoundLink>, StoreError>> {
        let subscriptions = self.subscriptions.lock().unwrap();
        let behind = |((id, name), _): &(&(String, StreamName), &StoredLink)| {
            (id.as_str(), name.as_str()) > (subscription, stream)
        };
        let make = |((id, name), link): (&(String, StreamName), &StoredLink)| {
            let found = self.select(|stream| stream.name == *name).pop();
            let stream = found.map(|stream| (stream.id, stream.tail));
            FoundLink { subscription: id.clone(), link: link.clone(), stream }
        };
        let found = subscriptions.links.iter().filter(behind).take(limit).map(make).collect();
        Box::pin(ready(Ok(found)))
    }

    fn save_subscriptions<'a>(
        &'a self,
        saves: &'a [SubscriptionSave],
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(async move {
            // A real one takes its time, and other things happen meanwhile.
            tokio::time::sleep(Duration::from_millis(self.save_wait_ms())).await;
            if self.take_save_fault() {
                return Err(StoreError::Database(sqlx::Error::PoolTimedOut));
            }
            let mut subscriptions = self.subscriptions.lock().unwrap();
            Ok(saves.iter().map(|save| subscriptions.write(save)).collect())
        })
    }

    fn compared(&self) -> BoxFuture<'_, Result<StreamId, StoreError>> {
        Box::pin(ready(Ok(StreamId(self.subscriptions.lock().unwrap().compared))))
    }

    fn set_compared(&self, id: StreamId) -> BoxFuture<'_, Result<(), StoreError>> {
        let mut subscriptions = self.subscriptions.lock().unwrap();
        subscriptions.compared = subscriptions.compared.max(id.0);
        Box::pin(ready(Ok(())))
    }

    fn secret<'a>(
        &'a self,
        name: &'a str,
        fresh: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, StoreError>> {
        let mut subscriptions = self.subscriptions.lock().unwrap();
        let secret = subscriptions.secrets.entry(name.into()).or_insert_with(|| fresh.into());
        Box::pin(ready(Ok(secret.clone())))
    }
}

fn entry(stream: StoredStream) -> StreamEntry {
    let StoredStream { id, name, tail, closed, .. } = stream;
    StreamEntry { id, name, tail, closed }
}

impl StreamList for MemoryStore {
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a StreamName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StreamEntry>, StoreError>> {
        let wanted = |stream: &StoredStream| {
            stream.name.as_str().starts_with(prefix)
                && after.is_none_or(|after| stream.name.as_str() > after.as_str())
        };
        let mut found = self.select(wanted);
        found.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        found.truncate(limit);
        Box::pin(ready(Ok(found.into_iter().map(entry).collect())))
    }

    fn browse<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StreamDetails>, StoreError>> {
        let wanted = |stream: &StoredStream| {
            let name = stream.name.as_str();
            name.starts_with(prefix) && after.is_none_or(|after| name > after)
        };
        let mut found = self.select(wanted);
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.truncate(limit);
        let details = |stream: StoredStream| StreamDetails {
            content_type: stream.content_type.to_string(),
            lifetime: stream.lifetime,
            expires_ms: stream.expires_ms,
            fork: stream.fork.clone().map(|fork| (fork.source_name, fork.at)),
            created: "1970-01-01 00:00:00".into(),
            entry: entry(stream),
        };
        Box::pin(ready(Ok(found.into_iter().map(details).collect())))
    }

    fn list_since(
        &self,
        id: StreamId,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<StreamEntry>, StoreError>> {
        let mut found = self.select(|stream| stream.id >= id);
        found.truncate(limit);
        Box::pin(ready(Ok(found.into_iter().map(entry).collect())))
    }
}
