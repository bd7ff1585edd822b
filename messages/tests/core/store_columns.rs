//! The contract of the store, as far as it is about forks, producers, lifetimes and deletion; and
//! databases of an earlier version.

use super::store_contract::{content, flush, stream};
use messages::{
    model::{
        CloseReason, Flush, Fork, ForkPoint, Lifetime, Offset, Producer, StoredStream, StreamId,
        Writers,
    },
    store::{self, Store},
};
use sqlx::{
    Connection, SqlStr,
    migrate::{Migrate, Migration, MigrationType, Migrator},
};
use std::sync::Arc;

super::store_contract::on_every_store! {
    every_column_comes_back,
    producers_are_replaced_and_go_with_their_stream,
    forks_are_counted,
    what_has_ended_is_found,
    a_name_is_free_only_without_its_row,
}

fn at(records: u64, bytes: u64) -> Offset {
    Offset { records, bytes }
}

fn producer(epoch: u64, seq: u64, results: u64) -> Producer {
    let results = (0..results).map(|n| at(n, 1 << n)).collect();
    Producer { epoch, seq, closed: seq % 2 == 1, results }
}

fn fork_of(source: u64, name: &str, asked: ForkPoint) -> Option<Fork> {
    let source_name = name.parse().expect("valid");
    Some(Fork { source: StreamId(source), source_name, at: at(2, 9), asked })
}

async fn row(store: &dyn Store, id: u64) -> Option<StoredStream> {
    store.streams(&[StreamId(id)]).await.expect("readable").pop()
}

async fn every_column_comes_back(store: Arc<dyn Store>) {
    let asked = [ForkPoint::default(), ForkPoint { anchor: Some(at(1, 7)), beyond: (1 << 53) - 1 }];
    let lifetimes = [
        (Lifetime::Unlimited, None),
        (Lifetime::Idle { secs: 60 }, Some(1 << 41)),
        (Lifetime::Idle { secs: i64::MAX as u64 }, Some(i64::MAX as u64)),
        (Lifetime::Until { ms: 12_345 }, Some(12_345)),
    ];
    let mut id = 0;
    for fork in [None, fork_of(900, "ö/+", asked[0]), fork_of(901, "b", asked[1])] {
        for (lifetime, expires_ms) in lifetimes {
            for (hidden, seq) in [(false, None), (true, Some("é")), (false, Some(""))] {
                id += 1;
                let mut next = flush(stream(id, &format!("s{id}")), None, &[]);
                let writers = Writers { seq: seq.map(Into::into), ..Writers::default() };
                let tail = fork.as_ref().map_or(Offset::ZERO, |fork| fork.at);
                next.stream = StoredStream {
                    lifetime,
                    expires_ms,
                    fork: fork.clone(),
                    hidden,
                    writers,
                    tail,
                    ..next.stream
                };
                store.flush(std::slice::from_ref(&next)).await.unwrap();
                assert_eq!(row(&*store, id).await.as_ref(), Some(&next.stream));
                // And the columns that change.
                let closed = Some(CloseReason::Finished);
                next.from = Some(next.stream.tail);
                next.stream.writers.seq = Some("z".into());
                let later = expires_ms.filter(|_| matches!(lifetime, Lifetime::Idle { .. }));
                next.stream.expires_ms = later.map(|_| 7).or(expires_ms);
                next.stream = StoredStream { hidden: true, closed, tied: true, ..next.stream };
                store.flush(std::slice::from_ref(&next)).await.unwrap();
                assert_eq!(row(&*store, id).await, Some(next.stream));
            }
        }
    }
}

