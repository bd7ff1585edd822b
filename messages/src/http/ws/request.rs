//! The frames of clients. Members that are not known here are ignored, so that clients may be newer
//! than the server; kinds that are not known are refused.

use super::{
    chat_request::{self, ChatRequest},
    label::Label,
    source::Source,
};
use crate::{
    http::{
        json::object,
        problem::Problem,
        protocol::{Start, parse_name, parse_start},
    },
    limits::{PROTOCOL_NUMBER_MAX, WRITER_TEXT_BYTES_MAX},
    model::{Records, Stamp, StreamName, Writer, is_writer_text},
    stream::{StreamError, records},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What a client asks for.
pub(super) enum Request {
    Subscribe(Subscribe),
    Unsubscribe { id: Option<Label>, sub: Label },
    Ack { id: Option<Label>, sub: Label, bytes: u64 },
    Append(Append),
    Chat(ChatRequest),
    Token { id: Option<Label>, token: String },
    Ping { id: Option<Label> },
}

/// A subscription that is to begin.
pub(super) struct Subscribe {
    pub id: Option<Label>,
    pub sub: Label,
    pub source: Source,
    pub start: Start,
    /// How many bytes may be sent beyond what was acknowledged; `None` for any number.
    pub window: Option<u64>,
    /// For a client that knows nothing of subscriptions.
    pub is_plain: bool,
}

/// Something to append, to close, or both.
#[derive(Clone)]
pub(super) struct Append {
    pub id: Option<Label>,
    pub stream: StreamName,
    pub records: Records,
    pub content_type: Option<String>,
    pub writer: Writer,
    pub close: bool,
}

/// A frame that cannot be done, and what it says of itself.
pub(super) struct Refused {
    pub id: Option<Label>,
    pub sub: Option<Label>,
    pub problem: Problem,
    /// It makes no sense at all: whoever sends such frames is not a client of this protocol.
    pub malformed: bool,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    id: Option<Label>,
    sub: Option<Label>,
}

#[derive(Deserialize)]
struct SubscribeForm<'a> {
    sub: Label,
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    conversation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    offset: Option<Cow<'a, str>>,
    window: Option<u64>,
}

#[derive(Deserialize)]
struct SubForm {
    sub: Label,
}

#[derive(Deserialize)]
struct AckForm<'a> {
    sub: Label,
    #[serde(borrow)]
    offset: Cow<'a, str>,
}

#[derive(Deserialize)]
struct TokenForm {
    token: String,
}

#[derive(Deserialize)]
struct AppendForm<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    base64: Option<Cow<'a, str>>,
    content_type: Option<String>,
    producer: Option<ProducerForm>,
    stream_seq: Option<String>,
    #[serde(default)]
    close: bool,
}

#[derive(Deserialize)]
struct ProducerForm {
    id: String,
    epoch: u64,
    seq: u64,
}

/// What went wrong, and whether the frame is none at all.
pub(super) type Why = (Problem, bool);

pub(super) fn malformed(code: &'static str, detail: impl Into<String>) -> Why {
    (Problem::bad_request(code, detail), true)
}

pub(super) fn refused(problem: Problem) -> Why {
    (problem, false)
}

pub(super) fn form<'a, F: Deserialize<'a>>(text: &'a str) -> Result<F, Why> {
    object(text.as_bytes()).map_err(|error| malformed("bad_frame", error.to_string()))
}

/// Reads a frame.
pub(super) fn parse(text: &str) -> Result<Request, Refused> {
    let head: Head<'_> = form(text).map_err(|(problem, malformed)| Refused {
        id: None,
        sub: None,
        problem,
        malformed,
    })?;
    let Head { r#type: kind, id, sub } = head;
    let request = request(&kind, id.clone(), text);
    request.map_err(|(problem, malformed)| Refused { id, sub, problem, malformed })
}

