//! What nodes say to each other.

use crate::model::Target;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Some letters of one node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mail {
    /// The number of its start.
    pub node: u32,
    pub letters: Vec<Letter>,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::chat) enum Letter {
    /// It has just begun, or may have missed something: what it could know it wants to be told.
    Hello,
    /// It is still there.
    Beat,
    /// It goes, and nobody is there any more.
    Bye,
    /// It could not say everything.
    Missed,
    /// Users have come into a conversation.
    Joined { conversation: Arc<str>, users: Vec<Arc<str>> },
    /// Somebody types, or no more.
    Typing { conversation: Arc<str>, user: Arc<str>, on: bool },
    /// Something that was deleted is gone from the database.
    Erased { conversation: Arc<str> },
    /// Whether these are there.
    People { people: Vec<Whereabouts> },
    /// A part of everything that it knows and others could not find out.
    All(Statement),
}

/// Whether somebody has a socket on a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::chat) struct Whereabouts {
    pub user: Arc<str>,
    pub online: bool,
    /// When the last one went, in milliseconds since 1970.
    pub last_seen: Option<u64>,
}

/// See [`Letter::All`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::chat) struct Statement {
    /// Its parts have the same number, and other statements have others.
    pub round: u64,
    /// Which of them it is.
    pub part: u32,
    /// It is the last.
    pub last: bool,
    /// Users who are there.
    pub users: Vec<Arc<str>>,
    /// Messages that grow there.
    pub growing: Vec<Growing>,
}

/// A message that grows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(in crate::chat) struct Growing(Arc<str>, u64);

impl From<&Target> for Growing {
    fn from(target: &Target) -> Self {
        Self(target.conversation.clone(), target.position)
    }
}
