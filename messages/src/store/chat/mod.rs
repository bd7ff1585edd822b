//! The tables of chat, which the flusher writes together with the records that they come from.

mod conversations;
mod erase;
mod messages;
mod plans;
mod read;
mod receipts;
mod retention;
mod rows;
mod search;
mod send;
mod write;

pub use plans::chat_reads;
pub(super) use search::Search;
pub(super) use write::write;

use super::StoreError;
use crate::model::{ConversationRow, Offset, ParticipantRow, Place, ReceiptRow, Standing, Target};
use futures::future::BoxFuture;
use std::sync::Arc;

/// A conversation as its rows say, for whoever decides about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredConversation {
    /// Its row.
    pub row: ConversationRow,
    /// Where its stream was when the tables were written: the position of the last event in them.
    pub position: u64,
    /// How many messages count up to there.
    pub n: u64,
    /// What is before this is gone.
    pub low: Offset,
    /// It is deleted.
    pub closed: bool,
    /// All who are something to it.
    pub participants: Vec<ParticipantRow>,
    /// How far each of them is.
    pub receipts: Vec<ReceiptRow>,
    /// The positions of what is pinned.
    pub pins: Vec<u64>,
}

/// A conversation in the list of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedConversation {
    /// Its row.
    pub row: ConversationRow,
    /// What the user is to it.
    pub participant: ParticipantRow,
    /// Where its stream ends.
    pub offset: Offset,
    /// The position of its last event.
    pub position: u64,
    /// How many messages count up to there.
    pub n: u64,
    /// The last position that is gone.
    pub low: u64,
    /// How far the user is.
    pub receipt: ReceiptRow,
    /// Messages behind that which are there and count.
    pub unread: u64,
    /// Messages behind that which mention the user.
    pub mentions: u64,
}

/// A message as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The message.
    pub target: Target,
    /// How many messages count, up to this one.
    pub n: u64,
    /// Whether it is one of these.
    pub counted: bool,
    /// Its id.
    pub id: String,
    /// Who sent it.
    pub source: String,
    /// What it says; nothing when it is deleted.
    pub text: String,
    /// The id of the message that it answers.
    pub reply_to: Option<String>,
    /// When, in milliseconds since 1970.
    pub created: u64,
    /// What its sender calls it.
    pub txn: Option<String>,
    /// The first message of the thread that it is in.
    pub thread: Option<u64>,
    /// Mentions, attachments and more.
    pub extra: Option<String>,
    /// How often it has been edited.
    pub rev: u64,
    /// When it was edited last.
    pub edited: Option<u64>,
    /// When it was deleted.
    pub deleted: Option<u64>,
    /// It still grows.
    pub streaming: bool,
    /// It has stopped growing before its end.
    pub interrupted: bool,
    /// It was sent elsewhere.
    pub imported: bool,
    /// It is pinned.
    pub pinned: bool,
    /// How many messages are in its thread, without those that are deleted.
    pub replies: u64,
    /// The record that holds it.
    pub place: Place,
}

/// Which messages somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageQuery {
    /// Of which conversation.
    pub conversation: Arc<str>,
    /// Only those behind this position.
    pub after: u64,
    /// Only those before this position.
    pub before: Option<u64>,
    /// Only those of the thread of this message; `None` for the main line and threads alike.
    pub thread: Option<u64>,
    /// None that are in a thread.
    pub main_line: bool,
    /// Only those of this user.
    pub source: Option<String>,
    /// Only those of exactly this time.
    pub created: Option<u64>,
    /// Only those that answer this message.
    pub reply_to: Option<String>,
    /// The latest first. They come in this order, too.
    pub descending: bool,
    /// So many.
    pub limit: u32,
    /// But without the first so many.
    pub skip: u32,
}

impl MessageQuery {
    /// The last message that `user` has sent to a conversation.
    #[must_use]
    pub fn last_of(conversation: &Arc<str>, user: &str) -> Self {
        Self {
            conversation: conversation.clone(),
            after: 0,
            before: None,
            thread: None,
            main_line: false,
            source: Some(user.to_owned()),
            created: None,
            reply_to: None,
            descending: true,
            limit: 1,
            skip: 0,
        }
    }
}

/// How often a message has got a reaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactionCount {
    /// The position of the message.
    pub position: u64,
    /// The reaction.
    pub reaction: String,
    /// How many have given it.
    pub count: u64,
    /// The user who asks is one of them.
    pub me: bool,
}

