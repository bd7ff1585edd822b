//! `POST`: appends, closes, or both.
//!
//! A body of bytes that comes in chunks or is very long is appended as it arrives, each piece a
//! record. What must be one step is taken whole first: messages, and whatever its writer numbers.

use super::{
    super::{
        App,
        body::Incoming,
        problem::{PRODUCER_EPOCH, Problem, STREAM_CLOSED, STREAM_NEXT_OFFSET, insert_text},
    },
    headers::{self, PRODUCER_SEQ},
};
use crate::{
    auth::Principal,
    channel::Channel,
    limits::{APPEND_BYTES_MAX, RECORD_BYTES_MAX},
    model::{CloseReason, Records, StreamName, Writer, media_type},
    stream::{Addition, Appended, StreamError, records},
};
use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use futures::FutureExt;
use std::sync::Arc;

pub(super) async fn append(
    app: &App,
    principal: &Principal,
    name: &StreamName,
    parts: &Parts,
    body: Body,
) -> Result<Response, Problem> {
    let is_short = body.size_hint().exact().is_some_and(is_short);
    let mut incoming = app.incoming(body);
    // What is appended at once can be tried again on another life.
    let channel = match is_short {
        true => app.streams.find_to_append(name).await,
        false => app.streams.find(name).await,
    };
    let done = match Append::parse(app, principal, channel, &parts.headers) {
        Ok(append) if append.may_be_cut() && !is_short => {
            append.piece_by_piece(&mut incoming).await
        }
        Ok(append) => append.at_once(&mut incoming).await,
        Err(problem) => Err(problem),
    };
    if done.is_err() && !incoming.is_at_end() {
        incoming.discard().await;
    }
    done
}

fn is_short(bytes: u64) -> bool {
    bytes <= APPEND_BYTES_MAX as u64
}

/// One request at work.
#[derive(Clone)]
struct Append<'a> {
    app: &'a App,
    principal: &'a Principal,
    channel: Arc<Channel>,
    writer: Writer,
    close: Option<CloseReason>,
    /// What the client says the body is.
    content_type: Option<&'a HeaderValue>,
}

impl<'a> Append<'a> {
    fn parse(
        app: &'a App,
        principal: &'a Principal,
        channel: Result<Arc<Channel>, StreamError>,
        headers: &'a HeaderMap,
    ) -> Result<Self, Problem> {
        let writer = headers::writer(headers)?;
        let close = headers::closes(headers).then_some(CloseReason::Finished);
        let content_type = headers.get(header::CONTENT_TYPE);
        let channel = channel?;
        Ok(Self { app, principal, channel, writer, close, content_type })
    }

    /// Whether nobody would mind if only a part of the body came through.
    fn may_be_cut(&self) -> bool {
        self.writer.is_nobody() && !self.channel.holds_messages()
    }

    async fn at_once(self, incoming: &mut Incoming<'_>) -> Result<Response, Problem> {
        let body = incoming.whole(APPEND_BYTES_MAX).await?;
        let streams = &self.app.streams;
        let again = streams.shared().map(|_| (self.clone(), body.clone()));
        let done = self.whole(body).await;
        if done.is_err()
            && let Some((again, body)) = again
            && let Some(present) = streams.instead_of(&again.channel).await
        {
            return Self { channel: present?, ..again }.whole(body).await;
        }
        done
    }

    async fn whole(mut self, body: Bytes) -> Result<Response, Problem> {
        let is_empty = body.is_empty();
        let wrong_type = self.check(is_empty)?;
        let records = if wrong_type {
            Records::bytes(body)
        } else {
            let records = records(body, self.channel.holds_messages())?;
            if records.is_empty() && !is_empty {
                return Err(StreamError::NoMessages.into());
            }
            records
        };
        let writer = std::mem::take(&mut self.writer);
        let epoch = writer.stamp.as_ref().map(|stamp| stamp.epoch);
        let addition =
            Addition { records, close: self.close, writer, wrong_type, ..Addition::default() };
        let appended = self.append(addition).await?;
        // Only an idempotent producer is told whether this is news.
        let told = epoch.is_some() && !is_empty && !appended.duplicate;
        let status = if told { StatusCode::OK } else { StatusCode::NO_CONTENT };
        Ok(answer(status, &appended, epoch))
    }

    async fn piece_by_piece(self, incoming: &mut Incoming<'_>) -> Result<Response, Problem> {
        let mut piece = incoming.next().await?.unwrap_or_default();
        while piece.is_empty() && !incoming.is_at_end() {
            match incoming.next().await? {
                Some(next) => piece = next,
                None => break,
            }
        }
        let wrong_type = self.check(piece.is_empty())?;
        loop {
            // The end of a short body is here with its last piece, and closing is one step with it. A
            // piece does not wait for what comes behind it, and is kept whatever that is.
            let next = incoming.next().now_or_never();
            let ends = matches!(next, Some(Ok(None)));
            let appended = self.append_piece(piece, ends, wrong_type).await?;
            let next = match next {
                Some(next) => next?,
                None => incoming.next().await?,
            };
            piece = match next {
                Some(next) => next,
                None if ends || self.close.is_none() => {
                    return Ok(answer(StatusCode::NO_CONTENT, &appended, None));
                }
                None => {
                    let appended = self.append_piece(Bytes::new(), true, wrong_type).await?;
                    return Ok(answer(StatusCode::NO_CONTENT, &appended, None));
                }
            };
        }
    }

    async fn append_piece(
        &self,
        mut piece: Bytes,
        last: bool,
        wrong_type: bool,
    ) -> Result<Appended, Problem> {
        loop {
            let record = piece.split_to(piece.len().min(RECORD_BYTES_MAX));
            let close = self.close.filter(|_| last && piece.is_empty());
            let addition = Addition { close, wrong_type, ..Addition::bytes(record) };
            let appended = self.append(addition).await?;
            if piece.is_empty() {
                return Ok(appended);
            }
        }
    }

    async fn append(&self, addition: Addition) -> Result<Appended, Problem> {
        // At the moment of each commit: a body may take longer than its token is good.
        self.principal.check_time()?;
        Ok(self.app.streams.append(&self.channel, addition).await?)
    }

    /// What can be said of the request once it is known whether it has a body. Returns whether that
    /// is of another type than the stream.
    fn check(&self, is_empty: bool) -> Result<bool, Problem> {
        if is_empty && self.close.is_none() {
            let detail =
                "there is nothing in the body; to close the stream send Stream-Closed: true";
            return Err(Problem::bad_request("empty_body", detail));
        }
        if is_empty {
            return Ok(false);
        }
        let Some(content_type) = self.content_type else {
            let detail = "Content-Type must say what the body is: the type of the stream";
            return Err(Problem::bad_request("missing_content_type", detail));
        };
        let content_type = content_type.to_str().unwrap_or_default();
        let own = media_type(self.channel.content_type());
        Ok(!media_type(content_type).eq_ignore_ascii_case(own))
    }
}

fn answer(status: StatusCode, appended: &Appended, epoch: Option<u64>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    insert_text(headers, STREAM_NEXT_OFFSET, &appended.tail.to_string());
    if appended.closed {
        headers.insert(STREAM_CLOSED, HeaderValue::from_static("true"));
    }
    if let Some(epoch) = epoch {
        headers.insert(PRODUCER_EPOCH, epoch.into());
    }
    if let Some(seq) = appended.seq {
        headers.insert(PRODUCER_SEQ, seq.into());
    }
    response
}
