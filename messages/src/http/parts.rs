//! A body of several pieces that are all there, whose length is known.

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::OwnedSemaphorePermit;

/// The pieces, and what they hold as long as they are on their way.
pub(super) struct Parts {
    parts: VecDeque<Bytes>,
    bytes: u64,
    _room: Option<OwnedSemaphorePermit>,
}

impl Parts {
    pub fn new(parts: Vec<Bytes>, room: Option<OwnedSemaphorePermit>) -> Self {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        Self { parts: parts.into(), bytes, _room: room }
    }
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.parts.pop_front();
        self.bytes -= next.as_ref().map_or(0, |part| part.len() as u64);
        Poll::Ready(next.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes)
    }
}
