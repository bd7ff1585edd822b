//! How a conversation is shown to a client that does not speak the protocol of this socket: each
//! message is a frame of its own, and there are no others.

use crate::chat::{Chat, Conversation};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc};

/// See the module.
pub(super) struct Plain {
    chat: Arc<Chat>,
    user: Arc<str>,
    conversation: Arc<Conversation>,
    /// The position of the last message that was shown and is not marked as delivered.
    shown: Option<u64>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

/// What clients look for in messages that are for them alone.
#[derive(Serialize)]
struct Private<'a> {
    from: &'a str,
    content: &'a str,
}

impl Plain {
    /// For `user`.
    pub fn new(chat: Arc<Chat>, user: Arc<str>, conversation: Arc<Conversation>) -> Self {
        Self { chat, user, conversation, shown: None }
    }

    /// The frame for the event at `position`, which has a comma behind it, if it is a message.
    pub fn show(&mut self, position: u64, event: &[u8]) -> Option<String> {
        let event = std::str::from_utf8(event).ok()?.strip_suffix(',')?;
        let message: Message<'_> = serde_json::from_str(event).ok()?;
        if message.r#type != "message" {
            return None;
        }
        self.shown = Some(position);
        if !self.conversation.name().is_direct() {
            return Some(event.to_owned());
        }
        let content = message.text.as_deref().unwrap_or_default();
        let private = serde_json::to_string(&Private { from: &message.source, content }).ok()?;
        // Two objects become one.
        Some(format!("{},{}", event.strip_suffix('}')?, private.strip_prefix('{')?))
    }

    /// What was shown is on the wire.
    pub fn went_out(&mut self) {
        if let Some(position) = self.shown.take() {
            self.chat.delivered(&self.user, &self.conversation, position);
        }
    }
}
