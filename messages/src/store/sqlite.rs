//! SQLite: a file of the user's own, nothing to set up.

use super::{
    StoreError, chat,
    sql::{Migrations, SqlStore, migrate},
};
use crate::lock::FileLock;
use sqlx::{
    ConnectOptions, Sqlite,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{str::FromStr, time::Duration};

pub(super) const MIGRATIONS: Migrations = &[
    (1, "streams", include_str!("../../../migrations/sqlite/0001_streams.sql")),
    (2, "protocol", include_str!("../../../migrations/sqlite/0002_protocol.sql")),
    (3, "subscriptions", include_str!("../../../migrations/sqlite/0003_subscriptions.sql")),
    (4, "chat", include_str!("../../../migrations/sqlite/0004_chat.sql")),
    (5, "nodes", include_str!("../../../migrations/sqlite/0005_nodes.sql")),
];

/// Connections for reading, each a thread of its own.
const READERS: u32 = 4;

/// Each conversation is one range of rowids, behind what the participant may not see. The order of the
/// joins is the way to go; the planner would rather begin with all that hold the words.
pub(super) const WORDS: &str = "participants AS p
    CROSS JOIN conversations AS c ON c.name = p.conversation
    CROSS JOIN message_search AS s
        ON s.rowid > (c.number << 32) + p.visible_records AND s.rowid < (c.number + 1) << 32
    CROSS JOIN messages AS m ON m.conversation = c.name AND m.position = s.rowid & 4294967295
    WHERE s.message_search MATCH $1";

impl chat::Search for Sqlite {
    const WORDS: &'static str = WORDS;
}

pub(super) async fn open(url: &str) -> Result<SqlStore<Sqlite>, StoreError> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // The journal forgets what the flusher has committed here, so a commit must be durable.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(64)
        .pragma("cache_size", "-16384")
        .pragma("temp_store", "memory")
        .pragma("journal_size_limit", "67108864")
        // What is erased must not stay behind in pages that are free.
        .pragma("secure_delete", "ON");
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(StoreError::NoFile);
    }
    let mut lock_file = options.get_filename().as_os_str().to_owned();
    lock_file.push(".lock");
    let lock = FileLock::take(lock_file.into())?;
    let mut writer = options.clone().connect().await?;
    migrate(MIGRATIONS, &mut writer).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options.clone().read_only(true).create_if_missing(false))
        .await?;
    let connect = move || {
        // Held as long as the store lives.
        let _ = &lock;
        let options = options.clone();
        Box::pin(async move { Ok(options.connect().await?) }) as _
    };
    Ok(SqlStore::new(readers, writer, Box::new(connect)))
}