async fn producers_are_replaced_and_go_with_their_stream(store: Arc<dyn Store>) {
    let mut first = flush(stream(1, "a"), None, &[]);
    let many = (0..600).map(|n| (format!("p{n}").into(), producer(n, 2 * n, n % 17)));
    first.producers = many.collect();
    let beside = Flush {
        producers: vec![("p1".into(), producer(9, 9, 9))],
        ..flush(stream(2, "b"), None, &[])
    };
    store.flush(&[first.clone(), beside.clone()]).await.unwrap();
    let known = row(&*store, 1).await.unwrap().writers.producers;
    assert_eq!(known, first.producers.iter().cloned().collect());

    let mut next = flush(stream(1, "a"), Some(Offset::ZERO), &[&["x"]]);
    next.producers = vec![
        ("p1".into(), producer(7, 0, 1)),
        ("new/\u{1f600}".into(), producer((1 << 53) - 1, (1 << 53) - 1, 16)),
    ];
    store.flush(std::slice::from_ref(&next)).await.unwrap();
    let known = store.find(&["a".parse().unwrap()]).await.unwrap().remove(0).writers.producers;
    assert_eq!(known.len(), 601);
    for (name, producer) in &next.producers {
        assert_eq!(&known[name], producer);
    }
    assert_eq!(known["p2"], producer(2, 4, 2), "the others stay");

    let over = Flush { remove: true, from: Some(next.stream.tail), chunks: vec![], ..next };
    store.flush(&[over, flush(stream(3, "a"), None, &[])]).await.unwrap();
    let found = store.streams(&[1, 2, 3].map(StreamId)).await.unwrap();
    assert_eq!(found.len(), 2);
    for stream in found {
        assert_eq!(stream.writers.producers.len(), usize::from(stream.id == StreamId(2)));
    }
    // The identity comes again only in this test: nothing is left of the one before.
    store.flush(&[flush(stream(1, "c"), None, &[])]).await.unwrap();
    assert!(row(&*store, 1).await.unwrap().writers.is_empty());
}

fn fork(id: u64, source: u64) -> Flush {
    let mut fork = flush(stream(id, &format!("s{id}")), None, &[]);
    fork.stream.fork = fork_of(source, &format!("s{source}"), ForkPoint::default());
    fork.stream.tail = at(2, 9);
    fork
}

async fn forks_are_counted(store: Arc<dyn Store>) {
    let root = flush(stream(1, "s1"), None, &[&["12345", "6789"]]);
    store.flush(&[root, fork(2, 1), fork(3, 1), fork(4, 2)]).await.unwrap();
    let count = async |id| row(&*store, id).await.map(|stream| stream.forks);
    assert_eq!([count(1).await, count(2).await, count(4).await], [Some(2), Some(1), Some(0)]);
    store.flush(&[Flush { remove: true, ..fork(3, 1) }]).await.unwrap();
    let found = store.find(&["s1".parse().unwrap()]).await.unwrap();
    assert_eq!((found[0].forks, count(2).await), (1, Some(1)));
    // The content of a fork begins where it branches off.
    let mut more = flush(stream(2, "s2"), Some(at(2, 9)), &[&["own"]]);
    more.stream.fork = fork(2, 1).stream.fork;
    store.flush(std::slice::from_ref(&more)).await.unwrap();
    assert_eq!(content(&*store, 2, 9).await, b"own");
    assert_eq!(row(&*store, 2).await, Some(StoredStream { forks: 1, ..more.stream }));
}

