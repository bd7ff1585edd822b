//! `GET`: catches up, once or waiting for more.

use super::{
    super::{
        App, content_type,
        gate::Reading,
        problem::{Problem, STREAM_CLOSED, STREAM_NEXT_OFFSET, insert_text},
        traffic::Transport,
    },
    cache, content, cursor,
    headers::{STREAM_CURSOR, STREAM_UP_TO_DATE},
    query::{Live, Query, Start},
    sse,
};
use crate::{
    auth::Principal,
    channel::{Channel, Status},
    chat::Readable,
    limits::RESPONSE_BYTES_MAX,
    model::{Offset, StreamName},
    stream::{Cursor, StreamError},
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use std::sync::Arc;
use tokio::time::Instant;

pub(super) async fn read(
    app: &App,
    principal: Arc<Principal>,
    name: &StreamName,
    parts: &Parts,
) -> Result<Response, Problem> {
    let query = Query::parse(&parts.uri)?;
    let reading = app.auth.reading(principal, app.traffic.reads(transport(&query)))?;
    let start = start(&query, &parts.headers);
    let reader = loop {
        let channel = app.streams.find(name).await?;
        match Reader::begin(app, channel, start, &query).await {
            // The name has just begun anew, and is found with its new life now.
            Err(StreamError::Replaced) => tokio::task::yield_now().await,
            reader => break reader?,
        }
    };
    reader.answer(start, query.live, &parts.headers, reading).await
}

/// A read of the stream of a conversation, by somebody who takes part.
pub(in crate::http) async fn read_conversation(
    app: &App,
    principal: Arc<Principal>,
    readable: Readable,
    parts: &Parts,
) -> Result<Response, Problem> {
    let query = Query::parse(&parts.uri)?;
    let reading = app.auth.reading(principal, app.traffic.reads(transport(&query)))?;
    let Readable { conversation, reach, from } = readable;
    let channel = conversation.channel().clone();
    let start = match start(&query, &parts.headers) {
        None | Some(Start::Beginning) => Some(Start::At(from)),
        // Not what is gone, or was before one came.
        Some(Start::At(at)) if at.bytes < from.bytes => {
            return Err(StreamError::Trimmed { low: from }.into());
        }
        start => start,
    };
    let mut reader = Reader::begin(app, channel, start, &query).await?;
    reader.cursor = reader.cursor.within(reach);
    reader.may_change = true;
    reader.answer(start, query.live, &parts.headers, reading).await
}

fn transport(query: &Query) -> Transport {
    match query.live {
        Some(Live::Sse) => Transport::Events,
        Some(Live::LongPoll) => Transport::LongPoll,
        None => Transport::Once,
    }
}

/// Where a client begins.
fn start(query: &Query, headers: &HeaderMap) -> Option<Start> {
    match query.live {
        // A browser that comes back by itself says so in a header.
        Some(Live::Sse) => sse::last_event_id(headers).or(query.start),
        _ => query.start,
    }
}

/// One reader at its position.
struct Reader<'a> {
    app: &'a App,
    cursor: Cursor,
    /// What is there now may be erased later, so nobody may keep it.
    may_change: bool,
    status: Status,
    /// Where the client begins, as it says.
    at: Offset,
    /// The cursor that the client had.
    had: Option<u64>,
}

impl<'a> Reader<'a> {
    async fn begin(
        app: &'a App,
        channel: Arc<Channel>,
        start: Option<Start>,
        query: &Query,
    ) -> Result<Self, StreamError> {
        let at = match start {
            None | Some(Start::Beginning) => Offset::ZERO,
            Some(Start::At(offset)) => offset,
            // Fixed before anything is waited for.
            Some(Start::Now) => app.streams.status(&channel).await?.tail,
        };
        let (cursor, status) = app.streams.read_whole(channel, at.bytes).await?;
        Ok(Self { app, cursor, may_change: false, status, at, had: query.cursor })
    }

    async fn answer(
        mut self,
        start: Option<Start>,
        live: Option<Live>,
        headers: &HeaderMap,
        mut reading: Reading,
    ) -> Result<Response, Problem> {
        match live {
            Some(Live::Sse) => Ok(self.sse(headers, reading)),
            Some(Live::LongPoll) => {
                self.wait(&mut reading).await?;
                self.long_poll(headers, reading).await
            }
            None if start == Some(Start::Now) => Ok(self.now()),
            None => self.content(headers, None, reading).await,
        }
    }

    fn channel(&self) -> &Channel {
        self.cursor.channel()
    }

