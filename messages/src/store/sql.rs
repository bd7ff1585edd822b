//! The store on any SQL database: one text and one code for both. What differs between them, how
//! they are opened, is in [`super::sqlite`] and [`super::postgres`].

use super::{
    Readers, Store, StoreError, chat, rows,
    statement::{Run, Statement, Value},
};
use crate::{
    limits::MERGE_ROWS_MAX,
    model::{Chunk, Flush, StoredStream, StreamId, StreamName},
    stats::Spread,
};
use futures::future::{BoxFuture, OptionFuture};
use sqlx::{
    Connection, Database, Pool, SqlStr,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
    pool::PoolConnection,
};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};

/// Rows in one statement. More save round trips, until the limit of 32,766 parameters.
pub(super) const ROWS_MAX: usize = 256;

const COUNT_START: &str = "UPDATE server SET starts = starts + 1 WHERE one = 1 RETURNING starts";

const STARTS: &str = "SELECT starts FROM server WHERE one = 1";

/// What [`rows::StreamRow`] takes.
macro_rules! find {
    () => {
        "SELECT id, name, content_type, records, bytes, tied + 2 * hidden, closed, ttl_secs, \
         expires_ms, source, source_name, fork_at, fork_asked, last_seq, \
         (SELECT COUNT(*) FROM streams AS forks WHERE forks.source = streams.id), version \
         FROM streams"
    };
}

const FIND: &str = find!();

/// All of them, page by page.
pub(super) const FIND_AFTER: &str = concat!(find!(), " WHERE id > $1 ORDER BY id LIMIT $2");

const TIED: &str = concat!(find!(), " WHERE tied = 1 AND closed IS NULL ORDER BY id");

const ENDED: &str = "SELECT name FROM streams WHERE expires_ms <= $1 AND hidden = 0
    UNION ALL SELECT name FROM streams WHERE hidden = 1
        AND NOT EXISTS (SELECT 1 FROM streams AS forks WHERE forks.source = streams.id)
    LIMIT $2";

const PRODUCERS: &str =
    "SELECT stream, producer, epoch, seq, closed, results FROM producers WHERE stream IN";

pub(super) const READ: &str = "SELECT at_bytes, at_records, lengths, body FROM chunks
    WHERE stream = $1 AND at_bytes < $3 AND at_bytes >= COALESCE(
        (SELECT MAX(at_bytes) FROM chunks WHERE stream = $1 AND at_bytes <= $2), 0)
    ORDER BY at_bytes";

const HOLD: &str = "UPDATE streams SET bytes = bytes WHERE id = $1";

const SIZES: &str = "SELECT at_bytes, CAST(length(body) AS BIGINT) FROM chunks
    WHERE stream = $1 ORDER BY at_bytes DESC LIMIT $2";

pub(super) const REMOVE_RUN: &str =
    "DELETE FROM chunks WHERE stream = $1 AND at_bytes >= $2 AND at_bytes < $3";

const INSERT_STREAMS: &str = "INSERT INTO streams (id, name, content_type, records, bytes, tied, closed, ttl_secs, \
     expires_ms, source, source_name, fork_at, fork_asked, hidden, last_seq, version) VALUES";

const INSERT_PRODUCERS: (&str, &str) = (
    "INSERT INTO producers (stream, producer, epoch, seq, closed, results) VALUES",
    " ON CONFLICT (stream, producer) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq,
        closed = excluded.closed, results = excluded.results",
);

/// Where something of a stream lies; in this order it goes away.
const REMOVE: [&str; 3] = [
    "DELETE FROM chunks WHERE stream IN",
    "DELETE FROM producers WHERE stream IN",
    "DELETE FROM streams WHERE id IN",
];

const INSERT_CHUNKS: &str =
    "INSERT INTO chunks (stream, at_bytes, at_records, lengths, body) VALUES";

