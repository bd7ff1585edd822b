//! What every store promises about subscriptions and lists, on every store.

use super::memory_store::MemoryStore;
use messages::{
    model::{CloseReason, Create, Flush, Lifetime, Offset, StoredStream, StreamId, StreamName},
    store::{
        self, FoundLink, Store, StoredLink, StoredSubscription, StreamEntry, SubscriptionSave,
        SubscriptionWrite,
    },
};
use std::sync::Arc;

macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $name() { super::$name(super::Arc::new(super::MemoryStore::default())).await })*
        }
        mod sqlite {
            $(#[tokio::test] async fn $name() {
                let dir = tempfile::tempdir().unwrap();
                let url = super::store::default_url(dir.path());
                super::$name(super::store::open(&url).await.unwrap()).await
            })*
        }
        mod postgres_store {
            $(#[tokio::test] async fn $name() {
                super::$name(super::store::open(&super::super::postgres::database().await).await.unwrap()).await
            })*
        }
    };
}

on_every_store! {
    streams_are_listed_by_name_and_by_id,
    a_subscription_is_found_as_it_was_saved,
    links_come_in_pages_with_their_streams,
    a_subscription_that_is_gone_takes_no_more_steps,
    progress_and_secrets_are_kept,
}

fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

async fn create(store: &dyn Store, streams: &[(u64, &str, u64)]) {
    let flush = |&(id, text, bytes): &(u64, &str, u64)| {
        let create = Create {
            name: name(text),
            content_type: "text/plain".into(),
            tied: false,
            replaces: None,
            lifetime: Lifetime::Unlimited,
            fork: None,
        };
        let tail = Offset { records: bytes, bytes };
        let closed = (text == "b").then_some(CloseReason::Interrupted);
        let stream = StoredStream { tail, closed, ..StoredStream::new(StreamId(id), &create) };
        let (from, chunks, producers) = (None, vec![], vec![]);
        Flush {
            stream,
            from,
            from_version: 0,
            chunks,
            producers,
            remove: false,
            writes: vec![],
            transient: false,
            cost: 0,
        }
    };
    store.flush(&streams.iter().map(flush).collect::<Vec<_>>()).await.unwrap();
}

