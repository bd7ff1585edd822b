//! HTTP/2: many requests on one connection, each with all the limits that a connection has.
//!
//! A request takes a place among the connections until its answer has left, for whoever opens a
//! thousand of them costs as much as a thousand connections. What a client does not take is in its
//! streams; what it has asked for and lets lie for too long is reset, and the others on the connection
//! do not notice.

use super::{
    House,
    since::{Holding, Since},
    too_many,
};
use crate::{
    http::HttpService,
    limits::{
        HTTP2_CONNECTION_WINDOW_BYTES, HTTP2_ERRORS_MAX, HTTP2_RESETS_PENDING_MAX,
        HTTP2_SEND_BUFFER_BYTES, HTTP2_SMALL_ANSWER_BYTES_MAX, HTTP2_STREAM_WINDOW_BYTES,
        HTTP2_STREAMS_MAX, REQUEST_HEAD_BYTES_MAX,
    },
};
use axum::{
    BoxError,
    body::Body,
    http::{HeaderValue, Method, Request, Response, Uri, header},
    response::IntoResponse,
};
use bytes::{Buf, Bytes};
use futures::task::AtomicWaker;
use http_body::{Body as _, Frame, SizeHint};
use hyper::{body::Incoming, rt::Executor, server::conn::http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// Serves a connection until it ends: because its client wants so, has had nothing open for as long as
/// the head of a request may take, or because the server stops. Then what is open may end.
pub(super) async fn serve<S>(house: Arc<House>, stream: S, service: impl HttpService)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let idle = Since::default();
    idle.begin();
    let stall = house.serving.stall;
    let tasks = Tasks { tasks: house.connections.clone(), stall };
    let mut http = http2::Builder::new(tasks);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(REQUEST_HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(HTTP2_RESETS_PENDING_MAX)
        .max_local_error_reset_streams(HTTP2_ERRORS_MAX)
        .keep_alive_interval(super::KEEPALIVE)
        .keep_alive_timeout(stall)
        .enable_connect_protocol();
    let service = hyper::service::service_fn({
        let (house, idle) = (house.clone(), idle.clone());
        move |request| respond(house.clone(), service.clone(), request, idle.not_during())
    });
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = async {
            tokio::select! {
                () = house.stop.cancelled() => {}
                () = idle.lasted(house.serving.head_wait) => {}
            }
        } => {
            connection.as_mut().graceful_shutdown();
            idle.begin();
            tokio::select! {
                ended = connection => ended,
                // It does not even answer to that.
                () = idle.lasted(stall) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection");
    }
}

async fn respond(
    house: Arc<House>,
    service: impl HttpService,
    request: Request<Incoming>,
    open: Holding,
) -> Result<Response<Answer>, Infallible> {
    let Some(mut lease) = house.lease() else {
        return Ok(too_many().into_response().map(|body| Answer::new(body, None)));
    };
    lease._open = Some(Arc::new(open));
    let mut request = as_http1(request).map(|body| Body::new(Sent(body)));
    let is_head = request.method() == Method::HEAD;
    if request.method() == Method::CONNECT {
        request.extensions_mut().insert(lease.clone());
    }
    let Ok(mut response) = service.oneshot(request).await;
    if is_head {
        let bytes = response.body().size_hint().exact().filter(|bytes| *bytes > 0);
        if let Some(bytes) = bytes {
            response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(bytes.into());
        }
        *response.body_mut() = Body::empty();
    }
    Ok(response.map(|body| Answer::new(body, Some(lease))))
}

/// A request as it would have come over HTTP/1: for a host, and with a path.
fn as_http1(mut request: Request<Incoming>) -> Request<Incoming> {
    let uri = request.uri();
    let host = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if let Some(path) = uri.path_and_query().cloned() {
        *request.uri_mut() = Uri::from(path);
    }
    if let Some(host) = host {
        // It is what the request is for, whatever a header beside it says (RFC 9113, 8.3.1).
        request.headers_mut().insert(header::HOST, host);
    }
    request
}

/// The body of a request. hyper takes one whose client takes the request back for one that has ended
/// well, and a producer that broke off would have finished.
struct Sent(Incoming);

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        if frame.is_none() && !self.0.is_end_stream() {
            return Poll::Ready(Some(Err("the client has taken its request back".into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

tokio::task_local! {
    /// Since when the client takes nothing of what there is for it on this stream.
    static STALLED: Since;
}

/// Drives the requests of a connection, and drops those whose clients take nothing for `stall`. That
/// resets their streams.
#[derive(Clone)]
struct Tasks {
    tasks: TaskTracker,
    stall: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, request: F) {
        let (stalled, stall) = (Since::default(), self.stall);
        let given_up = stalled.clone();
        self.tasks.spawn(STALLED.scope(stalled, async move {
            tokio::select! {
                biased;
                () = request => {}
                () = given_up.lasted(stall) => tracing::debug!("a reader has taken nothing for long"),
            }
        }));
    }
}

/// An answer on its way to the client.
struct Answer {
    /// Until it has ended: nobody may ask it again.
    body: Option<Body>,
    /// It is watched until it has left. What is small leaves with its end.
    is_small: bool,
    way: Arc<Way>,
}

/// What the pieces of one answer have in common.
struct Way {
    /// Those that have not left.
    pieces: AtomicUsize,
    last_has_left: AtomicWaker,
    stalled: Since,
    _lease: Option<super::Lease>,
}

/// A part of an answer.
struct Piece {
    bytes: Bytes,
    way: Arc<Way>,
}

impl Answer {
    fn new(body: Body, lease: Option<super::Lease>) -> Self {
        let exact = body.size_hint().exact();
        let is_small = exact.is_some_and(|bytes| bytes <= HTTP2_SMALL_ANSWER_BYTES_MAX);
        let stalled = STALLED.try_with(Since::clone).unwrap_or_default();
        let (pieces, last_has_left) = (AtomicUsize::new(0), AtomicWaker::new());
        let way = Arc::new(Way { pieces, last_has_left, stalled, _lease: lease });
        Self { body: Some(body), is_small, way }
    }

    fn has_left(&self) -> bool {
        self.is_small || self.way.pieces.load(Ordering::SeqCst) == 0
    }
}

impl http_body::Body for Answer {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let this = &mut *self;
        if let Some(body) = &mut this.body {
            let frame = ready!(Pin::new(body).poll_frame(cx));
            if let Some(frame) = frame {
                let piece = |bytes| Piece::new(bytes, this.way.clone());
                return Poll::Ready(Some(frame.map(|frame| frame.map_data(piece))));
            }
            this.body = None;
        }
        this.way.last_has_left.register(cx.waker());
        if this.has_left() { Poll::Ready(None) } else { Poll::Pending }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream) && self.has_left()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Piece {
    fn new(bytes: Bytes, way: Arc<Way>) -> Self {
        way.pieces.fetch_add(1, Ordering::SeqCst);
        way.stalled.begin();
        Self { bytes, way }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.way.stalled.begin();
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.way.pieces.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.way.stalled.end();
            self.way.last_has_left.wake();
        }
    }
}
