//! The frames of clients that are about conversations.

use super::{
    label::Label,
    request::{Why, bad_offset, form, malformed, refused},
};
use crate::{
    chat::{Action, ChatError, ConversationName, Mark, MessageId, NewMessage},
    http::{
        chat::{EditForm, MessageForm},
        protocol::{Start, parse_start},
    },
};
use serde::Deserialize;
use std::collections::HashMap;

/// What a client asks for.
pub(super) enum ChatRequest {
    Follow(Follow),
    Act(Act),
    Mark { id: Option<Label>, conversation: ConversationName, mark: Mark, position: Option<u64> },
    Typing { id: Option<Label>, conversation: ConversationName, on: bool },
    Presence { id: Option<Label>, watch: Vec<String> },
}

/// All conversations of a user, each from its own position.
pub(super) struct Follow {
    pub id: Option<Label>,
    pub from: HashMap<ConversationName, Start>,
    /// Where the others begin.
    pub default: Start,
}

/// Something that is to happen in a conversation.
pub(super) struct Act {
    pub id: Option<Label>,
    /// By a client that need not know anything else of this protocol.
    pub is_private: bool,
    /// The frame.
    pub bytes: usize,
    pub deed: Deed,
}

/// What is to happen.
pub(super) enum Deed {
    Send { to: Recipient, message: NewMessage },
    On { message: MessageId, action: Action },
}

/// Where a message is to go.
pub(super) enum Recipient {
    Conversation(ConversationName),
    User(String),
}

#[derive(Deserialize)]
struct FollowForm {
    #[serde(default)]
    from: HashMap<String, String>,
    default: Option<String>,
}

#[derive(Deserialize)]
struct RecipientForm {
    conversation: Option<String>,
    to: Option<String>,
}

#[derive(Deserialize)]
struct TargetForm {
    message: String,
}

#[derive(Deserialize)]
struct DeleteForm {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct ReactionForm {
    reaction: String,
}

#[derive(Deserialize)]
struct MarkForm {
    conversation: String,
    position: Option<u64>,
}

#[derive(Deserialize)]
struct TypingForm {
    conversation: String,
    on: Option<bool>,
}

#[derive(Deserialize)]
struct PresenceForm {
    watch: Vec<String>,
}

#[derive(Deserialize)]
struct PrivateForm {
    to: String,
    content: String,
}

impl ChatRequest {
    /// What the client calls it.
    pub fn id(&self) -> Option<&Label> {
        match self {
            Self::Follow(Follow { id, .. })
            | Self::Act(Act { id, .. })
            | Self::Mark { id, .. }
            | Self::Typing { id, .. }
            | Self::Presence { id, .. } => id.as_ref(),
        }
    }

