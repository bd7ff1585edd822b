//! Looking whether a database makes sense, row by row, without changing it.

use super::{
    StoreError,
    rows::{self, StreamRow},
    sql::FIND_AFTER,
    statement::{Run, Statement, Value},
};
use crate::{
    limits::{AUDIT_CHUNKS_AT_ONCE, AUDIT_STREAMS_AT_ONCE},
    model::{Offset, StoredStream, StreamId},
};
use sqlx::{
    ConnectOptions, Connection, Postgres, Sqlite, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use std::str::FromStr;

const MAYBE_SCHEMA: &str = "SELECT MAX(version) FROM _sqlx_migrations";

const CHUNKS: &str =
    "SELECT at_bytes, at_records, lengths, CAST(length(body) AS BIGINT) FROM chunks
    WHERE stream = $1 AND at_bytes > $2 ORDER BY at_bytes LIMIT $3";

const END_OF: &str = "SELECT records, bytes, version FROM streams WHERE id = $1";

const LOW: &str =
    "SELECT name, low_records, low_bytes, position FROM conversations WHERE stream = $1
    AND closed IS NULL";

const MESSAGES: &str = "SELECT position, at_bytes, CAST(bytes AS BIGINT) FROM messages
    WHERE conversation = $1 AND at_bytes >= $2 AND at_bytes < $3 ORDER BY at_bytes";

/// What hangs in the air: how many rows, what they are, and what removes them.
const ORPHANS: [(&str, &str, &str); 2] = [
    (
        "SELECT COUNT(*) FROM chunks WHERE stream NOT IN (SELECT id FROM streams)",
        "chunks",
        "DELETE FROM chunks WHERE stream NOT IN (SELECT id FROM streams)",
    ),
    (
        "SELECT COUNT(*) FROM producers WHERE stream NOT IN (SELECT id FROM streams)",
        "producers",
        "DELETE FROM producers WHERE stream NOT IN (SELECT id FROM streams)",
    ),
];

/// What refers to something that is not there, with the name of each.
const LOOSE: [(&str, &str); 4] = [
    (
        "SELECT name FROM streams WHERE source IS NOT NULL
            AND source NOT IN (SELECT id FROM streams)",
        "branches off from a stream that is not there",
    ),
    (
        "SELECT name FROM conversations WHERE closed IS NULL
            AND stream NOT IN (SELECT id FROM streams)",
        "is a conversation without its stream",
    ),
    (
        "SELECT DISTINCT conversation FROM messages
            WHERE conversation NOT IN (SELECT name FROM conversations)",
        "has messages, and is no conversation",
    ),
    (
        "SELECT DISTINCT m.conversation FROM messages AS m JOIN conversations AS c
            ON c.name = m.conversation WHERE c.closed IS NULL AND m.position > c.position",
        "has messages behind its end",
    ),
];

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The stream, the conversation or the table.
    pub place: String,
    /// What it is.
    pub what: String,
    /// What would be done about it; `None` for nothing.
    pub remedy: Option<Remedy>,
}

/// What mends a fault, and loses nothing that anybody could read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedy(&'static str);

/// Where a stream ends in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// Records and bytes.
    pub tail: Offset,
    /// Several nodes have written it.
    pub shared: bool,
}

/// A database that is looked at.
pub struct Audit(Kind);

enum Kind {
    Sqlite(Auditor<Sqlite>),
    Postgres(Auditor<Postgres>),
}

struct Auditor<DB: Run> {
    connection: DB::Connection,
    /// What was seen.
    streams: u64,
    bytes: u64,
    faults: Vec<Fault>,
}

