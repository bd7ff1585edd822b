//! Compares at the end what the clients were promised with what is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::wire::{Event, Kind, Message};
use super::fold::Folded;
use super::outbox::Fate;
use super::{Conversation, Draft, Entry, Fault, Outbox, text};

/// The messages of all users by their numbers.
pub type Drafts<'a> = BTreeMap<u64, (&'a str, &'a Draft)>;

/// The logs of all conversations by their names.
pub type Logs = BTreeMap<String, Vec<Arc<Entry>>>;

/// Every acknowledged message is there once, where it was said to be; every other at most once, and
/// none that was refused. Nothing is there that nobody sent.
pub fn judge_drafts(drafts: &Drafts<'_>, logs: &Logs) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut places: HashMap<u64, Vec<u64>> = HashMap::new();
    for (name, log) in logs {
        for entry in log.iter().filter(|entry| entry.event.kind == Kind::Message) {
            match number(name, &entry.event, drafts) {
                Some(number) => places.entry(number).or_default().push(entry.event.position),
                None => faults.push(Fault::new("a message that nobody sent", &*entry.raw)),
            }
        }
    }
    for (number, (user, draft)) in drafts {
        let found = places.get(number).map(Vec::as_slice).unwrap_or_default();
        let text = || {
            let Draft { conversation, attempts, fate, .. } = draft;
            let sent = format!("{} of {user} to {conversation}", Outbox::txn(*number));
            format!("{sent}, {attempts} times: {fate:?}, and is at {found:?}")
        };
        let kind = match (draft.fate, found) {
            (_, [_, _, ..]) => "a message is there twice",
            (Fate::Acknowledged(_), []) => "an acknowledged message is missing",
            (Fate::Acknowledged(at), [place]) if at != *place => "a message is elsewhere",
            (Fate::Refused, [_]) if !draft.doubtful => "a refused message is there",
            _ => continue,
        };
        faults.push(Fault::new(kind, text()));
    }
    faults
}

/// Which message this is, if somebody sent it just so.
fn number(conversation: &str, event: &Event, drafts: &Drafts<'_>) -> Option<u64> {
    let number = event.txn.as_deref()?.strip_prefix('m')?.parse().ok()?;
    let (user, draft) = drafts.get(&number)?;
    let says = event.text.as_ref().is_none_or(|text| *text == draft.text);
    let same = *user == event.source && draft.conversation == conversation && says;
    (same && event.id == Some(format!("{conversation}:{}", event.position))).then_some(number)
}

/// Something that a user did to a message, and was told the position of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    pub user: String,
    pub conversation: String,
    pub kind: Kind,
    /// The position of the message.
    pub target: u64,
    /// Where the event is said to be.
    pub position: u64,
}

/// Whether the event is where it was said to be.
pub fn judge_deed(deed: &Deed, log: &[Arc<Entry>]) -> Option<Fault> {
    let at = usize::try_from(deed.position.checked_sub(1)?).ok()?;
    let right = log.get(at).is_some_and(|entry| {
        let event = &entry.event;
        event.kind == deed.kind && event.target == Some(deed.target) && event.source == deed.user
    });
    // To delete what is gone is no event, and is told the end of the log.
    let is_gone = |entry: &Arc<Entry>| {
        entry.event.kind == Kind::Delete && entry.event.target == Some(deed.target)
    };
    let right = right || deed.kind == Kind::Delete && log.iter().take(at + 1).any(is_gone);
    let found = log.get(at).map(|entry| &entry.raw);
    let wrong = || Fault::new("what was done is not there", format!("{deed:?}, but {found:?}"));
    (!right).then(wrong)
}

