//! A conversation as its one writer sees it: events become records and, with them, writes.

pub(super) use super::store_contract::on_both_databases;
use super::store_contract::stream;
use messages::{
    model::{
        ChatWrite, Chunk, ConversationRow, Flush, Lengths, MessageRow, Offset, ParticipantRow,
        Place, ReceiptRow, Standing, StoredStream, StreamId, Target,
    },
    store::{ChatStore, Database, MessageQuery, StoredMessage},
};
use serde_json::json;
use std::{mem, sync::Arc};

pub const MEMBERS: [&str; 3] = ["alice", "bob", "carol"];

pub struct Log {
    pub name: Arc<str>,
    pub stream: StreamId,
    pub tail: Offset,
    pub n: u64,
    stored: Option<Offset>,
    records: Vec<String>,
    pub writes: Vec<ChatWrite>,
}

impl Log {
    /// A group with three members, which is not stored yet. It was created at `id` ms.
    pub fn new(id: u64, name: &str) -> Self {
        let mut log = Self {
            name: name.into(),
            stream: StreamId(id),
            tail: Offset::ZERO,
            n: 0,
            stored: None,
            records: Vec::new(),
            writes: Vec::new(),
        };
        log.event(json!({"type": "conversation"}));
        log.writes.push(ChatWrite::Conversation(log.row()));
        for user in MEMBERS {
            let member = log.participant(user, Standing::Member);
            log.writes.push(ChatWrite::Participant(member));
        }
        log
    }

    /// A conversation of two.
    pub fn direct(id: u64, users: [&str; 2]) -> Self {
        let mut log = Self::new(id, &users.join("."));
        log.writes.clear();
        let row = ConversationRow { direct: true, ..log.row() };
        log.writes.push(ChatWrite::Conversation(row));
        for user in users {
            let member = log.participant(user, Standing::Member);
            log.writes.push(ChatWrite::Participant(member));
        }
        log
    }

    pub fn row(&self) -> ConversationRow {
        ConversationRow {
            name: self.name.clone(),
            title: Some(format!("About {}", self.name)),
            admin: "alice".into(),
            created: self.stream.0,
            direct: false,
            stream: self.stream,
            settings: r#"{"join":"open"}"#.into(),
            retention: false,
        }
    }

    pub fn participant(&self, user: &str, standing: Standing) -> ParticipantRow {
        ParticipantRow {
            conversation: self.name.clone(),
            participant: user.into(),
            role: "member".into(),
            standing,
            since: 1,
            visible_from: Offset::ZERO,
            muted_until: None,
            banned_until: None,
            created: 7,
        }
    }

    /// Puts a record behind the others. Returns its position and where it lies.
    pub fn event(&mut self, json: serde_json::Value) -> (u64, Place) {
        let record = format!("{json},");
        let place = Place { at: self.tail.bytes, bytes: record.len() as u32 };
        self.tail = self.tail.advance(1, record.len() as u64);
        self.records.push(record);
        (self.tail.records, place)
    }

    pub fn target(&self, position: u64) -> Target {
        Target { conversation: self.name.clone(), position }
    }

    /// A message that counts, sent at its position in ms.
    pub fn message(&mut self, source: &str, text: &str) -> Target {
        self.message_with(source, text, |_| {})
    }

    pub fn message_with(
        &mut self,
        source: &str,
        text: &str,
        change: impl FnOnce(&mut MessageRow),
    ) -> Target {
        let (position, place) = self.event(json!({"type": "message", "text": text}));
        let target = self.target(position);
        let mut row = MessageRow {
            target: target.clone(),
            n: self.n,
            counted: true,
            id: format!("{}:{position}", self.name),
            source: source.into(),
            text: text.into(),
            reply_to: None,
            created: position,
            txn: None,
            thread: None,
            extra: None,
            mentions: Vec::new(),
            streaming: false,
            imported: false,
            place,
        };
        change(&mut row);
        self.n += u64::from(row.counted);
        row.n = self.n;
        self.writes.push(ChatWrite::Message(row));
        target
    }

