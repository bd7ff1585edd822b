//! Postgres: the user's own server, used without Redis by one server process at a time.

use super::{
    StoreError, chat,
    sql::{Migrations, SqlStore, migrate},
};
use futures::future::BoxFuture;
use sqlx::{
    ConnectOptions, Executor, PgConnection, Postgres,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{io, str::FromStr, time::Duration};

const MIGRATIONS: Migrations = &[
    (1, "streams", include_str!("../../../migrations/postgres/0001_streams.sql")),
    (2, "protocol", include_str!("../../../migrations/postgres/0002_protocol.sql")),
    (3, "subscriptions", include_str!("../../../migrations/postgres/0003_subscriptions.sql")),
    (4, "chat", include_str!("../../../migrations/postgres/0004_chat.sql")),
    (5, "nodes", include_str!("../../../migrations/postgres/0005_nodes.sql")),
];

/// Connections for reading.
const READERS: u32 = 8;

/// How long another session may still hold the lock.
const LOCK_WAIT: &str = "SET lock_timeout = '3s'";

/// A server that takes a connection and then says nothing, as one behind a broken network does, is
/// given up after this.
const CONNECT_WAIT: Duration = Duration::from_secs(8);

const HOLDER: &str = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND (classid::bigint << 32) + objid::bigint = $1 AND database =
    (SELECT oid FROM pg_database WHERE datname = current_database())";

/// The advisory lock that the writing process holds: "messages" as a number.
const LOCK: i64 = i64::from_be_bytes(*b"messages");

/// Takes that lock for one process, or for one of several nodes.
const TAKE_ALONE: &str = "SELECT pg_advisory_lock($1)";
const TAKE_SHARED: &str = "SELECT pg_advisory_lock_shared($1)";

pub(super) const WORDS: &str = "messages AS m
    JOIN participants AS p ON p.conversation = m.conversation AND m.position > p.visible_records
    WHERE m.search @@ plainto_tsquery('simple', $1)";

impl chat::Search for Postgres {
    const WORDS: &'static str = WORDS;
}

pub(super) async fn open(url: &str) -> Result<SqlStore<Postgres>, StoreError> {
    open_with(url, TAKE_ALONE).await
}

/// For several nodes, which share what otherwise one server takes for itself.
pub(super) async fn open_shared(url: &str) -> Result<SqlStore<Postgres>, StoreError> {
    Ok(open_with(url, TAKE_SHARED).await?.shared())
}

async fn open_with(url: &str, lock: &'static str) -> Result<SqlStore<Postgres>, StoreError> {
    let options = PgConnectOptions::from_str(url)?.application_name("messages").options([
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("client_min_messages", "warning"),
        // So that Postgres soon frees the lock of a server that it can no longer reach.
        ("tcp_keepalives_idle", "30"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
    ]);
    let mut writer = connect(options.clone(), lock).await?;
    // Nodes that start at once wait for each other here.
    migrate(MIGRATIONS, &mut writer).await?;
    let readers = PgPoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options.clone())
        .await?;
    Ok(SqlStore::new(readers, writer, Box::new(move || connect(options.clone(), lock))))
}

/// Makes the connection for writing and takes the database. The lock lives as long as the session.
fn connect(
    options: PgConnectOptions,
    lock: &'static str,
) -> BoxFuture<'static, Result<PgConnection, StoreError>> {
    Box::pin(async move {
        let taking = tokio::time::timeout(CONNECT_WAIT, take(options, lock));
        taking.await.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()).into()))
    })
}

async fn take(options: PgConnectOptions, lock: &'static str) -> Result<PgConnection, StoreError> {
    let mut connection = options.connect().await?;
    // A server that has just ended may still hold it: Postgres notices that a moment later.
    connection.execute(LOCK_WAIT).await?;
    let taken = sqlx::query(lock).bind(LOCK);
    match taken.execute(&mut connection).await {
        Ok(_) => {
            connection.execute("RESET lock_timeout").await?;
            return Ok(connection);
        }
        Err(error) if is_lock_timeout(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let holder: Option<i32> =
        sqlx::query_scalar(HOLDER).bind(LOCK).fetch_optional(&mut connection).await?;
    let holder = holder.map_or_else(String::new, |pid| format!(", Postgres session {pid}"));
    Err(StoreError::Held(format!("advisory lock{holder}")))
}

/// Whether the lock was not to be had in time (`lock_not_available`).
fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03")
}
