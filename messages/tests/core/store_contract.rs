//! What every store promises, on every store: one suite for the model, SQLite and Postgres.

use super::memory_store::MemoryStore;
use super::random::Random;
use messages::{
    model::{
        Chunk, CloseReason, Flush, Lengths, Lifetime, Offset, StoredStream, StreamId, Writers,
    },
    store::{self, Store, StoreError},
};
use sqlx::Connection;
use std::sync::Arc;

/// Runs a test of what only databases do on both of them.
macro_rules! on_both_databases {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() {
                let dir = tempfile::tempdir().unwrap();
                let url = messages::store::default_url(dir.path());
                super::$name(messages::store::open(&url).await.unwrap()).await
            })*
        }
        mod postgres_store {
            $(#[tokio::test] async fn $name() {
                let url = crate::postgres::database().await;
                super::$name(messages::store::open(&url).await.unwrap()).await
            })*
        }
    };
}
pub(super) use on_both_databases;

/// Runs a test of the contract on all stores.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $name() {
                let store = std::sync::Arc::new(crate::memory_store::MemoryStore::default());
                super::$name(store).await
            })*
        }
        $crate::store_contract::on_both_databases! { $($name),* }
    };
}
pub(super) use on_every_store;

on_every_store! {
    starts_are_counted,
    what_is_flushed_is_found_and_read,
    a_flush_continues_its_row_or_changes_nothing,
    a_name_begins_anew_in_one_flush,
    only_open_tied_streams_are_tied,
    reading_begins_in_the_middle_of_anything,
    merging_changes_no_byte,
    a_flush_of_many_streams_is_one,
    random_flushes_agree_with_the_model,
}

pub fn stream(id: u64, name: &str) -> StoredStream {
    StoredStream {
        id: StreamId(id),
        name: name.parse().expect("valid"),
        content_type: "text/plain".into(),
        tail: Offset::ZERO,
        tied: false,
        closed: None,
        lifetime: Lifetime::Unlimited,
        expires_ms: None,
        fork: None,
        hidden: false,
        forks: 0,
        writers: Writers::default(),
        version: 0,
    }
}

/// A flush of records with these bytes behind `from`, one chunk for each of `chunks`.
pub fn flush(stream: StoredStream, from: Option<Offset>, chunks: &[&[&str]]) -> Flush {
    let mut at = from.unwrap_or_default();
    let chunks = chunks.iter().map(|records| {
        let lengths: Vec<u32> = records.iter().map(|record| record.len() as u32).collect();
        let lengths = if lengths.len() == 1 { Lengths::One } else { Lengths::Many(lengths.into()) };
        let chunk = Chunk { at, lengths, body: records.concat().into() };
        at = chunk.end();
        chunk
    });
    let chunks = chunks.collect();
    Flush {
        stream: StoredStream { tail: at, ..stream },
        from_version: 0,
        from,
        chunks,
        producers: Vec::new(),
        remove: false,
        writes: Vec::new(),
        transient: false,
        cost: 0,
    }
}

pub async fn content(store: &dyn Store, id: u64, position: u64) -> Vec<u8> {
    let chunks = store.read(StreamId(id), position, usize::MAX >> 1).await.expect("readable");
    let mut next = None;
    let mut bytes = Vec::new();
    for chunk in chunks {
        assert!(next.is_none_or(|next| next == chunk.at), "a gap");
        next = Some(chunk.end());
        let skip = position.saturating_sub(chunk.at.bytes) as usize;
        bytes.extend_from_slice(&chunk.body[skip..]);
    }
    bytes
}

async fn starts_are_counted(store: Arc<dyn Store>) {
    assert_eq!(store.count_start().await.unwrap(), 1);
    assert_eq!(store.count_start().await.unwrap(), 2);
}

async fn what_is_flushed_is_found_and_read(store: Arc<dyn Store>) {
    let names = ["a/ö?".parse().unwrap(), "unknown".parse().unwrap()];
    assert_eq!(store.find(&names).await.unwrap(), []);
    let mut first = flush(stream(1 << 32, "a/ö?"), None, &[&["one", "two"], &["\0\u{ff}"]]);
    first.stream.closed = Some(CloseReason::BrokenOff);
    first.stream.tied = true;
    store.flush(&[first.clone()]).await.unwrap();
    assert_eq!(store.find(&names).await.unwrap(), [first.stream.clone()]);
    assert_eq!(store.streams(&[StreamId(1 << 32), StreamId(5)]).await.unwrap(), [first.stream]);
    assert_eq!(store.read(StreamId(1 << 32), 0, 1 << 20).await.unwrap(), first.chunks);
    assert_eq!(store.read(StreamId(5), 0, 1 << 20).await.unwrap(), []);
    assert_eq!(store.find(&[]).await.unwrap(), []);
}

