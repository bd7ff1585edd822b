//! The accept loop: limits for connections that do nothing, and an end with a deadline.

mod connection;
mod http2;
mod opening;
mod since;

use super::{HttpService, problem::Problem};
use crate::{
    config::Config,
    limits::{REFUSALS_MAX, RETRY_AFTER_SECS},
    stats::{Doors, Held},
    tls::Tls,
};
use axum::http::StatusCode;
use since::Holding;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// Connections that the system may hold before they are accepted.
const BACKLOG: i32 = 4096;

/// A failed accept (no file left, say) is tried again after this.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A connection that says nothing is asked this often whether it still lives.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How connections are treated.
#[derive(Clone)]
pub struct Serving {
    connections_max: usize,
    head_wait: Duration,
    stall: Duration,
    tls: Option<Tls>,
}

impl Serving {
    /// As the settings say, over TLS where there is some.
    #[must_use]
    pub fn new(config: &Config, tls: Option<Tls>) -> Self {
        Self {
            connections_max: config.connections_max,
            head_wait: Duration::from_secs(config.head_wait_secs),
            stall: Duration::from_secs(config.reader_stall_secs),
            tls,
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
    /// Of a connection with others on it.
    _open: Option<Arc<Holding>>,
}

/// All that is going on.
struct House {
    serving: Serving,
    places: Arc<Semaphore>,
    /// For those who are told that there is no place.
    doorstep: Arc<Semaphore>,
    connections: TaskTracker,
    stop: CancellationToken,
    cut_off: CancellationToken,
    doors: Arc<Doors>,
}

impl House {
    /// A place for one more; `None` when there is none.
    fn lease(&self) -> Option<Lease> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.doors.refused.one();
            return None;
        };
        Some(Lease {
            stop: self.stop.clone(),
            cut_off: self.cut_off.clone(),
            _place: Arc::new(place),
            _held: Arc::new(self.doors.open.hold()),
            _counted: self.connections.token(),
            _open: None,
        })
    }

    /// Says why there is no place. Nobody is waited for when the server stops.
    fn turn_away(&self, stream: TcpStream, answer: &Arc<[u8]>) {
        // Over TLS nothing can be said yet.
        let Ok(place) = self.doorstep.clone().try_acquire_owned() else { return };
        if self.serving.tls.is_some() {
            return;
        }
        let (answer, stop) = (answer.clone(), self.stop.clone());
        tokio::spawn(async move {
            let _place = place;
            stop.run_until_cancelled(connection::turn_away(stream, &answer)).await;
        });
    }
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

/// Serves `service` until `stop`, and then until every connection has ended. Connections are
/// counted at the `doors`. Dropping it cuts off what is left.
pub async fn serve(
    listener: TcpListener,
    service: impl HttpService,
    serving: Serving,
    doors: Arc<Doors>,
    stop: CancellationToken,
) {
    let too_many: Arc<[u8]> = answer(&too_many()).into();
    let house = Arc::new(House {
        places: Arc::new(Semaphore::new(serving.connections_max)),
        doorstep: Arc::new(Semaphore::new(REFUSALS_MAX)),
        serving,
        connections: TaskTracker::new(),
        stop: stop.clone(),
        cut_off: CancellationToken::new(),
        doors,
    });
    let _guard = house.cut_off.clone().drop_guard();
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
        let Some(lease) = house.lease() else {
            house.turn_away(stream, &too_many);
            continue;
        };
        if let Err(error) = prepare(&stream, house.serving.stall) {
            tracing::debug!(%error, "socket options");
        }
        let connection = connection::serve(house.clone(), lease, stream, service.clone());
        let cut_off = house.cut_off.clone();
        house.connections.spawn(async move {
            tokio::select! {
                () = connection => {}
                () = cut_off.cancelled() => {}
            }
        });
    }
    drop(listener);
    house.connections.close();
    house.connections.wait().await;
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

fn too_many() -> Problem {
    let detail = "the server has as many connections as it may; try again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", detail)
}

/// What a connection gets of which no request is read, as bytes.
fn answer(problem: &Problem) -> Vec<u8> {
    let (status, body) = (problem.status(), problem.body());
    let length = body.len();
    let retry_after = match status {
        StatusCode::SERVICE_UNAVAILABLE => format!("Retry-After: {RETRY_AFTER_SECS}\r\n"),
        _ => String::new(),
    };
    format!(
        "HTTP/1.1 {status}\r\n{retry_after}Connection: close\r\n\
         Content-Type: application/problem+json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