fn request(kind: &str, id: Option<Label>, text: &str) -> Result<Request, Why> {
    match kind {
        "subscribe" => subscribe(id, form(text)?).map(Request::Subscribe),
        "unsubscribe" => {
            let SubForm { sub } = form(text)?;
            Ok(Request::Unsubscribe { id, sub })
        }
        "ack" => {
            let AckForm { sub, offset } = form(text)?;
            match parse_start(&offset) {
                Some(Start::At(offset)) => Ok(Request::Ack { id, sub, bytes: offset.bytes }),
                _ => Err(bad_offset("must be what a data frame said")),
            }
        }
        "append" => append(id, form(text)?).map(Request::Append),
        "token" => {
            let TokenForm { token } = form(text)?;
            Ok(Request::Token { id, token })
        }
        "ping" => Ok(Request::Ping { id }),
        _ => match chat_request::parse(kind, id, text)? {
            Some(request) => Ok(Request::Chat(request)),
            None => Err(malformed("unknown_type", "this server knows no frame of this type")),
        },
    }
}

pub(super) fn bad_offset(what: &str) -> Why {
    refused(Problem::bad_request("bad_offset", format!("offset: {what}")))
}

fn subscribe(id: Option<Label>, form: SubscribeForm<'_>) -> Result<Subscribe, Why> {
    let SubscribeForm { sub, stream, conversation, offset, window } = form;
    let start = offset.map_or(Some(Start::Beginning), |offset| parse_start(&offset));
    let start = start.ok_or_else(|| {
        bad_offset("must be -1 for the beginning, now for the end, or what another frame said")
    })?;
    if window == Some(0) {
        let detail = "window must be a number of bytes above 0";
        return Err(refused(Problem::bad_request("bad_window", detail)));
    }
    let source = match (stream, conversation) {
        (Some(stream), None) => Source::Stream(parse_name(&stream).map_err(refused)?),
        (None, Some(name)) => Source::Conversation(chat_request::name(&name)?),
        _ => return Err(malformed("bad_frame", "one of stream and conversation must be there")),
    };
    Ok(Subscribe { id, sub, source, start, window, is_plain: false })
}

fn append(id: Option<Label>, form: AppendForm<'_>) -> Result<Append, Why> {
    let writer = writer(form.producer, form.stream_seq)?;
    let stream = parse_name(&form.stream).map_err(refused)?;
    let records = match (form.text, form.messages, form.base64) {
        (None, None, None) => Records::none(),
        (Some(text), None, None) => Records::bytes(Bytes::from(text.into_owned())),
        (None, Some(messages), None) => array(messages)?,
        (None, None, Some(base64)) => {
            let bytes = STANDARD.decode(base64.as_bytes()).map_err(|error| {
                refused(Problem::bad_request("bad_base64", format!("base64: {error}")))
            })?;
            Records::bytes(bytes.into())
        }
        _ => {
            return Err(malformed(
                "bad_frame",
                "only one of text, messages and base64 may be there",
            ));
        }
    };
    if records.is_empty() && !form.close {
        let detail = "there is nothing in the frame; to close the stream say \"close\": true";
        return Err(refused(Problem::bad_request("empty_body", detail)));
    }
    let AppendForm { content_type, close, .. } = form;
    Ok(Append { id, stream, records, content_type, writer, close })
}

fn array(messages: &RawValue) -> Result<Records, Why> {
    let text = messages.get();
    if !text.starts_with('[') {
        return Err(malformed("bad_frame", "messages must be an array"));
    }
    let records = records(Bytes::copy_from_slice(text.as_bytes()), true);
    let records = records.map_err(|error| refused(error.into()))?;
    if records.is_empty() {
        return Err(refused(StreamError::NoMessages.into()));
    }
    Ok(records)
}