async fn a_flush_continues_its_row_or_changes_nothing(store: Arc<dyn Store>) {
    let first = flush(stream(1, "a"), None, &[&["abc"]]);
    let second = flush(stream(1, "a"), Some(first.stream.tail), &[&["de"]]);
    store.flush(&[first]).await.unwrap();
    store.flush(std::slice::from_ref(&second)).await.unwrap();
    // The repetition does not fit, and takes the new stream beside it along.
    let beside = flush(stream(2, "b"), None, &[&["x"]]);
    let repeated = store.flush(&[beside.clone(), second.clone()]).await;
    assert!(matches!(repeated, Err(StoreError::Conflict(StreamId(1)))), "{repeated:?}");
    assert_eq!(store.streams(&[StreamId(2)]).await.unwrap(), []);
    assert_eq!(content(&*store, 1, 0).await, b"abcde");
    // And the store goes on after it.
    let third = flush(stream(1, "a"), Some(second.stream.tail), &[&["f"]]);
    store.flush(&[beside, third]).await.unwrap();
    assert_eq!(content(&*store, 1, 0).await, b"abcdef");
    assert_eq!(content(&*store, 2, 0).await, b"x");
}

async fn a_name_begins_anew_in_one_flush(store: Arc<dyn Store>) {
    let old = flush(stream(1, "a"), None, &[&["old"]]);
    store.flush(std::slice::from_ref(&old)).await.unwrap();
    let over = Flush { remove: true, chunks: vec![], from: Some(old.stream.tail), ..old };
    store.flush(&[over, flush(stream(2, "a"), None, &[&["new"]])]).await.unwrap();
    let found = store.find(&["a".parse().unwrap()]).await.unwrap();
    assert_eq!(found.iter().map(|stream| stream.id).collect::<Vec<_>>(), [StreamId(2)]);
    assert_eq!(content(&*store, 1, 0).await, b"");
    assert_eq!(content(&*store, 2, 0).await, b"new");
}

async fn only_open_tied_streams_are_tied(store: Arc<dyn Store>) {
    let with = |id: u64, name, tied, closed| {
        flush(StoredStream { tied, closed, ..stream(id, name) }, None, &[])
    };
    let closed = Some(CloseReason::Finished);
    let all = [with(1, "a", true, None), with(2, "b", false, None), with(3, "c", true, closed)];
    store.flush(&all).await.unwrap();
    assert_eq!(store.tied().await.unwrap(), [all[0].stream.clone()]);
    let close = Flush { from: Some(Offset::ZERO), ..with(1, "a", false, closed) };
    store.flush(&[close]).await.unwrap();
    assert_eq!(store.tied().await.unwrap(), []);
}

async fn reading_begins_in_the_middle_of_anything(store: Arc<dyn Store>) {
    let chunks: &[&[&str]] = &[&["ab", "c"], &["defg"], &["h"], &["ij", "kl", "m"]];
    let all = "abcdefghijklm";
    // A neighbour must not be read.
    let flushes = [flush(stream(1, "a"), None, chunks), flush(stream(2, "b"), None, &[&["zzz"]])];
    store.flush(&flushes).await.unwrap();
    for position in 0..=all.len() {
        assert_eq!(content(&*store, 1, position as u64).await, all.as_bytes()[position..]);
        let page = store.read(StreamId(1), position as u64, 2).await.unwrap();
        let bytes: usize = page.iter().map(|chunk| chunk.body.len()).sum();
        assert_eq!(page.is_empty(), position == all.len());
        assert!(bytes <= 2 + 5 + 4, "the page at {position} has {bytes} bytes");
    }
}

async fn merging_changes_no_byte(store: Arc<dyn Store>) {
    let (mut tail, mut all) = (None, String::new());
    for i in 0..50 {
        let text = format!("record {i};");
        let next = flush(stream(1, "a"), tail, &[&[&text]]);
        tail = Some(next.stream.tail);
        all.push_str(&text);
        store.flush(&[next]).await.unwrap();
    }
    store.merge(StreamId(1)).await.unwrap();
    let merged = store.read(StreamId(1), 0, 1 << 20).await.unwrap();
    assert_eq!(merged.len(), 1);
    assert_eq!((merged[0].records(), Some(merged[0].end())), (50, tail));
    assert_eq!(content(&*store, 1, 0).await, all.as_bytes());
    assert_eq!(content(&*store, 1, 7).await, all.as_bytes()[7..]);
    store.merge(StreamId(1)).await.unwrap();
    store.merge(StreamId(9)).await.unwrap();
    store.flush(&[flush(stream(1, "a"), tail, &[&["end"]])]).await.unwrap();
    assert_eq!(content(&*store, 1, 0).await, (all + "end").as_bytes());
}