/// Both databases name the columns of a list of values like this.
const UPDATE_STREAMS: (&str, &str) = (
    "UPDATE streams SET records = v.column3, bytes = v.column4, tied = v.column5, closed = v.column6,
        hidden = v.column7, expires_ms = v.column8, last_seq = v.column9, version = v.column11
     FROM (VALUES",
    ") AS v WHERE streams.id = v.column1 AND streams.bytes = v.column2
        AND streams.version = v.column10",
);

/// How a connection for writing is made. It also takes the database for this process, so that
/// losing the connection is losing the right to write, and a new one has to win it again.
pub(super) type Connect<DB> = Box<
    dyn Fn() -> BoxFuture<'static, Result<<DB as Database>::Connection, StoreError>> + Send + Sync,
>;

/// A store in a database that sqlx drives.
pub(super) struct SqlStore<DB: Database> {
    readers: Pool<DB>,
    waits: Spread,
    writer: Mutex<Option<DB::Connection>>,
    connect: Connect<DB>,
    /// Others write here, too.
    pub(super) shared: bool,
    /// The start that was counted last: ours, unless another server has taken over meanwhile.
    start: AtomicU32,
}

/// The steps of `migrations/`, in order: number, name, text.
pub(super) type Migrations = &'static [(i64, &'static str, &'static str)];

/// Brings a schema up to date.
pub(super) async fn migrate<C>(steps: Migrations, connection: &mut C) -> Result<(), StoreError>
where
    C: Migrate,
{
    let known = steps.last().map_or(0, |(number, ..)| *number);
    migrator(steps).run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(found) if found > known => StoreError::Newer { found, known },
        error => StoreError::Migrate(error),
    })
}

/// The same as the `migrate!` macro makes, checksums included, without its cost at compile time.
fn migrator(steps: Migrations) -> Migrator {
    let step = |&(number, name, text): &(i64, &'static str, &'static str)| {
        let text = SqlStr::from_static(text);
        Migration::new(number, name.into(), MigrationType::Simple, text, false)
    };
    Migrator::with_migrations(steps.iter().map(step).collect())
}

impl<DB: Run> SqlStore<DB> {
    /// A store that reads through `readers` and writes through what `connect` makes; `writer` is
    /// the first such connection.
    pub fn new(readers: Pool<DB>, writer: DB::Connection, connect: Connect<DB>) -> Self {
        let (writer, start) = (Mutex::new(Some(writer)), AtomicU32::new(0));
        Self { readers, waits: Spread::of_times(), writer, connect, shared: false, start }
    }

    /// A connection for reading, when there is one.
    pub(super) async fn reader(&self) -> Result<PoolConnection<DB>, sqlx::Error> {
        let begun = Instant::now();
        let reader = self.readers.acquire().await;
        self.waits.time(begun.elapsed());
        reader
    }

    /// For several nodes: losing a connection for writing is losing nothing then.
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Begins a transaction on the one connection for writing. Whatever ends it otherwise than
    /// [`Writing::commit`] also gives up that connection, whatever state it is in.
    pub(super) async fn begin(&self) -> Result<Writing<'_, DB>, StoreError> {
        let mut slot = self.writer.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.reconnect().await?,
        };
        DB::execute(&mut connection, Statement::fixed("BEGIN", vec![])).await?;
        Ok(Writing { slot, connection })
    }

    /// Makes a new connection for writing. While there was none, another server may have won the
    /// database, written to it and left again: then this one must not go on.
    async fn reconnect(&self) -> Result<DB::Connection, StoreError> {
        let taken = (self.connect)().await;
        if self.shared {
            return taken;
        }
        let mut reader = self.reader().await?;
        let found: Vec<(i64,)> = DB::fetch(&mut reader, Statement::fixed(STARTS, vec![])).await?;
        if found != [(i64::from(self.start.load(Ordering::Relaxed)),)] {
            return Err(StoreError::TakenOver);
        }
        taken
    }

    async fn find_by(
        &self,
        head: &str,
        values: Vec<Value<'_>>,
    ) -> Result<Vec<StoredStream>, StoreError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let statement = Statement::list(&format!("{FIND} WHERE {head} IN"), values);
        let mut connection = self.reader().await?;
        self.streams_of(&mut connection, statement).await
    }

    /// The streams that a statement finds, and who has written to them.
    async fn streams_of(
        &self,
        on: &mut DB::Connection,
        statement: Statement<'_>,
    ) -> Result<Vec<StoredStream>, StoreError> {
        let found: Vec<rows::StreamRow> = DB::fetch(on, statement).await?;
        let mut streams: Vec<StoredStream> =
            found.into_iter().map(rows::stream).collect::<Result<_, _>>()?;
        streams.sort_unstable_by_key(|stream| stream.id);
        for part in streams.chunks_mut(ROWS_MAX) {
            let ids = part.iter().map(|stream| Value::Int(stream.id.0 as i64)).collect();
            let found: Vec<rows::ProducerRow> =
                DB::fetch(on, Statement::list(PRODUCERS, ids)).await?;
            for row in found {
                let (id, name, producer) = rows::producer(row)?;
                if let Ok(index) = part.binary_search_by_key(&id, |stream| stream.id) {
                    part[index].writers.producers.insert(name, producer);
                }
            }
        }
        Ok(streams)
    }
}

