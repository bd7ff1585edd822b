//! A conversation as it is after an event: who takes part, and how far everything is. Pure.

use super::{
    ChatError,
    event::{Event, Kind, Shape},
    role::{Permission, Role, allows},
    settings::{History, Settings},
};
use crate::model::{FOREVER_MS, Offset, Standing};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its name.
    pub name: Arc<str>,
    /// Its title.
    pub title: Option<String>,
    /// Who created it.
    pub admin: Arc<str>,
    /// When, in milliseconds since 1970.
    pub created: u64,
    /// Between two users, and nobody else.
    pub direct: bool,
    /// Its settings.
    pub settings: Settings,
    /// Where its stream ends; the records before are its position.
    pub tail: Offset,
    /// How many messages count.
    pub n: u64,
    /// What is before this is gone.
    pub low: Offset,
    /// It is deleted.
    pub closed: bool,
    /// All who are something to it.
    pub people: HashMap<Arc<str>, Person>,
    /// What is pinned.
    pub pins: BTreeSet<u64>,
}

/// What somebody is to a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their role.
    pub role: Role,
    /// Whether they take part.
    pub standing: Standing,
    /// The position of the event that made them so.
    pub since: u64,
    /// They see what comes behind this.
    pub visible_from: Offset,
    /// They may not write before.
    pub muted_until: Option<u64>,
    /// They may not come in before.
    pub banned_until: Option<u64>,
    /// When they came, in milliseconds since 1970.
    pub created: u64,
    /// When they last wrote; `None` where that was before the conversation was loaded.
    pub sent_ms: Option<u64>,
    /// How far they are.
    pub marks: Marks,
}

/// How far somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Everything up to this position has arrived.
    pub delivered: u64,
    /// Since when.
    pub delivered_at: Option<u64>,
    /// Everything up to this position is read.
    pub read: u64,
    /// Since when.
    pub read_at: Option<u64>,
}

impl Marks {
    /// Takes up what is further. Returns whether anything was.
    pub fn advance(&mut self, delivered: u64, read: u64, now_ms: u64) -> bool {
        let delivered = delivered.max(read);
        let before = *self;
        if delivered > self.delivered {
            (self.delivered, self.delivered_at) = (delivered, Some(now_ms));
        }
        if read > self.read {
            (self.read, self.read_at) = (read, Some(now_ms));
        }
        before != *self
    }

    /// Takes up of `other` what is further, with its times.
    pub fn take_up(&mut self, other: &Self) {
        if other.delivered > self.delivered {
            (self.delivered, self.delivered_at) = (other.delivered, other.delivered_at);
        }
        if other.read > self.read {
            (self.read, self.read_at) = (other.read, other.read_at);
        }
    }
}

impl State {
    /// Before its first event.
    #[must_use]
    pub fn new(name: Arc<str>) -> Self {
        Self {
            name,
            title: None,
            admin: "".into(),
            created: 0,
            direct: false,
            settings: Settings::default(),
            tail: Offset::ZERO,
            n: 0,
            low: Offset::ZERO,
            closed: false,
            people: HashMap::new(),
            pins: BTreeSet::new(),
        }
    }

    /// As it would be if `user` began it like this.
    #[must_use]
    pub fn begun(name: Arc<str>, kind: &Kind, user: &Arc<str>, now_ms: u64) -> Self {
        let (kind, conversation) = (kind.clone(), name.clone());
        let event =
            Event { kind, conversation, position: 1, source: user.clone(), created: now_ms };
        let mut state = Self::new(name);
        state.apply(&event, Offset { records: 1, bytes: 0 });
        state
    }

