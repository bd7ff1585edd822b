//! Going through the streams of the store, by name and by age.

use super::{
    StoreError, rows,
    sql::SqlStore,
    statement::{Run, Statement, Value},
};
use crate::model::{CloseReason, Lifetime, Offset, StreamId, StreamName};
use futures::future::BoxFuture;

const LIST_FROM: &str = "SELECT id, name, records, bytes, closed FROM streams
    WHERE hidden = 0 AND name >= $1 ORDER BY name LIMIT $2";

const LIST_AFTER: &str = "SELECT id, name, records, bytes, closed FROM streams
    WHERE hidden = 0 AND name > $1 ORDER BY name LIMIT $2";

const LIST_SINCE: &str = "SELECT id, name, records, bytes, closed FROM streams
    WHERE hidden = 0 AND id >= $1 ORDER BY id LIMIT $2";

/// What [`LIST_FROM`] and [`LIST_AFTER`] leave out, for those who show a list.
macro_rules! browse {
    ($begin:literal) => {
        concat!(
            "SELECT id, name, records, bytes, closed, content_type, ttl_secs, expires_ms, source_name, \
             fork_at, CAST(created_at AS TEXT) FROM streams WHERE hidden = 0 AND name ",
            $begin,
            " $1 ORDER BY name LIMIT $2"
        )
    };
}

/// What a list says of a stream: no more than is needed to go through very many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// Its identity.
    pub id: StreamId,
    /// Its name.
    pub name: StreamName,
    /// Where its stored content ends.
    pub tail: Offset,
    /// Why it is closed; `None` while it is open.
    pub closed: Option<CloseReason>,
}

/// What is told of a stream where a list is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDetails {
    /// What every list says.
    pub entry: StreamEntry,
    /// Its content type.
    pub content_type: String,
    /// When it goes away by itself.
    pub lifetime: Lifetime,
    /// When that would be if nobody used it any more, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// The name of the stream that it branches off from, and where.
    pub fork: Option<(StreamName, Offset)>,
    /// When it came into the database, in the words of that.
    pub created: String,
}

/// A store that can be gone through. Hidden streams are left out.
pub trait StreamList {
    /// The first streams whose names begin with `prefix` and come after `after`, in the order of the
    /// bytes of their names.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a StreamName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StreamEntry>, StoreError>>;

    /// As [`StreamList::list`], with more about each.
    fn browse<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StreamDetails>, StoreError>>;

    /// The first streams with an id of at least `id`, by id.
    fn list_since(
        &self,
        id: StreamId,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<StreamEntry>, StoreError>>;
}

/// id, name, records, bytes, closed
type EntryRow = (i64, String, i64, i64, Option<String>);

fn entry((id, name, records, bytes, closed): EntryRow) -> Result<StreamEntry, StoreError> {
    let id = StreamId(id as u64);
    let corrupt = |what| move || StoreError::Corrupt(id, what);
    let closed = closed
        .map(|word| CloseReason::from_word(&word).ok_or_else(corrupt("closed")))
        .transpose()?;
    let number = |value: i64| u64::try_from(value).map_err(|_| corrupt("position")());
    Ok(StreamEntry {
        id,
        name: StreamName::kept(&name).map_err(|_| corrupt("name")())?,
        tail: Offset { records: number(records)?, bytes: number(bytes)? },
        closed,
    })
}

/// As above, and then content type, TTL, expiry, source, where it branches off, when it was written
type DetailsRow = (
    i64,
    String,
    i64,
    i64,
    Option<String>,
    String,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    String,
);

fn details(row: DetailsRow) -> Result<StreamDetails, StoreError> {
    let (id, name, records, bytes, closed, content_type, ttl, expires, source, fork_at, created) =
        row;
    let entry = entry((id, name, records, bytes, closed))?;
    let expires_ms = expires.map(|ms| ms as u64);
    let fork = source.zip(fork_at).map(|(source, at)| {
        let source = StreamName::kept(&source).ok()?;
        Some((source, at.parse().ok()?))
    });
    let fork = match fork {
        Some(None) => return Err(StoreError::Corrupt(entry.id, "fork")),
        fork => fork.flatten(),
    };
    let lifetime = rows::lifetime(ttl, expires_ms);
    Ok(StreamDetails { entry, content_type, lifetime, expires_ms, fork, created })
}

impl<DB: Run> SqlStore<DB> {
    async fn fetch_entries(
        &self,
        statement: Statement<'_>,
    ) -> Result<Vec<StreamEntry>, StoreError> {
        let mut connection = self.reader().await?;
        let found: Vec<EntryRow> = DB::fetch(&mut connection, statement).await?;
        found.into_iter().map(entry).collect()
    }
}

impl<DB: Run> StreamList for SqlStore<DB> {
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a StreamName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StreamEntry>, StoreError>> {
        Box::pin(async move {
            let (text, from) = match after {
                Some(after) if after.as_str() >= prefix => (LIST_AFTER, after.as_str()),
                _ => (LIST_FROM, prefix),
            };
            let values = vec![Value::Text(from), Value::Int(limit as i64)];
            let mut found = self.fetch_entries(Statement::fixed(text, values)).await?;
            // Names with one prefix are neighbours.
            let count = found.partition_point(|stream| stream.name.as_str().starts_with(prefix));
            found.truncate(count);
            Ok(found)
        })
    }

    fn browse<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StreamDetails>, StoreError>> {
        Box::pin(async move {
            let (text, from) = match after {
                Some(after) if after >= prefix => (browse!(">"), after),
                _ => (browse!(">="), prefix),
            };
            let values = vec![Value::Text(from), Value::Int(limit as i64)];
            let mut connection = self.reader().await?;
            let mut found: Vec<DetailsRow> =
                DB::fetch(&mut connection, Statement::fixed(text, values)).await?;
            let count = found.partition_point(|row| row.1.starts_with(prefix));
            found.truncate(count);
            found.into_iter().map(details).collect()
        })
    }

    fn list_since(
        &self,
        id: StreamId,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<StreamEntry>, StoreError>> {
        let values = vec![Value::Int(id.0 as i64), Value::Int(limit as i64)];
        Box::pin(self.fetch_entries(Statement::fixed(LIST_SINCE, values)))
    }
}
