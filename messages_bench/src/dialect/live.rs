//! A reader of the protocol: it follows a stream by catching up, by long polls or by server-sent
//! events, and goes on from its last offset whenever an answer is over.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use serde::Deserialize;
use tokio::time::sleep;

use super::Target;
use super::call::{Answer, Call, Caller, name};
use crate::client::{Failure, Reply};
use crate::limits;
use crate::sse::{Piece, Sse};

/// What the bytes of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// JSON messages. Content is each message with a comma behind it.
    Json,
    /// UTF-8, whose lines end with LF.
    Text,
    /// Any bytes.
    Bytes,
}

impl Kind {
    /// The type to create it with.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Text => "text/plain",
            Self::Bytes => "application/octet-stream",
        }
    }

    /// The content in the body of an answer.
    pub fn content(self, body: &[u8]) -> Result<Vec<u8>, Failure> {
        if self != Self::Json {
            return Ok(body.to_vec());
        }
        let inner = body.strip_prefix(b"[").and_then(|body| body.strip_suffix(b"]"));
        let inner = inner.ok_or_else(|| {
            let body = crate::check::excerpt(body);
            Failure::Wrong(format!("JSON that is not an array: {body}"))
        })?;
        let comma: &[u8] = if inner.is_empty() { b"" } else { b"," };
        Ok([inner, comma].concat())
    }
}

/// How a reader waits for what is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It asks again after a pause.
    CatchUp,
    /// The server holds the answer back.
    LongPoll,
    /// One answer that goes on.
    Sse,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CatchUp, Self::LongPoll, Self::Sse];
}

/// What a reader got.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// Content, and perhaps nothing.
    Data(Vec<u8>),
    /// The stream is closed, and all of it has been read.
    Closed,
}

/// A reader at its position.
pub struct Reader {
    caller: Caller,
    id: String,
    kind: Kind,
    mode: Mode,
    offset: String,
    cursor: Option<String>,
    /// The stream is closed, and what has been handed out is all of it.
    over: bool,
    events: Option<Events>,
}

/// An answer of events at work.
struct Events {
    reply: Reply,
    parser: Sse,
    /// Whether the answer is in base64.
    encoded: bool,
    /// The data of the event that is being read.
    event: Vec<u8>,
    /// Content whose position has not been told yet.
    untold: Vec<u8>,
    /// Told and not handed out.
    ready: Vec<(Vec<u8>, Control)>,
}

/// What a control event says.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Control {
    stream_next_offset: String,
    stream_cursor: Option<String>,
    #[serde(default)]
    up_to_date: bool,
    #[serde(default)]
    stream_closed: bool,
}

impl Reader {
    /// A reader that has not connected yet, at `offset`.
    pub fn new(target: &Target, id: &str, kind: Kind, mode: Mode, offset: &str) -> Self {
        Self {
            caller: Caller::new(target),
            id: id.to_owned(),
            kind,
            mode,
            offset: offset.to_owned(),
            cursor: None,
            over: false,
            events: None,
        }
    }

    /// Where it is, in the words of the server.
    pub fn offset(&self) -> &str {
        &self.offset
    }

    /// The node that it reads from.
    pub fn node(&self) -> usize {
        self.caller.node()
    }

    /// Breaks off, and goes on in another way the next time, perhaps on another node.
    pub fn reconnect(&mut self, target: &Target, mode: Mode) {
        self.caller.disconnect();
        self.caller.visit(target);
        self.events = None;
        self.mode = mode;
    }

    /// The next content. Its position is known when it is handed out: whoever breaks off goes on
    /// behind it.
    pub async fn next(&mut self) -> Result<Got, Failure> {
        if self.over {
            return Ok(Got::Closed);
        }
        match self.mode {
            Mode::Sse => self.event().await,
            Mode::CatchUp | Mode::LongPoll => self.page().await,
        }
    }

    async fn page(&mut self) -> Result<Got, Failure> {
        let mut query = format!("?offset={}", self.offset);
        if self.mode == Mode::LongPoll {
            let cursor = self.cursor.as_ref().map(|cursor| format!("&cursor={cursor}"));
            query = format!("{query}{}&live=long-poll", cursor.unwrap_or_default());
        }
        let call = Call::new(Method::GET).query(query);
        let answer = self.caller.call(&self.id, &call).await?;
        let content = match answer.status {
            StatusCode::OK => self.kind.content(&answer.body)?,
            StatusCode::NO_CONTENT if self.mode == Mode::LongPoll => Vec::new(),
            _ => return Err(refused(&self.id, &answer)),
        };
        let next = answer.offset()?;
        self.check_step(&next, content.is_empty())?;
        (self.offset, self.over) = (next, answer.says(name::CLOSED));
        let caught_up = answer.says(name::UP_TO_DATE);
        if self.mode == Mode::LongPoll && !self.over {
            let cursor = answer.header(name::CURSOR).map(str::to_owned);
            self.cursor = Some(cursor.ok_or_else(|| answer.wrong("has no Stream-Cursor"))?);
        }
        if content.is_empty() && !caught_up {
            return Err(answer.wrong("has nothing and does not say that this is the end"));
        }
        if self.over && !caught_up {
            return Err(answer.wrong("is the end of a closed stream and not up to date"));
        }
        if caught_up && !self.over && self.mode == Mode::CatchUp {
            sleep(limits::CATCH_UP_PAUSE).await;
        }
        Ok(if self.over && content.is_empty() { Got::Closed } else { Got::Data(content) })
    }