    /// The position of the last event.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.tail.records
    }

    /// Somebody who takes part.
    #[must_use]
    pub fn member(&self, user: &str) -> Option<&Person> {
        let person = self.people.get(user)?;
        (person.standing == Standing::Member && !self.closed).then_some(person)
    }

    /// Somebody who takes part, or what others are told: nothing of a conversation of two, which both
    /// their names lead to.
    ///
    /// # Errors
    /// They do not take part, or it is deleted.
    pub fn insider(&self, user: &str) -> Result<&Person, ChatError> {
        let hides = self.closed || (self.direct && !self.people.contains_key(user));
        let told = if hides { ChatError::NotFound } else { ChatError::NotAParticipant };
        self.member(user).ok_or(told)
    }

    /// Whether somebody who takes part may do this.
    #[must_use]
    pub fn may(&self, person: &Person, permission: Permission) -> bool {
        allows(&self.settings.permissions, person.role, permission)
    }

    /// Those who take part.
    pub fn members(&self) -> impl Iterator<Item = (&Arc<str>, &Person)> {
        self.people.iter().filter(|(_, person)| person.standing == Standing::Member)
    }

    /// Whether there is an owner beside `user`.
    #[must_use]
    pub fn has_other_owner(&self, user: &str) -> bool {
        self.members().any(|(name, person)| **name != *user && person.role == Role::Owner)
    }

    /// Goes on to behind `event`, which ends at `end`.
    pub fn apply(&mut self, event: &Event, end: Offset) {
        let at = event.created;
        match &event.kind {
            Kind::Conversation { title, kind, settings, participants } => {
                (self.title, self.settings) = (title.clone(), settings.clone());
                (self.admin, self.created) = (event.source.clone(), at);
                self.direct = *kind == Shape::Direct;
                for one in participants {
                    self.join(&one.user, one.role, Offset::ZERO, event.position, at);
                }
            }
            Kind::Settings { title, settings } => {
                (self.title, self.settings) = (title.clone(), settings.clone());
            }
            Kind::Message(message) => {
                self.n = message.n;
                if !message.imported
                    && let Some(person) = self.people.get_mut(&event.source)
                {
                    person.sent_ms = Some(at);
                    let _ = person.marks.advance(event.position, event.position, at);
                }
            }
            Kind::Delete { target, .. } | Kind::Unpin { target } => {
                self.pins.remove(target);
            }
            Kind::Pin { target } => {
                self.pins.insert(*target);
            }
            Kind::Trim { low, low_bytes, .. } => {
                self.low = Offset { records: *low, bytes: *low_bytes };
                self.pins = self.pins.split_off(&(low + 1));
            }
            Kind::Closed => self.closed = true,
            Kind::Part { .. }
            | Kind::Finish { .. }
            | Kind::Edit(_)
            | Kind::React { .. }
            | Kind::Unreact { .. } => {}
            kind => self.apply_to_people(kind, event, end),
        }
        self.tail = end;
    }

    fn apply_to_people(&mut self, kind: &Kind, event: &Event, end: Offset) {
        let (position, at) = (event.position, event.created);
        match kind {
            Kind::Join { user, role, history } => {
                let from = match history {
                    History::Shared => Offset::ZERO,
                    History::SinceJoin => self.tail,
                };
                self.join(user, *role, from, position, at);
                // Nobody comes in with a thousand unread messages.
                if let Some(person) = self.people.get_mut(user) {
                    let _ = person.marks.advance(position, position, at);
                }
            }
            Kind::Invite { user, role } => {
                let person = self.person(user, *role, at);
                person.role = *role;
                self.stand(user, Standing::Invited, position);
            }
            Kind::Leave { user } => self.stand(user, Standing::Left, position),
            Kind::Ban { user, until, .. } => {
                let _ = self.person(user, Role::Member, at);
                self.stand(user, Standing::Banned, position);
                self.person(user, Role::Member, at).banned_until = *until;
            }
            Kind::Unban { user } => self.stand(user, Standing::Left, position),
            Kind::Mute { user, until, .. } => {
                self.person(user, Role::Member, at).muted_until = Some(until.unwrap_or(FOREVER_MS));
            }
            Kind::Unmute { user } => self.person(user, Role::Member, at).muted_until = None,
            Kind::Role { user, role } => self.person(user, *role, at).role = *role,
            _ => debug_assert!(false, "no event of people at {end}"),
        }
    }

    fn join(&mut self, user: &Arc<str>, role: Role, from: Offset, position: u64, at: u64) {
        let person = self.person(user, role, at);
        (person.role, person.standing, person.since) = (role, Standing::Member, position);
        (person.visible_from, person.created) = (from, at);
        person.banned_until = None;
    }

    fn stand(&mut self, user: &str, standing: Standing, position: u64) {
        if let Some(person) = self.people.get_mut(user) {
            (person.standing, person.since, person.banned_until) = (standing, position, None);
        }
    }

    fn person(&mut self, user: &Arc<str>, role: Role, at: u64) -> &mut Person {
        self.people.entry(user.clone()).or_insert_with(|| Person {
            role,
            standing: Standing::Left,
            since: 0,
            visible_from: Offset::ZERO,
            muted_until: None,
            banned_until: None,
            created: at,
            sent_ms: Some(0),
            marks: Marks::default(),
        })
    }
}