async fn what_has_ended_is_found(store: Arc<dyn Store>) {
    let with = |id: u64, expires_ms: Option<u64>, hidden| {
        let lifetime = expires_ms.map_or(Lifetime::Unlimited, |ms| Lifetime::Until { ms });
        let stream = stream(id, &format!("s{id}"));
        flush(StoredStream { expires_ms, lifetime, hidden, ..stream }, None, &[])
    };
    let all = [
        with(1, None, false),
        with(2, Some(100), false),
        with(3, Some(101), false),
        // Hidden, and something branches off from it; hidden, and nothing does any more.
        with(4, Some(5), true),
        fork(5, 4),
        with(6, None, true),
        with(7, Some(5), true),
    ];
    store.flush(&all).await.unwrap();
    let ended = async |now_ms, limit| {
        let names = store.ended(now_ms, limit).await.unwrap();
        let mut names: Vec<_> = names.iter().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(ended(99, 10).await, ["s6", "s7"]);
    assert_eq!(ended(100, 10).await, ["s2", "s6", "s7"]);
    assert_eq!(ended(u64::MAX, 10).await, ["s2", "s3", "s6", "s7"]);
    assert_eq!(ended(u64::MAX, 3).await.len(), 3);
    assert_eq!(ended(u64::MAX, 0).await.len(), 0);
    store.flush(&[Flush { remove: true, ..fork(5, 4) }]).await.unwrap();
    assert_eq!(ended(0, 10).await, ["s4", "s6", "s7"]);
}

async fn a_name_is_free_only_without_its_row(store: Arc<dyn Store>) {
    let hidden = StoredStream { hidden: true, ..stream(1, "a") };
    store.flush(&[flush(hidden, None, &[])]).await.unwrap();
    store.flush(&[flush(stream(2, "a"), None, &[])]).await.expect_err("the name is taken");
    assert_eq!(row(&*store, 2).await, None);
}

/// Databases that only the first step has been at, with streams in them.
#[tokio::test]
async fn a_database_of_the_first_version_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = store::default_url(dir.path());
    let text = SqlStr::from_static(include_str!("../../../migrations/sqlite/0001_streams.sql"));
    let options = format!("{sqlite}?mode=rwc");
    make_old(sqlx::SqliteConnection::connect(&options).await.unwrap(), text).await;
    let postgres = super::postgres::database().await;
    let text = SqlStr::from_static(include_str!("../../../migrations/postgres/0001_streams.sql"));
    make_old(sqlx::PgConnection::connect(&postgres).await.unwrap(), text).await;
    for url in [sqlite, postgres] {
        let store = store::open(&url).await.unwrap();
        assert_eq!(store.count_start().await.unwrap(), 4);
        let mut old = StoredStream { tied: true, tail: at(2, 5), ..stream(7, "a") };
        assert_eq!(store.find(&["a".parse().unwrap()]).await.unwrap(), [old.clone()]);
        assert_eq!(store.tied().await.unwrap(), [old.clone()]);
        assert_eq!(store.ended(u64::MAX, 9).await.unwrap(), []);
        assert_eq!(content(&*store, 7, 0).await, b"abcde");
        (old.expires_ms, old.lifetime) = (Some(9), Lifetime::Until { ms: 9 });
        store.flush(&[flush(old, Some(at(2, 5)), &[&["f"]])]).await.unwrap();
        assert_eq!(content(&*store, 7, 0).await, b"abcdef");
        assert_eq!(row(&*store, 7).await.unwrap().expires_ms, Some(9));
        store.close().await;
    }
}

async fn make_old<C>(mut connection: C, text: SqlStr)
where
    C: Connection + Migrate,
    for<'c> &'c mut C: sqlx::Executor<'c, Database = C::Database>,
{
    let step = Migration::new(1, "streams".into(), MigrationType::Simple, text, false);
    let migrator = Migrator::with_migrations(vec![step]);
    migrator.run_direct(None, &mut connection, false).await.unwrap();
    let rows = "UPDATE server SET starts = 3;
        INSERT INTO streams (id, name, content_type, records, bytes, tied, closed)
        VALUES (7, 'a', 'text/plain', 2, 5, 1, NULL);";
    let hex =
        if std::any::type_name::<C>().contains("Sqlite") { "x'6162636465'" } else { "'abcde'" };
    let lengths =
        if hex.starts_with('x') { "x'0200000003000000'" } else { r"'\x0200000003000000'" };
    let chunk = format!("INSERT INTO chunks VALUES (7, 0, 0, {lengths}, {hex})");
    for statement in rows.split(';').map(str::trim).filter(|s| !s.is_empty()) {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::Executor::execute(&mut connection, statement).await.unwrap();
    }
    sqlx::Executor::execute(&mut connection, sqlx::AssertSqlSafe(chunk)).await.unwrap();
    connection.close().await.unwrap();
}
