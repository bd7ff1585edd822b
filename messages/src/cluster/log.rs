//! Opening the shared log that belongs to a database. The database knows which one that is: what the
//! log holds and the database does not is found in no other. So one that has come back empty is
//! noticed, and never continued as if nothing had been lost.

use crate::{
    limits::{LOG_RETRY_MS, LOG_START_MS},
    shared_log::{LogError, RedisLog, RedisOptions, RedisSettings, SharedLog, Terms},
    store::{NodeStore, StoreError},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Stands before the name of a log that has been chosen, and may not be made yet.
const NEW: &str = "new:";

/// In the place of a name where there is no log any more.
const NONE: &str = "";

/// Why there is no log to work with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database does not say which it is.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not to be had.
    #[error(transparent)]
    Log(LogError),
    /// It is empty, and should not be.
    #[error(
        "Redis does not hold what was acknowledged and is not in the database yet: it has lost its \
         data, or is another one than this database was used with. Bring back its append-only file, \
         or give the right --redis-url and --redis-prefix. To go on without what is lost, start once \
         with --redis-accept-loss"
    )]
    Lost,
    /// One server alone wants what belongs to several nodes.
    #[error(
        "this database is used by several nodes, and Redis may hold what it does not have yet: give \
         --redis-url. To go on with one server alone, stop all nodes properly, which brings everything \
         into the database, and start once with --redis-accept-loss"
    )]
    Shared,
}

impl From<LogError> for OpenError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Lost => Self::Lost,
            error => Self::Log(error),
        }
    }
}

/// Opens the log that belongs to `store`, or makes one where there has never been any.
///
/// # Errors
/// See [`OpenError`].
pub async fn open_log(
    url: &str,
    settings: &RedisSettings,
    authority: Option<Vec<u8>>,
    store: &dyn NodeStore,
) -> Result<Arc<dyn SharedLog>, OpenError> {
    if settings.redis_accept_loss {
        let old = store.incarnation().await?;
        tracing::warn!("going on without what Redis has lost (--redis-accept-loss)");
        store.begin_incarnation(old.as_deref(), &new_name()).await?;
    }
    let until = Instant::now() + Duration::from_millis(LOG_START_MS);
    loop {
        let Some(found) = store.incarnation().await? else {
            // Or another node that starts at the same time.
            store.begin_incarnation(None, &new_name()).await?;
            continue;
        };
        let made = found.strip_prefix(NEW);
        let options = RedisOptions {
            url: url.to_owned(),
            authority: authority.clone(),
            prefix: settings.redis_prefix.clone(),
            incarnation: made.unwrap_or(&found).to_owned(),
            fresh: made.is_some(),
            wait_replicas: settings.redis_wait_replicas,
            wait_ms: settings.redis_wait_ms,
            terms: Terms::default(),
        };
        match RedisLog::open(options).await {
            Ok(log) => {
                if let Some(made) = made {
                    store.begin_incarnation(Some(&found), made).await?;
                }
                return Ok(Arc::new(log));
            }
            // It may be starting, as this node is.
            Err(LogError::Unavailable(error)) if Instant::now() < until => {
                tracing::warn!(error, "Redis does not answer yet");
                sleep(Duration::from_millis(LOG_RETRY_MS * 20)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes sure that there is no log beside `store`, for one server alone.
///
/// # Errors
/// See [`OpenError`].
pub async fn without_log(settings: &RedisSettings, store: &dyn NodeStore) -> Result<(), OpenError> {
    let Some(old) = store.incarnation().await? else { return Ok(()) };
    if !settings.redis_accept_loss {
        return Err(OpenError::Shared);
    }
    tracing::warn!("going on without what Redis may hold (--redis-accept-loss)");
    store.begin_incarnation(Some(&old), NONE).await?;
    Ok(())
}

fn new_name() -> String {
    format!("{NEW}{}", Uuid::now_v7().simple())
}
