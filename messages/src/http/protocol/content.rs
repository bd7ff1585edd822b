//! A part of a stream as the body of an answer whose length is known.

use super::super::gate::Reading;
use crate::{
    model::Offset,
    stream::{Cursor, Piece, StreamError},
};
use axum::{
    BoxError,
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;

/// Up to this a body is put together in memory, which spares its reader a write or two.
const JOIN_BYTES_MAX: usize = 64 << 10;

/// The content from the position of `cursor` up to `end`, all of which is there. Messages stand
/// between brackets, without the last comma.
///
/// # Errors
/// The content cannot be read. Later on that breaks the body off.
pub(super) async fn body(
    mut cursor: Cursor,
    end: Offset,
    headers: &mut HeaderMap,
    reading: Reading,
) -> Result<Body, StreamError> {
    let messages = cursor.channel().holds_messages();
    let bytes = end.bytes - cursor.position();
    if bytes == 0 {
        return Ok(if messages { Body::from("[]") } else { Body::empty() });
    }
    let first = next(&mut cursor, end, messages).await?;
    if cursor.position() >= end.bytes && (!messages || first.len() <= JOIN_BYTES_MAX) {
        return Ok(Body::from(if messages {
            [b"[", &first[..], b"]"].concat().into()
        } else {
            first
        }));
    }
    let length = if messages { bytes + 1 } else { bytes };
    headers.insert(header::CONTENT_LENGTH, length.into());
    let start = if messages { Step::Open(first) } else { Step::Data(first) };
    let rest = Rest { step: start, cursor, end, reading };
    Ok(Body::from_stream(futures::stream::unfold(rest, |mut rest| async {
        let piece = rest.piece().await?;
        Some((piece, rest))
    })))
}

/// What is still to be sent.
struct Rest {
    step: Step,
    cursor: Cursor,
    end: Offset,
    reading: Reading,
}

impl Rest {
    async fn piece(&mut self) -> Option<Result<Bytes, BoxError>> {
        let messages = self.cursor.channel().holds_messages();
        let (bytes, step) = match std::mem::replace(&mut self.step, Step::Over) {
            Step::Open(first) => (Bytes::from_static(b"["), Step::Data(first)),
            Step::Data(bytes) => (bytes, Step::Next),
            Step::Next if self.cursor.position() < self.end.bytes => {
                // What is there already, too, is shown only to who may see it now.
                if let Err(expired) = self.reading.check() {
                    return Some(Err(expired.into()));
                }
                match next(&mut self.cursor, self.end, messages).await {
                    Ok(bytes) => (bytes, Step::Next),
                    Err(error) => return Some(Err(error.into())),
                }
            }
            Step::Next if messages => (Bytes::from_static(b"]"), Step::Over),
            Step::Next | Step::Over => return None,
        };
        self.step = step;
        Some(Ok(bytes))
    }
}

enum Step {
    Open(Bytes),
    Data(Bytes),
    Next,
    Over,
}

/// The next bytes before `end`.
async fn next(cursor: &mut Cursor, end: Offset, messages: bool) -> Result<Bytes, StreamError> {
    let from = cursor.position();
    match cursor.ready().await? {
        Some(Piece::Data(part)) => {
            let left = end.bytes - from;
            let mut bytes = part.bytes;
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            if messages && from + bytes.len() as u64 == end.bytes {
                bytes.truncate(bytes.len() - 1);
            }
            Ok(bytes)
        }
        Some(Piece::End(_)) | None => Err(StreamError::Damaged),
    }
}
