//! Every schema that there ever was, with rows in it, becomes the present one.

use super::store_contract::content;
use messages::{
    model::{Offset, StreamId},
    store,
};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, SqlSafeStr, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
};
use std::path::Path;

/// What a server could have written at each schema. `X` stands for how the database writes bytes.
const ROWS: [&str; 5] = [
    "INSERT INTO streams (id, name, content_type, records, bytes, tied, closed)
        VALUES (4294967296, 'a', 'text/plain', 2, 5, 0, 'finished');
     INSERT INTO chunks (stream, at_bytes, at_records, lengths, body)
        VALUES (4294967296, 0, 0, X'0200000003000000', X'68656c6c6f');
     UPDATE server SET starts = 1;",
    "INSERT INTO streams (id, name, content_type, records, bytes, tied, ttl_secs, source, source_name, fork_at, fork_asked)
        VALUES (4294967297, 'b', 'text/plain', 2, 5, 0, 3600, 4294967296, 'a',
            '0000000000000002_0000000000000005', '+0');
     INSERT INTO producers (stream, producer, epoch, seq, closed, results)
        VALUES (4294967296, 'p', 1, 7, 0, X'02000000000000000500000000000000');",
    "INSERT INTO secrets (name, value) VALUES ('key', X'00ff');
     INSERT INTO subscription_links (subscription, stream, explicit, records, bytes)
        VALUES ('s', 'a', 1, 1, 2);",
    "INSERT INTO conversations (name, number, admin, created, kind, stream, settings, retention)
        VALUES ('team', 1, 'alice', 1, 'group', 4294967298, '{}', 0);
     INSERT INTO participants (conversation, participant, role, standing, since, visible_records, visible_bytes, created)
        VALUES ('team', 'alice', 'owner', 'member', 1, 0, 0, 1);",
    "UPDATE server SET incarnation = 'x';",
];

/// What is there at the end, whatever came in between, as one number for each table.
const TABLES: [(&str, i64); 5] = [
    ("SELECT COUNT(*) FROM streams WHERE name IN ('a', 'b') AND version = 0 AND hidden = 0", 2),
    ("SELECT COUNT(*) FROM producers WHERE producer = 'p' AND epoch = 1 AND seq = 7", 1),
    ("SELECT COUNT(*) FROM subscription_links WHERE stream = 'a' AND bytes = 2", 1),
    ("SELECT COUNT(*) FROM participants JOIN conversations ON conversation = name", 1),
    ("SELECT COUNT(*) FROM server WHERE incarnation = 'x'", 1),
];

/// The steps of `migrations/` as they are kept.
fn steps(database: &str) -> Vec<Migration> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(database);
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut steps: Vec<_> = files
        .map(|path| {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let (number, name) = stem.split_once('_').unwrap();
            let text = AssertSqlSafe(std::fs::read_to_string(&path).unwrap()).into_sql_str();
            let name = name.to_owned().into();
            Migration::new(number.parse().unwrap(), name, MigrationType::Simple, text, false)
        })
        .collect();
    steps.sort_by_key(|step| step.version);
    steps
}

/// Brings an empty database from schema to schema up to `$until`, fills it in each, and opens it.
macro_rules! brought_up {
    ($Connection:ty, $database:literal, $bytes:literal, $create:expr, $url:expr, $until:expr) => {{
        let (url, until): (&str, usize) = ($url, $until);
        let mut connection = <$Connection>::connect(&$create).await.unwrap();
        let steps = steps($database);
        assert_eq!(steps.len(), ROWS.len(), "a new schema needs rows here");
        for (number, rows) in ROWS.iter().enumerate().take(until) {
            let migrator = Migrator::with_migrations(steps[..=number].to_vec());
            migrator.run_direct(None, &mut connection, false).await.unwrap();
            let rows = AssertSqlSafe(rows.replace("X'", $bytes));
            sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        opens(url, until).await;
        let mut connection = <$Connection>::connect(url).await.unwrap();
        for (count, rows) in &TABLES[..until] {
            let found = sqlx::query_scalar(*count).fetch_one(&mut connection).await;
            let found: i64 = found.unwrap();
            assert_eq!(found, if until == 1 { 1 } else { *rows }, "{count} from schema {until}");
        }
    }};
}

/// What the server finds then.
async fn opens(url: &str, until: usize) {
    let opened = store::open(url).await.unwrap();
    assert_eq!(opened.count_start().await.unwrap(), 2);
    assert_eq!(content(&*opened, 1 << 32, 0).await, b"hello");
    let found = opened.find(&["a".parse().unwrap(), "b".parse().unwrap()]).await.unwrap();
    assert_eq!(found.len(), until.min(2), "{found:?}");
    let stream = found.iter().find(|stream| stream.id == StreamId(1 << 32)).unwrap();
    assert_eq!(stream.tail, Offset { records: 2, bytes: 5 });
    assert!(stream.closed.is_some() && stream.forks == u64::from(until > 1));
    opened.close().await;
}

#[tokio::test]
async fn every_schema_of_sqlite_becomes_the_present_one() {
    for until in 1..=ROWS.len() {
        let dir = tempfile::tempdir().unwrap();
        let url = store::default_url(dir.path());
        let create = format!("{url}?mode=rwc");
        brought_up!(SqliteConnection, "sqlite", "X'", create, &url, until);
    }
}

#[tokio::test]
async fn every_schema_of_postgres_becomes_the_present_one() {
    for until in 1..=ROWS.len() {
        let url = crate::postgres::database().await;
        brought_up!(PgConnection, "postgres", r"'\x", url, &url, until);
    }
}
