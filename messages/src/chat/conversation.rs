//! A conversation at work: its state, what is not in the tables yet, and who looks at it.

use super::{
    ChatError,
    decide::{Action, Facts, Known, Step, is_txn, message_of},
    event::{Event, Kind},
    hub::Mailbox,
    name::ConversationName,
    recent::Recent,
    state::{Marks, Person, State},
    view::ReceiptView,
};
use crate::{
    channel::Channel,
    limits::{EARLY_MARKS_MAX, EPHEMERAL_MEMBERS_MAX},
    model::{Offset, Records},
    stream::Reach,
};
use serde::Serialize;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// See the module. One task at a time changes it, in its turn; everybody may look.
pub struct Conversation {
    name: ConversationName,
    channel: Arc<Channel>,
    /// Who holds it decides what comes next. Held over a wait for room, which the state must not be.
    pub(super) turn: tokio::sync::Mutex<()>,
    live: Mutex<Live>,
    watchers: Mutex<Vec<Mailbox>>,
}

#[derive(Serialize)]
struct ReceiptsFrame<'a> {
    r#type: &'static str,
    conversation: &'a str,
    receipts: Vec<ReceiptView>,
}

/// What changes.
pub(super) struct Live {
    /// After all events, durable or not.
    pub state: State,
    pub recent: Recent,
    /// How far those who read may go, for as long as they take part.
    reaches: HashMap<Arc<str>, Arc<Reach>>,
    /// How far users are who have not come in yet as far as this node knows: another one was faster to
    /// tell of their marks.
    early: HashMap<Arc<str>, Marks>,
    /// How often marks had been missed here when those of this were read from the tables.
    pub marks_missed: u64,
    /// What happens is not taken up here any more.
    is_retired: bool,
}

/// The messages that an action speaks of.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub target: Option<u64>,
    pub reply_to: Option<u64>,
    pub thread: Option<u64>,
    pub txn: Option<String>,
}

impl Asked {
    pub fn of(conversation: &str, action: &Action, target: Option<u64>) -> Self {
        let Action::Send(message) = action else { return Self { target, ..Self::default() } };
        let position =
            |id: &Option<String>| id.as_ref().and_then(|id| message_of(conversation, id));
        Self {
            target,
            reply_to: position(&message.reply_to),
            thread: position(&message.thread),
            // What cannot be one is no question for the tables.
            txn: message.txn.clone().filter(|txn| is_txn(txn)),
        }
    }

    /// Their positions.
    pub fn positions(&self) -> impl Iterator<Item = u64> {
        [self.target, self.reply_to, self.thread].into_iter().flatten()
    }
}

/// A conversation that somebody wants to do something with.
pub(super) struct AtHand {
    pub conversation: Arc<Conversation>,
    /// It is as it was when it was asked for, or later; otherwise another node may know more.
    pub is_fresh: bool,
}

impl AtHand {
    pub fn fresh(conversation: Arc<Conversation>) -> Self {
        Self { conversation, is_fresh: true }
    }
}

/// An event in its place, as it comes out of the stream.
pub(super) struct Placing {
    pub event: Arc<Event>,
    pub from: Offset,
    pub end: Offset,
}

/// Events with their places, as they go into the stream.
pub(super) struct Placed {
    pub events: Vec<(Arc<Event>, Offset)>,
    pub records: Records,
    pub at: Offset,
}

impl Conversation {
    /// In `state`, which is that of the tables too.
    pub(super) fn new(name: ConversationName, channel: Arc<Channel>, state: State) -> Self {
        let recent = Recent::new(state.position());
        let (reaches, early) = (HashMap::new(), HashMap::new());
        Self {
            name,
            channel,
            turn: tokio::sync::Mutex::new(()),
            live: Mutex::new(Live {
                state,
                recent,
                reaches,
                early,
                marks_missed: 0,
                is_retired: false,
            }),
            watchers: Mutex::default(),
        }
    }

    /// Takes up records that come next in the stream, or are here already.
    pub(super) fn take_up(&self, events: &[Placing], end: Offset) {
        let mut live = self.live();
        for Placing { event, from, end } in events {
            if end.bytes > live.state.tail.bytes {
                live.state.tail = *from;
                let _ = live.apply(&[(event.clone(), *end)]);
            }
        }
        // Records that could not be understood are no events, but have their places.
        if end.bytes > live.state.tail.bytes {
            live.state.tail = end;
        }
        if live.recent.is_long() {
            live.recent.forget(self.channel.stored().records);
        }
    }