async fn streams_are_listed_by_name_and_by_id(store: Arc<dyn Store>) {
    let all = ["a", "a/", "a/1", "a/2", "a/é", "a/\u{10ffff}", "a0", "b"];
    let rows: Vec<(u64, &str, u64)> =
        all.iter().rev().zip(1..).map(|(name, id)| (id, *name, id)).collect();
    create(&*store, &rows).await;
    for (prefix, after, limit, want) in [
        ("", None, 99, &all[..]),
        ("", None, 2, &all[..2]),
        ("", Some("a/2"), 2, &all[4..6]),
        ("a/", None, 99, &all[1..6]),
        ("a/", Some("a/1"), 99, &all[3..6]),
        ("a/", Some("A"), 99, &all[1..6]),
        ("a/", Some("b"), 99, &[]),
        ("c", None, 99, &[]),
    ] {
        let after = after.map(name);
        let found = store.list(prefix, after.as_ref(), limit).await.unwrap();
        let found: Vec<&str> = found.iter().map(|stream| stream.name.as_str()).collect();
        assert_eq!(found, want, "{prefix} {after:?} {limit}");
    }
    let tail = Offset { records: 1, bytes: 1 };
    let closed = Some(CloseReason::Interrupted);
    let want = StreamEntry { id: StreamId(1), name: name("b"), tail, closed };
    assert_eq!(store.list("b", None, 9).await.unwrap(), [want]);
    let since = store.list_since(StreamId(3), 2).await.unwrap();
    assert_eq!(since.iter().map(|stream| stream.id.0).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(store.list_since(StreamId(9), 2).await.unwrap(), []);
}

fn link(stream: &str, life: Option<u64>, acked: u64) -> StoredLink {
    let acked = Offset { records: acked, bytes: acked * 2 };
    StoredLink {
        stream: name(stream),
        explicit: acked.records > 2,
        life: life.map(StreamId),
        acked,
    }
}

fn creation(id: &str, links: Vec<StoredLink>) -> SubscriptionSave {
    let (config, state) = (format!("config of {id}"), "new".into());
    SubscriptionSave { id: id.into(), write: SubscriptionWrite::Create { config, state, links } }
}

fn update(id: &str, put: Vec<StoredLink>, remove: &[&str]) -> SubscriptionSave {
    let remove = remove.iter().map(|text| name(text)).collect();
    let write = SubscriptionWrite::Update { state: "later".into(), put, remove };
    SubscriptionSave { id: id.into(), write }
}

async fn links(store: &dyn Store) -> Vec<(String, StoredLink)> {
    let found = store.subscription_links(("", ""), 10_000).await.unwrap();
    found.into_iter().map(|found| (found.subscription, found.link)).collect()
}

async fn a_subscription_is_found_as_it_was_saved(store: Arc<dyn Store>) {
    assert_eq!(store.subscriptions().await.unwrap(), []);
    let first = creation("b/ö", vec![link("x", None, 0), link("y", Some(1 << 40), 5)]);
    assert_eq!(
        store.save_subscriptions(&[first, creation("a", vec![])]).await.unwrap(),
        [false; 2]
    );
    let row = |id: &str, state: &str| StoredSubscription {
        id: id.into(),
        config: format!("config of {id}"),
        state: state.into(),
    };
    assert_eq!(store.subscriptions().await.unwrap(), [row("a", "new"), row("b/ö", "new")]);
    let step = update("b/ö", vec![link("z", Some(2), 1), link("y", Some(3), 6)], &["x", "never"]);
    assert_eq!(store.save_subscriptions(&[step]).await.unwrap(), [true]);
    assert_eq!(store.subscriptions().await.unwrap(), [row("a", "new"), row("b/ö", "later")]);
    let of = |link| ("b/ö".to_owned(), link);
    let want = [of(link("y", Some(3), 6)), of(link("z", Some(2), 1))];
    assert_eq!(links(&*store).await, want);
    // Nothing of an earlier one of this id is left over.
    store.save_subscriptions(&[creation("b/ö", vec![link("q", None, 0)])]).await.unwrap();
    assert_eq!(links(&*store).await, [of(link("q", None, 0))]);
}

async fn links_come_in_pages_with_their_streams(store: Arc<dyn Store>) {
    create(&*store, &[(1, "x", 10), (2, "s1", 20)]).await;
    let many: Vec<StoredLink> = (0..600).map(|i| link(&format!("s{i}"), None, 0)).collect();
    store
        .save_subscriptions(&[creation("a", many), creation("b", vec![link("x", Some(1), 3)])])
        .await
        .unwrap();
    let (mut after, mut found) = ((String::new(), String::new()), Vec::<FoundLink>::new());
    loop {
        let page = store.subscription_links((&after.0, &after.1), 250).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.subscription.clone(), last.link.stream.to_string());
        found.extend(page);
    }
    assert_eq!(found.len(), 601);
    let tail = |bytes| Offset { records: bytes, bytes };
    let known: Vec<_> =
        found.iter().filter_map(|f| f.stream.map(|s| (&f.link.stream, s))).collect();
    assert_eq!(
        known,
        [(&name("s1"), (StreamId(2), tail(20))), (&name("x"), (StreamId(1), tail(10)))]
    );
}

async fn a_subscription_that_is_gone_takes_no_more_steps(store: Arc<dyn Store>) {
    store.save_subscriptions(&[creation("a", vec![link("x", None, 0)])]).await.unwrap();
    let delete = |id: &str| SubscriptionSave { id: id.into(), write: SubscriptionWrite::Delete };
    let steps = [delete("a"), update("a", vec![link("y", None, 0)], &[]), creation("b", vec![])];
    assert_eq!(store.save_subscriptions(&steps).await.unwrap(), [true, false, false]);
    assert_eq!(store.subscriptions().await.unwrap().len(), 1);
    assert_eq!(links(&*store).await, []);
    assert_eq!(store.save_subscriptions(&[delete("a")]).await.unwrap(), [false]);
}

async fn progress_and_secrets_are_kept(store: Arc<dyn Store>) {
    assert_eq!(store.compared().await.unwrap(), StreamId(0));
    store.set_compared(StreamId(5 << 32)).await.unwrap();
    store.set_compared(StreamId(4)).await.unwrap();
    assert_eq!(store.compared().await.unwrap(), StreamId(5 << 32), "it never goes back");
    assert_eq!(store.secret("a", b"one").await.unwrap(), b"one");
    assert_eq!(store.secret("a", b"two").await.unwrap(), b"one");
    assert_eq!(store.secret("b", b"two").await.unwrap(), b"two");
}