impl Audit {
    /// Opens the database of `url`, and changes nothing in it.
    ///
    /// # Errors
    /// It cannot be reached, or is not one of this version.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        match url.split_once(':') {
            Some(("sqlite", _)) => {
                let options = SqliteConnectOptions::from_str(url)?.create_if_missing(false);
                Ok(Self(Kind::Sqlite(Auditor::new(options.connect().await?))))
            }
            Some(("postgres" | "postgresql", _)) => {
                let options = PgConnectOptions::from_str(url)?;
                Ok(Self(Kind::Postgres(Auditor::new(options.connect().await?))))
            }
            _ => Err(StoreError::UnknownUrl),
        }
    }

    /// Looks at everything, as it is at one moment. Returns what is wrong.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn look(&mut self) -> Result<Vec<Fault>, StoreError> {
        match &mut self.0 {
            Kind::Sqlite(auditor) => {
                auditor.check_pages().await?;
                auditor.look("BEGIN").await
            }
            Kind::Postgres(auditor) => {
                auditor.look("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
            }
        }
    }

    /// How many streams and bytes were looked at.
    #[must_use]
    pub fn seen(&self) -> (u64, u64) {
        match &self.0 {
            Kind::Sqlite(auditor) => (auditor.streams, auditor.bytes),
            Kind::Postgres(auditor) => (auditor.streams, auditor.bytes),
        }
    }

    /// Where a stream ends; `None` where there is none.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn end_of(&mut self, id: StreamId) -> Result<Option<StreamEnd>, StoreError> {
        match &mut self.0 {
            Kind::Sqlite(auditor) => auditor.end_of(id).await,
            Kind::Postgres(auditor) => auditor.end_of(id).await,
        }
    }

    /// Does what mends a fault.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn mend(&mut self, remedy: Remedy) -> Result<(), StoreError> {
        let statement = Statement::fixed(remedy.0, Vec::new());
        match &mut self.0 {
            Kind::Sqlite(auditor) => Sqlite::execute(&mut auditor.connection, statement).await?,
            Kind::Postgres(auditor) => {
                Postgres::execute(&mut auditor.connection, statement).await?
            }
        };
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn close(self) -> Result<(), StoreError> {
        match self.0 {
            Kind::Sqlite(auditor) => auditor.connection.close().await?,
            Kind::Postgres(auditor) => auditor.connection.close().await?,
        }
        Ok(())
    }
}

impl Auditor<Sqlite> {
    /// The file itself.
    async fn check_pages(&mut self) -> Result<(), StoreError> {
        let statement = Statement::fixed("PRAGMA integrity_check(20)", Vec::new());
        let found: Vec<(String,)> =
            Sqlite::fetch_patiently(&mut self.connection, statement).await?;
        for (what,) in found.into_iter().filter(|(what,)| what != "ok") {
            self.fault("the SQLite file", what);
        }
        Ok(())
    }
}

/// at bytes, at records, lengths, bytes of the body
type ChunkRow = (i64, i64, Vec<u8>, i64);

/// name, low records, low bytes, position
type ConversationRow = (String, i64, i64, i64);

impl<DB: Run> Auditor<DB> {
    fn new(connection: DB::Connection) -> Self {
        Self { connection, streams: 0, bytes: 0, faults: Vec::new() }
    }

    fn fault(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.faults.push(Fault { place: place.into(), what: what.into(), remedy: None });
    }

    async fn rows<R: super::statement::Row>(
        &mut self,
        text: &'static str,
        values: Vec<Value<'_>>,
    ) -> Result<Vec<R>, StoreError> {
        let statement = Statement::fixed(text, values);
        Ok(DB::fetch_patiently(&mut self.connection, statement).await?)
    }

    async fn look(&mut self, begin: &'static str) -> Result<Vec<Fault>, StoreError> {
        let version: Vec<(Option<i64>,)> = self.rows(MAYBE_SCHEMA, Vec::new()).await?;
        let version = version.first().and_then(|(version,)| *version);
        if version != Some(super::SCHEMA) {
            let found = version.map_or("none".into(), |version| version.to_string());
            let what = format!(
                "has schema {found}, this program knows {}: start a server on it once",
                super::SCHEMA
            );
            self.fault("the database", what);
            return Ok(std::mem::take(&mut self.faults));
        }
        DB::execute(&mut self.connection, Statement::fixed(begin, Vec::new())).await?;
        self.look_at_streams().await?;
        for (text, table, remedy) in ORPHANS {
            let rows: Vec<(i64,)> = self.rows(text, Vec::new()).await?;
            if let Some((count @ 1..,)) = rows.first() {
                let what = format!("{count} rows of streams that are not there");
                let remedy = Some(Remedy(remedy));
                self.faults.push(Fault { place: format!("table {table}"), what, remedy });
            }
        }
        for (text, what) in LOOSE {
            let rows: Vec<(String,)> = self.rows(text, Vec::new()).await?;
            rows.into_iter().for_each(|(name,)| self.fault(name, what));
        }
        DB::execute(&mut self.connection, Statement::fixed("COMMIT", Vec::new())).await?;
        Ok(std::mem::take(&mut self.faults))
    }

    async fn look_at_streams(&mut self) -> Result<(), StoreError> {
        let mut after = i64::MIN;
        loop {
            let values = vec![Value::Int(after), Value::Int(AUDIT_STREAMS_AT_ONCE)];
            let page: Vec<StreamRow> = self.rows(FIND_AFTER, values).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.0;
            for row in page {
                let name = row.1.clone();
                self.streams += 1;
                match rows::stream(row) {
                    Ok(stream) => self.look_at_chunks(&stream).await?,
                    Err(error) => self.fault(name, error.to_string()),
                }
            }
        }
    }

