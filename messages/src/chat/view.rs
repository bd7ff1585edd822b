//! What people are shown: the documents that `docs/chat.md` describes.

use super::{
    event::{Event, Extra, Kind},
    name::{ConversationName, MessageId},
    role::Role,
    settings::Settings,
    state::{Marks, Person, State},
};
use crate::{
    model::{FOREVER_MS, Offset, Standing},
    store::{
        ListedConversation, ReactionCount, StoredMessage, StoredReaction, StoredReport,
        StoredRevision,
    },
};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// A conversation, as one of those who take part sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConversationView {
    /// Its name.
    pub name: Arc<str>,
    /// Its title.
    pub title: Option<String>,
    /// Who created it.
    pub admin: String,
    /// When, in milliseconds since 1970.
    pub created: u64,
    /// `group` or `direct`.
    pub kind: &'static str,
    /// The position of its last event.
    pub position: u64,
    /// Where its stream ends.
    pub offset: String,
    /// How many messages count.
    pub n: u64,
    /// The last position that is gone.
    pub low: u64,
    /// The role of whoever asks.
    pub role: Role,
    /// What they are to it.
    pub state: &'static str,
    /// Its settings.
    pub settings: Settings,
    /// Messages that they have not read.
    pub unread: u64,
    /// Those of them that mention them.
    pub mentions: u64,
    /// Up to where they have read.
    pub read: u64,
    /// Up to where they have got everything.
    pub delivered: u64,
}

impl ConversationView {
    /// From the tables.
    #[must_use]
    pub fn listed(listed: ListedConversation) -> Self {
        let ListedConversation { row, participant, offset, receipt, .. } = listed;
        Self {
            name: row.name,
            title: row.title,
            admin: row.admin,
            created: row.created,
            kind: kind(row.direct),
            position: listed.position,
            offset: offset.to_string(),
            n: listed.n,
            low: listed.low,
            role: Role::from_word(&participant.role).unwrap_or_default(),
            state: participant.standing.as_str(),
            settings: serde_json::from_str(&row.settings).unwrap_or_default(),
            unread: listed.unread,
            mentions: listed.mentions,
            read: receipt.read,
            delivered: receipt.delivered,
        }
    }

    /// Of somebody who has read everything, as whoever has just begun it.
    #[must_use]
    pub fn fresh(state: &State, person: &Person) -> Self {
        Self {
            name: state.name.clone(),
            title: state.title.clone(),
            admin: state.admin.to_string(),
            created: state.created,
            kind: kind(state.direct),
            position: state.position(),
            offset: state.tail.to_string(),
            n: state.n,
            low: state.low.records,
            role: person.role,
            state: person.standing.as_str(),
            settings: state.settings.clone(),
            unread: 0,
            mentions: 0,
            read: person.marks.read,
            delivered: person.marks.delivered,
        }
    }
}

fn kind(direct: bool) -> &'static str {
    if direct { "direct" } else { "group" }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MessageView {
    /// Its id.
    pub id: String,
    /// Its conversation.
    pub conversation: Arc<str>,
    /// Its position there.
    pub position: u64,
    /// Where the stream goes on behind it, for one that was just sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// How many messages count, up to this one.
    pub n: u64,
    /// Who sent it.
    pub source: String,
    /// What it says.
    pub text: String,
    /// What it answers.
    pub reply_to: Option<String>,
    /// When, in milliseconds since 1970.
    pub created: u64,
    /// What its sender calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn: Option<String>,
    /// The thread that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// What comes with it.
    #[serde(flatten)]
    pub extra: Extra,
    /// How often it was edited.
    pub rev: u64,
    /// When it was edited last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited: Option<u64>,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<u64>,
    /// It still grows.
    #[serde(skip_serializing_if = "is_false")]
    pub streaming: bool,
    /// It was to be longer.
    #[serde(skip_serializing_if = "is_false")]
    pub interrupted: bool,
    /// It was sent elsewhere.
    #[serde(skip_serializing_if = "is_false")]
    pub imported: bool,
    /// It is pinned.
    #[serde(skip_serializing_if = "is_false")]
    pub pinned: bool,
    /// How many answer in its thread.
    #[serde(skip_serializing_if = "is_zero")]
    pub replies: u64,
    /// Reactions to it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reactions: BTreeMap<String, ReactionView>,
}

