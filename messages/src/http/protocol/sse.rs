//! `live=sse`: events as they happen. A plain `EventSource` of a browser can follow a stream: every
//! position has an id, and one that comes back goes on from it.

use super::{
    super::{
        App,
        encoding::{Encoding, before, joined},
        gate::Reading,
        jitter::jitter,
        problem::Problem,
    },
    cursor,
    event::{self, Control},
    headers::STREAM_SSE_DATA_ENCODING,
    query::{Start, parse_start},
};
use crate::{
    channel::{Frame, FrameKey, FrameReader, Part, held_key},
    limits::{SSE_COMMENT_SECS, SSE_RETRY_MS_MAX, SSE_RETRY_MS_MIN},
    model::Offset,
    stream::{Cursor, Piece, StreamError, Streams},
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Where a browser that comes back by itself has come to.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<Start> {
    let id = headers.get("last-event-id")?.to_str().ok()?;
    parse_start(id).filter(|start| matches!(start, Start::At(_)))
}

/// Content from the position of `cursor`, which is `at`, and then live.
pub(super) fn response(
    app: &App,
    cursor: Cursor,
    reading: Reading,
    at: Offset,
    had: Option<u64>,
) -> Response {
    let encoding = Encoding::of(cursor.channel().content_type());
    // Spread out, so that those who came together do not come back together.
    let open_ms = app.sse.as_millis() as u64;
    let until = Instant::now() + Duration::from_millis(open_ms + jitter(open_ms / 4));
    let events = Events {
        streams: app.streams.clone(),
        cursor,
        reading,
        encoding,
        had,
        held: Vec::new(),
        at,
        told: false,
        begun: false,
        until,
    };
    let mut response =
        Response::new(Body::from_stream(futures::stream::unfold(Some(events), |events| async {
            events?.next().await.map(|(frame, rest)| (Ok::<_, StreamError>(frame), rest))
        })));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Whatever lies between must pass every event on as it comes.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    if encoding == Encoding::Base64 {
        headers.insert(STREAM_SSE_DATA_ENCODING, HeaderValue::from_static("base64"));
    }
    response
}

/// One reader of events.
struct Events {
    streams: Arc<Streams>,
    cursor: Cursor,
    reading: Reading,
    encoding: Encoding,
    /// The cursor that the client had.
    had: Option<u64>,
    /// Read, but to be sent only with what comes behind it.
    held: Vec<u8>,
    /// The position behind what has been sent.
    at: Offset,
    /// The reader knows that there is nothing more at the moment.
    told: bool,
    /// Something has been sent.
    begun: bool,
    /// Then it has to come back.
    until: Instant,
}

impl Events {
    /// What is to be sent next, and the reader behind it if there is more to come.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        loop {
            // Not only when there is nothing to read: that may never be.
            if let Err(error) = self.reading.check() {
                let frame = self.begin(expired(&error.into()));
                return Some((frame, None));
            }
            // Without the store or the stream there is nothing to say; the client comes back.
            let (frame, more) = match self.cursor.ready().await.ok()? {
                Some(Piece::Data(part)) => match self.data(part) {
                    Some(sent) => sent,
                    None => continue,
                },
                Some(Piece::End(_)) => (self.end(), false),
                None if !self.told => {
                    self.told = true;
                    (self.control(true, false), true)
                }
                None => match self.wait().await? {
                    Waited::News => continue,
                    Waited::Long => (Bytes::from_static(b":\n\n"), true),
                    Waited::Expired(problem) => (expired(&problem), false),
                },
            };
            let frame = self.begin(frame);
            return Some((frame, more.then_some(self)));
        }
    }

    /// Waits for something new; `None` when it is time to come back.
    async fn wait(&mut self) -> Option<Waited> {
        let comment = Instant::now() + Duration::from_secs(SSE_COMMENT_SECS);
        tokio::select! {
            biased;
            expired = self.reading.expired() => Some(Waited::Expired(expired.into())),
            waited = self.cursor.wait() => waited.ok().map(|()| Waited::News),
            () = tokio::time::sleep_until(self.until.min(comment)) => {
                (Instant::now() < self.until).then_some(Waited::Long)
            }
        }
    }

    fn cursor_now(&self) -> u64 {
        cursor::next(self.streams.now_ms(), self.had)
    }

    /// The first frame also says how soon to come back after a break.
    fn begin(&mut self, frame: Bytes) -> Bytes {
        if std::mem::replace(&mut self.begun, true) {
            return frame;
        }
        let retry_ms = SSE_RETRY_MS_MIN + jitter(SSE_RETRY_MS_MAX - SSE_RETRY_MS_MIN);
        [format!("retry:{retry_ms}\n\n").as_bytes(), &frame].concat().into()
    }

    /// The events for a part, and whether more will come; `None` when all of it has to wait.
    fn data(&mut self, part: Part) -> Option<(Bytes, bool)> {
        let (closed, cursor) = (part.closed.is_some(), self.cursor_now());
        let from = part.end.bytes - part.bytes.len() as u64;
        let reader = FrameReader::Events { cursor };
        let (last, held) = ((part.last, closed), held_key(&self.held));
        let key = FrameKey { from, to: part.end, last, reader, erasures: part.erasures, held };
        let (encoding, held, begin) = (self.encoding, &self.held, self.at);
        let encode = || {
            let content = joined(held, &part.bytes);
            let wait = if closed { 0 } else { event::held_back(encoding, &content) };
            let content = &content[..content.len() - wait];
            let reaches = before(part.end, wait as u64);
            let mut text = String::with_capacity(content.len() + content.len() / 2 + 256);
            if content.is_empty() {
                return Frame { bytes: Bytes::new(), reaches: begin };
            }
            event::data(encoding, content, reaches, &mut text);
            Control { next: reaches, cursor, last: part.last, closed }.write(false, &mut text);
            Frame { bytes: text.into(), reaches }
        };
        let Frame { bytes, reaches } = self.cursor.channel().frame(key, encode);
        let wait = (part.end.bytes - reaches.bytes) as usize;
        let content = joined(&self.held, &part.bytes);
        self.held = content[content.len() - wait..].to_vec();
        if bytes.is_empty() {
            return None;
        }
        (self.at, self.told) = (reaches, part.last);
        Some((bytes, !closed))
    }

    /// What was held back will never be whole.
    fn end(&mut self) -> Bytes {
        if self.held.is_empty() {
            return self.control(true, true);
        }
        let next = self.cursor.channel().durable();
        let mut text = String::new();
        event::data(self.encoding, &self.held, next, &mut text);
        Control { next, cursor: 0, last: true, closed: true }.write(false, &mut text);
        text.into()
    }

    fn control(&self, last: bool, closed: bool) -> Bytes {
        let mut text = String::new();
        Control { next: self.at, cursor: self.cursor_now(), last, closed }.write(true, &mut text);
        text.into()
    }
}

/// What has become of a wait.
enum Waited {
    /// There may be something new.
    News,
    /// It took long. A comment tells whoever is gone, and whatever lies between keeps the connection.
    Long,
    /// The reader may read no more.
    Expired(Problem),
}

/// The last event for somebody whose token has expired.
fn expired(problem: &Problem) -> Bytes {
    format!("event: problem\ndata:{}\n\n", problem.body().trim_end()).into()
}
