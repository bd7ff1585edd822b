//! Request bodies as they arrive, with a limit on everything.

use super::problem::Problem;
use crate::{
    limits::{DISCARD_BYTES_MAX, DISCARD_WAIT_MS_MAX},
    stream::StreamError,
};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http_body::Body as _;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Below this a piece is copied: as it came, it would keep the whole read buffer of its connection
/// in memory.
const COPY_BYTES_MAX: usize = 32 << 10;

/// The body of one request.
pub(super) struct Incoming<'a> {
    body: Body,
    /// Nobody could send it for long.
    is_short: bool,
    /// Longer than this nobody may be silent.
    idle: Duration,
    /// Whoever still sends is sent away then.
    stop: &'a CancellationToken,
}

impl<'a> Incoming<'a> {
    pub fn new(body: Body, idle: Duration, stop: &'a CancellationToken) -> Self {
        let is_short = body.size_hint().exact().is_some_and(|bytes| bytes <= COPY_BYTES_MAX as u64);
        Self { body, is_short, idle, stop }
    }

    /// Whether everything has arrived.
    pub fn is_at_end(&self) -> bool {
        self.body.is_end_stream()
    }

    /// What arrives next, `None` at the end of the body.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        // Most bodies are there with their head, and need neither a timer nor a thought of the end.
        let waited = match self.body.frame().now_or_never() {
            Some(frame) if self.is_short => Ok(frame),
            Some(_) if self.stop.is_cancelled() => return Err(StreamError::Stopping.into()),
            Some(frame) => Ok(frame),
            None => tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(StreamError::Stopping.into()),
                waited = tokio::time::timeout(self.idle, self.body.frame()) => waited,
            },
        };
        let idle = self.idle;
        let frame = waited.map_err(|_| {
            let detail = format!(
                "nothing has arrived for {idle:?}; HEAD tells where the stream ends, and at / ?offset= goes on there"
            );
            Problem::body_timeout(detail)
        })?;
        let frame = frame.transpose();
        let frame = frame.map_err(|_| Problem::bad_request("broken_off", "the body broke off"))?;
        Ok(frame.map(|frame| owned(frame.into_data().unwrap_or_default())))
    }

    /// The whole body, which must have at most `bytes_max` bytes.
    pub async fn whole(&mut self, bytes_max: usize) -> Result<Bytes, Problem> {
        let too_large = || {
            let detail = format!("the body of this request may have at most {bytes_max} bytes");
            Problem::too_large(detail)
        };
        if self.body.size_hint().lower() > bytes_max as u64 {
            return Err(too_large());
        }
        let first = match self.next().await? {
            None => return Ok(Bytes::new()),
            Some(first) if self.is_at_end() && first.len() <= bytes_max => return Ok(first),
            Some(first) => first,
        };
        let mut whole = BytesMut::from(&first[..]);
        loop {
            if whole.len() > bytes_max {
                return Err(too_large());
            }
            match self.next().await? {
                Some(piece) => whole.extend_from_slice(&piece),
                None => return Ok(whole.freeze()),
            }
        }
    }

    /// Reads some of what is still being sent to a request that is refused. Closing with unread input
    /// would reset the connection, and the answer might never be seen.
    pub async fn discard(self) {
        discard(self.body).await;
    }
}

/// The bytes for themselves.
fn owned(piece: Bytes) -> Bytes {
    if piece.len() <= COPY_BYTES_MAX { Bytes::copy_from_slice(&piece) } else { piece }
}

/// As [`Incoming::discard`].
pub(super) async fn discard(mut body: Body) {
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DISCARD_BYTES_MAX {
                return;
            }
        }
    };
    // However far it came.
    let _ = tokio::time::timeout(Duration::from_millis(DISCARD_WAIT_MS_MAX), read).await;
}
