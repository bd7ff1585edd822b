//! What a request is called in logs, here and elsewhere.

use super::{problem, traffic::Kind};
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method},
    response::Response,
};
use std::time::Duration;
use tracing::{Level, Span};
use uuid::Uuid;

/// Says it.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What whoever stands before this server may call it.
const BYTES_MAX: usize = 128;

/// Under which the lines of log are that tell of requests; at its level, a request has a span.
const TARGET: &str = "messages::access";

/// The name of one request, which nobody needs to have.
pub(super) struct RequestId(Option<HeaderValue>);

impl RequestId {
    /// As it came, if it makes sense; a new one only where somebody will read it.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).filter(|id| is_sane(id)).cloned();
        Self(given.or_else(|| is_logged().then(new).flatten()))
    }

    /// What lines of log belong to while the request is looked at. Without its query: there are tokens
    /// in queries.
    pub fn span(&self, method: &Method, path: &str) -> Span {
        if is_logged() {
            tracing::debug_span!(target: TARGET, "request", id = self.text(), %method, path)
        } else {
            Span::none()
        }
    }

    /// What it is, or nothing.
    fn text(&self) -> &str {
        self.0.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default()
    }

    /// Lets the client know, if it said one or something went wrong, and the log.
    pub fn answered(self, kind: Kind, response: &mut Response, span: &Span, time: Duration) {
        let status = response.status();
        if !span.is_none() {
            let time_us = time.as_micros() as u64;
            tracing::debug!(target: TARGET, parent: span, status = status.as_u16(), ?kind, time_us);
        }
        let is_problem = status.is_client_error() || status.is_server_error();
        if let Some(id) = self.0.or_else(|| is_problem.then(new).flatten()) {
            problem::name(response, id.to_str().unwrap_or_default());
            response.headers_mut().insert(REQUEST_ID, id);
        }
    }
}

fn is_logged() -> bool {
    tracing::enabled!(target: TARGET, Level::DEBUG)
}

fn is_sane(id: &HeaderValue) -> bool {
    !id.is_empty() && id.len() <= BYTES_MAX && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

fn new() -> Option<HeaderValue> {
    HeaderValue::from_str(&Uuid::now_v7().simple().to_string()).ok()
}