    /// Nothing but where the stream ends.
    fn now(self) -> Response {
        let Status { tail, closed } = self.status;
        let body = if self.channel().holds_messages() { Body::from("[]") } else { Body::empty() };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        content_type::insert(headers, self.channel().content_type());
        insert_position(headers, tail, true, closed.is_some());
        headers.insert(header::CACHE_CONTROL, cache::NO_STORE);
        response
    }

    /// Waits until there is something to tell or the time is over.
    async fn wait(&mut self, reading: &mut Reading) -> Result<(), Problem> {
        let until = Instant::now() + self.app.long_poll;
        while self.status.tail.bytes == self.cursor.position() && self.status.closed.is_none() {
            tokio::select! {
                biased;
                expired = reading.expired() => return Err(expired.into()),
                waited = self.cursor.wait() => waited?,
                () = tokio::time::sleep_until(until) => return Ok(()),
            }
            self.status = self.app.streams.status(self.channel()).await?;
            if self.cursor.reach_end().is_some_and(|end| end.bytes <= self.cursor.position()) {
                return Err(StreamError::AccessEnded.into());
            }
        }
        Ok(())
    }

    async fn long_poll(self, asked: &HeaderMap, reading: Reading) -> Result<Response, Problem> {
        if self.status.tail.bytes > self.cursor.position() {
            let cursor = self.next_cursor();
            return self.content(asked, Some(cursor), reading).await;
        }
        Ok(self.nothing())
    }

    fn next_cursor(&self) -> u64 {
        cursor::next(self.app.streams.now_ms(), self.had)
    }

    /// The end of a long poll without anything new.
    fn nothing(&self) -> Response {
        let Status { tail, closed } = self.status;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        insert_position(headers, tail, true, closed.is_some());
        headers.insert(header::CACHE_CONTROL, cache::NO_STORE);
        if closed.is_none() {
            headers.insert(STREAM_CURSOR, self.next_cursor().into());
        }
        response
    }

    /// The end of the stream, or of what may be read of it.
    fn reachable(&self) -> Status {
        let is_before = |end: &Offset| end.bytes < self.status.tail.bytes;
        match self.cursor.reach_end().filter(is_before) {
            Some(tail) => Status { tail, closed: None },
            None => self.status,
        }
    }

    /// What there is, up to a cap.
    async fn content(
        self,
        asked: &HeaderMap,
        cursor: Option<u64>,
        reading: Reading,
    ) -> Result<Response, Problem> {
        let (channel, from) = (self.channel(), self.cursor.position());
        let Status { tail, closed } = self.reachable();
        let end = if tail.bytes - from <= RESPONSE_BYTES_MAX {
            tail
        } else {
            self.app.streams.record_end(channel, from + RESPONSE_BYTES_MAX).await?
        };
        let last = end.bytes == tail.bytes;
        let closed = last && closed.is_some();
        let etag = cache::etag(channel.id(), from, end.bytes, closed);
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        insert_position(headers, end, last && !channel.is_uncertain(), closed);
        insert_text(headers, header::ETAG, &etag);
        let open = self.app.auth.is_open();
        // At the end anything may come any moment.
        let control = if end.bytes == from || self.may_change {
            cache::NO_STORE
        } else {
            cache::control(channel.lifetime(), open)
        };
        headers.insert(header::CACHE_CONTROL, control);
        if !open {
            // What one may read a cache must not show to another.
            headers.append(header::VARY, HeaderValue::from_static("authorization"));
        }
        if let Some(cursor) = cursor.filter(|_| !closed) {
            headers.insert(STREAM_CURSOR, cursor.into());
        }
        if cache::is_known(asked, &etag) && !self.may_change {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        content_type::insert(headers, channel.content_type());
        let body = content::body(self.cursor, end, headers, reading).await?;
        *response.body_mut() = body;
        Ok(response)
    }

    fn sse(self, asked: &HeaderMap, reading: Reading) -> Response {
        let Status { tail, closed } = self.status;
        let at_end = self.cursor.position() == tail.bytes;
        if at_end && closed.is_some() && sse::last_event_id(asked).is_some() {
            // A browser by itself would come back for ever; this tells it to stop.
            return self.nothing();
        }
        let at = if at_end { tail } else { self.at };
        sse::response(self.app, self.cursor, reading, at, self.had)
    }
}

fn insert_position(headers: &mut HeaderMap, next: Offset, last: bool, closed: bool) {
    insert_text(headers, STREAM_NEXT_OFFSET, &next.to_string());
    if last {
        headers.insert(STREAM_UP_TO_DATE, HeaderValue::from_static("true"));
    }
    if closed {
        headers.insert(STREAM_CLOSED, HeaderValue::from_static("true"));
    }
}