    /// Whether the chunks of a stream follow each other, and end where its row says.
    async fn look_at_chunks(&mut self, stream: &StoredStream) -> Result<(), StoreError> {
        let id = Value::Int(stream.id.0 as i64);
        let conversation = match stream.name.in_chat() {
            None => None,
            Some(_) => self.rows::<ConversationRow>(LOW, vec![id]).await?.into_iter().next(),
        };
        let mut at = stream.fork.as_ref().map_or(Offset::ZERO, |fork| fork.at);
        let (mut after, mut first) = (-1, true);
        loop {
            let values = vec![id, Value::Int(after), Value::Int(AUDIT_CHUNKS_AT_ONCE)];
            let page: Vec<ChunkRow> = self.rows(CHUNKS, values).await?;
            let Some(last) = page.last() else { break };
            after = last.0;
            for chunk in page {
                let begins = Offset { records: chunk.1 as u64, bytes: chunk.0 as u64 };
                // What was to go away is gone in whole chunks, so the first may begin later.
                let low = conversation.as_ref().map_or(0, |row| row.2 as u64);
                if first && begins.bytes <= low {
                    at = begins;
                }
                first = false;
                if begins != at {
                    let what = format!("the row at {begins} should be at {at}");
                    self.fault(stream.name.as_str(), what);
                    return Ok(());
                }
                let Some(ends) = ends(at, &chunk) else {
                    let what = format!("the lengths in the row at {at} do not fit its content");
                    self.fault(stream.name.as_str(), what);
                    return Ok(());
                };
                if let Some((name, ..)) = &conversation {
                    self.look_at_messages(name, at, &ends).await?;
                }
                self.bytes += chunk.3 as u64;
                at = ends.last().copied().unwrap_or(at);
            }
        }
        // What chat notes for a moment is not kept, and neither is what has gone.
        let low = conversation.as_ref().map_or(0, |row| row.2 as u64);
        let kept = stream.name.in_chat().is_none() || conversation.is_some();
        if kept && at != stream.tail && !(first && low >= stream.tail.bytes) {
            let what = format!("its rows end at {at}, and it says {}", stream.tail);
            self.fault(stream.name.as_str(), what);
        }
        if let Some((name, .., position)) = conversation
            && position as u64 != stream.tail.records
        {
            let records = stream.tail.records;
            self.fault(name, format!("the tables of chat end at event {position} of {records}"));
        }
        Ok(())
    }

    /// Whether each message of a conversation is a record of its stream, and where it says.
    async fn look_at_messages(
        &mut self,
        name: &str,
        at: Offset,
        ends: &[Offset],
    ) -> Result<(), StoreError> {
        let end = ends.last().copied().unwrap_or(at);
        let values = vec![Value::Text(name), Value::from(at.bytes), Value::from(end.bytes)];
        let found: Vec<(i64, i64, i64)> = self.rows(MESSAGES, values).await?;
        for (position, from, bytes) in found {
            let index = (position as u64).checked_sub(at.records + 1);
            let fits = index.and_then(|index| usize::try_from(index).ok()).is_some_and(|index| {
                let before = index.checked_sub(1).map_or(Some(&at), |before| ends.get(before));
                let (Some(before), Some(end)) = (before, ends.get(index)) else { return false };
                before.bytes == from as u64 && end.bytes - before.bytes == bytes as u64
            });
            if !fits {
                self.fault(name, format!("message {position} is not at byte {from} of its stream"));
            }
        }
        Ok(())
    }

    async fn end_of(&mut self, id: StreamId) -> Result<Option<StreamEnd>, StoreError> {
        let found: Vec<(i64, i64, i64)> = self.rows(END_OF, vec![Value::Int(id.0 as i64)]).await?;
        Ok(found.first().map(|(records, bytes, version)| StreamEnd {
            tail: Offset { records: *records as u64, bytes: *bytes as u64 },
            shared: *version > 0,
        }))
    }
}

/// Where the records of a chunk end, which begins at `at`; `None` where that makes no sense.
fn ends(at: Offset, (_, _, lengths, body): &ChunkRow) -> Option<Vec<Offset>> {
    let body = u64::try_from(*body).ok()?;
    if lengths.is_empty() {
        return Some(vec![at.advance(1, body)]);
    }
    let (lengths, rest) = lengths.as_chunks::<4>();
    let mut end = at;
    let ends: Vec<Offset> = lengths
        .iter()
        .map(|length| {
            end = end.advance(1, u64::from(u32::from_le_bytes(*length)));
            end
        })
        .collect();
    (rest.is_empty() && end.bytes - at.bytes == body).then_some(ends)
}