async fn a_flush_of_many_streams_is_one(store: Arc<dyn Store>) {
    let make = |i: u64| flush(stream(i, &format!("stream {i}")), None, &[&["a"], &["b"]]);
    let mut all: Vec<Flush> = (1..=1000).map(make).collect();
    store.flush(&all).await.unwrap();
    for next in &mut all {
        *next = flush(next.stream.clone(), Some(next.stream.tail), &[&["c"]]);
    }
    store.flush(&all).await.unwrap();
    for id in [1, 256, 257, 1000] {
        assert_eq!(content(&*store, id, 0).await, b"abc");
    }
    let names: Vec<_> = all.iter().map(|flush| flush.stream.name.clone()).collect();
    assert_eq!(store.find(&names[..256]).await.unwrap().len(), 256);
}

async fn random_flushes_agree_with_the_model(store: Arc<dyn Store>) {
    let mut random = Random::new(0x5eed);
    let model = MemoryStore::default();
    for round in 0..60 {
        let id = 1 + random.below(5) as u64;
        let known = model.streams(&[StreamId(id)]).await.unwrap().pop();
        let records: Vec<String> = (0..random.below(5))
            .map(|i| format!("{round}-{i}-{};", "x".repeat(random.below(40))))
            .collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        let chunks: Vec<&[&str]> = records.chunks(1 + random.below(3)).collect();
        // Sometimes at a wrong position.
        let from = known.as_ref().map(|k| k.tail.advance(0, u64::from(random.one_in(6))));
        let next = flush(stream(id, &format!("s{id}")), from, &chunks);
        let (want, got) =
            (model.flush(std::slice::from_ref(&next)).await, store.flush(&[next]).await);
        assert_eq!(want.is_ok(), got.is_ok(), "round {round}: {want:?} {got:?}");
        if random.one_in(4) {
            store.merge(StreamId(id)).await.unwrap();
        }
        for id in 1..=5 {
            assert_eq!(
                content(&*store, id, 0).await,
                content(&model, id, 0).await,
                "round {round}"
            );
        }
    }
}

#[tokio::test]
async fn a_store_keeps_what_it_has_when_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    for url in [store::default_url(dir.path()), super::postgres::database().await] {
        let first = store::open(&url).await.unwrap();
        first.count_start().await.unwrap();
        first.flush(&[flush(stream(1, "a"), None, &[&["kept"]])]).await.unwrap();
        let second = store::open(&url).await.err().expect("held by the first").to_string();
        assert!(second.contains("another server"), "{second}");
        first.close().await;
        drop(first);
        let again = store::open(&url).await.unwrap();
        assert_eq!(again.count_start().await.unwrap(), 2);
        assert_eq!(content(&*again, 1, 0).await, b"kept");
        again.close().await;
    }
}

#[tokio::test]
async fn a_server_that_lost_the_database_to_another_does_not_write_again() {
    let url = super::postgres::database().await;
    let first = store::open(&url).await.unwrap();
    first.count_start().await.unwrap();
    let kept = flush(stream(1, "a"), None, &[&["kept"]]);
    first.flush(std::slice::from_ref(&kept)).await.unwrap();
    let mut admin = sqlx::PgConnection::connect(&url).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(cut).execute(&mut admin).await.unwrap();
    let more = flush(stream(1, "a"), Some(kept.stream.tail), &[&["more"]]);
    first.flush(std::slice::from_ref(&more)).await.expect_err("the connection is gone");
    // Nobody came in between: it goes on.
    first.flush(std::slice::from_ref(&more)).await.unwrap();

    sqlx::query(cut).execute(&mut admin).await.unwrap();
    let second = store::open(&url).await.unwrap();
    second.count_start().await.unwrap();
    second.close().await;
    let late = flush(stream(1, "a"), Some(more.stream.tail), &[&["late"]]);
    first.flush(std::slice::from_ref(&late)).await.expect_err("the connection is gone");
    let error = first.flush(std::slice::from_ref(&late)).await;
    assert!(matches!(error, Err(StoreError::TakenOver)), "{error:?}");
    assert_eq!(content(&*first, 1, 0).await, b"keptmore");
}
