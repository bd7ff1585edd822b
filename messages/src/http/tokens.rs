//! `POST /v1/auth/…`: what a browser or a link may carry in place of a token.

use super::{
    App,
    json::object,
    problem::{Problem, json_line},
    query::stream_of,
};
use crate::{
    auth::SIGNED,
    limits::{ID_BODY_WAIT_MS_MAX, SIGN_BODY_BYTES_MAX, SIGNED_URL_SECS_MAX},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where a signed URL is not asked to be good for another time.
const SIGNED_SECS_DEFAULT: u64 = 3600;

#[derive(Serialize)]
struct TicketAnswer {
    ticket: String,
    expires_in: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignRequest {
    /// A URL, or its path and query, that reads a stream.
    url: String,
    /// For how many seconds.
    expires_in: Option<u64>,
}

#[derive(Serialize)]
struct SignAnswer {
    url: String,
    /// In seconds since 1970.
    expires_at: u64,
}

/// A ticket: once, soon, and for one request.
pub(super) async fn ticket(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let principal = app.auth.bearer(&headers).await?;
    let ticket = app.auth.ticket(principal).await?;
    let answer = TicketAnswer { ticket: ticket.ticket, expires_in: ticket.expires_in };
    Ok(private(&answer))
}

/// A URL that anybody may read with.
pub(super) async fn sign(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let principal = app.auth.bearer(&headers).await?;
    let SignRequest { url, expires_in } = read(body).await?;
    let stream = stream_of(&url)?;
    let secs = expires_in.unwrap_or(SIGNED_SECS_DEFAULT);
    if !(1..=SIGNED_URL_SECS_MAX).contains(&secs) {
        let detail = format!("expires_in: must be from 1 to {SIGNED_URL_SECS_MAX} seconds");
        return Err(Problem::bad_request("bad_parameter", detail));
    }
    let signed = app.auth.sign(&principal, &stream, secs)?;
    let url = with_signature(&url, &signed.signed);
    Ok(private(&SignAnswer { url, expires_at: signed.expires_at }))
}

/// A URL with its signature as one more parameter.
#[must_use]
pub fn with_signature(url: &str, signed: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{SIGNED}={signed}")
}

async fn read(body: Body) -> Result<SignRequest, Problem> {
    let collected = Limited::new(body, SIGN_BODY_BYTES_MAX).collect();
    let wait = Duration::from_millis(ID_BODY_WAIT_MS_MAX);
    let bad = |why: String| {
        let detail = format!(
            "the body must be {{\"url\": \"/?id=…\", \"expires_in\": 3600}} (JSON of at most {SIGN_BODY_BYTES_MAX} bytes): {why}"
        );
        Problem::bad_request("bad_body", detail)
    };
    let body = match tokio::time::timeout(wait, collected).await {
        Ok(body) => body.map_err(|_| bad("it is too long, or broke off".into()))?,
        Err(_) => {
            return Err(Problem::body_timeout(format!("the body must be here within {wait:?}")));
        }
    };
    object(&body.to_bytes()).map_err(|error| bad(error.to_string()))
}

/// An answer that nobody in between may keep.
fn private(answer: &impl Serialize) -> Response {
    let mut response = json_line(answer).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
