//! A cursor as the body of a response.

use super::problem::{STREAM_CLOSED, STREAM_CLOSED_REASON, STREAM_NEXT_OFFSET, insert_text};
use crate::{
    channel::Status,
    stream::{Cursor, Piece},
};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};

/// The head and body of a live response: the content from the position of `cursor` on, until the
/// stream is closed. When it cannot be read to its end the body breaks off without its last chunk,
/// so that no reader takes a part for the whole.
pub(super) fn response(cursor: Cursor, status: Status) -> Response {
    let content_type = HeaderValue::from_str(cursor.channel().content_type());
    let mut response = Response::new(body(cursor));
    let headers = response.headers_mut();
    let binary = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, content_type.unwrap_or(binary));
    // Whatever lies between must pass every piece on as it comes.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    insert_text(headers, STREAM_NEXT_OFFSET, &status.tail.to_string());
    if let Some(reason) = status.closed {
        headers.insert(STREAM_CLOSED, HeaderValue::from_static("true"));
        headers.insert(STREAM_CLOSED_REASON, HeaderValue::from_static(reason.as_str()));
    }
    response
}

fn body(cursor: Cursor) -> Body {
    Body::from_stream(futures::stream::unfold(Some(cursor), |cursor| async {
        let mut cursor = cursor?;
        match cursor.next().await {
            Ok(Piece::Data(part)) => Some((Ok(part.bytes), Some(cursor))),
            Ok(Piece::End(_)) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}