/// A reaction to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReactionView {
    /// How many have given it.
    pub count: u64,
    /// Whoever asks is one of them.
    pub me: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl MessageView {
    /// One that was just sent and ends at `end`; `None` for any other event.
    #[must_use]
    pub fn sent(event: &Event, end: Option<Offset>) -> Option<Self> {
        let Kind::Message(message) = &event.kind else { return None };
        Some(Self {
            id: message.id.clone(),
            conversation: event.conversation.clone(),
            position: event.position,
            offset: end.map(|end| end.to_string()),
            n: message.n,
            source: event.source.to_string(),
            text: message.text.clone().unwrap_or_default(),
            reply_to: message.reply_to.clone(),
            created: event.created,
            txn: message.txn.clone(),
            thread: message.thread.clone(),
            extra: message.extra.clone(),
            rev: 0,
            edited: None,
            deleted: message.text.is_none().then_some(event.created),
            streaming: message.streaming,
            interrupted: false,
            imported: message.imported,
            pinned: false,
            replies: 0,
            reactions: BTreeMap::new(),
        })
    }

    /// From the tables.
    #[must_use]
    pub fn stored(message: StoredMessage) -> Self {
        let conversation = message.target.conversation;
        Self {
            thread: message.thread.map(|root| format!("{conversation}:{root}")),
            extra: Extra::of_text(message.extra.as_deref()),
            id: message.id,
            position: message.target.position,
            offset: None,
            n: message.n,
            source: message.source,
            text: message.text,
            reply_to: message.reply_to,
            created: message.created,
            txn: message.txn,
            rev: message.rev,
            edited: message.edited,
            deleted: message.deleted,
            streaming: message.streaming,
            interrupted: message.interrupted,
            imported: message.imported,
            pinned: message.pinned,
            replies: message.replies,
            reactions: BTreeMap::new(),
            conversation,
        }
    }

    /// Puts a reaction to it.
    pub fn react(&mut self, reaction: ReactionCount) {
        let ReactionCount { reaction, count, me, .. } = reaction;
        self.reactions.insert(reaction, ReactionView { count, me });
    }
}

/// Somebody who is something to a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PersonView {
    /// Who.
    pub participant: Arc<str>,
    /// Their role.
    pub role: Role,
    /// What they are to it.
    pub state: &'static str,
    /// The position of the event that made them so.
    pub since: u64,
    /// They may only read.
    #[serde(skip_serializing_if = "is_false")]
    pub muted: bool,
    /// Until then; without it for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<u64>,
    /// They may not come in before; without it never, if they are banned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub banned_until: Option<u64>,
}

impl PersonView {
    /// Of somebody, at `now_ms`: who was muted until before is not.
    #[must_use]
    pub fn of(user: &Arc<str>, person: &Person, now_ms: u64) -> Self {
        let muted_until = person.muted_until.filter(|until| *until > now_ms);
        Self {
            participant: user.clone(),
            role: person.role,
            state: person.standing.as_str(),
            since: person.since,
            muted: muted_until.is_some(),
            muted_until: muted_until.filter(|until| *until < FOREVER_MS),
            banned_until: person.banned_until,
        }
    }

    /// Of `state`, those who are `standing` to it, in no order.
    #[must_use]
    pub fn all(state: &State, standing: Standing, now_ms: u64) -> Vec<Self> {
        state
            .people
            .iter()
            .filter(|(_, person)| person.standing == standing)
            .map(|(user, person)| Self::of(user, person, now_ms))
            .collect()
    }
}

/// How far somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptView {
    /// Who.
    pub participant: Arc<str>,
    /// Everything up to this position has arrived.
    pub delivered: u64,
    /// Everything up to this position is read.
    pub read: u64,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<u64>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<u64>,
}

impl ReceiptView {
    /// Of somebody who is at `marks`.
    #[must_use]
    pub fn of(participant: &Arc<str>, marks: &Marks) -> Self {
        let Marks { delivered, delivered_at, read, read_at } = *marks;
        Self { participant: participant.clone(), delivered, read, delivered_at, read_at }
    }
}

/// What somebody has done with one message, as the tables of the prototype had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageReceiptView {
    /// The message.
    pub message: String,
    /// Who.
    pub user: Arc<str>,
    /// When it had arrived at the latest.
    pub delivered_at: Option<u64>,
    /// When it was read at the latest.
    pub read_at: Option<u64>,
    /// Their last reaction.
    pub reaction: Option<String>,
}

/// What is unread in one conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadView {
    /// The conversation.
    pub conversation: Arc<str>,
    /// Messages that are not read.
    pub unread: u64,
    /// Those of them that mention whoever asks.
    pub mentions: u64,
    /// The position of the last event.
    pub position: u64,
    /// Up to where they have read.
    pub read: u64,
}

/// What a message said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevisionView {
    /// 0 for how it was sent.
    pub rev: u64,
    /// What it said.
    pub text: String,
    /// Who wrote that.
    pub source: String,
    /// When, in milliseconds since 1970.
    pub created: u64,
}

impl From<StoredRevision> for RevisionView {
    fn from(stored: StoredRevision) -> Self {
        let StoredRevision { rev, text, source, created } = stored;
        Self { rev, text, source, created }
    }
}

/// A reaction and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReactorView {
    /// The reaction.
    pub reaction: String,
    /// Whose it is.
    pub participant: String,
    /// When, in milliseconds since 1970.
    pub created: u64,
}

impl From<StoredReaction> for ReactorView {
    fn from(stored: StoredReaction) -> Self {
        let StoredReaction { reaction, participant, created } = stored;
        Self { reaction, participant, created }
    }
}

/// A complaint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportView {
    /// The message.
    pub message: String,
    /// Who complains.
    pub participant: String,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub created: u64,
}

impl ReportView {
    /// Of a message of `conversation`.
    #[must_use]
    pub fn of(conversation: &ConversationName, stored: StoredReport) -> Self {
        let StoredReport { position, participant, reason, created } = stored;
        let conversation = conversation.clone();
        let message = MessageId { conversation, position }.to_string();
        Self { message, participant, reason, created }
    }
}