    /// Whether it may come from a client that says nothing else.
    pub fn is_private(&self) -> bool {
        matches!(self, Self::Act(Act { is_private: true, .. }))
    }
}

/// Reads a frame of this kind; `None` for one that is not about conversations.
pub(super) fn parse(kind: &str, id: Option<Label>, text: &str) -> Result<Option<ChatRequest>, Why> {
    let mark = |id, mark| {
        let MarkForm { conversation, position } = form(text)?;
        Ok(ChatRequest::Mark { id, conversation: name(&conversation)?, mark, position })
    };
    let request = match kind {
        "follow" => ChatRequest::Follow(follow(id, form(text)?)?),
        "send" | "edit" | "delete" | "react" | "unreact" | "private" => {
            let (is_private, bytes) = (kind == "private", text.len());
            ChatRequest::Act(Act { id, is_private, bytes, deed: deed(kind, text)? })
        }
        "read" => mark(id, Mark::Read)?,
        "delivered" => mark(id, Mark::Delivered)?,
        "typing" => {
            let TypingForm { conversation, on } = form(text)?;
            ChatRequest::Typing { id, conversation: name(&conversation)?, on: on.unwrap_or(true) }
        }
        "presence" => {
            let PresenceForm { watch } = form(text)?;
            ChatRequest::Presence { id, watch }
        }
        _ => return Ok(None),
    };
    Ok(Some(request))
}

/// The name of a conversation.
pub(super) fn name(text: &str) -> Result<ConversationName, Why> {
    text.parse().map_err(|error: ChatError| refused(error.into()))
}

fn follow(id: Option<Label>, form: FollowForm) -> Result<Follow, Why> {
    let start = |text: &str| {
        let start = parse_start(text);
        start.ok_or_else(|| bad_offset("must be -1, now, or what another frame said"))
    };
    let default = match form.default.as_deref() {
        None | Some("now") => Start::Now,
        Some("-1") => Start::Beginning,
        Some(_) => return Err(bad_offset("default must be now or -1")),
    };
    let pairs = form.from.iter().map(|(conversation, at)| Ok((name(conversation)?, start(at)?)));
    Ok(Follow { id, from: pairs.collect::<Result<_, Why>>()?, default })
}

fn deed(kind: &str, text: &str) -> Result<Deed, Why> {
    if kind == "private" {
        let PrivateForm { to, content } = form(text)?;
        let message = NewMessage { text: content, ..NewMessage::default() };
        return Ok(Deed::Send { to: Recipient::User(to), message });
    }
    if kind == "send" {
        let message: MessageForm = form(text)?;
        return Ok(Deed::Send { to: recipient(form(text)?)?, message: message.message(None) });
    }
    let TargetForm { message } = form(text)?;
    let message = message.parse().map_err(|error: ChatError| refused(error.into()))?;
    Ok(Deed::On { message, action: action(kind, text)? })
}

fn recipient(form: RecipientForm) -> Result<Recipient, Why> {
    match form {
        RecipientForm { conversation: Some(conversation), to: None } => {
            Ok(Recipient::Conversation(name(&conversation)?))
        }
        RecipientForm { conversation: None, to: Some(user) } => Ok(Recipient::User(user)),
        _ => Err(malformed("bad_frame", "one of conversation and to must be there")),
    }
}

fn action(kind: &str, text: &str) -> Result<Action, Why> {
    Ok(match kind {
        "edit" => {
            let edit: EditForm = form(text)?;
            let (text, extra, rev) = edit.into_parts();
            Action::Edit { text, extra, rev }
        }
        "delete" => {
            let DeleteForm { reason } = form(text)?;
            Action::Delete { reason }
        }
        _ => {
            let ReactionForm { reaction } = form(text)?;
            if kind == "react" { Action::React { reaction } } else { Action::Unreact { reaction } }
        }
    })
}

#[cfg(test)]
mod tests {
    use crate::http::ws::request;

    #[test]
    fn frames_are_told_apart() {
        for (text, want) in [
            (r#"{"type":"follow"}"#, None),
            (r#"{"type":"follow","from":{"a":"-1","b":"now"},"default":"-1"}"#, None),
            (r#"{"type":"follow","from":{"a/b":"-1"}}"#, Some(false)),
            (r#"{"type":"follow","from":{"a":"x"}}"#, Some(false)),
            (r#"{"type":"follow","default":"1"}"#, Some(false)),
            (r#"{"type":"subscribe","sub":1,"conversation":"a"}"#, None),
            (r#"{"type":"subscribe","sub":1,"conversation":"a","stream":"a"}"#, Some(true)),
            (r#"{"type":"subscribe","sub":1}"#, Some(true)),
            (r#"{"type":"send","conversation":"a","text":"x","meta":{}}"#, None),
            (r#"{"type":"send","to":"bob","text":"x"}"#, None),
            (r#"{"type":"send","text":"x"}"#, Some(true)),
            (r#"{"type":"send","conversation":"a","to":"b","text":"x"}"#, Some(true)),
            (r#"{"type":"edit","message":"a:1","text":"x","rev":2}"#, None),
            (r#"{"type":"edit","message":"a","text":"x"}"#, Some(false)),
            (r#"{"type":"edit","message":"a:1"}"#, Some(true)),
            (r#"{"type":"delete","message":"a:1"}"#, None),
            (r#"{"type":"react","message":"a:1"}"#, Some(true)),
            (r#"{"type":"unreact","message":"a:1","reaction":"+"}"#, None),
            (r#"{"type":"read","conversation":"a","position":1}"#, None),
            (r#"{"type":"delivered","position":1}"#, Some(true)),
            (r#"{"type":"typing","conversation":"a"}"#, None),
            (r#"{"type":"presence","watch":"bob"}"#, Some(true)),
            (r#"{"type":"private","to":"bob","content":"x"}"#, None),
            (r#"{"type":"private","to":"bob"}"#, Some(true)),
        ] {
            let malformed = request::parse(text).err().map(|refused| refused.malformed);
            assert_eq!(malformed, want, "{text}");
        }
    }
}
