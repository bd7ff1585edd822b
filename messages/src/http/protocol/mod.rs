//! The Durable Streams protocol at `/v1/stream/{name}`. Its text is `PROTOCOL.md` of the public
//! repository `durable-streams/durable-streams`; where it leaves a choice, the choice is told here.

mod append;
mod cache;
mod content;
mod create;
mod cursor;
mod event;
mod headers;
mod name;
mod query;
mod read;
mod sse;

use super::{
    App,
    body::discard,
    content_type,
    problem::{Problem, STREAM_CLOSED, STREAM_NEXT_OFFSET, insert_text},
};
use crate::{
    auth::{Access, Principal},
    model::{Lifetime, StreamName},
};
use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
pub(super) use cache::is_known;
pub(super) use headers::{EXPOSED, expires_at};
use headers::{STREAM_EXPIRES_AT, STREAM_TTL};
pub(super) use name::{parse_name, stream_name};
pub(super) use query::{Start, parse_start};
pub(super) use read::read_conversation;
use std::sync::Arc;

/// Where the protocol's streams begin.
pub(super) const ROOT: &str = "/v1/stream/";

/// Whether a path is that of a stream, and not of what the protocol keeps for itself.
pub(super) fn is_stream(path: &str) -> bool {
    let own = |name: &str| name == "__ds" || name.starts_with("__ds/");
    path.strip_prefix(ROOT).is_some_and(|name| !own(name))
}

/// Every request for a stream.
pub(super) async fn serve(app: App, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let name = match stream_name(parts.uri.path()) {
        Ok(name) => name,
        Err(problem) => return problem.into_response(),
    };
    let principal = match admit(&app, &name, &parts).await {
        Ok(principal) => principal,
        Err(problem) => {
            // Reading would ask a client that waits for "100 Continue" to send what nobody wants.
            if !parts.headers.contains_key(header::EXPECT) {
                discard(body).await;
            }
            return problem.into_response();
        }
    };
    let done = match parts.method {
        Method::GET => read::read(&app, principal, &name, &parts).await,
        Method::POST => append::append(&app, &principal, &name, &parts, body).await,
        Method::PUT => create::create(&app, &principal, &name, &parts, body).await,
        Method::HEAD => head(&app, &name).await,
        _ => delete(&app, &name).await,
    };
    done.unwrap_or_else(IntoResponse::into_response)
}

/// Whoever asks, when they may do what they ask for.
async fn admit(app: &App, name: &StreamName, parts: &Parts) -> Result<Arc<Principal>, Problem> {
    let access = match parts.method {
        Method::GET | Method::HEAD => Access::Read,
        Method::POST => Access::Write,
        Method::PUT => Access::Create,
        Method::DELETE => Access::Manage,
        _ => {
            let detail = "a stream takes GET, HEAD, POST, PUT and DELETE";
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let problem = Problem::new(status, "method_not_allowed", detail);
            return Err(problem.allow("GET, HEAD, POST, PUT, DELETE"));
        }
    };
    let principal = app.auth.principal(&parts.headers, &parts.uri).await?;
    principal.check(access, name)?;
    Ok(principal)
}

/// What can be said of a stream. Does not count as a use of it.
async fn head(app: &App, name: &StreamName) -> Result<Response, Problem> {
    let channel = app.streams.find(name).await?;
    let status = app.streams.status(&channel).await?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    content_type::insert(headers, channel.content_type());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    insert_text(headers, STREAM_NEXT_OFFSET, &status.tail.to_string());
    if status.closed.is_some() {
        headers.insert(STREAM_CLOSED, HeaderValue::from_static("true"));
    }
    match channel.lifetime() {
        Lifetime::Unlimited => {}
        Lifetime::Idle { secs } => drop(headers.insert(STREAM_TTL, secs.into())),
        Lifetime::Until { ms } => insert_text(headers, STREAM_EXPIRES_AT, &expires_at(ms)),
    }
    Ok(response)
}

async fn delete(app: &App, name: &StreamName) -> Result<Response, Problem> {
    let channel = app.streams.find(name).await?;
    app.streams.delete(&channel).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