    /// An offset moves forward when there is content, and only then.
    fn check_step(&self, next: &str, empty: bool) -> Result<(), Failure> {
        let right = match self.offset.as_str() {
            "-1" | "now" => true,
            offset if empty => next == offset,
            offset => next > offset,
        };
        let offset = &self.offset;
        let what = if empty { "nothing" } else { "content" };
        right.then_some(()).ok_or_else(|| {
            Failure::Wrong(format!("from offset {offset} to {next} with {what} in between"))
        })
    }

    async fn event(&mut self) -> Result<Got, Failure> {
        loop {
            if self.events.is_none() {
                self.events = Some(self.connect().await?);
            }
            let Some(events) = &mut self.events else { continue };
            if !events.ready.is_empty() {
                let (content, control) = events.ready.remove(0);
                return self.take(content, control);
            }
            match self.caller.piece(&mut events.reply).await? {
                Some(bytes) => events.feed(self.kind, &bytes)?,
                // It is time to come back, or the stream is gone.
                None => {
                    self.events = None;
                    return Ok(Got::Data(Vec::new()));
                }
            }
        }
    }

    fn take(&mut self, content: Vec<u8>, control: Control) -> Result<Got, Failure> {
        let Control { stream_next_offset: next, stream_cursor, up_to_date, stream_closed } =
            control;
        self.check_step(&next, content.is_empty())?;
        if stream_closed == stream_cursor.is_some() {
            let what = format!("closed: {stream_closed}, cursor: {stream_cursor:?}");
            return Err(Failure::Wrong(what));
        }
        if content.is_empty() && !up_to_date {
            return Err(Failure::Wrong("a control event without content or news".into()));
        }
        (self.offset, self.over) = (next, stream_closed);
        if self.over {
            self.events = None;
            // The rest of the answer is nothing but its end.
            self.caller.disconnect();
        }
        Ok(if self.over && content.is_empty() { Got::Closed } else { Got::Data(content) })
    }

    async fn connect(&mut self) -> Result<Events, Failure> {
        let call = Call::new(Method::GET).query(format!("?offset={}&live=sse", self.offset));
        let reply = self.caller.open(&self.id, &call).await?;
        if reply.head.status != StatusCode::OK {
            let answer = self.caller.whole(reply).await?;
            return Err(refused(&self.id, &answer));
        }
        let encoded = reply.header("stream-sse-data-encoding") == Some("base64");
        let is_events = reply.header("content-type") == Some("text/event-stream");
        if !is_events || encoded != (self.kind == Kind::Bytes) {
            return Err(Failure::Wrong(format!("headers of events: {:?}", reply.head.headers)));
        }
        let parser = Sse::new();
        Ok(Events {
            reply,
            parser,
            encoded,
            event: Vec::new(),
            untold: Vec::new(),
            ready: Vec::new(),
        })
    }
}

impl Events {
    fn feed(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), Failure> {
        let Self { parser, encoded, event, untold, ready, .. } = self;
        let mut wrong = None;
        parser.feed(bytes, |piece| match piece {
            Piece::Data(data) => event.extend_from_slice(data),
            Piece::Complete => match decode(kind, *encoded, &std::mem::take(event)) {
                Ok(content) => untold.extend(content),
                Err(failure) => wrong = Some(failure),
            },
            Piece::Control(json) => match serde_json::from_slice(json) {
                Ok(control) => ready.push((std::mem::take(untold), control)),
                Err(error) => wrong = Some(Failure::Wrong(format!("control event: {error}"))),
            },
        });
        wrong.map_or(Ok(()), Err)
    }
}

/// The content of one event.
fn decode(kind: Kind, encoded: bool, event: &[u8]) -> Result<Vec<u8>, Failure> {
    if !encoded {
        return kind.content(event);
    }
    let text: Vec<u8> = event.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
    STANDARD.decode(text).map_err(|error| Failure::Wrong(format!("base64: {error}")))
}

fn refused(id: &str, answer: &Answer) -> Failure {
    let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]).into_owned();
    Failure::Refused(format!("GET {id}"), answer.status, body.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_taken_out_of_its_array() {
        let content = |body: &str| Kind::Json.content(body.as_bytes()).ok();
        assert_eq!(content("[]"), Some(Vec::new()));
        assert_eq!(content("[1,[2]]"), Some(b"1,[2],".to_vec()));
        assert_eq!(content("1"), None);
    }
}
