//! What the server sends on a socket, each frame a JSON object.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The frames that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    Hello,
    Following,
    Subscribed,
    Data,
    CaughtUp,
    Sent,
    Done,
    Error,
    Conversation,
    Receipts,
    Typing,
    Heartbeat,
    /// One that this program does not know, and ignores as clients are told to.
    #[default]
    #[serde(other)]
    Other,
}

/// A frame. Which members are there depends on its kind; one pass over its text finds them all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Frame<'a> {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: FrameKind,
    /// Of the request that it answers.
    pub id: Option<u64>,
    /// Of the subscription: the name of the conversation.
    pub sub: Option<String>,
    /// Where the subscription stands behind it.
    pub offset: Option<String>,
    /// Events as they are in the log.
    #[serde(borrow)]
    pub messages: Vec<&'a RawValue>,
    /// The message that was sent.
    #[serde(borrow)]
    pub message: Option<&'a RawValue>,
    /// Whether it had been sent before.
    pub duplicate: bool,
    /// Of the event that came of a request.
    pub position: Option<u64>,
    /// Why something was refused.
    pub code: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
    /// The same as a status.
    pub status: Option<u16>,
    /// It helps to ask again later.
    pub retry_after_secs: Option<f64>,
    /// A conversation, or only its name.
    pub conversation: Option<Value>,
    /// What is followed.
    pub conversations: Vec<Standing>,
    /// Who has read what.
    pub receipts: Vec<Receipt>,
}

/// A conversation as its members see it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Standing {
    pub name: String,
    pub position: u64,
    pub offset: String,
    pub n: u64,
    pub unread: u64,
    pub mentions: u64,
    pub read: u64,
    pub delivered: u64,
}

/// How far somebody has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Receipt {
    pub participant: String,
    pub delivered: u64,
    pub read: u64,
}

impl Frame<'_> {
    /// The name of the conversation it brings or is about.
    pub fn name(&self) -> Option<&str> {
        let named = match self.conversation.as_ref()? {
            Value::String(name) => name,
            whole => whole.get("name")?.as_str()?,
        };
        Some(named)
    }

    /// What is wrong, in words.
    pub fn problem(&self) -> String {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let status = self.status.unwrap_or(0);
        format!("{status} {} {}", text(&self.code), text(&self.detail))
    }
}

/// The position that an offset stands behind: its first half.
pub fn position(offset: &str) -> Option<u64> {
    offset.split_once('_')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_in_one_pass() {
        let text = r#"{"type":"data","sub":"team","offset":"0000000000000043_0000000000007690",
            "messages":[{"type":"message","position":42},{"type":"news","position":43}],"more":1}"#;
        let frame: Frame = serde_json::from_str(text).expect("a right frame");
        assert_eq!((frame.kind, frame.sub.as_deref()), (FrameKind::Data, Some("team")));
        assert_eq!(position(frame.offset.as_deref().expect("it has one")), Some(43));
        assert_eq!(frame.messages[0].get(), r#"{"type":"message","position":42}"#);
        let other: Frame = serde_json::from_str(r#"{"type":"news"}"#).expect("a right frame");
        assert_eq!(other.kind, FrameKind::Other);
    }

    #[test]
    fn a_conversation_is_whole_or_a_name() {
        for text in [
            r#"{"type":"conversation","conversation":{"name":"team","position":3}}"#,
            r#"{"type":"subscribed","sub":"team","conversation":"team"}"#,
        ] {
            let frame: Frame = serde_json::from_str(text).expect("a right frame");
            assert_eq!(frame.name(), Some("team"));
        }
    }
}
