//! The connection to one server for all commands of a node. They share it and are pipelined; it is
//! made anew in the background.

use super::{LogError, LogStats, answer::meaning};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, PushInfo, PushKind, RedisError, Value,
    aio::MultiplexedConnection,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A server that is there answers a connection within this.
const CONNECT_WAIT: Duration = Duration::from_millis(1_000);

/// A command is answered within this, or the connection is given up: nobody knows how long it hangs.
const ANSWER_WAIT: Duration = Duration::from_millis(2_000);

/// After this a call does not wait any longer for a connection that is being made.
const DOWN_WAIT: Duration = Duration::from_millis(500);

/// A server that is away is tried again after this, and then less often, up to [`RETRY_MAX`].
pub(super) const RETRY_MIN: Duration = Duration::from_millis(20);

/// See [`RETRY_MIN`].
pub(super) const RETRY_MAX: Duration = Duration::from_millis(1_000);

/// Commands that may wait to be written. More wait outside.
const QUEUE: usize = 4096;

/// Connects under a `name`; `push` is told what the server says by itself, and when the connection ends.
pub(super) async fn connect(
    info: &ConnectionInfo,
    name: String,
    push: impl Fn(PushInfo) + Send + Sync + 'static,
) -> Result<MultiplexedConnection, LogError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_WAIT))
        .set_response_timeout(Some(ANSWER_WAIT))
        .set_pipeline_buffer_size(QUEUE)
        .set_push_sender(move |info| {
            push(info);
            Ok::<(), ()>(())
        });
    let client = Client::open(info.clone()).map_err(|error| meaning(&error))?;
    let connected = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = connected.map_err(|error| meaning(&error))?;
    if !name.is_empty() {
        let mut command = redis::cmd("CLIENT");
        // It makes no difference where it is forbidden, or the name has a space.
        let _ = connection.send_packed_command(command.arg("SETNAME").arg(name)).await;
    }
    Ok(connection)
}

/// See the module.
pub(super) struct Link {
    current: watch::Receiver<Option<MultiplexedConnection>>,
    broken: Arc<Notify>,
    /// Why there is none.
    trouble: Arc<Mutex<Option<LogError>>>,
    /// The server that this connection is to may have lost its place to another.
    stale: Arc<Notify>,
    address: String,
    _end: DropGuard,
}

impl Link {
    /// A connection that is made now, and again whenever it breaks. `stale` is told whenever that
    /// happens, and it is counted.
    pub(super) fn to(
        info: ConnectionInfo,
        name: String,
        (stale, stats): (Arc<Notify>, Arc<LogStats>),
    ) -> Self {
        let (sender, current) = watch::channel(None);
        let (broken, end) = (Arc::new(Notify::new()), CancellationToken::new());
        let address = info.addr().to_string();
        let trouble = Arc::new(Mutex::default());
        let to = Kept { info, name, trouble: trouble.clone(), stats };
        let keep = keep(to, sender, broken.clone(), stale.clone());
        tokio::spawn(end.clone().run_until_cancelled_owned(keep));
        Self { current, broken, trouble, stale, address, _end: end.drop_guard() }
    }

    /// Waits a little for a connection that is being made.
    async fn connection(&self) -> Result<MultiplexedConnection, LogError> {
        let mut current = self.current.clone();
        let connected = current.wait_for(Option::is_some);
        match tokio::time::timeout(DOWN_WAIT, connected).await {
            Ok(Ok(connection)) => connection.clone().ok_or_else(|| self.away()),
            Ok(Err(_)) | Err(_) => Err(self.away()),
        }
    }

    fn away(&self) -> LogError {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &*trouble {
            Some(LogError::Unfit(why)) => LogError::Unfit(format!("{}: {why}", self.address)),
            Some(LogError::Unavailable(why)) => {
                LogError::Unavailable(format!("{}: {why}", self.address))
            }
            _ => LogError::Unavailable(format!("no connection to {}", self.address)),
        }
    }

    /// Sends commands one right behind the other and returns what became of each. The error is that
    /// of the connection: then any of them may have been carried out.
    pub(super) async fn send(
        &self,
        commands: &[Cmd],
    ) -> Result<Vec<Result<Value, RedisError>>, LogError> {
        let mut connection = self.connection().await?;
        let sent = match commands {
            [one] => connection.send_packed_command(one).await.map(|value| vec![value]),
            many => {
                let mut pipeline = redis::Pipeline::with_capacity(many.len());
                for command in many {
                    pipeline.add_command(command.clone());
                }
                connection.send_packed_commands(&pipeline, 0, many.len()).await
            }
        };
        match sent {
            Ok(values) => Ok(values.into_iter().map(Value::extract_error).collect()),
            Err(error) => {
                if error.is_io_error() || error.is_unrecoverable_error() {
                    self.broken.notify_one();
                    self.stale.notify_one();
                }
                Err(meaning(&error))
            }
        }
    }

    /// One command.
    pub(super) async fn ask(&self, command: Cmd) -> Result<Value, LogError> {
        let answer = self.send(&[command]).await?.pop();
        answer.map_or(Ok(Value::Nil), |answer| answer.map_err(|error| meaning(&error)))
    }
}

/// A connection that is kept up.
struct Kept {
    info: ConnectionInfo,
    name: String,
    trouble: Arc<Mutex<Option<LogError>>>,
    stats: Arc<LogStats>,
}

/// Keeps a connection up, for ever.
async fn keep(
    Kept { info, name, trouble, stats }: Kept,
    current: watch::Sender<Option<MultiplexedConnection>>,
    broken: Arc<Notify>,
    stale: Arc<Notify>,
) {
    let mut wait = RETRY_MIN;
    loop {
        let ended = Arc::new(Notify::new());
        let end = ended.clone();
        let push = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                end.notify_one();
            }
        };
        match connect(&info, name.clone(), push).await {
            Ok(connection) => {
                wait = RETRY_MIN;
                *trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
                current.send_replace(Some(connection));
                tokio::select! {
                    () = broken.notified() => {}
                    () = ended.notified() => {}
                }
                current.send_replace(None);
                stats.disconnects.one();
                tracing::warn!(server = %info.addr(), "the connection to Redis is broken");
            }
            Err(error) => {
                tracing::debug!(server = %info.addr(), %error, "Redis is not reached");
                *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        }
        stale.notify_one();
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}
