//! What a socket writes: appends to streams, messages and whatever else happens in conversations.
//! Each takes its place when those before it have taken theirs, and none waits until another one is
//! durable. The answers come in the order of the writes.

use super::wait_for;
use crate::limits::{RECORD_OVERHEAD_BYTES, SOCKET_APPENDS_BYTES_MAX, SOCKET_APPENDS_MAX};
use futures::{StreamExt, future::BoxFuture, stream::FuturesOrdered};
use std::collections::VecDeque;

/// The first half of a write: it takes its place, or is refused.
pub(super) type Begin = BoxFuture<'static, Begun>;

/// What has its place. The second half waits until it is durable, and that is answered, if anything is.
pub(super) struct Begun(pub Finish);

type Finish = BoxFuture<'static, Option<String>>;

/// See the module.
#[derive(Default)]
pub(super) struct Writes {
    waiting: VecDeque<Begin>,
    beginning: Option<Begin>,
    begun: FuturesOrdered<Finish>,
    /// What each of them holds, in their order.
    costs: VecDeque<usize>,
    /// And all of them.
    bytes: usize,
}

impl Writes {
    /// Takes one that holds so many bytes.
    pub fn push(&mut self, bytes: usize, begin: Begin) {
        let cost = bytes + RECORD_OVERHEAD_BYTES;
        self.bytes += cost;
        self.costs.push_back(cost);
        self.waiting.push_back(begin);
        self.begin_next();
    }

    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        self.costs.len() < SOCKET_APPENDS_MAX && self.bytes < SOCKET_APPENDS_BYTES_MAX
    }

    fn begin_next(&mut self) {
        if self.beginning.is_none() {
            self.beginning = self.waiting.pop_front();
        }
    }

    /// Waits for all that is on its way, and returns the answers.
    pub async fn finish(&mut self) -> Vec<String> {
        let mut answers = Vec::new();
        while !self.costs.is_empty() {
            answers.extend(self.progress().await);
        }
        answers
    }

    /// Waits for the next answer, or `None` for something that only this here has to know. Cancel
    /// safe: whatever is on its way goes on.
    pub async fn progress(&mut self) -> Option<String> {
        let Self { beginning, begun, .. } = self;
        tokio::select! {
            Begun(finish) = wait_for(beginning), if beginning.is_some() => {
                begun.push_back(finish);
                *beginning = None;
                self.begin_next();
                None
            }
            Some(answer) = begun.next(), if !begun.is_empty() => {
                self.bytes -= self.costs.pop_front().unwrap_or_default();
                answer
            }
            else => std::future::pending().await,
        }
    }
}
