//! A cursor as the body of a response.

use super::{
    content_type,
    gate::Reading,
    problem::{STREAM_CLOSED, STREAM_CLOSED_REASON, STREAM_NEXT_OFFSET, insert_text},
};
use crate::{
    channel::Status,
    stream::{Cursor, Piece},
};
use axum::{
    BoxError,
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::Response,
};

/// The head and body of a live response: the content from the position of `cursor` on, until the
/// stream is closed. When it cannot be read to its end, also because the token of its reader has
/// expired, the body breaks off without its last chunk, so that no reader takes a part for the whole.
pub(super) fn response(cursor: Cursor, status: Status, reading: Reading) -> Response {
    let content_type = cursor.channel().content_type().clone();
    let mut response = Response::new(body(cursor, reading));
    let headers = response.headers_mut();
    content_type::insert(headers, &content_type);
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

fn body(cursor: Cursor, reading: Reading) -> Body {
    Body::from_stream(futures::stream::unfold(Some((cursor, reading)), |state| async {
        let (mut cursor, mut reading) = state?;
        let piece = tokio::select! {
            // The end first: there may be something to read for ever.
            biased;
            expired = reading.expired() => Err(BoxError::from(expired)),
            piece = cursor.next() => piece.map_err(BoxError::from),
        };
        match piece {
            Ok(Piece::Data(part)) => Some((Ok(part.bytes), Some((cursor, reading)))),
            Ok(Piece::End(_)) => None,
            Err(error) => Some((Err(error), None)),
        }
    }))
}
