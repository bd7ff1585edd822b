//! Files that are part of the program, as they are handed out.

use super::protocol::is_known;
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A file with its type, or nothing for whoever has it. It is always the newest, which costs an answer
/// without a body when nothing has changed.
pub(super) fn answer(
    headers: &HeaderMap,
    content_type: &'static str,
    body: &'static [u8],
) -> Response {
    let etag = etag(body);
    let mut response = if is_known(headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, content_type)], body).into_response()
    };
    let answer = response.headers_mut();
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer.extend(HeaderValue::try_from(etag).map(|etag| (header::ETAG, etag)));
    response
}

/// Tells a file from any other.
pub(super) fn etag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}
