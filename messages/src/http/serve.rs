//! The accept loop: limits for connections that do nothing, and an end with a deadline.

use super::{HttpService, problem::Problem};
use crate::{
    config::Config,
    limits::{REQUEST_HEAD_BYTES_MAX, RETRY_AFTER_SECS},
    stats::{Held, Level},
};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tower::ServiceExt;

/// Connections that the system may hold before they are accepted.
const BACKLOG: i32 = 4096;

/// A failed accept (no file left, say) is tried again after this.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A connection that says nothing is asked this often whether it still lives.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How connections are treated.
#[derive(Clone, Copy, Debug)]
pub struct Serving {
    connections_max: usize,
    head_wait: Duration,
    stall: Duration,
}

impl Serving {
    /// As the settings say.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            connections_max: config.connections_max,
            head_wait: Duration::from_secs(config.head_wait_secs),
            stall: Duration::from_secs(config.reader_stall_secs),
        }
    }
}

/// What a request takes along that turns its connection into something else. Whoever holds it is one
/// of the connections that are counted and waited for, although HTTP has let go of it.
#[derive(Clone)]
pub(super) struct Lease {
    /// The server stops: the connection has to end soon.
    pub stop: CancellationToken,
    /// It has taken too long, and ends at once.
    pub cut_off: CancellationToken,
    _place: Arc<OwnedSemaphorePermit>,
    _held: Arc<Held>,
    _counted: TaskTrackerToken,
}

/// Binds a listening socket. It is not accepted from before [`serve`].
///
/// # Errors
/// The address is taken or not ours. Must be called in a runtime.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves `service` until `stop`, and then until every connection has ended. Those that are there are
/// counted as `open`. Dropping it cuts off what is left.
pub async fn serve(
    listener: TcpListener,
    service: impl HttpService,
    serving: Serving,
    open: Arc<Level>,
    stop: CancellationToken,
) {
    let too_many = too_many();
    let places = Arc::new(Semaphore::new(serving.connections_max));
    let connections = TaskTracker::new();
    let cut_off = CancellationToken::new();
    let _guard = cut_off.clone().drop_guard();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            // The socket buffer of a new connection is empty: it takes this whole or is broken.
            let _ = stream.try_write(&too_many);
            continue;
        };
        let lease = Lease {
            stop: stop.clone(),
            cut_off: cut_off.clone(),
            _place: Arc::new(place),
            _held: Arc::new(open.hold()),
            _counted: connections.token(),
        };
        let connection = connection(stream, service.clone(), serving, lease);
        let cut_off = cut_off.clone();
        connections.spawn(async move {
            tokio::select! {
                () = connection => {}
                () = cut_off.cancelled() => {}
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, service: impl HttpService, serving: Serving, lease: Lease) {
    if let Err(error) = prepare(&stream, serving.stall) {
        tracing::debug!(%error, "socket options");
    }
    let begun = Arc::new(AtomicBool::new(false));
    let (begins, stop) = (begun.clone(), lease.stop.clone());
    let service = service.map_request(move |mut request: Request<Incoming>| {
        begins.store(true, Ordering::Relaxed);
        if request.headers().contains_key(header::UPGRADE) {
            request.extensions_mut().insert(lease.clone());
        }
        request.map(Body::new)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(serving.head_wait)
        .max_buf_size(REQUEST_HEAD_BYTES_MAX);
    let service = TowerToHyperService::new(service);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match futures::poll!(connection.as_mut()) {
                Poll::Ready(ended) => ended,
                // hyper would wait for a first request although it ends after it: nobody asks for
                // anything here.
                Poll::Pending if !begun.load(Ordering::Relaxed) => Ok(()),
                Poll::Pending => connection.await,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection");
    }
}

/// Small writes go out at once, and a peer that is gone or takes nothing for `stall` is given up:
/// the user timeout covers both unacknowledged data and a window that stays closed (tcp(7)).
fn prepare(stream: &TcpStream, stall: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(stall))?;
    Ok(())
}

/// What a connection too many gets, as bytes: there is no request to answer yet.
fn too_many() -> Vec<u8> {
    let detail = "the server has as many connections as it may; try again later";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let body = Problem::new(status, "too_many_connections", detail).body();
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nRetry-After: {RETRY_AFTER_SECS}\r\nConnection: close\r\n\
         Content-Type: application/problem+json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