fn writer(producer: Option<ProducerForm>, seq: Option<String>) -> Result<Writer, Why> {
    let bad = |what: String| refused(Problem::bad_request("bad_producer", what));
    let is_bad = |text: &str| !is_writer_text(text);
    let plain = "and no control characters";
    if seq.as_deref().is_some_and(is_bad) {
        let most = format!("stream_seq may have at most {WRITER_TEXT_BYTES_MAX} bytes {plain}");
        return Err(bad(most));
    }
    let stamp = match producer {
        None => None,
        Some(ProducerForm { id, .. }) if id.is_empty() || is_bad(&id) => {
            let what = format!("producer.id must have 1 to {WRITER_TEXT_BYTES_MAX} bytes {plain}");
            return Err(bad(what));
        }
        Some(ProducerForm { epoch, seq, .. }) if epoch.max(seq) > PROTOCOL_NUMBER_MAX => {
            return Err(bad("producer.epoch and producer.seq go up to 2^53 - 1".into()));
        }
        Some(ProducerForm { id, epoch, seq }) => Some(Stamp { producer: id.into(), epoch, seq }),
    };
    Ok(Writer { stamp, seq: seq.map(Into::into) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> (String, bool) {
        match parse(text) {
            Ok(_) => ("ok".into(), false),
            Err(Refused { problem, malformed, .. }) => {
                let frame = serde_json::to_value(problem.frame()).expect("JSON");
                (frame["code"].as_str().expect("a code").to_owned(), malformed)
            }
        }
    }

    #[test]
    fn frames_are_told_apart() {
        for (text, want, bad) in [
            (r#"{"type":"ping"}"#, "ok", false),
            (r#"{"type":"ping","id":1,"later":[{}]}"#, "ok", false),
            (r#"{"type":"subscribe","sub":1,"stream":"a"}"#, "ok", false),
            (r#"{"type":"subscribe","sub":1,"stream":"a","offset":"0"}"#, "bad_offset", false),
            (r#"{"type":"subscribe","sub":1,"stream":" a"}"#, "bad_name", false),
            (r#"{"type":"subscribe","sub":1,"stream":"__ds/a"}"#, "reserved_name", false),
            (r#"{"type":"subscribe","sub":1,"stream":"a","window":0}"#, "bad_window", false),
            (r#"{"type":"subscribe","stream":"a"}"#, "bad_frame", true),
            (r#"{"type":"subscribe","sub":{},"stream":"a"}"#, "bad_frame", true),
            (r#"{"type":"append","stream":"a","text":"x"}"#, "ok", false),
            (r#"{"type":"append","stream":"a","close":true}"#, "ok", false),
            (r#"{"type":"append","stream":"a"}"#, "empty_body", false),
            (r#"{"type":"append","stream":"a","text":"x","base64":""}"#, "bad_frame", true),
            (r#"{"type":"append","stream":"a","base64":"?"}"#, "bad_base64", false),
            (r#"{"type":"append","stream":"a","messages":[]}"#, "no_messages", false),
            (r#"{"type":"append","stream":"a","messages":{}}"#, "bad_frame", true),
            (
                r#"{"type":"append","stream":"a","text":"x","producer":{"id":"","epoch":0,"seq":0}}"#,
                "bad_producer",
                false,
            ),
            (
                r#"{"type":"append","stream":"a","text":"x","producer":{"id":"p","epoch":0}}"#,
                "bad_frame",
                true,
            ),
            (r#"{"type":"dance"}"#, "unknown_type", true),
            (r#"{"id":1}"#, "bad_frame", true),
            ("[]", "bad_frame", true),
            ("", "bad_frame", true),
        ] {
            assert_eq!(code(text), (want.to_owned(), bad), "{text}");
        }
    }

    #[test]
    fn messages_keep_their_text() {
        let text = r#"{"type":"append","stream":"a","messages":[ {"b": 1.0, "a":2}, "\u00e9" ]}"#;
        let Ok(Request::Append(append)) = parse(text) else { panic!("an append") };
        assert_eq!(append.records.count(), 2);
        let (_, body) = append.records.into_parts();
        assert_eq!(&body[..], br#"{"b": 1.0, "a":2},"\u00e9","#);
    }
}
