//! One connection: what is spoken on it, and HTTP/1.

use super::{House, Lease, answer, http2, opening};
use crate::{
    http::{HttpService, problem::Problem},
    limits::{DISCARD_WAIT_MS_MAX, REQUEST_HEAD_BYTES_MAX, REQUEST_WAIT_MS_MAX},
};
use axum::{
    body::Body,
    http::{Request, header},
};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use opening::{Opened, Spoken};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tower::ServiceExt;

/// Serves a connection until it ends. What is spoken has its own memory, so that no connection is as large
/// as the largest of them, and none is moved with it.
pub(super) async fn serve(
    house: Arc<House>,
    lease: Lease,
    stream: TcpStream,
    service: impl HttpService,
) {
    let Some((opened, spoken)) = Box::pin(begin(&house, opening::open(stream))).await else {
        return;
    };
    match (spoken, house.serving.tls.is_some()) {
        // What is no HTTP at all is told so.
        (Spoken::Http1 | Spoken::Tls, false) => {
            Box::pin(http1(house, lease, opened, service)).await;
        }
        (Spoken::Http2, false) => Box::pin(http2::serve(house, opened, service)).await,
        (Spoken::Tls, true) => Box::pin(secret(house, lease, opened, service)).await,
        (Spoken::Http1, true) => {
            let detail = "this port speaks HTTPS: ask again with https://";
            tell(opened.into_inner(), &answer(&Problem::bad_request("https_only", detail))).await;
        }
        (Spoken::Http2, true) => {}
    }
}

/// What comes of a beginning, within the time for the head of a request. Nobody has asked for anything
/// yet, so nobody is waited for when the server stops.
async fn begin<T>(house: &House, beginning: impl Future<Output = io::Result<T>>) -> Option<T> {
    tokio::select! {
        biased;
        begun = tokio::time::timeout(house.serving.head_wait, beginning) => match begun {
            Ok(Ok(begun)) => Some(begun),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection has not begun");
                None
            }
            Err(_) => None,
        },
        () = house.stop.cancelled() => None,
    }
}

/// What is said over TLS.
async fn secret(
    house: Arc<House>,
    lease: Lease,
    opened: Opened<TcpStream>,
    service: impl HttpService,
) {
    let Some(tls) = &house.serving.tls else { return };
    let Some(begun) = begin(&house, tls.accept(opened)).await else { return };
    if begun.is_http2 {
        Box::pin(http2::serve(house, begun.stream, service)).await;
    } else {
        Box::pin(http1(house, lease, begun.stream, service)).await;
    }
}

/// Tells somebody for whom there is no place. Not before there is a request: a client may take an answer
/// that comes earlier for a broken connection.
pub(super) async fn turn_away(stream: TcpStream, answer: &[u8]) {
    let wait = Duration::from_millis(REQUEST_WAIT_MS_MAX);
    if let Ok(Ok(1..)) = tokio::time::timeout(wait, stream.peek(&mut [0])).await {
        tell(stream, answer).await;
    }
}

/// The last that is said on a connection.
async fn tell(mut stream: TcpStream, answer: &[u8]) {
    // Closing with unread input would reset the connection, and the answer might never be seen.
    let tell = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // However far it came.
    let _ = tokio::time::timeout(Duration::from_millis(DISCARD_WAIT_MS_MAX), tell).await;
}

async fn http1<S>(house: Arc<House>, lease: Lease, stream: S, service: impl HttpService)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let begun = Arc::new(AtomicBool::new(false));
    let begins = begun.clone();
    let service = service.map_request(move |mut request: Request<Incoming>| {
        begins.store(true, Ordering::Relaxed);
        if request.headers().contains_key(header::UPGRADE) {
            request.extensions_mut().insert(lease.clone());
        }
        request.map(Body::new)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(house.serving.head_wait)
        .max_buf_size(REQUEST_HEAD_BYTES_MAX);
    let service = TowerToHyperService::new(service);
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = house.stop.cancelled() => {
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
