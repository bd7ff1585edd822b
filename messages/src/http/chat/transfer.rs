//! Conversations as files: lines of JSON, out and in.

use super::{
    super::{App, json::object, problem::Problem, query::parameters, traffic::Transport},
    forms::{ImportForm, count},
    request::{Answer, Caller, InConversation, answer},
};
use crate::{
    chat::{Action, Extra, Imported},
    limits::{IMPORT_BODY_BYTES_MAX, IMPORT_MESSAGES_AT_ONCE},
    stream::{Cursor, Piece, StreamError},
};
use axum::{
    BoxError,
    body::Body,
    extract::State,
    http::{HeaderValue, Uri, header},
    response::Response,
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// The events of a conversation, a line each, from a position on and up to another.
pub(super) async fn export(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    uri: Uri,
) -> Answer {
    let [from, to] = parameters(&uri, ["from", "to"])?;
    let (from, to) = (count("from", from)?.unwrap_or(0), count("to", to)?.unwrap_or(u64::MAX));
    let readable = app.chat.readable(&caller.user, &name).await?;
    let reading = app.auth.reading(caller.principal, app.traffic.reads(Transport::Once))?;
    let channel = readable.conversation.channel().clone();
    let (cursor, status) = app.streams.read(channel, readable.from.bytes).await?;
    let end = status.tail.bytes;
    let lines = Lines { cursor: cursor.within(readable.reach), end, from, to };
    let body = futures::stream::try_unfold((lines, reading), |(mut lines, reading)| async {
        reading.check().map_err(BoxError::from)?;
        let next = lines.next().await?;
        Ok::<_, BoxError>(next.map(|bytes| (bytes, (lines, reading))))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

struct Lines {
    cursor: Cursor,
    /// Where the stream ended when it was begun.
    end: u64,
    from: u64,
    to: u64,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<Bytes>, StreamError> {
        while self.cursor.position() < self.end {
            let Some(Piece::Data(part)) = self.cursor.ready().await? else { return Ok(None) };
            let array = [b"[", part.bytes.strip_suffix(b",").unwrap_or(&part.bytes), b"]"].concat();
            let events: Vec<&RawValue> =
                serde_json::from_slice(&array).map_err(|_| StreamError::Damaged)?;
            let first = part.end.records + 1 - events.len() as u64;
            let mut text = String::with_capacity(part.bytes.len());
            for (position, event) in (first..).zip(events) {
                if (self.from..=self.to).contains(&position) {
                    text.push_str(event.get());
                    text.push('\n');
                }
            }
            if !text.is_empty() {
                return Ok(Some(text.into()));
            }
        }
        Ok(None)
    }
}

/// What was taken up.
#[derive(Serialize)]
struct ImportView {
    imported: usize,
    position: u64,
}

/// Messages that were sent elsewhere, a line each. All lines are looked at before the first is taken.
pub(super) async fn import(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    body: Body,
) -> Answer {
    let body = app.incoming(body).whole(IMPORT_BODY_BYTES_MAX).await?;
    let messages = lines(&body)?;
    let (mut imported, mut position) = (0, 0);
    for part in messages.chunks(IMPORT_MESSAGES_AT_ONCE) {
        let done = app.chat.act(&caller.user, &name, Action::Import(part.to_vec())).await?;
        (imported, position) = (imported + part.len(), done.position);
    }
    Ok(answer(&ImportView { imported, position }))
}

fn lines(body: &[u8]) -> Result<Vec<Imported>, Problem> {
    let mut messages = Vec::new();
    for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let form: ImportForm = object(line)
            .map_err(|error| Problem::bad_request("bad_body", format!("line {number}: {error}")))?;
        let ImportForm { source, text, created, reply_to, mentions, attachments, meta } = form;
        let extra = Extra { mentions, attachments, meta };
        let message = Imported { source: source.into(), text, created, reply_to, extra };
        message.check()?;
        messages.push(message);
    }
    if messages.is_empty() {
        return Err(Problem::bad_request("bad_body", "there is no message in the body"));
    }
    Ok(messages)
}
