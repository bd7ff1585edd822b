//! `GET`: catches up, once or waiting for more.

use super::{
    super::{
        App,
        parts::Parts as PartsBody,
        problem::{Problem, STREAM_CLOSED, STREAM_NEXT_OFFSET, insert_text},
    },
    cache, cursor,
    headers::{STREAM_CURSOR, STREAM_UP_TO_DATE},
    insert_content_type,
    query::{Live, Query, Start},
    sse,
};
use crate::{
    channel::{Channel, Status},
    limits::RESPONSE_BYTES_MAX,
    model::{Offset, StreamName},
    stream::{Cursor, Page, StreamError},
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use tokio::time::Instant;

pub(super) async fn read(app: &App, name: &StreamName, parts: &Parts) -> Result<Response, Problem> {
    let query = Query::parse(&parts.uri)?;
    let start = match query.live {
        // A browser that comes back by itself says so in a header.
        Some(Live::Sse) => sse::last_event_id(&parts.headers).or(query.start),
        _ => query.start,
    };
    let reader = loop {
        let channel = app.streams.find(name).await?;
        match Reader::begin(app, channel, start, &query).await {
            // The name has just begun anew, and is found with its new life now.
            Err(StreamError::Replaced) => {}
            reader => break reader?,
        }
    };
    match query.live {
        Some(Live::Sse) => Ok(reader.sse(&parts.headers)),
        Some(Live::LongPoll) => reader.long_poll(&parts.headers).await,
        None if start == Some(Start::Now) => Ok(reader.now()),
        None => reader.catch_up(&parts.headers).await,
    }
}

/// One reader at its position.
struct Reader<'a> {
    app: &'a App,
    cursor: Cursor,
    status: Status,
    /// Where the client begins, as it says.
    at: Offset,
    /// The cursor that the client had.
    had: Option<u64>,
}

impl<'a> Reader<'a> {
    async fn begin(
        app: &'a App,
        channel: std::sync::Arc<Channel>,
        start: Option<Start>,
        query: &Query,
    ) -> Result<Self, StreamError> {
        let at = match start {
            None | Some(Start::Beginning) => Offset::ZERO,
            Some(Start::At(offset)) => offset,
            // Fixed before anything is waited for.
            Some(Start::Now) => app.streams.status(&channel).await?.tail,
        };
        let (cursor, status) = app.streams.read(channel, at.bytes).await?;
        Ok(Self { app, cursor, status, at, had: query.cursor })
    }

    fn channel(&self) -> &Channel {
        self.cursor.channel()
    }

    /// Nothing but where the stream ends.
    fn now(self) -> Response {
        let Status { tail, closed } = self.status;
        let mut response = Response::new(Body::from(self.array(vec![]).concat()));
        let headers = response.headers_mut();
        insert_content_type(headers, self.channel().content_type());
        insert_position(headers, tail, true, closed.is_some());
        headers.insert(header::CACHE_CONTROL, cache::NO_STORE);
        response
    }

    async fn catch_up(mut self, asked: &HeaderMap) -> Result<Response, Problem> {
        let from = self.cursor.position();
        let page = self.cursor.page(RESPONSE_BYTES_MAX).await?;
        Ok(self.page(from, page, asked, None))
    }

    async fn long_poll(mut self, asked: &HeaderMap) -> Result<Response, Problem> {
        let until = Instant::now() + self.app.long_poll;
        let from = self.cursor.position();
        loop {
            let page = self.cursor.page(RESPONSE_BYTES_MAX).await?;
            let cursor = self.next_cursor();
            if !page.parts.is_empty() {
                return Ok(self.page(from, page, asked, Some(cursor)));
            }
            if page.closed.is_some() {
                return Ok(self.nothing(None));
            }
            match tokio::time::timeout_at(until, self.cursor.wait()).await {
                Ok(waited) => waited?,
                Err(_) => return Ok(self.nothing(Some(cursor))),
            }
        }
    }

    fn next_cursor(&self) -> u64 {
        cursor::next(self.app.streams.now_ms(), self.had)
    }

    /// The end of a long poll without anything new.
    fn nothing(&self, cursor: Option<u64>) -> Response {
        let tail = self.channel().durable();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        insert_position(headers, tail, true, cursor.is_none());
        headers.insert(header::CACHE_CONTROL, cache::NO_STORE);
        if let Some(cursor) = cursor {
            headers.insert(STREAM_CURSOR, cursor.into());
        }
        response
    }

    fn page(self, from: u64, page: Page, asked: &HeaderMap, cursor: Option<u64>) -> Response {
        let channel = self.channel();
        let is_empty = page.parts.is_empty();
        let end = page.end.unwrap_or_else(|| channel.durable());
        let closed = page.closed.is_some();
        let etag = cache::etag(channel.id(), from, end.bytes, closed);
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        insert_position(headers, end, page.last, closed);
        insert_text(headers, header::ETAG, &etag);
        headers.insert(
            header::CACHE_CONTROL,
            // At the end anything may come any moment.
            if is_empty {
                cache::NO_STORE
            } else {
                cache::control(channel.lifetime(), self.app.is_open())
            },
        );
        if let Some(cursor) = cursor.filter(|_| !closed) {
            headers.insert(STREAM_CURSOR, cursor.into());
        }
        if cache::is_known(asked, &etag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        insert_content_type(headers, channel.content_type());
        let Page { parts, room, .. } = page;
        *response.body_mut() = Body::new(PartsBody::new(self.array(parts), room));
        response
    }

    /// Messages between brackets and without the last comma; bytes as they are.
    fn array(&self, mut parts: Vec<Bytes>) -> Vec<Bytes> {
        if self.channel().holds_messages() {
            if let Some(last) = parts.last_mut() {
                last.truncate(last.len().saturating_sub(1));
            }
            parts.insert(0, Bytes::from_static(b"["));
            parts.push(Bytes::from_static(b"]"));
        }
        parts
    }

    fn sse(self, asked: &HeaderMap) -> Response {
        let Status { tail, closed } = self.status;
        let at_end = self.cursor.position() == tail.bytes;
        if at_end && closed.is_some() && sse::last_event_id(asked).is_some() {
            // A browser by itself would come back for ever; this tells it to stop.
            return self.nothing(None);
        }
        let at = if at_end { tail } else { self.at };
        sse::response(self.app, self.cursor, at, self.had)
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