    /// As [`Conversation::take_up`], where the tables may say some of it already: then it is said again,
    /// which changes nothing once the last of it is said.
    pub(super) fn take_up_early(&self, events: &[Placing], end: Offset) {
        let from = events.first().map(|first| first.from);
        if let Some(from) = from {
            self.live().state.tail = from;
        }
        self.take_up(events, end);
    }

    /// Nothing is taken up here any more: nobody may read on under what this says.
    pub(super) fn retire(&self) {
        let mut live = self.live();
        live.is_retired = true;
        live.end_all_reaches();
        drop(live);
        self.channel.wake();
    }

    /// See [`Conversation::retire`].
    pub(super) fn is_retired(&self) -> bool {
        self.live().is_retired
    }

    /// Takes up what it begins with.
    pub(super) fn take_up_first(&mut self, events: &[(Arc<Event>, Offset)]) {
        let live = self.live.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = live.apply(events);
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &ConversationName {
        &self.name
    }

    /// The stream of its events.
    #[must_use]
    pub fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    pub(super) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `user` is to it, if they take part.
    pub(super) fn member(&self, user: &str) -> Result<Person, ChatError> {
        self.live().state.insider(user).cloned()
    }

    /// How far `user` may read, and from where on, while they take part.
    pub(super) fn reach(&self, user: &Arc<str>) -> Result<(Arc<Reach>, Offset), ChatError> {
        let mut live = self.live();
        let Live { state, reaches, .. } = &mut *live;
        let person = state.insider(user)?;
        let low = if person.visible_from.bytes > state.low.bytes {
            person.visible_from
        } else {
            state.low
        };
        Ok((reaches.entry(user.clone()).or_default().clone(), low))
    }

    /// Whether anybody reads it, or may begin to any moment.
    pub(super) fn is_read(&self) -> bool {
        let reaches = &mut self.live().reaches;
        reaches.retain(|_, reach| Arc::strong_count(reach) > 1);
        !reaches.is_empty()
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Mailbox>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody wants to know who types here and how far the others are.
    pub(super) fn watch(&self, mailbox: Mailbox) {
        if self.live().state.people.len() > EPHEMERAL_MEMBERS_MAX {
            // There is nothing to tell.
            return;
        }
        let mut watchers = self.watchers();
        watchers.retain(|known| !known.is_same(&mailbox) && !known.is_closed());
        watchers.push(mailbox);
    }

    /// Or no more.
    pub(super) fn unwatch(&self, mailbox: &Mailbox) {
        self.watchers().retain(|known| !known.is_same(mailbox) && !known.is_closed());
    }

    /// Whether anybody watches.
    pub(super) fn is_watched(&self) -> bool {
        !self.watchers().is_empty()
    }

    /// Tells those who watch and still take part, but for `except`.
    pub(super) fn tell(&self, frame: &Arc<str>, except: Option<&str>) {
        let watchers: Vec<Mailbox> = self.watchers().clone();
        let live = self.live();
        for mailbox in watchers {
            if except != Some(mailbox.user()) && live.state.member(mailbox.user()).is_some() {
                mailbox.send(super::hub::Notice::Frame(frame.clone()));
            }
        }
    }

    /// How far `users`, or all, are; `None` where there are too many to tell.
    pub(super) fn receipts_frame(&self, users: Option<&[Arc<str>]>) -> Option<Arc<str>> {
        let live = self.live();
        if live.state.people.len() > EPHEMERAL_MEMBERS_MAX {
            return None;
        }
        let wanted = |user: &Arc<str>| users.is_none_or(|users| users.contains(user));
        let members = live.state.members().filter(|(user, _)| wanted(user));
        let receipts = members.map(|(user, person)| ReceiptView::of(user, &person.marks)).collect();
        let conversation = self.name.text();
        let frame = ReceiptsFrame { r#type: "receipts", conversation, receipts };
        serde_json::to_string(&frame).ok().map(Into::into)
    }

    /// Tells those who watch how far `users`, or all, are.
    pub(super) fn tell_receipts(&self, users: Option<&[Arc<str>]>) {
        if self.is_watched()
            && let Some(frame) = self.receipts_frame(users)
        {
            self.tell(&frame, None);
        }
    }

    /// Forgets what the tables say by now.
    pub(super) fn forget_stored(&self) {
        let stored = self.channel.stored().records;
        self.live().recent.forget(stored);
    }

    /// Whether more is remembered than should be.
    pub(super) fn remembers_much(&self) -> bool {
        self.live().recent.is_long()
    }
}

impl Live {
    /// Those of `asked` of which nothing is known here.
    pub fn unknown(&self, asked: &Asked) -> Vec<u64> {
        asked.positions().filter(|position| self.recent.is_unknown(*position)).collect()
    }

    /// What is known of the messages that were asked for, here and in what was `found` in the tables.
    pub fn facts(&self, asked: &Asked, found: &HashMap<u64, Known>) -> Facts {
        let known = |position: Option<u64>| {
            let position = position?;
            self.recent.known(position, found.get(&position))
        };
        Facts {
            target: known(asked.target),
            reply_to: known(asked.reply_to),
            thread: known(asked.thread),
        }
    }

    /// The message that `user` has sent as `txn` not long ago.
    pub fn sent(&self, user: &Arc<str>, txn: &str) -> Option<Arc<Event>> {
        self.recent.sent(user, txn)
    }

    /// Gives events their places behind what there is.
    pub fn place(&self, steps: Vec<Step>) -> Placed {
        let at = self.state.tail;
        let (mut end, mut body, mut lengths) = (at, Vec::new(), Vec::new());
        let mut events = Vec::with_capacity(steps.len());
        for Step { kind, source, created } in steps {
            let position = end.records + 1;
            let conversation = self.state.name.clone();
            let event = Event { kind, conversation, position, source, created };
            let before = body.len();
            // What is made of texts and numbers can always be written.
            let _ = serde_json::to_writer(&mut body, &event);
            body.push(b',');
            let length = body.len() - before;
            lengths.push(length as u32);
            end = end.advance(1, length as u64);
            events.push((Arc::new(event), end));
        }
        Placed { events, records: Records::messages(&lengths, body.into()), at }
    }

    /// Takes up events that have their places in the stream. Returns whether anybody may read no
    /// further.
    pub fn apply(&mut self, events: &[(Arc<Event>, Offset)]) -> bool {
        let mut ended = false;
        for (event, end) in events {
            self.state.apply(event, *end);
            self.recent.note(event);
            ended |= self.end_reaches(event, *end);
        }
        if !self.early.is_empty() {
            let people = &mut self.state.people;
            self.early.retain(|user, marks| match people.get_mut(user) {
                Some(person) => {
                    person.marks.take_up(marks);
                    false
                }
                None => true,
            });
        }
        ended
    }

    /// `user` is at least this far. Returns whether they are known here.
    pub fn take_up_marks(&mut self, user: &Arc<str>, marks: &Marks) -> bool {
        if let Some(person) = self.state.people.get_mut(user) {
            person.marks.take_up(marks);
            return true;
        }
        if self.early.len() < EARLY_MARKS_MAX {
            self.early.entry(user.clone()).or_default().take_up(marks);
        }
        false
    }

    /// Nobody may read any further under what this says.
    pub fn end_all_reaches(&mut self) {
        let end = self.state.tail;
        self.reaches.drain().for_each(|(_, reach)| reach.end(end));
    }

    fn end_reaches(&mut self, event: &Event, end: Offset) -> bool {
        let ended: Vec<Arc<Reach>> = match &event.kind {
            Kind::Leave { user } | Kind::Ban { user, .. } => {
                self.reaches.remove(user).into_iter().collect()
            }
            Kind::Closed => self.reaches.drain().map(|(_, reach)| reach).collect(),
            _ => return false,
        };
        ended.iter().for_each(|reach| reach.end(end));
        !ended.is_empty()
    }

    /// Users who have come in by `events`.
    pub fn joined<'a>(events: impl Iterator<Item = &'a Arc<Event>>) -> Vec<Arc<str>> {
        let mut joined = Vec::new();
        for event in events {
            match &event.kind {
                Kind::Join { user, .. } | Kind::Invite { user, .. } => joined.push(user.clone()),
                Kind::Conversation { participants, .. } => {
                    joined.extend(participants.iter().map(|one| one.user.clone()));
                }
                _ => {}
            }
        }
        joined
    }
}
