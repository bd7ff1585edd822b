//! Going through the streams of the store, by name and by age.

use super::{
    StoreError, rows,
    sql::{SqlStore, find},
    statement::{Run, Statement, Value},
};
use crate::model::{StoredStream, StreamId, StreamName};
use futures::future::BoxFuture;

const LIST_FROM: &str = concat!(find!(), " WHERE hidden = 0 AND name >= $1 ORDER BY name LIMIT $2");

const LIST_AFTER: &str = concat!(find!(), " WHERE hidden = 0 AND name > $1 ORDER BY name LIMIT $2");

const LIST_SINCE: &str = concat!(find!(), " WHERE hidden = 0 AND id >= $1 ORDER BY id LIMIT $2");

/// A store that can be gone through. Hidden streams are left out, and who writes is not told.
pub trait StreamList {
    /// The first streams whose names begin with `prefix` and come after `after`, in the order of the
    /// bytes of their names.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a StreamName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredStream>, StoreError>>;

    /// The first streams with an id of at least `id`, by id.
    fn list_since(
        &self,
        id: StreamId,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<StoredStream>, StoreError>>;
}

impl<DB: Run> SqlStore<DB> {
    async fn fetch_streams(
        &self,
        statement: Statement<'_>,
    ) -> Result<Vec<StoredStream>, StoreError> {
        let mut connection = self.readers.acquire().await?;
        let found: Vec<rows::StreamRow> = DB::fetch(&mut connection, statement).await?;
        found.into_iter().map(rows::stream).collect()
    }
}

impl<DB: Run> StreamList for SqlStore<DB> {
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a StreamName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredStream>, StoreError>> {
        Box::pin(async move {
            let (text, from) = match after {
                Some(after) if after.as_str() >= prefix => (LIST_AFTER, after.as_str()),
                _ => (LIST_FROM, prefix),
            };
            let values = vec![Value::Text(from), Value::Int(limit as i64)];
            let mut found = self.fetch_streams(Statement::fixed(text, values)).await?;
            // Names with one prefix are neighbours.
            let count = found.partition_point(|stream| stream.name.as_str().starts_with(prefix));
            found.truncate(count);
            Ok(found)
        })
    }

    fn list_since(
        &self,
        id: StreamId,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<StoredStream>, StoreError>> {
        let values = vec![Value::Int(id.0 as i64), Value::Int(limit as i64)];
        Box::pin(self.fetch_streams(Statement::fixed(LIST_SINCE, values)))
    }
}