    pub fn part(&mut self, target: &Target, text: &str) {
        let (_, place) = self.event(json!({"type": "part", "text": text}));
        let (target, text) = (target.clone(), text.to_owned());
        self.writes.push(ChatWrite::Part { target, place, text });
    }

    pub fn finish(&mut self, target: &Target, interrupted: bool) {
        self.event(json!({"type": "finish"}));
        self.writes.push(ChatWrite::Finish { target: target.clone(), interrupted });
    }

    pub fn edit(&mut self, target: &Target, rev: u64, text: &str) {
        let (position, place) = self.event(json!({"type": "edit", "text": text}));
        self.writes.push(ChatWrite::Edit {
            target: target.clone(),
            place,
            rev,
            source: "carol".into(),
            text: text.into(),
            extra: Some(r#"{"meta":1}"#.into()),
            mentions: vec!["alice".into()],
            at_ms: position,
        });
    }

    pub fn delete(&mut self, target: &Target) {
        let (position, _) = self.event(json!({"type": "delete"}));
        self.writes.push(ChatWrite::Delete {
            target: target.clone(),
            stream: self.stream,
            source: "alice".into(),
            at_ms: position,
        });
    }

    pub fn react(&mut self, target: &Target, participant: &str, reaction: &str, alone: bool) {
        let (at_ms, _) = self.event(json!({"type": "react"}));
        let (reaction, participant) = (reaction.to_owned(), participant.to_owned());
        let target = target.clone();
        self.writes.push(ChatWrite::React { target, reaction, participant, alone, at_ms });
    }

    pub fn read(&mut self, participant: &str, position: u64) {
        self.writes.push(ChatWrite::Receipt(ReceiptRow {
            conversation: self.name.clone(),
            participant: participant.into(),
            delivered: position,
            delivered_at: Some(1000 + position),
            read: position,
            read_at: Some(1000 + position),
        }));
    }

    /// Everything since the last time: one chunk, one flush.
    pub fn flush(&mut self) -> Flush {
        let from = self.stored;
        let at = from.unwrap_or_default();
        let records = mem::take(&mut self.records);
        let lengths: Vec<u32> = records.iter().map(|record| record.len() as u32).collect();
        let lengths = if lengths.len() == 1 { Lengths::One } else { Lengths::Many(lengths.into()) };
        let chunk = Chunk { at, lengths, body: records.concat().into() };
        let (conversation, position) = (self.name.clone(), self.tail.records);
        self.writes.push(ChatWrite::Head { conversation, position, n: self.n });
        self.stored = Some(self.tail);
        let name = format!("conversations/{}", self.name);
        Flush {
            stream: StoredStream { tail: self.tail, ..stream(self.stream.0, &name) },
            from_version: 0,
            from,
            chunks: if records.is_empty() { vec![] } else { vec![chunk] },
            producers: Vec::new(),
            remove: false,
            writes: mem::take(&mut self.writes),
            transient: false,
            cost: 0,
        }
    }

    pub async fn store(&mut self, store: &dyn Database) {
        store.flush(&[self.flush()]).await.unwrap();
    }

    pub fn query(&self) -> MessageQuery {
        MessageQuery {
            conversation: self.name.clone(),
            after: 0,
            before: None,
            thread: None,
            main_line: false,
            source: None,
            created: None,
            reply_to: None,
            descending: false,
            limit: 1000,
            skip: 0,
        }
    }
}

/// A message that must be there.
pub async fn message(store: &dyn Database, target: &Target) -> StoredMessage {
    ChatStore::message(store, target).await.unwrap().expect("a message")
}

/// What is unread for a user in each of their conversations: name, unread, mentions.
pub async fn unread(store: &dyn Database, user: &str) -> Vec<(String, u64, u64)> {
    let listed = store.conversations_of(user, Standing::Member, None, 1000).await.unwrap();
    listed.iter().map(|found| (found.row.name.to_string(), found.unread, found.mentions)).collect()
}