/// What deleted messages said, in the log that somebody reads now. `whole` is the log with everything
/// that was ever seen.
pub fn erased(folded: &Conversation, whole: &[Arc<Entry>], now: &[Arc<Entry>]) -> Vec<Fault> {
    let gone = |entry: &&Arc<Entry>| {
        let about = match entry.event.kind {
            Kind::Message => Some(entry.event.position),
            _ => entry.event.target,
        };
        let message = about.and_then(|position| folded.messages.get(&position));
        message.is_some_and(|message| message.deleted)
    };
    let texts = whole.iter().filter(gone).filter_map(|entry| entry.event.text.as_deref());
    let numbers: BTreeSet<u64> = texts.flat_map(text::numbers).collect();
    let shows = |entry: &&Arc<Entry>| text::numbers(&entry.raw).any(|n| numbers.contains(&n));
    let fault = |entry: &Arc<Entry>| Fault::new("the text of a deleted message", &*entry.raw);
    now.iter().filter(shows).map(fault).collect()
}

/// Compares the messages of the main line as requests answer them with what the events make of them.
pub fn compare(folded: &Conversation, answered: &[Message], me: &str) -> Vec<Fault> {
    let fault = |text: String| Fault::new("a request tells something else than the log", text);
    let mut answered: BTreeMap<u64, &Message> = answered.iter().map(|m| (m.position, m)).collect();
    let mut faults = Vec::new();
    for (position, message) in folded.messages.iter().filter(|(_, message)| !message.in_thread) {
        let pinned = folded.pins.contains(position);
        match answered.remove(position) {
            None => faults.push(fault(format!("no message at {position}: {message:?}"))),
            Some(answer) if !same(message, answer, pinned, me) => {
                faults.push(fault(format!("{answer:?}; the log: {message:?}, pinned: {pinned}")));
            }
            Some(_) => (),
        }
    }
    faults.extend(answered.values().map(|answer| fault(format!("not in the log: {answer:?}"))));
    faults
}

