//! What one user sends. A message is sent again, under the same txn, until its fate is known.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::wire::Message;
use super::Fault;

/// What became of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// Nobody knows yet.
    #[default]
    Open,
    /// It is at this position.
    Acknowledged(u64),
    /// It was refused for good.
    Refused,
}

/// A message that somebody sends.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Where to.
    pub conversation: String,
    /// What it says.
    pub text: String,
    /// Other members, such as mentions.
    pub more: Map<String, Value>,
    /// How often it has been sent.
    pub attempts: u64,
    /// An attempt was not answered: it may be there.
    pub doubtful: bool,
    /// What became of it.
    pub fate: Fate,
}

/// All messages of one user by their numbers.
#[derive(Debug, Default)]
pub struct Outbox {
    user: String,
    drafts: BTreeMap<u64, Draft>,
}

impl Outbox {
    /// Nothing has been sent by `user`.
    pub fn new(user: &str) -> Self {
        Self { user: user.to_owned(), drafts: BTreeMap::new() }
    }

    /// Whose it is.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// A new message.
    pub fn add(&mut self, number: u64, draft: Draft) {
        self.drafts.insert(number, draft);
    }

    /// All of them.
    pub fn drafts(&self) -> &BTreeMap<u64, Draft> {
        &self.drafts
    }

    /// What the message with this number is called.
    pub fn txn(number: u64) -> String {
        format!("m{number}")
    }

    /// Those whose fate is not known.
    pub fn open(&self) -> Vec<u64> {
        let open = self.drafts.iter().filter(|(_, draft)| draft.fate == Fate::Open);
        open.map(|(number, _)| *number).collect()
    }

    /// Those that were acknowledged.
    pub fn acknowledged(&self) -> impl Iterator<Item = (u64, u64)> {
        self.drafts.iter().filter_map(|(number, draft)| match draft.fate {
            Fate::Acknowledged(position) => Some((*number, position)),
            Fate::Open | Fate::Refused => None,
        })
    }

    /// It is sent once more: where to, and what.
    pub fn attempt(&mut self, number: u64) -> Option<(String, Map<String, Value>)> {
        let draft = self.drafts.get_mut(&number)?;
        draft.attempts += 1;
        let mut body = draft.more.clone();
        body.insert("text".to_owned(), draft.text.as_str().into());
        Some((draft.conversation.clone(), body))
    }

    /// The connection broke off before the answer.
    pub fn lost(&mut self, number: u64) {
        if let Some(draft) = self.drafts.get_mut(&number) {
            draft.doubtful = true;
        }
    }

    /// It was refused for good.
    pub fn refused(&mut self, number: u64) -> Option<Fault> {
        let draft = self.drafts.get_mut(&number)?;
        let known = std::mem::replace(&mut draft.fate, Fate::Refused);
        let Fate::Acknowledged(position) = known else {
            return None;
        };
        draft.fate = known;
        let text = format!("message {number}, acknowledged at {position}, sent once more");
        Some(Fault::new("a repetition is refused", text))
    }

    /// It was acknowledged with this answer.
    pub fn sent(&mut self, number: u64, answer: &Message, duplicate: bool) -> Option<Fault> {
        let draft = self.drafts.get_mut(&number)?;
        let came = format!("message {number} at {}, duplicate: {duplicate}", answer.position);
        let known = std::mem::replace(&mut draft.fate, Fate::Acknowledged(answer.position));
        if let Fate::Acknowledged(position) = known {
            let same = position == answer.position && duplicate;
            draft.fate = known;
            let kind = "a repetition is answered otherwise than the first time";
            return (!same).then(|| Fault::new(kind, format!("{came}, was at {position}")));
        }
        if duplicate && !draft.doubtful {
            return Some(Fault::new("said to be a duplicate, sent once", came));
        }
        // One that was found to be there may have been edited or deleted by somebody else.
        let same = answer.source == self.user && (duplicate || answer.text == draft.text);
        let whole = answer.id == format!("{}:{}", draft.conversation, answer.position);
        let wrong = || Fault::new("acknowledged as something else", format!("{came}: {answer:?}"));
        (!same || !whole).then(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outbox() -> Outbox {
        let mut outbox = Outbox::new("alice");
        let draft = Draft { conversation: "team".into(), text: "hi".into(), ..Draft::default() };
        outbox.add(7, draft);
        outbox
    }

    fn answer(position: u64) -> Message {
        let (source, text) = ("alice".to_owned(), "hi".to_owned());
        Message { id: format!("team:{position}"), position, source, text, ..Message::default() }
    }

    #[test]
    fn it_is_sent_until_it_is_acknowledged() {
        let mut outbox = outbox();
        let first = outbox.attempt(7).expect("it is open");
        assert_eq!((first.0.as_str(), &first.1["text"]), ("team", &json!("hi")));
        outbox.lost(7);
        assert_eq!(outbox.open(), [7]);
        assert_eq!(outbox.attempt(7), Some(first));
        assert_eq!(outbox.sent(7, &answer(3), true), None);
        assert!(outbox.open().is_empty());
        assert_eq!(outbox.sent(7, &answer(3), true), None, "a repetition");
        assert!(outbox.sent(7, &answer(4), true).is_some(), "elsewhere");
        assert!(outbox.sent(7, &answer(3), false).is_some(), "sent twice");
        assert!(outbox.refused(7).is_some(), "a repetition");
        assert_eq!(outbox.acknowledged().collect::<Vec<_>>(), [(7, 3)]);
    }

    #[test]
    fn what_was_sent_once_is_no_duplicate() {
        assert!(outbox().sent(7, &answer(3), true).is_some());
        assert_eq!(outbox().sent(7, &answer(3), false), None);
        let other = Message { text: "ho".into(), ..answer(3) };
        assert!(outbox().sent(7, &other, false).is_some());
        let other = Message { id: "team:4".into(), ..answer(3) };
        assert!(outbox().sent(7, &other, false).is_some());
    }
}
