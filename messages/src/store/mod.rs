//! The store: the user's own database, where the content of all streams lies.

mod audit;
mod chat;
mod copy;
mod list;
mod nodes;
mod postgres;
mod rows;
mod sql;
mod sqlite;
mod statement;
mod subscriptions;
mod worker;

pub use audit::{Audit, Fault, StreamEnd};
pub use chat::{
    ChatStore, ListedConversation, MessageQuery, ReactionCount, SearchQuery, StoredConversation,
    StoredMessage, StoredReaction, StoredReport, StoredRevision, chat_reads,
};
pub use copy::copy_into;
pub use list::{StreamDetails, StreamEntry, StreamList};
pub use nodes::NodeStore;
pub use subscriptions::{
    FoundLink, StoredLink, StoredSubscription, SubscriptionSave, SubscriptionStore,
    SubscriptionWrite,
};
pub use worker::WorkerStore;

use crate::{
    model::{Chunk, Flush, StoredStream, StreamId, StreamName},
    stats::Spread,
};
use futures::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

/// The last step of `migrations/`.
const SCHEMA: i64 = sqlite::MIGRATIONS[sqlite::MIGRATIONS.len() - 1].0;

/// A database with streams in it. Every method may be called concurrently, except `flush` and
/// `merge`, which the one flusher calls. A call that is dropped half way has either happened or not.
pub trait Store: StreamList + SubscriptionStore + Send + Sync {
    /// Counts this start of the server. No two starts on one database get the same number.
    fn count_start(&self) -> BoxFuture<'_, Result<u32, StoreError>>;

    /// The streams that have one of these names, in no order; a name without a stream is left out.
    fn find<'a>(
        &'a self,
        names: &'a [StreamName],
    ) -> BoxFuture<'a, Result<Vec<StoredStream>, StoreError>>;

    /// The streams with these identities, in no order; one that is not there is left out.
    fn streams<'a>(
        &'a self,
        ids: &'a [StreamId],
    ) -> BoxFuture<'a, Result<Vec<StoredStream>, StoreError>>;

    /// The open streams that are tied to the server that produced them.
    fn tied(&self) -> BoxFuture<'_, Result<Vec<StoredStream>, StoreError>>;

    /// Names of streams whose time is over at `now_ms`, and of hidden ones that nothing branches off
    /// from any more: at most `limit`.
    fn ended(&self, now_ms: u64, limit: u32) -> BoxFuture<'_, Result<Vec<StreamName>, StoreError>>;

    /// Content of a stream from the chunk on that holds byte `position`: whole chunks that follow
    /// each other without a gap, at least one and no more than `bytes_max` bytes beyond it. Empty
    /// when there is nothing at or behind `position`.
    fn read(
        &self,
        stream: StreamId,
        position: u64,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Chunk>, StoreError>>;

    /// Writes all of `flushes` in one transaction. Each is checked against its row: a row that does
    /// not end at `from` is a conflict, and then nothing is written.
    fn flush<'a>(&'a self, flushes: &'a [Flush]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Merges small neighbouring chunks of a stream. Readers see the same bytes before and after.
    fn merge(&self, stream: StreamId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// What became of connections for reading, where there are any.
    fn readers(&self) -> Option<Readers<'_>> {
        None
    }

    /// Ends all work. Nothing may be called afterwards.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Connections for reading.
#[derive(Clone, Copy, Debug)]
pub struct Readers<'a> {
    /// Those that somebody reads with.
    pub busy: u32,
    /// Those that there are.
    pub open: u32,
    /// How many there may be.
    pub max: u32,
    /// How long somebody waits for one.
    pub waits: &'a Spread,
}

/// A whole database: streams, subscriptions and chat, of one server or of several nodes.
pub trait Database: Store + ChatStore + NodeStore + WorkerStore {}

impl<T: Store + ChatStore + NodeStore + WorkerStore> Database for T {}

/// What can go wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or refuses.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema cannot be brought up to date.
    #[error("the database cannot be migrated: {0}")]
    Migrate(sqlx::migrate::MigrateError),
    /// Written by a later version of this program.
    #[error(
        "a newer version of this program has used this database: it has schema {found}, this one knows \
         schemas up to {known}. Start the newer one, or restore a backup from before it"
    )]
    Newer {
        /// What it has.
        found: i64,
        /// What is known here.
        known: i64,
    },
    /// Another server works on this database.
    #[error("another server uses this database ({0}); stop that one, or give this one its own")]
    Held(String),
    /// Another server works on this database file.
    #[error(transparent)]
    Locked(#[from] crate::lock::LockError),
    /// Another server has worked on this database since this one lost its connection.
    #[error("another server has taken over this database; restart this one to take part again")]
    TakenOver,
    /// The rows are not what this server wrote.
    #[error("stream {0:?} was changed in the database by somebody else")]
    Conflict(StreamId),
    /// A flush of this node was held up for so long that others may have done it meanwhile.
    #[error("this node was held up for too long")]
    TooLate,
    /// Another node works on subscriptions by now.
    #[error("another node has taken over the work on subscriptions")]
    Superseded,
    /// A row that makes no sense.
    #[error("the database holds an invalid row of stream {0:?}: {1}")]
    Corrupt(StreamId, &'static str),
    /// A row of chat that makes no sense.
    #[error("the database holds an invalid row of conversation {0}: {1}")]
    CorruptConversation(String, &'static str),
    /// A database that would be gone with its connection.
    #[error("an SQLite database must be a file: sqlite:FILE")]
    NoFile,
    /// A database that belongs to one server.
    #[error(
        "several nodes need a database that they can share: with --redis-url, --database-url must be \
         that of a Postgres, and SQLite is a file of one machine"
    )]
    NotShared,
    /// A URL of no known kind.
    #[error("--database-url must begin with sqlite: or postgres:")]
    UnknownUrl,
}

/// Opens the database that `url` names and brings its schema up to date. A relative path of an
/// SQLite file counts from the working directory. Takes the database for this process.
///
/// # Errors
/// It cannot be reached, cannot be migrated, or another server has it.
pub async fn open(url: &str) -> Result<Arc<dyn Database>, StoreError> {
    match url.split_once(':') {
        Some(("sqlite", _)) => Ok(Arc::new(sqlite::open(url).await?)),
        Some(("postgres" | "postgresql", _)) => Ok(Arc::new(postgres::open(url).await?)),
        _ => Err(StoreError::UnknownUrl),
    }
}

/// As [`open`], for a database that several nodes work on.
///
/// # Errors
/// As there; or it is no Postgres.
pub async fn open_shared(url: &str) -> Result<Arc<dyn Database>, StoreError> {
    match url.split_once(':') {
        Some(("postgres" | "postgresql", _)) => Ok(Arc::new(postgres::open_shared(url).await?)),
        _ => Err(StoreError::NotShared),
    }
}

/// The URL of the database file that a server without another one uses.
#[must_use]
pub fn default_url(data_dir: &Path) -> String {
    let file = data_dir.join("messages.db").display().to_string();
    format!("sqlite:{}", file.replace('%', "%25").replace('?', "%3F"))
}

/// The file of a database that is one.
#[must_use]
pub fn file_of(url: &str) -> Option<PathBuf> {
    let options = url.starts_with("sqlite:").then(|| SqliteConnectOptions::from_str(url).ok());
    options.flatten().map(|options| options.get_filename().to_owned())
}
