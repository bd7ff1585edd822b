//! `PUT /?id=`: a real producer, whose request body is the stream.

use super::{
    App,
    body::{Incoming, discard},
    problem::{Problem, STREAM_CLOSED, STREAM_NEXT_OFFSET, insert_text, json_line},
    query::{Close, UploadQuery},
};
use crate::{
    auth::{Access, Principal},
    channel::Channel,
    limits::{CONTENT_TYPE_BYTES_MAX, RECORD_BYTES_MAX},
    model::{CloseReason, Expected, Offset, StreamName, holds_messages},
    stream::{Addition, StreamError, Streams},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use std::sync::Arc;

/// Appends the request body piece by piece as it arrives.
pub(super) async fn upload(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match Upload::begin(&app, &uri, &headers).await {
        Ok(mut upload) => {
            let mut body = app.incoming(body);
            match upload.run(&mut body).await {
                Ok(tail) => upload.done(tail),
                Err(problem) => {
                    body.discard().await;
                    problem.into_response()
                }
            }
        }
        Err(problem) => {
            // Reading would ask a producer that waits for "100 Continue" to send what nobody wants.
            if !headers.contains_key(header::EXPECT) {
                discard(body).await;
            }
            problem.into_response()
        }
    }
}

/// One producer at work.
struct Upload {
    streams: Arc<Streams>,
    principal: Arc<Principal>,
    channel: Arc<Channel>,
    created: bool,
    close: Close,
    /// Where the next piece belongs; kept up when this is the only producer of the stream. Then
    /// the rest of a connection that was thought dead cannot get in between.
    at: Option<Expected>,
    /// Where the stream ends as this producer has left it; `None` when it has not written yet or
    /// somebody else has come after it.
    left_at: Option<Offset>,
    /// Where it will end with what is on its way.
    leaving_at: Option<Offset>,
}

/// What a producer is told at its end.
#[derive(Serialize)]
struct Summary<'a> {
    id: &'a str,
    offset: String,
    records: u64,
    bytes: u64,
    closed: bool,
}

