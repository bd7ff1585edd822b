//! Bodies of requests, and parameters of reads.

use super::super::{
    problem::Problem,
    query::{number, parameters},
};
use crate::{
    chat::{Attachment, ChatError, ConversationName, Extra, MessageId, NewMessage, Role, Wanted},
    limits::{LIST_CONVERSATIONS_MAX, MESSAGES_MAX},
    model::Standing,
};
use axum::http::Uri;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// A message to send, also in a frame of a socket.
#[derive(Deserialize)]
pub(in crate::http) struct MessageForm {
    #[serde(default)]
    text: String,
    reply_to: Option<String>,
    thread: Option<String>,
    txn: Option<String>,
    #[serde(default)]
    mentions: Vec<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
    meta: Option<Value>,
}

impl MessageForm {
    /// With the name that its sender gives it in the path, if any.
    pub fn message(self, txn: Option<String>) -> NewMessage {
        let Self { text, reply_to, thread, mentions, attachments, meta, .. } = self;
        let extra = Extra { mentions, attachments, meta };
        NewMessage { text, reply_to, thread, txn: txn.or(self.txn), extra, streaming: false }
    }
}

/// What a message is to say.
#[derive(Deserialize)]
pub(in crate::http) struct EditForm {
    pub text: String,
    pub rev: Option<u64>,
    #[serde(default)]
    mentions: Vec<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
    meta: Option<Value>,
}

impl EditForm {
    /// The text, what comes with it, and the revision that is meant.
    pub fn into_parts(self) -> (String, Extra, Option<u64>) {
        let Self { text, rev, mentions, attachments, meta } = self;
        (text, Extra { mentions, attachments, meta }, rev)
    }
}

#[derive(Deserialize)]
pub(super) struct ConversationForm {
    #[serde(default)]
    pub participants: Vec<String>,
    pub title: Option<String>,
    pub name: Option<String>,
    pub settings: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeForm {
    #[serde(default, deserialize_with = "given")]
    pub title: Option<Option<String>>,
    pub settings: Option<Value>,
}

/// Tells a member that is `null` from one that is not there.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddForm {
    pub role: Option<Role>,
    #[serde(default)]
    pub invite: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UntilForm {
    pub until: Option<u64>,
    pub reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypingForm {
    #[serde(default = "yes")]
    pub on: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
pub(super) struct ReportForm {
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MarkForm {
    position: Option<u64>,
    message: Option<String>,
}

impl MarkForm {
    /// The position in `conversation`; `None` for everything.
    pub fn position(self, conversation: &ConversationName) -> Result<Option<u64>, Problem> {
        let Some(message) = self.message else { return Ok(self.position) };
        let id: MessageId = message.parse()?;
        if id.conversation != *conversation {
            return Err(ChatError::NoMessage.into());
        }
        Ok(Some(id.position))
    }
}

/// A message that was sent elsewhere: a line of an import.
#[derive(Deserialize)]
pub(super) struct ImportForm {
    pub source: String,
    #[serde(default)]
    pub text: String,
    pub created: u64,
    pub reply_to: Option<String>,
    #[serde(default)]
    pub mentions: Vec<String>,
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    pub meta: Option<Value>,
}

/// Parameters of `GET /conversations`.
pub(super) struct ListQuery {
    pub standing: Standing,
    pub after: Option<ConversationName>,
    pub limit: u32,
}

impl ListQuery {
    pub fn parse(uri: &Uri) -> Result<Self, Problem> {
        let [state, after, limit] = parameters(uri, ["state", "after", "limit"])?;
        let standing = standing(state, &[Standing::Member, Standing::Invited])?;
        let after = after.map(|name| name.parse()).transpose()?;
        let most = u64::from(LIST_CONVERSATIONS_MAX);
        let limit = number("limit", limit, u64::from(MESSAGES_MAX), most)?;
        Ok(Self { standing, after, limit: limit as u32 })
    }
}

/// What people are to be to a conversation, one of `known`; the first where nothing is said.
pub(super) fn standing(
    text: Option<Cow<'_, str>>,
    known: &[Standing],
) -> Result<Standing, Problem> {
    let Some(text) = text else { return Ok(known[0]) };
    let found = Standing::from_word(&text).filter(|standing| known.contains(standing));
    found.ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|standing| standing.as_str()).collect();
        let detail = format!("state={text}: must be one of {}", words.join(", "));
        Problem::bad_request("bad_parameter", detail)
    })
}

/// A number from 0 on.
pub(super) fn count(name: &str, text: Option<Cow<'_, str>>) -> Result<Option<u64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value| is_number && i64::try_from(*value).is_ok());
    value.map(Some).ok_or_else(|| {
        Problem::bad_request("bad_parameter", format!("{name}={text}: must be a whole number"))
    })
}

/// A position, or the id of a message that has one.
fn place(name: &str, text: Option<Cow<'_, str>>) -> Result<Option<u64>, Problem> {
    match text {
        Some(text) if text.contains(':') => {
            let id: MessageId = text.parse()?;
            Ok(Some(id.position))
        }
        text => count(name, text),
    }
}

/// A text that a database can be asked for.
fn plain(name: &str, text: Option<Cow<'_, str>>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.contains('\0') => {
            Err(Problem::bad_request("bad_parameter", format!("{name}: no text has a NUL")))
        }
        text => Ok(text.map(Cow::into_owned)),
    }
}

/// Parameters of reads of messages.
pub(super) fn wanted(uri: &Uri) -> Result<Wanted, Problem> {
    let known = [
        "limit", "before", "after", "around", "ordering", "source", "created", "reply_to",
        "thread", "offset",
    ];
    let [limit, before, after, around, ordering, source, created, reply_to, thread, skip] =
        parameters(uri, known)?;
    let descending = match ordering.as_deref() {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(other) => {
            let detail = format!("ordering={other}: must be asc or desc");
            return Err(Problem::bad_request("bad_parameter", detail));
        }
    };
    let most = u64::from(MESSAGES_MAX);
    Ok(Wanted {
        limit: number("limit", limit, most, most)? as u32,
        before: place("before", before)?,
        after: place("after", after)?,
        around: place("around", around)?,
        descending,
        source: plain("source", source)?,
        created: count("created", created)?,
        reply_to: plain("reply_to", reply_to)?,
        thread: plain("thread", thread)?,
        skip: u32::try_from(count("offset", skip)?.unwrap_or(0)).unwrap_or(u32::MAX),
    })
}
