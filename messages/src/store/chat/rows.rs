//! Between the rows of chat and the values of the model. Pure.

use super::{ListedConversation, StoredMessage};
use crate::{
    model::{
        ConversationRow, Offset, ParticipantRow, Place, ReceiptRow, Standing, StreamId, Target,
    },
    store::{StoreError, statement::columns},
};
use std::sync::Arc;

columns! {
    /// A row of `conversations`.
    ConversationColumns {
        name: String,
        title: Option<String>,
        admin: String,
        created: i64,
        kind: String,
        stream: i64,
        settings: String,
        retention: i64,
        position: i64,
        n: i64,
        low_records: i64,
        low_bytes: i64,
        closed: Option<i64>,
    }
}

columns! {
    /// A row of `participants`.
    ParticipantColumns {
        conversation: String,
        participant: String,
        role: String,
        standing: String,
        since: i64,
        visible_records: i64,
        visible_bytes: i64,
        muted_until: Option<i64>,
        banned_until: Option<i64>,
        joined: i64,
    }
}

columns! {
    /// A conversation in a list, with what is not in the two rows above.
    ListedColumns {
        tail_records: i64,
        tail_bytes: i64,
        delivered: i64,
        delivered_at: Option<i64>,
        read: i64,
        read_at: Option<i64>,
        unread: i64,
        mentions: i64,
    }
}

columns! {
    /// A row of `messages`, and what other tables say of it.
    MessageColumns {
        conversation: String,
        position: i64,
        n: i64,
        counted: i64,
        id: String,
        source: String,
        text: String,
        reply_to: Option<String>,
        created: i64,
        txn: Option<String>,
        thread: Option<i64>,
        extra: Option<String>,
        rev: i64,
        edited: Option<i64>,
        deleted: Option<i64>,
        streaming: i64,
        interrupted: i64,
        imported: i64,
        at_bytes: i64,
        bytes: i64,
        pinned: i64,
        replies: i64,
    }
}

/// Several of the above, out of the same row.
pub(super) struct Together<A, B, C>(pub A, pub B, pub C);

impl<'r, R: sqlx::Row, A, B, C> sqlx::FromRow<'r, R> for Together<A, B, C>
where
    A: sqlx::FromRow<'r, R>,
    B: sqlx::FromRow<'r, R>,
    C: sqlx::FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self(A::from_row(row)?, B::from_row(row)?, C::from_row(row)?))
    }
}

/// What of a conversation is being read, for the error when it makes no sense.
#[derive(Clone, Copy)]
pub(super) struct Of<'a>(pub &'a str);

impl Of<'_> {
    pub fn corrupt(self, what: &'static str) -> StoreError {
        StoreError::CorruptConversation(self.0.to_owned(), what)
    }

    pub fn number(self, value: i64) -> Result<u64, StoreError> {
        u64::try_from(value).map_err(|_| self.corrupt("a number below zero"))
    }

    pub fn maybe(self, value: Option<i64>) -> Result<Option<u64>, StoreError> {
        value.map(|value| self.number(value)).transpose()
    }

    pub fn offset(self, records: i64, bytes: i64) -> Result<Offset, StoreError> {
        Ok(Offset { records: self.number(records)?, bytes: self.number(bytes)? })
    }

    pub fn place(self, at: i64, bytes: i64) -> Result<Place, StoreError> {
        let bytes = u32::try_from(bytes).map_err(|_| self.corrupt("the length of a record"))?;
        Ok(Place { at: self.number(at)?, bytes })
    }
}

pub(super) fn conversation(row: &ConversationColumns) -> Result<ConversationRow, StoreError> {
    let of = Of(&row.name);
    let direct = match row.kind.as_str() {
        "direct" => true,
        "group" => false,
        _ => return Err(of.corrupt("kind")),
    };
    Ok(ConversationRow {
        name: row.name.as_str().into(),
        title: row.title.clone(),
        admin: row.admin.clone(),
        created: of.number(row.created)?,
        direct,
        stream: StreamId(row.stream as u64),
        settings: row.settings.clone(),
        retention: row.retention != 0,
    })
}

pub(super) fn participant(row: ParticipantColumns) -> Result<ParticipantRow, StoreError> {
    let of = Of(&row.conversation);
    Ok(ParticipantRow {
        standing: Standing::from_word(&row.standing).ok_or_else(|| of.corrupt("standing"))?,
        since: of.number(row.since)?,
        visible_from: of.offset(row.visible_records, row.visible_bytes)?,
        muted_until: of.maybe(row.muted_until)?,
        banned_until: of.maybe(row.banned_until)?,
        created: of.number(row.joined)?,
        conversation: row.conversation.as_str().into(),
        participant: row.participant,
        role: row.role,
    })
}

/// user, delivered, delivered at, read, read at
pub(super) type ReceiptColumns = (String, i64, Option<i64>, i64, Option<i64>);

pub(super) fn receipt(name: &Arc<str>, row: ReceiptColumns) -> Result<ReceiptRow, StoreError> {
    let (participant, delivered, delivered_at, read, read_at) = row;
    let of = Of(name);
    Ok(ReceiptRow {
        conversation: name.clone(),
        participant,
        delivered: of.number(delivered)?,
        delivered_at: of.maybe(delivered_at)?,
        read: of.number(read)?,
        read_at: of.maybe(read_at)?,
    })
}

pub(super) type Listed = Together<ConversationColumns, ParticipantColumns, ListedColumns>;

pub(super) fn listed(
    Together(conversation_row, participant_row, rest): Listed,
) -> Result<ListedConversation, StoreError> {
    let row = conversation(&conversation_row)?;
    let participant = participant(participant_row)?;
    let of = Of(&conversation_row.name);
    let marks = (rest.delivered, rest.delivered_at, rest.read, rest.read_at);
    let receipt_row = (participant.participant.clone(), marks.0, marks.1, marks.2, marks.3);
    let receipt = receipt(&row.name, receipt_row)?;
    // Whoever does not take part sees nothing, however much there is.
    let sees = participant.standing == Standing::Member;
    let seen = |count| if sees { of.number(count) } else { Ok(0) };
    Ok(ListedConversation {
        offset: of.offset(rest.tail_records, rest.tail_bytes)?,
        position: of.number(conversation_row.position)?,
        n: of.number(conversation_row.n)?,
        low: of.number(conversation_row.low_records)?,
        unread: seen(rest.unread)?,
        mentions: seen(rest.mentions)?,
        row,
        participant,
        receipt,
    })
}

pub(super) fn message(row: MessageColumns) -> Result<StoredMessage, StoreError> {
    let of = Of(&row.conversation);
    Ok(StoredMessage {
        target: Target {
            conversation: row.conversation.as_str().into(),
            position: of.number(row.position)?,
        },
        n: of.number(row.n)?,
        counted: row.counted != 0,
        created: of.number(row.created)?,
        thread: of.maybe(row.thread)?,
        rev: of.number(row.rev)?,
        edited: of.maybe(row.edited)?,
        deleted: of.maybe(row.deleted)?,
        streaming: row.streaming != 0,
        interrupted: row.interrupted != 0,
        imported: row.imported != 0,
        pinned: row.pinned != 0,
        replies: of.number(row.replies)?,
        place: of.place(row.at_bytes, row.bytes)?,
        id: row.id,
        source: row.source,
        text: row.text,
        reply_to: row.reply_to,
        txn: row.txn,
        extra: row.extra,
    })
}
