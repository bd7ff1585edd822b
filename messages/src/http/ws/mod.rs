//! `/ws`: any number of streams and conversations over one WebSocket, each from its own position, and
//! what is written to them. `docs/websocket.md` and `docs/chat.md` have the frames.
//!
//! One task drives a socket with everything on it. What is sent is looked up when there is room for
//! it, so a client that reads slowly costs its position and no memory, and a stream with much to send
//! takes its turn like any other.

mod act;
mod answer;
mod append;
mod chat_request;
mod chatting;
mod close;
mod data;
mod label;
mod plain;
mod request;
mod session;
mod source;
mod subscription;
mod subscriptions;
mod wire;
mod writes;

use super::{App, chat::user_of, problem::Problem, serve::Lease};
use crate::limits::{
    SOCKET_FRAME_BYTES_MAX, SOCKET_READ_BUFFER_BYTES, SOCKET_WRITE_BUFFER_BYTES,
    SOCKET_WRITE_BUFFER_BYTES_MAX,
};
use axum::{
    Extension,
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use session::Session;

/// The subprotocol that is chosen where a client offers some, as it must to send a token with them.
const SUBPROTOCOL: &str = "messages";

/// A request that wants to become a socket.
pub(super) async fn open(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
    lease: Option<Extension<Lease>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let (Ok(upgrade), Some(Extension(lease))) = (upgrade, lease) else {
        return upgrade_required();
    };
    if !app.cors.allow(&headers) {
        let detail = "pages of this origin may not use this server; see --cors-origins";
        let problem = Problem::new(StatusCode::FORBIDDEN, "origin_not_allowed", detail);
        return problem.into_response();
    }
    let principal = match app.auth.principal(&headers, &uri).await {
        Ok(principal) => principal,
        Err(problem) => return problem.into_response(),
    };
    let upgrade = upgrade
        .read_buffer_size(SOCKET_READ_BUFFER_BYTES)
        .write_buffer_size(SOCKET_WRITE_BUFFER_BYTES)
        .max_write_buffer_size(SOCKET_WRITE_BUFFER_BYTES_MAX)
        .max_message_size(SOCKET_FRAME_BYTES_MAX)
        .max_frame_size(SOCKET_FRAME_BYTES_MAX)
        .protocols([SUBPROTOCOL]);
    let is_plain = headers.contains_key(header::AUTHORIZATION)
        && upgrade.selected_protocol().is_none()
        && user_of(&app, &principal).is_ok();
    upgrade.on_upgrade(move |socket| Session::new(app, principal, socket, is_plain).run(lease))
}

fn upgrade_required() -> Response {
    let detail = "this is a WebSocket; docs/websocket.md tells what is said on it";
    let problem = Problem::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail);
    let mut response = problem.into_response();
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// Waits for what there may be.
async fn wait_for<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