/// A transaction that writes.
pub(super) struct Writing<'a, DB: Database> {
    slot: MutexGuard<'a, Option<DB::Connection>>,
    pub(super) connection: DB::Connection,
}

impl<DB: Run> Writing<'_, DB> {
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        DB::execute(&mut self.connection, Statement::fixed("COMMIT", vec![])).await?;
        *self.slot = Some(self.connection);
        Ok(())
    }
}

impl<DB: Run> Store for SqlStore<DB> {
    fn count_start(&self) -> BoxFuture<'_, Result<u32, StoreError>> {
        Box::pin(async move {
            let mut writing = self.begin().await?;
            let statement = Statement::fixed(COUNT_START, vec![]);
            let found: Vec<(i64,)> = DB::fetch(&mut writing.connection, statement).await?;
            writing.commit().await?;
            let starts = found.first().and_then(|(starts,)| u32::try_from(*starts).ok());
            let start = starts.ok_or(StoreError::Corrupt(StreamId(0), "no count of starts"))?;
            self.start.store(start, Ordering::Relaxed);
            Ok(start)
        })
    }

    fn find<'a>(
        &'a self,
        names: &'a [StreamName],
    ) -> BoxFuture<'a, Result<Vec<StoredStream>, StoreError>> {
        let values = names.iter().map(|name| Value::Text(name.as_str())).collect();
        Box::pin(self.find_by("name", values))
    }

    fn streams<'a>(
        &'a self,
        ids: &'a [StreamId],
    ) -> BoxFuture<'a, Result<Vec<StoredStream>, StoreError>> {
        let values = ids.iter().map(|id| Value::Int(id.0 as i64)).collect();
        Box::pin(self.find_by("id", values))
    }

    fn tied(&self) -> BoxFuture<'_, Result<Vec<StoredStream>, StoreError>> {
        Box::pin(async move {
            let mut connection = self.reader().await?;
            self.streams_of(&mut connection, Statement::fixed(TIED, vec![])).await
        })
    }

    fn ended(&self, now_ms: u64, limit: u32) -> BoxFuture<'_, Result<Vec<StreamName>, StoreError>> {
        Box::pin(async move {
            let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
            let values = vec![Value::Int(now_ms), Value::Int(limit.into())];
            let mut connection = self.reader().await?;
            let found: Vec<(String,)> =
                DB::fetch(&mut connection, Statement::fixed(ENDED, values)).await?;
            let name = |(name,): (String,)| {
                StreamName::kept(&name).map_err(|_| StoreError::Corrupt(StreamId(0), "name"))
            };
            found.into_iter().map(name).collect()
        })
    }

    fn read(
        &self,
        id: StreamId,
        position: u64,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Chunk>, StoreError>> {
        Box::pin(async move {
            let end = position.saturating_add(bytes_max.max(1) as u64).min(i64::MAX as u64);
            let values = [id.0, position, end].map(|value| Value::Int(value as i64));
            let statement = Statement::fixed(READ, values.into());
            let mut connection = self.reader().await?;
            let found: Vec<rows::ChunkRow> = DB::fetch(&mut connection, statement).await?;
            let mut chunks = Vec::with_capacity(found.len());
            for row in found {
                let chunk = rows::chunk(id, row)?;
                if chunk.end().bytes > position {
                    chunks.push(chunk);
                }
            }
            Ok(chunks)
        })
    }

    fn flush<'a>(&'a self, flushes: &'a [Flush]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut writing = self.begin().await?;
            flush::<DB>(&mut writing.connection, flushes).await?;
            writing.commit().await
        })
    }

    fn merge(&self, id: StreamId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut writing = self.begin().await?;
            merge::<DB>(&mut writing.connection, id).await?;
            writing.commit().await
        })
    }

    fn readers(&self) -> Option<Readers<'_>> {
        let (open, idle) = (self.readers.size(), self.readers.num_idle() as u32);
        let max = self.readers.options().get_max_connections();
        Some(Readers { busy: open.saturating_sub(idle), open, max, waits: &self.waits })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.readers.close().await;
            let writer = self.writer.lock().await.take();
            if let Some(Err(error)) = OptionFuture::from(writer.map(Connection::close)).await {
                tracing::debug!(%error, "the database connection was not closed well");
            }
        })
    }
}

