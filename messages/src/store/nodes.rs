//! What several nodes on one database need of it.

use super::{
    StoreError,
    sql::SqlStore,
    statement::{Run, Statement, Value},
};
use crate::model::{Flush, StreamId};
use futures::future::BoxFuture;

const COUNT_FORKS: &str = "SELECT COUNT(*) FROM streams WHERE source = $1";

const INCARNATION: &str = "SELECT incarnation FROM server WHERE one = 1";

const BEGIN_INCARNATION: &str = "UPDATE server SET incarnation = $1
    WHERE one = 1 AND COALESCE(incarnation, '') = $2";

/// A database that several nodes write to at once.
pub trait NodeStore: Send + Sync {
    /// How many rows there are of streams that branch off from this one.
    fn count_forks(&self, source: StreamId) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Which shared log holds what is not here yet; `None` where there has never been one.
    fn incarnation(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>>;

    /// Puts another one in the place of `old`; an empty name stands for none. Returns whether that was the present one.
    fn begin_incarnation<'a>(
        &'a self,
        old: Option<&'a str>,
        new: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The time of the database, in milliseconds since 1970.
    fn now_ms(&self) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// As [`super::Store::flush`], but only if that begins before `until_ms`, by the time of the
    /// database. So whoever was held up for long cannot write what others have written since.
    fn flush_until<'a>(
        &'a self,
        flushes: &'a [Flush],
        until_ms: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl<DB: Run> NodeStore for SqlStore<DB> {
    fn count_forks(&self, source: StreamId) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut connection = self.reader().await?;
            let statement = Statement::fixed(COUNT_FORKS, vec![Value::Int(source.0 as i64)]);
            let found: Vec<(i64,)> = DB::fetch(&mut connection, statement).await?;
            Ok(found.first().map_or(0, |(count,)| *count as u64))
        })
    }

    fn incarnation(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(async move {
            let mut connection = self.reader().await?;
            let statement = Statement::fixed(INCARNATION, vec![]);
            let found: Vec<(Option<String>,)> = DB::fetch(&mut connection, statement).await?;
            let found = found.into_iter().next().and_then(|(incarnation,)| incarnation);
            Ok(found.filter(|incarnation| !incarnation.is_empty()))
        })
    }

    fn begin_incarnation<'a>(
        &'a self,
        old: Option<&'a str>,
        new: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut writing = self.begin().await?;
            let values = vec![Value::Text(new), Value::Text(old.unwrap_or_default())];
            let statement = Statement::fixed(BEGIN_INCARNATION, values);
            let updated = DB::execute(&mut writing.connection, statement).await?;
            writing.commit().await?;
            Ok(updated == 1)
        })
    }

    fn now_ms(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut connection = self.reader().await?;
            let found: Vec<(i64,)> =
                DB::fetch(&mut connection, Statement::fixed(DB::NOW_MS, vec![])).await?;
            Ok(found.first().map_or(0, |(ms,)| *ms as u64))
        })
    }

    fn flush_until<'a>(
        &'a self,
        flushes: &'a [Flush],
        until_ms: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut writing = self.begin().await?;
            let statement = Statement::fixed(DB::NOW_MS, vec![]);
            let found: Vec<(i64,)> = DB::fetch(&mut writing.connection, statement).await?;
            if found.first().is_none_or(|(now_ms,)| *now_ms as u64 >= until_ms) {
                return Err(StoreError::TooLate);
            }
            super::sql::flush::<DB>(&mut writing.connection, flushes).await?;
            writing.commit().await
        })
    }
}