fn same(folded: &Folded, answer: &Message, pinned: bool, me: &str) -> bool {
    let counts = |reaction: &str| {
        let told = answer.reactions.get(reaction);
        let users = &folded.reactions[reaction];
        told.is_some_and(|told| told.count == users.len() as u64 && told.me == users.contains(me))
    };
    answer.source == folded.source
        && answer.text == folded.text.as_deref().unwrap_or_default()
        && answer.rev == folded.rev
        && Message::says(&answer.deleted) == folded.deleted
        && Message::says(&answer.pinned) == pinned
        && answer.mentions.clone().unwrap_or_default() == folded.mentions
        && answer.reactions.len() == folded.reactions.len()
        && folded.reactions.keys().all(|reaction| counts(reaction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LOG: [&str; 5] = [
        r#"{"type":"conversation","position":1,"source":"al","participants":[{"user":"al","role":"owner"}]}"#,
        r#"{"type":"message","id":"team:2","position":2,"source":"al","n":1,"txn":"m1","text":"~1~ x"}"#,
        r#"{"type":"message","id":"team:3","position":3,"source":"al","n":2,"txn":"m2","text":"~2~ x"}"#,
        r#"{"type":"edit","position":4,"source":"al","target":2,"rev":1,"text":"~9~ x"}"#,
        r#"{"type":"delete","position":5,"source":"al","target":2,"counted":true}"#,
    ];

    fn log(raws: &[&str]) -> Vec<Arc<Entry>> {
        raws.iter().map(|raw| Arc::new(Entry::read(raw).expect("an event"))).collect()
    }

    fn draft(number: u64, fate: Fate) -> Draft {
        let (conversation, text) = ("team".to_owned(), format!("~{number}~ x"));
        Draft { conversation, text, fate, attempts: 1, ..Draft::default() }
    }

    /// The kinds of faults, when the messages have these fates.
    fn judged(log: Vec<Arc<Entry>>, fates: [Fate; 3]) -> Vec<&'static str> {
        let drafts = [1, 2, 3].map(|number| draft(number, fates[number as usize - 1]));
        let drafts = (1..).zip(drafts.iter().map(|draft| ("al", draft))).collect();
        let logs = [("team".to_owned(), log)].into();
        judge_drafts(&drafts, &logs).into_iter().map(|fault| fault.kind).collect()
    }

    #[test]
    fn fates_are_compared_with_the_log() {
        let right = [Fate::Acknowledged(2), Fate::Open, Fate::Refused];
        assert!(judged(log(&LOG), right).is_empty());
        let missing = [Fate::Acknowledged(2), Fate::Open, Fate::Acknowledged(6)];
        assert_eq!(judged(log(&LOG), missing), ["an acknowledged message is missing"]);
        let refused = [Fate::Acknowledged(2), Fate::Refused, Fate::Open];
        assert_eq!(judged(log(&LOG), refused), ["a refused message is there"]);
        let elsewhere = [Fate::Acknowledged(3), Fate::Open, Fate::Open];
        assert_eq!(judged(log(&LOG), elsewhere), ["a message is elsewhere"]);
    }

    #[test]
    fn a_message_twice_or_from_nowhere_is_found() {
        let fates = [Fate::Acknowledged(2), Fate::Open, Fate::Open];
        let mut twice = LOG;
        let again =
            LOG[1].replace("team:2", "team:3").replace(r#""position":2"#, r#""position":3"#);
        twice[2] = &again;
        assert_eq!(judged(log(&twice), fates), ["a message is there twice"]);
        for (from, to) in
            [("m2", "m5"), ("~2~", "~3~"), (r#""al""#, r#""bo""#), ("team:3", "team:4")]
        {
            let mut other = LOG;
            let changed = LOG[2].replace(from, to);
            other[2] = &changed;
            assert_eq!(judged(log(&other), fates), ["a message that nobody sent"]);
        }
    }

    #[test]
    fn deeds_are_where_they_were_said_to_be() {
        let deed = Deed {
            user: "al".into(),
            conversation: "team".into(),
            kind: Kind::Edit,
            target: 2,
            position: 4,
        };
        assert_eq!(judge_deed(&deed, &log(&LOG)), None);
        for wrong in [
            Deed { position: 5, ..deed.clone() },
            Deed { position: 6, ..deed.clone() },
            Deed { target: 3, ..deed.clone() },
            Deed { user: "bo".into(), ..deed.clone() },
        ] {
            assert!(judge_deed(&wrong, &log(&LOG)).is_some(), "{wrong:?}");
        }
        let late = Deed { user: "bo".into(), kind: Kind::Delete, position: 5, ..deed.clone() };
        assert_eq!(judge_deed(&late, &log(&LOG)), None, "it was gone");
        assert!(judge_deed(&Deed { position: 4, ..late }, &log(&LOG)).is_some());
    }

    #[test]
    fn a_text_that_should_be_gone_is_found() {
        let whole = log(&LOG);
        let (folded, _) = Conversation::of(whole.iter().map(|entry| &entry.event));
        assert_eq!(erased(&folded, &whole, &whole).len(), 2);
        let without =
            |raw: &str| raw.replace(r#","text":"~1~ x""#, "").replace(r#","text":"~9~ x""#, "");
        let clean = LOG.map(without);
        let clean = log(&clean.each_ref().map(String::as_str));
        assert_eq!(erased(&folded, &whole, &clean), []);
    }

    #[test]
    fn requests_are_compared_with_the_log() {
        let log = log(&LOG);
        let (folded, _) = Conversation::of(log.iter().map(|entry| &entry.event));
        let deleted = json!({"position": 2, "source": "al", "text": "", "rev": 1, "deleted": 5});
        let there = json!({"position": 3, "source": "al", "text": "~2~ x", "rev": 0});
        let compared = |answered: &[&serde_json::Value]| {
            let read = |message: &&serde_json::Value| {
                serde_json::from_value((*message).clone()).expect("a message")
            };
            compare(&folded, &answered.iter().map(read).collect::<Vec<_>>(), "al").len()
        };
        assert_eq!(compared(&[&deleted, &there]), 0);
        assert_eq!(compared(&[&deleted]), 1);
        for (member, value) in [
            ("text", json!("~2~ y")),
            ("source", json!("bo")),
            ("rev", json!(1)),
            ("deleted", json!(4)),
            ("pinned", json!(true)),
            ("reactions", json!({"+": {"count": 1, "me": true}})),
        ] {
            let mut other = there.clone();
            other[member] = value;
            assert_eq!(compared(&[&deleted, &other]), 1, "{member}");
        }
        assert_eq!(compared(&[&deleted, &there, &json!({"position": 7})]), 1);
    }
}
