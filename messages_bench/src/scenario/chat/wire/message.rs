//! A message as requests are answered.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Message {
    pub id: String,
    pub position: u64,
    pub n: Option<u64>,
    pub source: String,
    pub text: String,
    pub txn: Option<String>,
    pub thread: Option<Value>,
    pub mentions: Option<Vec<String>>,
    pub rev: u64,
    /// When it was deleted.
    pub deleted: Option<Value>,
    /// When, or whether, it was pinned.
    pub pinned: Option<Value>,
    pub reactions: BTreeMap<String, Reaction>,
}

/// How often somebody has reacted so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Reaction {
    pub count: u64,
    /// Whether whoever asks has.
    pub me: bool,
}

impl Message {
    /// Whether a member says yes: something that is neither `null` nor `false`.
    pub fn says(member: &Option<Value>) -> bool {
        member.as_ref().is_some_and(|value| !value.is_null() && *value != Value::Bool(false))
    }
}