pub(super) async fn flush<DB: Run>(
    on: &mut DB::Connection,
    flushes: &[Flush],
) -> Result<(), StoreError> {
    let (removed, kept): (Vec<&Flush>, Vec<&Flush>) = flushes.iter().partition(|f| f.remove);
    let (new, known): (Vec<&Flush>, Vec<&Flush>) = kept.iter().partition(|f| f.from.is_none());
    for head in REMOVE {
        for part in removed.chunks(ROWS_MAX) {
            let ids = part.iter().map(|f| Value::Int(f.stream.id.0 as i64)).collect();
            DB::execute(on, Statement::list(head, ids)).await?;
        }
    }
    for part in new.chunks(ROWS_MAX) {
        let forks: Vec<_> = part.iter().map(|f| rows::fork_texts(&f.stream)).collect();
        let rows = part.iter().zip(&forks);
        let values = rows.flat_map(|(f, fork)| rows::stream_values(&f.stream, fork)).collect();
        let inserted =
            DB::execute(on, Statement::over(INSERT_STREAMS, part.len(), values, "")).await;
        inserted.map_err(|error| match error.as_database_error() {
            // Another node was faster.
            Some(known) if known.is_unique_violation() => StoreError::Conflict(part[0].stream.id),
            _ => error.into(),
        })?;
    }
    let (head, tail) = UPDATE_STREAMS;
    for part in known.chunks(ROWS_MAX) {
        let values = part.iter().flat_map(|f| rows::update_values(f)).collect();
        let updated = DB::execute(on, Statement::over(head, part.len(), values, tail)).await?;
        if updated != part.len() as u64 {
            return Err(StoreError::Conflict(part[0].stream.id));
        }
    }
    upsert_producers::<DB>(on, &kept).await?;
    let lasting = kept.iter().filter(|f| !f.transient);
    let chunks = lasting.flat_map(|f| f.chunks.iter().map(|chunk| (f.stream.id, chunk)));
    insert_chunks::<DB>(on, &chunks.collect::<Vec<_>>()).await?;
    chat::write::<DB>(on, flushes).await
}

async fn upsert_producers<DB: Run>(
    on: &mut DB::Connection,
    flushes: &[&Flush],
) -> Result<(), StoreError> {
    let producers: Vec<_> = flushes
        .iter()
        .flat_map(|f| f.producers.iter().map(|(name, known)| (f.stream.id, name, known)))
        .collect();
    let (head, tail) = INSERT_PRODUCERS;
    for part in producers.chunks(ROWS_MAX) {
        let results: Vec<Vec<u8>> = part.iter().map(|(.., known)| rows::results(known)).collect();
        let rows = part.iter().zip(&results);
        let values = rows
            .flat_map(|((id, name, known), results)| {
                rows::producer_values(*id, name, known, results)
            })
            .collect();
        DB::execute(on, Statement::over(head, part.len(), values, tail)).await?;
    }
    Ok(())
}

pub(super) async fn insert_chunks<DB: Run>(
    on: &mut DB::Connection,
    chunks: &[(StreamId, &Chunk)],
) -> Result<(), StoreError> {
    for part in chunks.chunks(ROWS_MAX) {
        let lengths: Vec<Vec<u8>> = part.iter().map(|(_, chunk)| rows::lengths(chunk)).collect();
        let values = part
            .iter()
            .zip(&lengths)
            .flat_map(|((id, chunk), lengths)| rows::chunk_values(*id, chunk, lengths));
        let statement = Statement::over(INSERT_CHUNKS, part.len(), values.collect(), "");
        DB::execute(on, statement).await?;
    }
    Ok(())
}

async fn merge<DB: Run>(on: &mut DB::Connection, id: StreamId) -> Result<(), StoreError> {
    let id_value = Value::Int(id.0 as i64);
    // Another node may be about to erase something there.
    DB::execute(on, Statement::fixed(HOLD, vec![id_value])).await?;
    let statement = Statement::fixed(SIZES, vec![id_value, Value::Int(MERGE_ROWS_MAX.into())]);
    let mut sizes: Vec<(i64, i64)> = DB::fetch(on, statement).await?;
    sizes.reverse();
    for (from, to) in rows::merge_runs(&sizes) {
        let range = vec![id_value, Value::Int(from), Value::Int(to)];
        let found: Vec<rows::ChunkRow> =
            DB::fetch(on, Statement::fixed(READ, range.clone())).await?;
        let chunks: Vec<Chunk> =
            found.into_iter().map(|row| rows::chunk(id, row)).collect::<Result<_, _>>()?;
        if chunks.len() > 1 {
            DB::execute(on, Statement::fixed(REMOVE_RUN, range)).await?;
            insert_chunks::<DB>(on, &[(id, &Chunk::join(&chunks))]).await?;
        }
    }
    Ok(())
}
