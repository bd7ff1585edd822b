//! What a conversation is, made of its events. Strict: an event that cannot follow those before it
//! is a fault. Kinds that are not known are passed over, their positions count.

use std::collections::{BTreeMap, BTreeSet};

use super::super::wire::{Event, Kind};
use super::Fault;

/// A conversation behind some event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The position of its last event.
    pub position: u64,
    /// How many messages count.
    pub n: u64,
    /// All messages by their positions, deleted ones too.
    pub messages: BTreeMap<u64, Folded>,
    /// Which of them are pinned.
    pub pins: BTreeSet<u64>,
    /// Who takes part, and as what.
    pub members: BTreeMap<String, String>,
    /// Where those who came in later did so; what was before counts as read.
    pub joins: BTreeMap<String, u64>,
    /// It has been deleted.
    pub closed: bool,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    pub source: String,
    /// None when it was erased.
    pub text: Option<String>,
    /// It counts in `n`: it is in no thread and not imported.
    pub counts: bool,
    pub in_thread: bool,
    pub rev: u64,
    pub deleted: bool,
    pub mentions: Vec<String>,
    /// Who has reacted how.
    pub reactions: BTreeMap<String, BTreeSet<String>>,
}

impl Conversation {
    /// All of a log.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> (Self, Vec<Fault>) {
        let mut conversation = Self::default();
        let mut fold = |event| conversation.apply(event).err();
        let faults = events.into_iter().filter_map(&mut fold).collect();
        (conversation, faults)
    }

    /// The next event.
    pub fn apply(&mut self, event: &Event) -> Result<(), Fault> {
        let due = self.position + 1;
        let wrong = |kind, why: &str| {
            let (position, what) = (event.position, event.kind);
            Err(Fault::new(kind, format!("{what:?} at {position} by {}: {why}", event.source)))
        };
        self.position = event.position;
        if event.position != due {
            return wrong("the log has a gap", &format!("{due} was due"));
        }
        if (event.kind == Kind::Conversation) != (due == 1) || self.closed {
            return wrong("a log begins or ends in its middle", "");
        }
        let done = match event.kind {
            Kind::Conversation => self.begin(event),
            Kind::Message => self.message(event),
            Kind::Edit | Kind::Delete | Kind::React | Kind::Unreact | Kind::Pin | Kind::Unpin => {
                self.act(event)
            }
            Kind::Join | Kind::Leave | Kind::Ban | Kind::Role => self.member(event),
            Kind::Closed => {
                self.closed = true;
                Ok(())
            }
            Kind::Settings
            | Kind::Part
            | Kind::Finish
            | Kind::Invite
            | Kind::Unban
            | Kind::Mute
            | Kind::Unmute
            | Kind::Trim
            | Kind::Other => Ok(()),
        };
        done.or_else(|why| wrong("an event cannot follow those before it", &why))
    }

    fn begin(&mut self, event: &Event) -> Result<(), String> {
        let members = event.participants.iter();
        self.members = members.map(|member| (member.user.clone(), member.role.clone())).collect();
        self.takes_part(event)
    }

    fn takes_part(&self, event: &Event) -> Result<(), String> {
        let takes_part = self.members.contains_key(&event.source);
        takes_part.then_some(()).ok_or_else(|| "by somebody who does not take part".to_owned())
    }

    fn message(&mut self, event: &Event) -> Result<(), String> {
        let in_thread = event.thread.is_some();
        let counts = !in_thread && event.imported.is_none();
        let folded = Folded {
            source: event.source.clone(),
            text: event.text.clone(),
            counts,
            in_thread,
            mentions: event.mentions.clone().unwrap_or_default(),
            ..Folded::default()
        };
        self.messages.insert(event.position, folded);
        self.takes_part(event)?;
        self.n += u64::from(counts);
        if counts && event.n != Some(self.n) {
            return Err(format!("it has n {:?} instead of {}", event.n, self.n));
        }
        Ok(())
    }

    /// Something about a message.
    fn act(&mut self, event: &Event) -> Result<(), String> {
        self.takes_part(event)?;
        let target = event.target.ok_or("it has no target")?;
        let message = self.messages.get_mut(&target);
        let message = message.ok_or_else(|| format!("there is no message at {target}"))?;
        if message.deleted && event.kind != Kind::Unpin {
            return Err(format!("the message at {target} is deleted"));
        }
        let reaction = event.reaction.clone().unwrap_or_default();
        let reacted = message.reactions.get(&reaction);
        let reacted = reacted.is_some_and(|users| users.contains(&event.source));
        let changed = match event.kind {
            Kind::Edit => {
                message.text.clone_from(&event.text);
                message.mentions = event.mentions.clone().unwrap_or_default();
                message.rev += 1;
                event.rev == Some(message.rev)
            }
            Kind::Delete => {
                let Folded { counts, in_thread, rev, .. } = *message;
                let source = std::mem::take(&mut message.source);
                let gone = Folded { source, counts, in_thread, rev, ..Folded::default() };
                *message = Folded { deleted: true, ..gone };
                self.pins.remove(&target);
                true
            }
            Kind::React => {
                message.reactions.entry(reaction).or_default().insert(event.source.clone());
                !reacted
            }
            Kind::Unreact => {
                if let Some(users) = message.reactions.get_mut(&reaction) {
                    users.remove(&event.source);
                }
                message.reactions.retain(|_, users| !users.is_empty());
                reacted
            }
            Kind::Pin => self.pins.insert(target),
            _ => self.pins.remove(&target),
        };
        changed.then_some(()).ok_or_else(|| format!("it changes nothing at {target}"))
    }

    /// Somebody comes, goes or becomes something else.
    fn member(&mut self, event: &Event) -> Result<(), String> {
        let user = event.user.clone().ok_or("it names nobody")?;
        let role = event.role.clone().unwrap_or_default();
        if event.kind == Kind::Join {
            self.joins.insert(user.clone(), event.position);
        }
        let was_there = match event.kind {
            Kind::Join | Kind::Role => self.members.insert(user, role).is_some(),
            _ => self.members.remove(&user).is_some(),
        };
        // One may be banned without having been there.
        let right = was_there == (event.kind != Kind::Join) || event.kind == Kind::Ban;
        right.then_some(()).ok_or_else(|| "it does not change who takes part".to_owned())
    }

    /// How many messages behind `read` are there.
    pub fn unread(&self, read: u64) -> u64 {
        self.behind(read).count() as u64
    }

    /// How many of them mention `user`.
    pub fn mentions(&self, user: &str, read: u64) -> u64 {
        let to_me = |message: &&Folded| message.mentions.iter().any(|name| name == user);
        self.behind(read).filter(to_me).count() as u64
    }

    fn behind(&self, read: u64) -> impl Iterator<Item = &Folded> {
        let messages = self.messages.range(read + 1..).map(|(_, message)| message);
        messages.filter(|message| message.counts && !message.deleted)
    }

    /// How far `user` has read without saying so: up to their last message, or to where they came in.
    pub fn read_by(&self, user: &str) -> u64 {
        let own = self.messages.iter().rev().find(|(_, message)| message.source == user);
        let own = own.map_or(0, |(position, _)| *position);
        own.max(self.joins.get(user).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small history with everything in it.
    const HISTORY: [&str; 11] = [
        r#"{"type":"conversation","position":1,"source":"a","participants":[{"user":"a","role":"owner"},{"user":"b","role":"member"}]}"#,
        r#"{"type":"message","position":2,"source":"a","n":1,"text":"one","mentions":["b"]}"#,
        r#"{"type":"message","position":3,"source":"b","n":2,"text":"two"}"#,
        r#"{"type":"edit","position":4,"source":"b","target":3,"rev":1,"text":"three"}"#,
        r#"{"type":"react","position":5,"source":"a","target":3,"reaction":"+"}"#,
        r#"{"type":"pin","position":6,"source":"a","target":2}"#,
        r#"{"type":"weather","position":7,"source":"a"}"#,
        r#"{"type":"message","position":8,"source":"a","n":2,"text":"in it","thread":"x:2"}"#,
        r#"{"type":"delete","position":9,"source":"a","target":2,"counted":true}"#,
        r#"{"type":"leave","position":10,"source":"a","user":"b"}"#,
        r#"{"type":"message","position":11,"source":"a","n":3,"text":"alone"}"#,
    ];

    fn fold(history: &[&str]) -> (Conversation, Vec<Fault>) {
        let read = |raw: &&str| serde_json::from_str(raw).expect("an event");
        let events: Vec<Event> = history.iter().map(read).collect();
        Conversation::of(&events)
    }

    /// What is wrong with the history when the event at `position` is another one.
    fn changed(position: usize, event: &str) -> Vec<Fault> {
        let mut history = HISTORY;
        history[position - 1] = event;
        fold(&history).1
    }

    #[test]
    fn a_right_history_has_no_faults() {
        let (folded, faults) = fold(&HISTORY);
        assert_eq!(faults, []);
        assert_eq!((folded.position, folded.n, folded.members.len()), (11, 3, 1));
        let text = |at| folded.messages[&at].text.as_deref();
        assert_eq!((text(2), text(3), text(8)), (None, Some("three"), Some("in it")));
        assert!(folded.messages[&2].deleted && folded.pins.is_empty());
        assert_eq!((folded.unread(0), folded.unread(3), folded.unread(11)), (2, 1, 0));
        assert_eq!((folded.mentions("b", 0), folded.read_by("b")), (0, 3));
        let (before, _) = fold(&HISTORY[..8]);
        assert_eq!((before.mentions("b", 1), before.mentions("b", 2)), (1, 0));
        assert_eq!(before.pins.len(), 1);
    }

    #[test]
    fn a_missing_or_repeated_event_is_found() {
        for missing in 0..HISTORY.len() - 1 {
            let mut history = HISTORY.to_vec();
            history.remove(missing);
            let (_, faults) = fold(&history);
            assert_eq!(faults[0].kind, "the log has a gap", "without {}", missing + 1);
        }
        let mut history = HISTORY.to_vec();
        history.insert(4, HISTORY[3]);
        assert_eq!(fold(&history).1[0].kind, "the log has a gap");
        let mut history = HISTORY;
        history.swap(3, 4);
        assert!(!fold(&history).1.is_empty());
    }

    #[test]
    fn an_event_that_cannot_be_is_found() {
        for (position, event) in [
            (3, r#"{"type":"message","position":3,"source":"c","n":2,"text":"stranger"}"#),
            (3, r#"{"type":"message","position":3,"source":"b","n":3,"text":"miscounted"}"#),
            (4, r#"{"type":"edit","position":4,"source":"b","target":3,"rev":2,"text":"x"}"#),
            (4, r#"{"type":"edit","position":4,"source":"b","target":1,"rev":1,"text":"x"}"#),
            (10, r#"{"type":"react","position":10,"source":"b","target":2,"reaction":"+"}"#),
            (10, r#"{"type":"react","position":10,"source":"a","target":3,"reaction":"+"}"#),
            (10, r#"{"type":"unreact","position":10,"source":"b","target":3,"reaction":"+"}"#),
            (10, r#"{"type":"join","position":10,"source":"a","user":"b","role":"member"}"#),
            (7, r#"{"type":"conversation","position":7,"source":"a"}"#),
            (7, r#"{"type":"closed","position":7,"source":"a"}"#),
        ] {
            assert!(!changed(position, event).is_empty(), "{event}");
        }
    }
}
