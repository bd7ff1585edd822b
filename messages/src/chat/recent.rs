//! What the tables may not say yet of messages.

use super::{
    decide::Known,
    event::{Event, Extra, Kind, Message},
};
use crate::limits::RECENT_MESSAGES_MAX;
use std::{collections::HashMap, sync::Arc};

/// See the module. The first of an earlier time are forgotten when the tables say them.
#[derive(Default)]
pub(super) struct Recent {
    /// The tables say everything up to this position.
    pub floor: u64,
    /// Messages that were sent since, or have changed since, and the position at which they did last.
    messages: HashMap<u64, (u64, Known)>,
    /// What has become since of those that only the tables know.
    changes: HashMap<u64, (u64, Change)>,
    /// Messages by what their senders call them.
    txns: HashMap<(Arc<str>, String), Arc<Event>>,
}

/// What has become of a message. It holds for every earlier state of it, and for this one.
#[derive(Clone, Copy, Default)]
struct Change {
    rev: u64,
    deleted: bool,
    finished: bool,
}

impl Change {
    fn change(self, known: &mut Known) {
        known.rev = known.rev.max(self.rev);
        known.deleted |= self.deleted;
        known.streaming &= !self.finished;
    }

    fn and(self, later: Self) -> Self {
        Self {
            rev: self.rev.max(later.rev),
            deleted: self.deleted | later.deleted,
            finished: self.finished | later.finished,
        }
    }
}

impl Recent {
    /// Nothing behind `floor`.
    pub fn new(floor: u64) -> Self {
        Self { floor, ..Self::default() }
    }

    /// Whether the tables have to say what is at `position`. What is behind the floor and not known here
    /// is no message.
    pub fn is_unknown(&self, position: u64) -> bool {
        !self.messages.contains_key(&position) && position <= self.floor
    }

    /// The message at `position`, of which the tables say what was `found`.
    pub fn known(&self, position: u64, found: Option<&Known>) -> Option<Known> {
        if let Some((_, known)) = self.messages.get(&position) {
            return Some(known.clone());
        }
        let mut known = found?.clone();
        if let Some((_, change)) = self.changes.get(&position) {
            change.change(&mut known);
        }
        Some(known)
    }

    /// The message that `user` has sent as `txn` not long ago.
    pub fn sent(&self, user: &Arc<str>, txn: &str) -> Option<Arc<Event>> {
        self.txns.get(&(user.clone(), txn.to_owned())).cloned()
    }

    /// Whether it is more than should be remembered.
    pub fn is_long(&self) -> bool {
        self.messages.len().max(self.changes.len()) > RECENT_MESSAGES_MAX
    }

    pub fn note(&mut self, event: &Arc<Event>) {
        let at = event.position;
        match &event.kind {
            Kind::Message(message) => {
                self.messages.insert(at, (at, known(event, message)));
                if let Some(txn) = &message.txn {
                    self.txns.insert((event.source.clone(), txn.clone()), event.clone());
                }
            }
            Kind::Edit(edit) => {
                self.change(at, edit.target, Change { rev: edit.rev, ..Change::default() });
            }
            Kind::Delete { target, .. } => {
                self.change(at, *target, Change { deleted: true, ..Change::default() });
                self.erase(*target);
            }
            Kind::Finish { target, .. } => {
                self.change(at, *target, Change { finished: true, ..Change::default() });
            }
            _ => {}
        }
    }

    fn change(&mut self, at: u64, position: u64, change: Change) {
        if let Some((last, known)) = self.messages.get_mut(&position) {
            *last = at;
            change.change(known);
        } else {
            let entry = self.changes.entry(position).or_default();
            *entry = (at, entry.1.and(change));
        }
    }

    /// Whoever sends a message again that is deleted learns that it was sent, not what it said.
    fn erase(&mut self, position: u64) {
        for sent in self.txns.values_mut().filter(|sent| sent.position == position) {
            let mut erased = Event::clone(sent);
            if let Kind::Message(message) = &mut erased.kind {
                (message.text, message.extra) = (None, Extra::default());
            }
            *sent = Arc::new(erased);
        }
    }

    pub fn forget(&mut self, stored: u64) {
        if stored <= self.floor {
            return;
        }
        self.floor = stored;
        self.messages.retain(|_, (at, _)| *at > stored);
        self.changes.retain(|_, (at, _)| *at > stored);
        self.txns.retain(|_, event| event.position > stored);
    }
}

/// What is known of a message that was just sent.
pub(super) fn known(event: &Event, message: &Message) -> Known {
    Known {
        position: event.position,
        source: event.source.clone(),
        rev: 0,
        counted: message.counts(),
        in_thread: message.thread.is_some(),
        deleted: false,
        streaming: message.streaming,
    }
}