/// One reaction to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReaction {
    /// The reaction.
    pub reaction: String,
    /// Whose it is.
    pub participant: String,
    /// When, in milliseconds since 1970.
    pub created: u64,
}

/// What a message said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRevision {
    /// 0 for how it was sent.
    pub rev: u64,
    /// What it said.
    pub text: String,
    /// Who wrote that.
    pub source: String,
    /// When, in milliseconds since 1970.
    pub created: u64,
}

/// A complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReport {
    /// The position of the message.
    pub position: u64,
    /// Who complains.
    pub participant: String,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub created: u64,
}

/// What somebody looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchQuery {
    /// Who: only conversations in which they take part are looked at, and what they may see there.
    pub user: String,
    /// In which one; `None` for all.
    pub conversation: Option<Arc<str>>,
    /// Words, all of which must be there.
    pub words: Vec<String>,
    /// Only messages that were sent before this time, in milliseconds since 1970.
    pub before: Option<u64>,
    /// So many.
    pub limit: u32,
}

/// The tables of chat, for reading. Every method may be called concurrently.
pub trait ChatStore: Send + Sync {
    /// All of the rows of a conversation that decide about it.
    fn conversation<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredConversation>, StoreError>>;

    /// The conversations that `user` is `standing` to, the latest created first (then by name), from
    /// the one behind `after` on.
    fn conversations_of<'a>(
        &'a self,
        user: &'a str,
        standing: Standing,
        after: Option<&'a str>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<ListedConversation>, StoreError>>;

    /// The conversation of this name as `user` sees it; `None` where they are not `standing` to it.
    fn conversation_of<'a>(
        &'a self,
        user: &'a str,
        standing: Standing,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<ListedConversation>, StoreError>>;

    /// One message, whatever has become of it.
    fn message<'a>(
        &'a self,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Option<StoredMessage>, StoreError>>;

    /// The message that `source` calls `txn`.
    fn message_by_txn<'a>(
        &'a self,
        conversation: &'a str,
        source: &'a str,
        txn: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredMessage>, StoreError>>;

    /// Messages as asked for. Deleted ones are there.
    fn messages<'a>(
        &'a self,
        query: &'a MessageQuery,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>>;

    /// Messages of all direct conversations of `user`, filtered by the query, whose conversation does
    /// not matter; by time and id.
    fn inbox<'a>(
        &'a self,
        user: &'a str,
        query: &'a MessageQuery,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>>;

    /// Reactions to some messages, by position and in the order of their first.
    fn reactions<'a>(
        &'a self,
        conversation: &'a str,
        positions: &'a [u64],
        me: &'a str,
    ) -> BoxFuture<'a, Result<Vec<ReactionCount>, StoreError>>;

    /// All reactions to a message, at most `limit`, in the order in which they came.
    fn reactors<'a>(
        &'a self,
        target: &'a Target,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredReaction>, StoreError>>;

    /// What a message said before it was edited, and what it says now, by revision.
    fn revisions<'a>(
        &'a self,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Vec<StoredRevision>, StoreError>>;

    /// Pinned messages, the latest pinned first.
    fn pinned<'a>(
        &'a self,
        conversation: &'a str,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>>;

    /// Complaints, the latest first, at most `limit`.
    fn reports<'a>(
        &'a self,
        conversation: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredReport>, StoreError>>;

    /// Messages that hold all these words, the latest first.
    fn search<'a>(
        &'a self,
        query: &'a SearchQuery,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>>;

    /// Those of `users` who take part in a conversation together with `user`.
    fn acquainted<'a>(
        &'a self,
        user: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<String>, StoreError>>;

    /// Messages that still grow, at most `limit`.
    fn streaming(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Target>, StoreError>>;

    /// Conversations from which messages go away by themselves, by name, from the one behind `after` on.
    fn retaining<'a>(
        &'a self,
        after: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Arc<str>>, StoreError>>;

    /// Where the old part of a conversation ends: what was sent before `older_than_ms`, and what lies
    /// before the last `keep` messages; but no more than `limit` messages from where it begins now.
    /// The offset right before the first message that stays, or behind the last event where none
    /// does; and how many messages count up to there. `None` when nothing is old.
    fn old_part<'a>(
        &'a self,
        conversation: &'a str,
        older_than_ms: Option<u64>,
        keep: Option<u64>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Option<(Offset, u64)>, StoreError>>;
}
