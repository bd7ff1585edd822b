//! Conversations played at random: what is decided keeps the rules, and what the tables say of it
//! brings back the same state.

use super::{
    Action, ChatError, EVERYBODY, Event, Imported, Kind, NewMessage, Permission, Role, Settings,
    decide::{Facts, Known, decide, found},
    name::ConversationName,
    projection::Projection,
    state::{Person, State},
    state_of,
};
use crate::{
    flusher::Project,
    model::{
        ChatWrite, Chunk, Flush, Lengths, Lifetime, Offset, ParticipantRow, ReceiptRow, Standing,
        StoredStream, StreamId, Target, Writers,
    },
    store::StoredConversation,
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// What can be asked for, with users and messages by number.
#[derive(Clone, Debug)]
enum Move {
    Send { txn: bool, thread: Option<usize>, everybody: bool },
    Edit(usize),
    Delete(usize),
    React(usize),
    Pin(usize),
    Unpin(usize),
    Settings(usize),
    Add { user: usize, role: Option<Role>, invite: bool },
    Remove(usize),
    Join,
    Ban(usize),
    Unban(usize),
    Mute(usize),
    Unmute(usize),
    Import,
    Trim(usize),
    Close,
}

fn moves() -> impl Strategy<Value = (usize, Move)> {
    let user = || 0..USERS.len();
    let message = || 0..12usize;
    let role = prop::option::of(prop::sample::select(vec![
        Role::Reader,
        Role::Member,
        Role::Moderator,
        Role::Owner,
    ]));
    let what = prop_oneof![
        6 => (any::<bool>(), prop::option::of(message()), any::<bool>())
            .prop_map(|(txn, thread, everybody)| Move::Send { txn, thread, everybody }),
        2 => message().prop_map(Move::Edit),
        2 => message().prop_map(Move::Delete),
        1 => message().prop_map(Move::React),
        2 => message().prop_map(Move::Pin),
        1 => message().prop_map(Move::Unpin),
        2 => (0..4usize).prop_map(Move::Settings),
        4 => (user(), role, any::<bool>())
            .prop_map(|(user, role, invite)| Move::Add { user, role, invite }),
        3 => user().prop_map(Move::Remove),
        2 => Just(Move::Join),
        2 => user().prop_map(Move::Ban),
        1 => user().prop_map(Move::Unban),
        1 => user().prop_map(Move::Mute),
        1 => user().prop_map(Move::Unmute),
        1 => Just(Move::Import),
        1 => message().prop_map(Move::Trim),
        1 => Just(Move::Close),
    ];
    (user(), what)
}

/// A conversation without a server around it.
struct Play {
    state: State,
    events: Vec<Event>,
    ends: Vec<Offset>,
    body: Vec<u8>,
    /// What is known of messages, in the order in which they came.
    messages: Vec<Known>,
    now_ms: u64,
}

impl Play {
    fn new() -> Self {
        let mut play = Self {
            state: State::new("team".into()),
            events: Vec::new(),
            ends: Vec::new(),
            body: Vec::new(),
            messages: Vec::new(),
            now_ms: 1_000,
        };
        let people = ["bob".to_owned(), "carol".to_owned()];
        let kind = found(&USERS[0].into(), None, Settings::default(), &people).expect("valid");
        play.take(kind, USERS[0].into(), 1_000);
        play
    }

    fn take(&mut self, kind: Kind, source: Arc<str>, created: u64) {
        let position = self.state.position() + 1;
        let event = Event { kind, conversation: "team".into(), position, source, created };
        let text = serde_json::to_vec(&event).expect("JSON");
        let end = self.state.tail.advance(1, text.len() as u64 + 1);
        self.body.extend(text);
        self.body.push(b',');
        self.state.apply(&event, end);
        self.note(&event);
        self.events.push(event);
        self.ends.push(end);
    }

    fn note(&mut self, event: &Event) {
        let known = |messages: &mut Vec<Known>, target: u64, change: fn(&mut Known)| {
            messages.iter_mut().filter(|known| known.position == target).for_each(change);
        };
        match &event.kind {
            Kind::Message(message) => {
                self.messages.push(super::recent::known(event, message));
            }
            Kind::Edit(edit) => known(&mut self.messages, edit.target, |known| known.rev += 1),
            Kind::Delete { target, .. } => {
                known(&mut self.messages, *target, |known| known.deleted = true);
            }
            Kind::Trim { low, .. } => self.messages.retain(|known| known.position > *low),
            _ => {}
        }
    }

    fn message(&self, index: usize) -> Option<Known> {
        self.messages.get(index % self.messages.len().max(1)).cloned()
    }

    /// What a move asks for, and what is known of the messages in it.
    fn action(&self, what: &Move) -> (Action, Facts) {
        let user = |index: usize| -> Arc<str> { USERS[index].into() };
        let on = |index: usize| Facts { target: self.message(index), ..Facts::default() };
        let none = Facts::default();
        match what.clone() {
            Move::Send { txn, thread, everybody } => {
                let root = thread.and_then(|index| self.message(index));
                let mut message = NewMessage { text: "hi".into(), ..NewMessage::default() };
                message.thread = root.as_ref().map(|root| format!("team:{}", root.position));
                message.txn = txn.then(|| format!("t{}", self.events.len()));
                if everybody {
                    message.extra.mentions = vec![EVERYBODY.into()];
                }
                (Action::Send(message), Facts { thread: root, ..none })
            }
            Move::Edit(index) => {
                let (text, extra) = ("other".into(), super::Extra::default());
                (Action::Edit { text, extra, rev: None }, on(index))
            }
            Move::Delete(index) => (Action::Delete { reason: None }, on(index)),
            Move::React(index) => (Action::React { reaction: "👍".into() }, on(index)),
            Move::Pin(index) => (Action::Pin, on(index)),
            Move::Unpin(index) => (Action::Unpin, on(index)),
            Move::Settings(index) => {
                let patch = [
                    serde_json::json!({"join": "open"}),
                    serde_json::json!({"history": "since_join", "join": null}),
                    serde_json::json!({"retention_messages": 3}),
                    serde_json::json!({"permissions": {"member": {"kick": true}}}),
                ];
                let settings = Some(patch[index].clone());
                (Action::Change { title: Some(Some("t".into())), settings }, none)
            }
            Move::Add { user: index, role, invite } => {
                (Action::Add { user: user(index), role, invite }, none)
            }
            Move::Remove(index) => (Action::Remove { user: user(index) }, none),
            Move::Join => (Action::Join, none),
            Move::Ban(index) => {
                let until = (index % 2 == 0).then_some(self.now_ms + 5);
                (Action::Ban { user: user(index), until, reason: None }, none)
            }
            Move::Unban(index) => (Action::Unban { user: user(index) }, none),
            Move::Mute(index) => {
                (Action::Mute { user: user(index), until: None, reason: None }, none)
            }
            Move::Unmute(index) => (Action::Unmute { user: user(index) }, none),
            Move::Import => {
                let message = Imported {
                    source: "somebody".into(),
                    text: "old".into(),
                    created: 5,
                    reply_to: None,
                    extra: super::Extra::default(),
                };
                (Action::Import(vec![message]), none)
            }
            Move::Trim(index) => {
                let low = self.ends[index % self.ends.len()];
                let counted = |event: &Event| match &event.kind {
                    Kind::Message(message) if event.position <= low.records => message.n,
                    _ => 0,
                };
                let n = self.events.iter().map(counted).max().unwrap_or(0);
                (Action::Trim { low, n }, none)
            }
            Move::Close => (Action::Close, none),
        }
    }

    fn step(&mut self, actor: usize, what: &Move) -> Result<(), ChatError> {
        self.now_ms += 1;
        let actor: Arc<str> = USERS[actor].into();
        let (action, facts) = self.action(what);
        let before = self.state.clone();
        let steps = decide(&self.state, &actor, &action, &facts, self.now_ms)?;
        self.check(&before, &actor, &action, steps.is_empty());
        for step in steps {
            self.take(step.kind, step.source, step.created);
        }
        Ok(())
    }

    /// Rules that need no knowledge of how they are kept.
    fn check(&self, before: &State, actor: &str, action: &Action, nothing: bool) {
        assert!(!before.closed, "nothing happens in a conversation that is deleted");
        let own = matches!(action, Action::Join | Action::Trim { .. } | Action::Finish { .. });
        let leaves = matches!(action, Action::Remove { user } if **user == *actor);
        let me = before.member(actor);
        assert!(own || leaves || me.is_some(), "{actor} takes no part and does {action:?}");
        let Some(me) = me.filter(|_| !nothing) else { return };
        if let Action::Remove { user } | Action::Ban { user, .. } | Action::Mute { user, .. } =
            action
            && **user != *actor
            && let Some(other) = before.people.get(user)
        {
            assert!(me.role > other.role || me.role == Role::Owner, "{actor} is not above {user}");
        }
        let muted = me.muted_until.is_some_and(|until| until > self.now_ms);
        let speaks = matches!(action, Action::Send(_) | Action::Edit { .. } | Action::React { .. });
        assert!(!(muted && speaks), "{actor} is muted");
        assert!(!speaks || me.role > Role::Reader || before.may(me, Permission::Send));
    }

    fn chunk(&self) -> Chunk {
        let lengths: Vec<u32> = std::iter::once(&Offset::ZERO)
            .chain(&self.ends)
            .zip(&self.ends)
            .map(|(from, to)| (to.bytes - from.bytes) as u32)
            .collect();
        let lengths = Lengths::Many(lengths.into());
        Chunk { at: Offset::ZERO, lengths, body: self.body.clone().into() }
    }

    /// What the tables would hold.
    fn tables(&self) -> StoredConversation {
        let name: ConversationName = "team".parse().expect("a name");
        let stream = StoredStream {
            id: StreamId(7),
            name: name.stream().expect("a name"),
            content_type: "application/json".into(),
            tail: self.state.tail,
            tied: false,
            closed: None,
            lifetime: Lifetime::Unlimited,
            expires_ms: None,
            fork: None,
            hidden: false,
            forks: 0,
            writers: Writers::default(),
            version: 0,
        };
        let mut flush = Flush {
            stream,
            from: None,
            from_version: 0,
            chunks: vec![self.chunk()],
            producers: Vec::new(),
            remove: false,
            writes: Vec::new(),
            transient: false,
            cost: 0,
        };
        Projection.project(&mut flush);
        Tables::default().written(flush.writes)
    }
}

/// The tables, as far as a conversation is loaded from them.
#[derive(Default)]
struct Tables {
    stored: Option<StoredConversation>,
    people: BTreeMap<String, ParticipantRow>,
    receipts: BTreeMap<String, ReceiptRow>,
    pins: BTreeSet<u64>,
}

impl Tables {
    fn written(mut self, writes: Vec<ChatWrite>) -> StoredConversation {
        writes.into_iter().for_each(|write| self.write(write));
        let mut stored = self.stored.expect("a conversation");
        stored.participants = self.people.into_values().collect();
        stored.receipts = self.receipts.into_values().collect();
        stored.pins = self.pins.into_iter().collect();
        stored
    }

    fn write(&mut self, write: ChatWrite) {
        match write {
            ChatWrite::Conversation(row) => {
                self.stored = Some(StoredConversation {
                    row,
                    position: 0,
                    n: 0,
                    low: Offset::ZERO,
                    closed: false,
                    participants: Vec::new(),
                    receipts: Vec::new(),
                    pins: Vec::new(),
                });
            }
            ChatWrite::Settings { title, settings, retention, .. } => {
                let row = &mut self.stored.as_mut().expect("begun").row;
                (row.title, row.settings, row.retention) = (title, settings, retention);
            }
            ChatWrite::Head { position, n, .. } => {
                let stored = self.stored.as_mut().expect("begun");
                (stored.position, stored.n) = (position, stored.n.max(n));
            }
            ChatWrite::Closed { .. } => self.stored.as_mut().expect("begun").closed = true,
            ChatWrite::Participant(row) => {
                let muted_until =
                    self.people.get(&row.participant).and_then(|known| known.muted_until);
                self.people.insert(row.participant.clone(), ParticipantRow { muted_until, ..row });
            }
            ChatWrite::Standing {
                participant, role, standing, since, banned_until, at_ms, ..
            } => {
                let person = self.people.entry(participant.clone()).or_insert(ParticipantRow {
                    conversation: "team".into(),
                    participant,
                    role: "member".into(),
                    standing,
                    since,
                    visible_from: Offset::ZERO,
                    muted_until: None,
                    banned_until: None,
                    created: at_ms,
                });
                (person.standing, person.since) = (standing, since);
                person.banned_until = banned_until;
                person.role = role.map_or(person.role.clone(), str::to_owned);
            }
            ChatWrite::Voice { participant, muted_until, .. } => {
                if let Some(person) = self.people.get_mut(&participant) {
                    person.muted_until = muted_until;
                }
            }
            ChatWrite::Role { participant, role, .. } => {
                if let Some(person) = self.people.get_mut(&participant) {
                    person.role = role.into();
                }
            }
            ChatWrite::Receipt(row) => self.receipt(row),
            ChatWrite::Message(row) if !row.imported => self.receipt(ReceiptRow {
                conversation: "team".into(),
                participant: row.source,
                delivered: row.target.position,
                delivered_at: Some(row.created),
                read: row.target.position,
                read_at: Some(row.created),
            }),
            ChatWrite::Pin { target, .. } => drop(self.pins.insert(target.position)),
            ChatWrite::Unpin { target: Target { position, .. } }
            | ChatWrite::Delete { target: Target { position, .. }, .. } => {
                self.pins.remove(&position);
            }
            ChatWrite::Trim { low, .. } => {
                self.pins = self.pins.split_off(&(low.records + 1));
                self.stored.as_mut().expect("begun").low = low;
            }
            _ => {}
        }
    }

    fn receipt(&mut self, row: ReceiptRow) {
        let known = self.receipts.entry(row.participant.clone()).or_insert_with(|| row.clone());
        if row.delivered > known.delivered {
            (known.delivered, known.delivered_at) = (row.delivered, row.delivered_at);
        }
        if row.read > known.read {
            (known.read, known.read_at) = (row.read, row.read_at);
        }
    }
}

/// Without what is only remembered while a conversation is loaded.
fn comparable(mut state: State) -> State {
    state.people.values_mut().for_each(|person| person.sent_ms = None);
    // Of somebody who is nothing any more only that matters.
    state.people.retain(|_, person| !is_nothing(person));
    state
}

fn is_nothing(person: &Person) -> bool {
    person.standing == Standing::Left && person.since == 0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_tables_bring_back_what_was_decided(plan in prop::collection::vec(moves(), 1..60)) {
        let mut play = Play::new();
        for (actor, what) in &plan {
            // Most is refused, as it should be.
            let _ = play.step(*actor, what);
            let state = &play.state;
            let members = state.members().count();
            let owners = state.members().filter(|(_, one)| one.role == Role::Owner).count();
            prop_assert!(owners > 0 || members == 0 || state.closed, "nobody is left to lead");
            let counted = play.events.iter().filter(|event| {
                matches!(&event.kind, Kind::Message(message) if message.counts())
            });
            prop_assert_eq!(counted.count() as u64, state.n);
        }
        let mut loaded = state_of(play.tables());
        loaded.tail = play.state.tail;
        if play.state.closed {
            prop_assert!(loaded.closed);
        } else {
            prop_assert_eq!(comparable(loaded), comparable(play.state.clone()));
        }
    }
}

/// What `actor` may do in the play, with nothing known of messages.
fn asked(play: &Play, actor: &str, action: &Action) -> Result<usize, ChatError> {
    let steps = decide(&play.state, &actor.into(), action, &Facts::default(), play.now_ms)?;
    Ok(steps.len())
}

#[test]
fn nobody_raises_themselves_above_what_they_were_given() {
    let mut play = Play::new();
    let owner: Arc<str> = USERS[0].into();
    let may = serde_json::json!({"permissions": {"moderator": {"roles": true}}});
    let settings = Settings::default().patched(may).expect("settings");
    play.take(Kind::Settings { title: None, settings }, owner.clone(), 1_001);
    play.take(Kind::Role { user: "bob".into(), role: Role::Moderator }, owner.clone(), 1_002);
    play.take(Kind::Mute { user: "bob".into(), until: None, reason: None }, owner, 1_003);
    let add = |role| Action::Add { user: "erin".into(), role: Some(role), invite: false };
    assert_eq!(asked(&play, "bob", &add(Role::Owner)), Err(ChatError::Rank));
    assert_eq!(asked(&play, "bob", &add(Role::Moderator)), Ok(1));
    let unmute = Action::Unmute { user: "bob".into() };
    assert_eq!(asked(&play, "bob", &unmute), Err(ChatError::Rank), "an owner has muted them");
    assert_eq!(asked(&play, "alice", &unmute), Ok(1));
    let part = Action::Part { text: "more".into() };
    assert_eq!(asked(&play, "bob", &part), Err(ChatError::Muted { until: None }));
}
