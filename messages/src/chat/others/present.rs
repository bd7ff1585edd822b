//! Which conversations are in memory here, or about to be: what other nodes do in them is kept from
//! the moment on at which somebody begins to load them.

use super::{
    super::{
        conversation::{Conversation, Placing},
        name::ConversationName,
        state::Marks,
    },
    Others,
};
use crate::model::{Offset, StreamId};
use dashmap::mapref::entry::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub(super) enum Present {
    Loading(Arc<Early>),
    Ready(Weak<Conversation>),
}

/// What happens while a conversation is loaded.
#[derive(Default)]
pub(super) struct Early(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    events: Vec<(StreamId, Vec<Placing>, Offset)>,
    marks: Vec<(Arc<str>, Marks)>,
    /// It is not everything.
    missed: bool,
}

impl Early {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn miss(&self) {
        self.kept().missed = true;
    }
}

/// A conversation that is being loaded. Dropped, it is not.
pub(in crate::chat) struct Loading<'a> {
    others: &'a Others,
    name: ConversationName,
    early: Arc<Early>,
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let is_this = |present: &Present| match present {
            Present::Loading(early) => Arc::ptr_eq(early, &self.early),
            Present::Ready(_) => false,
        };
        self.others.present.remove_if(&self.name, |_, present| is_this(present));
    }
}

impl Loading<'_> {
    /// It is loaded: what has happened meanwhile comes behind what it says, and what comes goes to it
    /// from now on. `None` when something was missed meanwhile.
    pub fn finish(self, conversation: Conversation) -> Option<Arc<Conversation>> {
        // While this is held nothing comes.
        let Entry::Occupied(mut present) = self.others.present.entry(self.name.clone()) else {
            return None;
        };
        let kept = std::mem::take(&mut *self.early.kept());
        if kept.missed {
            return None;
        }
        let life = conversation.channel().id();
        let events = kept.events.iter().filter(|(id, ..)| *id == life);
        for (_, events, end) in events {
            conversation.take_up_early(events, *end);
        }
        for (user, marks) in &kept.marks {
            conversation.live().take_up_marks(user, marks);
        }
        conversation.live().marks_missed = self.others.marks.times();
        let conversation = Arc::new(conversation);
        present.insert(Present::Ready(Arc::downgrade(&conversation)));
        Some(conversation)
    }
}

impl Others {
    /// Begins to load a conversation: from now on nothing that happens in it is missed.
    pub fn load(&self, name: &ConversationName) -> Loading<'_> {
        let early = Arc::<Early>::default();
        self.present.insert(name.clone(), Present::Loading(early.clone()));
        Loading { others: self, name: name.clone(), early }
    }

    /// The conversation, if it is loaded here.
    pub fn loaded(&self, name: &ConversationName) -> Option<Arc<Conversation>> {
        match &*self.present.get(name)? {
            Present::Ready(conversation) => conversation.upgrade(),
            Present::Loading(_) => None,
        }
    }

    /// All that are loaded here.
    pub(super) fn all_loaded(&self) -> Vec<Arc<Conversation>> {
        let ready = self.present.iter().filter_map(|present| match &*present {
            Present::Ready(conversation) => conversation.upgrade(),
            Present::Loading(_) => None,
        });
        ready.collect()
    }

    /// Whether anything is kept of what happens in this one.
    pub(super) fn is_present(&self, name: &ConversationName) -> bool {
        self.present.contains_key(name)
    }

    /// The next events of a stream, before anybody can see them.
    pub(super) fn take_up(
        &self,
        name: &ConversationName,
        life: StreamId,
        events: Vec<Placing>,
        end: Offset,
    ) {
        let conversation = match self.present.get(name).as_deref() {
            Some(Present::Loading(early)) => {
                early.kept().events.push((life, events, end));
                return;
            }
            Some(Present::Ready(conversation)) => conversation.upgrade(),
            None => None,
        };
        if let Some(conversation) = conversation.filter(|one| one.channel().id() == life) {
            conversation.take_up(&events, end);
        }
    }

    /// How far somebody is by now. Returns the conversation if they are known in it.
    pub(super) fn take_up_mark(
        &self,
        name: &ConversationName,
        user: &Arc<str>,
        marks: &Marks,
    ) -> Option<Arc<Conversation>> {
        let conversation = match &*self.present.get(name)? {
            Present::Loading(early) => {
                early.kept().marks.push((user.clone(), *marks));
                return None;
            }
            Present::Ready(conversation) => conversation.upgrade()?,
        };
        let known = conversation.live().take_up_marks(user, marks);
        known.then_some(conversation)
    }

    /// What is being loaded lacks something. Returns the conversation if it is loaded.
    pub(super) fn miss(&self, name: &ConversationName) -> Option<Arc<Conversation>> {
        match &*self.present.get(name)? {
            Present::Loading(early) => {
                early.miss();
                None
            }
            Present::Ready(conversation) => conversation.upgrade(),
        }
    }

    /// Everything that is being loaded lacks something.
    pub(super) fn miss_early(&self) {
        for present in &self.present {
            if let Present::Loading(early) = &*present {
                early.miss();
            }
        }
    }

    /// Forgets conversations that have left memory.
    pub fn sweep(&self) {
        self.present.retain(|_, present| match present {
            Present::Loading(_) => true,
            Present::Ready(conversation) => conversation.strong_count() > 0,
        });
    }
}
