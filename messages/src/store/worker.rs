//! Which of several nodes works on subscriptions. One at a time does, for as long as it says so. What
//! it stores is stored as the work of this one, so nothing comes late of another that was held up.

use super::{
    StoreError, SubscriptionSave,
    sql::SqlStore,
    statement::{Draft, Row, Run, Statement, Value},
    subscriptions::write_all,
};
use futures::future::BoxFuture;

/// A database that knows who works.
pub trait WorkerStore: Send + Sync {
    /// Begins to work, for `lease_ms` at first, unless somebody does. Returns the number of this worker,
    /// greater than that of anybody before; `None` when there is somebody.
    fn begin_work(&self, lease_ms: u64) -> BoxFuture<'_, Result<Option<u64>, StoreError>>;

    /// Goes on working, for `lease_ms` from now on. Returns whether nobody has begun since.
    fn keep_work(&self, worker: u64, lease_ms: u64) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Ends the work, so that somebody else may begin at once.
    fn end_work(&self, worker: u64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// As [`super::SubscriptionStore::save_subscriptions`], as long as nobody has begun since.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] when somebody has: then nothing is stored.
    fn save_as<'a>(
        &'a self,
        worker: u64,
        saves: &'a [SubscriptionSave],
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>>;
}

const END: &str = "UPDATE subscription_progress SET worker_until_ms = 0
    WHERE one = 1 AND worker = $1 RETURNING worker";

/// Whoever wants to begin waits for the transaction that this is in.
const HOLD: &str = "UPDATE subscription_progress SET worker = worker WHERE one = 1 AND worker = $1";

impl<DB: Run> SqlStore<DB> {
    /// Runs a statement that writes, where that can be beside the one connection for writing: who works
    /// must not hang on how long a flush takes.
    async fn beside<R: Row>(&self, statement: Statement<'_>) -> Result<Vec<R>, StoreError> {
        if self.shared {
            let mut connection = self.reader().await?;
            return Ok(DB::fetch(&mut connection, statement).await?);
        }
        let mut writing = self.begin().await?;
        let found = DB::fetch(&mut writing.connection, statement).await?;
        writing.commit().await?;
        Ok(found)
    }
}

impl<DB: Run> WorkerStore for SqlStore<DB> {
    fn begin_work(&self, lease_ms: u64) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        Box::pin(async move {
            let now = DB::NOW_MS;
            let text = format!(
                "UPDATE subscription_progress SET worker = worker + 1, worker_until_ms = ({now}) + $1
                 WHERE one = 1 AND worker_until_ms <= ({now}) RETURNING worker"
            );
            let statement = Draft::new(&text, &[Value::from(lease_ms)]).finish(true);
            let found: Vec<(i64,)> = self.beside(statement).await?;
            Ok(found.first().map(|(worker,)| *worker as u64))
        })
    }

    fn keep_work(&self, worker: u64, lease_ms: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let now = DB::NOW_MS;
            let text = format!(
                "UPDATE subscription_progress SET worker_until_ms = ({now}) + $1
                 WHERE one = 1 AND worker = $2 RETURNING worker"
            );
            let values = [Value::from(lease_ms), Value::from(worker)];
            let found: Vec<(i64,)> = self.beside(Draft::new(&text, &values).finish(true)).await?;
            Ok(!found.is_empty())
        })
    }

    fn end_work(&self, worker: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let statement = Statement::fixed(END, vec![Value::from(worker)]);
            self.beside::<(i64,)>(statement).await.map(drop)
        })
    }

    fn save_as<'a>(
        &'a self,
        worker: u64,
        saves: &'a [SubscriptionSave],
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(async move {
            let mut writing = self.begin().await?;
            let statement = Statement::fixed(HOLD, vec![Value::from(worker)]);
            if DB::execute(&mut writing.connection, statement).await? == 0 {
                return Err(StoreError::Superseded);
            }
            let found = write_all::<DB>(&mut writing.connection, saves).await?;
            writing.commit().await?;
            Ok(found)
        })
    }
}
