//! How the databases find what is asked of the tables of chat: never by going through all rows.

use super::chat_log::Log;
use messages::{
    model::{ChatWrite, Flush},
    store::{self, Database, chat_reads},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqliteConnection};

/// What each statement of SQLite and Postgres must use: an index, or the beginning of a primary key.
/// The names of both are the same, but for primary keys, which are no index of their own in SQLite.
const WANTED: &[(&str, &[&str])] = &[
    ("conversation", &["conversations.pkey"]),
    ("participants", &["participants.pkey"]),
    ("receipts", &["message_receipts.pkey"]),
    ("pins", &["pins.pkey"]),
    (
        "conversations of a user",
        &[
            "participants_of",
            "conversations.pkey",
            "message_receipts.pkey",
            "messages.pkey",
            "messages_deleted",
            "mentions_of",
        ],
    ),
    ("more conversations of a user", &["participants_of", "messages_deleted", "mentions_of"]),
    ("conversation of a user", &["conversations.pkey", "messages_deleted", "mentions_of"]),
    ("message", &["messages.pkey", "pins.pkey", "messages_thread"]),
    ("message by txn", &["messages_txn"]),
    ("pinned", &["pins.pkey", "messages.pkey"]),
    ("reactors", &["reactions.pkey"]),
    ("revisions", &["message_bodies.pkey", "messages.pkey"]),
    ("reports", &["reports.pkey"]),
    ("streaming", &["messages_streaming"]),
    ("retaining", &["conversations_retention"]),
    ("end", &["conversations.pkey"]),
    ("oldest", &["messages.pkey"]),
    ("acquainted", &["participants_of"]),
    ("reactions", &["reactions.pkey"]),
    ("messages", &["messages.pkey", "messages_thread"]),
    ("main line", &["messages.pkey"]),
    ("thread", &["messages_thread"]),
    ("source", &["messages_source"]),
    ("created", &["messages_created"]),
    ("reply_to", &["messages_reply_to"]),
    ("inbox", &["participants_of", "conversations.pkey", "messages_created", "messages.pkey"]),
    ("inbox, oldest first", &["participants_of", "messages_created", "messages.pkey"]),
    ("search everywhere", &["participants_of", "messages_search", "messages.pkey"]),
    // Postgres may also go through the messages of a conversation, when these are few.
    ("search", &["messages.pkey"]),
];

/// Every table of which there is more than a little.
const TABLES: [&str; 9] = [
    "conversations",
    "participants",
    "messages",
    "message_bodies",
    "mentions",
    "reactions",
    "pins",
    "message_receipts",
    "streams",
];

/// Enough that an index is worth its while: each user is in many conversations, each conversation
/// has many messages, few of which are anything special.
async fn fill(store: &dyn Database) {
    let mut logs: Vec<Log> = (1..=60).map(|id| Log::new(id, &format!("c{id}"))).collect();
    logs.extend((61..=80).map(|id| Log::direct(id, ["alice", &format!("user{id}")])));
    for log in &mut logs {
        for at in 0..100u64 {
            let source = format!("user{}", at % 12);
            let target = log.message_with(&source, &format!("some words {at}"), |row| {
                row.txn = Some(at.to_string());
                row.thread = (at % 10 == 9).then_some(row.target.position - 1);
                row.reply_to = (at % 10 == 8).then(|| format!("{}:2", row.target.conversation));
                row.mentions = if at % 20 == 3 { vec!["bob".into()] } else { vec![] };
                row.streaming = at == 77;
            });
            if at % 25 == 1 {
                log.edit(&target, 1, "other words");
                log.react(&target, "bob", "x", false);
                let (participant, at_ms) = ("bob".to_owned(), at);
                log.writes.push(ChatWrite::Pin { target: target.clone(), participant, at_ms });
            }
            if at % 25 == 2 {
                log.delete(&target);
            }
        }
    }
    let flushes: Vec<Flush> = logs.iter_mut().map(Log::flush).collect();
    store.flush(&flushes).await.unwrap();
}

/// The statements that are for one database, and what each must use.
fn wanted(other: &str) -> Vec<(&'static str, String, &'static [&'static str])> {
    let mut all = Vec::new();
    for (name, text) in chat_reads() {
        let (kind, database) = name.rsplit_once(", ").unwrap_or((name, ""));
        let kind = if ["SQLite", "Postgres"].contains(&database) { kind } else { name };
        let found = WANTED.iter().find(|(known, _)| *known == kind);
        let (_, indexes) = found.unwrap_or_else(|| panic!("nothing is said of {name}"));
        if database != other {
            all.push((name, text, *indexes));
        }
    }
    assert_eq!(all.len(), WANTED.len());
    all
}

#[tokio::test]
async fn sqlite_goes_through_no_table() {
    let dir = tempfile::tempdir().unwrap();
    let url = store::default_url(dir.path());
    let store = store::open(&url).await.unwrap();
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    // It has to know the way without having seen any row, and with all that it can know of them.
    for filled in [false, true] {
        if filled {
            fill(&*store).await;
            connection.execute("ANALYZE").await.unwrap();
            connection.close().await.unwrap();
            connection = SqliteConnection::connect(&url).await.unwrap();
        }
        for (name, text, indexes) in wanted("Postgres") {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
            let rows = sqlx::query(explain).fetch_all(&mut connection).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let plan = plan.join("\n");
            for line in plan.lines() {
                // Small index that is gone through from its beginning, or what was found before.
                let partial = line.ends_with("INDEX messages_streaming");
                let found =
                    ["page", "found", "CONSTANT ROW"].iter().any(|n| line == format!("SCAN {n}"));
                let searched = line.contains("SCAN s VIRTUAL TABLE INDEX 0:M");
                assert!(!line.contains("SCAN") || partial || found || searched, "{name}:\n{plan}");
            }
            for index in indexes {
                let used = match index.strip_suffix(".pkey") {
                    Some(_) => plan.contains("USING PRIMARY KEY ("),
                    None if *index == "messages_search" => plan.contains("VIRTUAL TABLE INDEX"),
                    None => plan.contains(&format!("INDEX {index}")),
                };
                assert!(used, "{name} does not use {index}:\n{plan}");
            }
        }
    }
}

#[tokio::test]
async fn postgres_goes_through_no_table() {
    let url = super::postgres::database().await;
    let store = store::open(&url).await.unwrap();
    fill(&*store).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for set in [
        "ANALYZE",
        // The plan that a statement has after some runs, for whatever values.
        "SET plan_cache_mode = force_generic_plan",
        // Of few rows that are all in memory the cheapest way is often another one.
        "SET enable_seqscan = off",
        "SET enable_hashjoin = off",
        "SET enable_mergejoin = off",
    ] {
        connection.execute(set).await.unwrap();
    }
    for (name, text, indexes) in wanted("SQLite") {
        let prepare = AssertSqlSafe(format!("PREPARE explained AS {text}"));
        connection.execute(prepare).await.unwrap();
        let count = (1..20).take_while(|n| text.contains(&format!("${n}"))).count();
        let nulls = vec!["NULL"; count].join(", ");
        let explain = AssertSqlSafe(format!("EXPLAIN EXECUTE explained ({nulls})"));
        let rows = connection.fetch_all(explain).await.unwrap();
        connection.execute("DEALLOCATE explained").await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        for table in TABLES {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{name}:\n{plan}");
        }
        for index in indexes {
            let index = index.replace('.', "_");
            assert!(plan.contains(&index), "{name} does not use {index}:\n{plan}");
        }
    }
}