impl Upload {
    async fn begin(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Self, Problem> {
        let principal = app.auth.principal(headers, uri).await?;
        let UploadQuery { name, close, at } = UploadQuery::parse(uri)?;
        principal.check(Access::Write, &name)?;
        let content_type = content_type(headers)?;
        if holds_messages(content_type) {
            return Err(messages_elsewhere());
        }
        let tied = close == Close::Always;
        let (channel, created) = if at.is_none_or(|at| at.fits(Offset::ZERO)) {
            count_creation(app, &principal, &name).await?;
            app.streams.find_or_create(&name, content_type, tied).await?
        } else {
            // Where there is nothing to go on with, a refusal must not leave a stream behind.
            let found = app.streams.find(&name).await;
            (found.map_err(refuse_beginning)?, false)
        };
        if channel.holds_messages() {
            return Err(messages_elsewhere());
        }
        let streams = app.streams.clone();
        let left_at = created.then_some(Offset::ZERO);
        let leaving_at = None;
        Ok(Self { streams, principal, channel, created, close, at, left_at, leaving_at })
    }

    /// Takes pieces until the body ends, and closes the stream then if it is to be closed.
    async fn run(&mut self, body: &mut Incoming<'_>) -> Result<Offset, Problem> {
        loop {
            let next = body.next().await.map_err(|problem| problem.at(self.channel.durable()))?;
            let Some(piece) = next else {
                return self.append(Bytes::new(), true).await;
            };
            let tail = self.append_piece(piece, body.is_at_end()).await?;
            if body.is_at_end() {
                return Ok(tail);
            }
        }
    }

    async fn append_piece(&mut self, mut piece: Bytes, last: bool) -> Result<Offset, Problem> {
        loop {
            let record = piece.split_to(piece.len().min(RECORD_BYTES_MAX));
            let tail = self.append(record, last && piece.is_empty()).await?;
            if piece.is_empty() {
                return Ok(tail);
            }
        }
    }

    async fn append(&mut self, record: Bytes, last: bool) -> Result<Offset, Problem> {
        // At the moment of each commit: a body may take longer than its token is good.
        if let Err(expired) = self.principal.check_time() {
            return Err(Problem::from(expired).at(self.channel.durable()));
        }
        let close = (last && self.close != Close::Never).then_some(CloseReason::Finished);
        let (records, bytes) = (u64::from(!record.is_empty()), record.len() as u64);
        self.leaving_at = self.left_at.map(|offset| offset.advance(records, bytes));
        let tied = self.close == Close::Always;
        let addition = Addition { at: self.at, tied, close, ..Addition::bytes(record) };
        let appended = self.streams.append(&self.channel, addition).await;
        self.leaving_at = None;
        match appended.map(|appended| appended.tail) {
            Ok(tail) => {
                if self.at.is_some() || self.close != Close::Never {
                    self.at = Some(Expected::Exact(tail));
                }
                self.left_at = close.is_none().then_some(tail);
                Ok(tail)
            }
            Err(error) => {
                let is_over = |error: StreamError| {
                    use StreamError::{Closed, Moved, Replaced};
                    matches!(error, Closed { .. } | Moved { .. } | Replaced)
                };
                self.left_at = self.left_at.filter(|_| !is_over(error));
                Err(error.into())
            }
        }
    }

    fn done(&self, tail: Offset) -> Response {
        let closed = self.close != Close::Never;
        let summary = Summary {
            id: self.channel.name().as_str(),
            offset: tail.to_string(),
            records: tail.records,
            bytes: tail.bytes,
            closed,
        };
        let status = if self.created { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = (status, json_line(&summary)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.created {
            insert_text(headers, header::LOCATION, &location(self.channel.name()));
        }
        insert_text(headers, STREAM_NEXT_OFFSET, &tail.to_string());
        if closed {
            headers.insert(STREAM_CLOSED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// A producer that asked for it takes its stream along, whichever way it goes, unless somebody else
/// goes on with it already.
impl Drop for Upload {
    fn drop(&mut self) {
        let ends = [self.leaving_at, self.left_at];
        if self.close != Close::Always || ends == [None, None] {
            return;
        }
        let (streams, channel) = (self.streams.clone(), self.channel.clone());
        tokio::spawn(async move {
            for end in ends.into_iter().flatten() {
                let (at, close) = (Some(Expected::Exact(end)), Some(CloseReason::BrokenOff));
                let addition = Addition { at, tied: true, close, ..Addition::default() };
                match streams.append_patiently(&channel, addition).await {
                    Err(StreamError::Moved { .. }) => {}
                    Err(error) => {
                        let stream = channel.name();
                        tracing::debug!(%error, %stream, "left for the next start to close");
                        return;
                    }
                    Ok(_) => return,
                }
            }
        });
    }
}

/// Counts the creation of a stream that is not there, where somebody counts them.
pub(super) async fn count_creation(
    app: &App,
    principal: &Principal,
    name: &StreamName,
) -> Result<(), Problem> {
    if app.auth.counts_creations()
        && matches!(app.streams.find(name).await, Err(StreamError::NotFound))
    {
        app.auth.creation(principal)?;
    }
    Ok(())
}

/// For a producer that wants to go on: a stream that is not there ends at the beginning.
fn refuse_beginning(error: StreamError) -> StreamError {
    match error {
        StreamError::NotFound => StreamError::Moved { tail: Offset::ZERO },
        error => error,
    }
}

/// The type that the creator of a stream gives it.
pub(super) fn content_type(headers: &HeaderMap) -> Result<&str, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok("application/octet-stream");
    };
    let text = value.to_str().ok();
    let text = text
        .filter(|text| text.len() <= CONTENT_TYPE_BYTES_MAX && super::content_type::is_valid(text));
    text.ok_or_else(|| {
        let detail = format!("Content-Type must be one type, as text/plain, of at most {CONTENT_TYPE_BYTES_MAX} bytes");
        Problem::bad_request("bad_content_type", detail)
    })
}

/// Where a stream is found.
pub(super) fn location(name: &StreamName) -> String {
    format!("/?id={}", utf8_percent_encode(name.as_str(), NON_ALPHANUMERIC))
}

/// For whoever takes a stream of JSON messages for bytes.
pub(super) fn messages_elsewhere() -> Problem {
    let detail = "an application/json stream holds messages, not bytes; it is read and written at \
                  /v1/stream/{name}. For lines of JSON, application/x-ndjson will do";
    Problem::new(StatusCode::CONFLICT, "json_stream", detail)
}
