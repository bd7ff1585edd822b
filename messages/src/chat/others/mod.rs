//! Conversations on several nodes: what the others do, and what they are told.
//!
//! What happens in a conversation is in its stream, and a node takes it up before anybody can read it
//! there (`foresee.rs`, `present.rs`). What is not stored anywhere, such as who is there and who types,
//! nodes say to each other in letters (`letter.rs`): `post.rs` sends them, `hear.rs` takes them,
//! `elsewhere.rs` is what is known of other nodes from them. A letter may get lost. Whoever may have
//! missed some asks anew for everything that they could have told of, and so do the sockets there.

mod elsewhere;
mod foresee;
mod hear;
mod letter;
mod marks;
mod post;
mod present;

use super::name::ConversationName;
use crate::stream::{Shared, StreamError};
use dashmap::DashMap;
use elsewhere::Elsewhere;
use marks::MissedMarks;
use post::Post;
use present::Present;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};
use tokio::sync::Notify;

pub(super) use letter::Letter;

/// See the module.
pub(super) struct Others {
    pub shared: Arc<Shared>,
    present: DashMap<ConversationName, Present>,
    pub post: Post,
    pub elsewhere: Elsewhere,
    /// Sockets here may have missed something.
    missed: Notify,
    pub marks: MissedMarks,
}

impl Others {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            present: DashMap::new(),
            post: Post::new(),
            elsewhere: Elsewhere::default(),
            missed: Notify::new(),
            marks: MissedMarks::default(),
        }
    }
}

/// The nodes that share what nobody has asked for.
pub(super) struct Crew {
    /// This one.
    node: u32,
    /// All of them, in order.
    all: Vec<u32>,
}

impl Crew {
    /// Whether it falls to this node to look after a conversation. Where nodes do not agree on who there
    /// is, two do it or none does for a while, which does no harm.
    pub fn has(&self, conversation: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        conversation.hash(&mut hasher);
        let place = hasher.finish() as usize % self.all.len().max(1);
        self.all.get(place).is_none_or(|node| *node == self.node)
    }

    /// All but this one.
    pub fn others(&self) -> Vec<u32> {
        self.all.iter().copied().filter(|node| *node != self.node).collect()
    }
}

impl Others {
    /// Who lives, as far as the log knows or this node has heard of them.
    pub async fn crew(&self) -> Result<Crew, StreamError> {
        let node = self.shared.node();
        let mut all = self.shared.alive().await?;
        all.extend(self.elsewhere.numbers());
        all.push(node);
        all.sort_unstable();
        all.dedup();
        Ok(Crew { node, all })
    }
}
