//! The frames of the server, but for content, which is written by hand in `data.rs`.

use super::{
    label::Label,
    source::{Found, Source},
};
use crate::{
    chat::{ConversationView, MessageView, Sent},
    http::problem::{Problem, ProblemFrame},
    limits::{
        SOCKET_APPENDS_MAX, SOCKET_BAD_FRAMES_MAX, SOCKET_FRAME_BYTES_MAX, SOCKET_LABEL_BYTES_MAX,
        SOCKET_SUBSCRIPTIONS_MAX,
    },
    model::{CloseReason, Offset},
    stream::Appended,
};
use serde::Serialize;

/// What changes when clients must change.
const VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame<'a> {
    Hello {
        version: u32,
        heartbeat_secs: u64,
        stall_secs: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
        limits: Limits,
    },
    Subscribed {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Label>,
        sub: &'a Label,
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        conversation: Option<&'a str>,
        offset: String,
        tail: String,
        closed: bool,
        content_type: &'a str,
    },
    Unsubscribed {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Label>,
        sub: &'a Label,
    },
    CaughtUp {
        sub: &'a Label,
        offset: String,
    },
    Closed {
        sub: &'a Label,
        offset: String,
        reason: &'a str,
    },
    Appended {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Label>,
        offset: String,
        duplicate: bool,
        closed: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        producer_seq: Option<u64>,
    },
    Following {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Label>,
        user: &'a str,
        conversations: &'a [ConversationView],
    },
    Conversation {
        conversation: &'a ConversationView,
    },
    Sent {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Label>,
        message: &'a MessageView,
        duplicate: bool,
    },
    Done {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Label>,
        position: u64,
    },
    Token {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Label>,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
    },
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Label>,
    },
    Heartbeat {},
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Label>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sub: Option<&'a Label>,
        #[serde(flatten)]
        problem: ProblemFrame<'a>,
    },
}

#[derive(Serialize)]
struct Limits {
    subscriptions: usize,
    frame_bytes: usize,
    appends: usize,
    label_bytes: usize,
    bad_frames: u32,
}

impl Frame<'_> {
    fn text(&self) -> String {
        // Nothing in these can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The first frame.
pub(super) fn hello(heartbeat_secs: u64, stall_secs: u64, expires_ms: Option<u64>) -> String {
    let limits = Limits {
        subscriptions: SOCKET_SUBSCRIPTIONS_MAX,
        frame_bytes: SOCKET_FRAME_BYTES_MAX,
        appends: SOCKET_APPENDS_MAX,
        label_bytes: SOCKET_LABEL_BYTES_MAX,
        bad_frames: SOCKET_BAD_FRAMES_MAX,
    };
    let expires_at = expires_ms.map(|ms| ms / 1000);
    Frame::Hello { version: VERSION, heartbeat_secs, stall_secs, expires_at, limits }.text()
}

/// A subscription has begun.
pub(super) fn subscribed(
    id: Option<&Label>,
    sub: &Label,
    source: &Source,
    found: &Found,
) -> String {
    let Found { cursor, at, status, .. } = found;
    let (stream, conversation) = match source {
        Source::Stream(name) => (Some(name.as_str()), None),
        Source::Conversation(name) => (None, Some(name.as_str())),
    };
    let (offset, tail) = (at.to_string(), status.tail.to_string());
    let (closed, content_type) = (status.closed.is_some(), &**cursor.channel().content_type());
    Frame::Subscribed { id, sub, stream, conversation, offset, tail, closed, content_type }.text()
}

/// A subscription has ended because the client wants it.
pub(super) fn unsubscribed(id: Option<&Label>, sub: &Label) -> String {
    Frame::Unsubscribed { id, sub }.text()
}

/// Everything there is has been sent.
pub(super) fn caught_up(sub: &Label, at: Offset) -> String {
    Frame::CaughtUp { sub, offset: at.to_string() }.text()
}

/// The end of a stream has been sent.
pub(super) fn closed(sub: &Label, at: Offset, reason: CloseReason) -> String {
    Frame::Closed { sub, offset: at.to_string(), reason: reason.as_str() }.text()
}

/// An append is durable.
pub(super) fn appended(id: Option<&Label>, appended: &Appended) -> String {
    let Appended { tail, duplicate, closed, seq } = *appended;
    Frame::Appended { id, offset: tail.to_string(), duplicate, closed, producer_seq: seq }.text()
}

/// All conversations of a user, of which they get everything from now on.
pub(super) fn following(
    id: Option<&Label>,
    user: &str,
    conversations: &[ConversationView],
) -> String {
    Frame::Following { id, user, conversations }.text()
}

/// The user has come into a conversation.
pub(super) fn conversation(conversation: &ConversationView) -> String {
    Frame::Conversation { conversation }.text()
}

/// A message is durable.
pub(super) fn sent(id: Option<&Label>, sent: &Sent) -> String {
    let Sent { message, duplicate } = sent;
    Frame::Sent { id, message, duplicate: *duplicate }.text()
}

/// Something in a conversation that is at `position` with it.
pub(super) fn done(id: Option<&Label>, position: u64) -> String {
    Frame::Done { id, position }.text()
}

/// A new token counts from now on.
pub(super) fn token(id: Option<&Label>, expires_ms: Option<u64>) -> String {
    Frame::Token { id, expires_at: expires_ms.map(|ms| ms / 1000) }.text()
}

pub(super) fn pong(id: Option<&Label>) -> String {
    Frame::Pong { id }.text()
}

/// The server lives.
pub(super) fn heartbeat() -> String {
    Frame::Heartbeat {}.text()
}

/// A request that was not done, or a subscription that cannot go on.
pub(super) fn error(id: Option<&Label>, sub: Option<&Label>, problem: &Problem) -> String {
    Frame::Error { id, sub, problem: problem.frame() }.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_laid_out_as_documented() {
        let label: Label = serde_json::from_str("\"a\"").expect("a label");
        let at = Offset { records: 1, bytes: 2 };
        assert_eq!(heartbeat(), r#"{"type":"heartbeat"}"#);
        assert_eq!(pong(Some(&label)), r#"{"type":"pong","id":"a"}"#);
        assert_eq!(
            closed(&label, at, CloseReason::Finished),
            r#"{"type":"closed","sub":"a","offset":"0000000000000001_0000000000000002","reason":"finished"}"#
        );
        assert_eq!(done(Some(&label), 3), r#"{"type":"done","id":"a","position":3}"#);
        assert_eq!(
            following(None, "bob", &[]),
            r#"{"type":"following","user":"bob","conversations":[]}"#
        );
        let problem = Problem::bad_request("bad_frame", "why").at(at);
        assert_eq!(
            error(None, Some(&label), &problem),
            r#"{"type":"error","sub":"a","code":"bad_frame","detail":"why","status":400,"offset":"0000000000000001_0000000000000002"}"#
        );
    }
}
