//! Reading messages, and what belongs to them.

use super::{
    MessageQuery, ReactionCount, Search, StoredMessage, StoredReaction, StoredReport,
    StoredRevision,
    rows::{self, MessageColumns, Of},
};
use crate::{
    model::Target,
    store::{
        StoreError,
        sql::{ROWS_MAX, SqlStore},
        statement::{Draft, Statement, Value},
    },
};

/// What [`MessageColumns`] takes, of messages that are called m.
macro_rules! message {
    ($from:literal) => {
        concat!(
            "SELECT m.conversation, m.position, m.n, m.counted, m.id, m.source, m.text, m.reply_to,
                m.created, m.txn, m.thread, m.extra, m.rev, m.edited, m.deleted, m.streaming,
                m.interrupted, m.imported, m.at_bytes, m.bytes,
                (SELECT COUNT(*) FROM pins AS p
                    WHERE p.conversation = m.conversation AND p.position = m.position) AS pinned,
                (SELECT COUNT(*) FROM messages AS t WHERE t.conversation = m.conversation
                    AND t.thread = m.position AND t.deleted IS NULL) AS replies ",
            $from
        )
    };
}
pub(super) use message;

pub(super) const AT: &str =
    message!("FROM messages AS m WHERE m.conversation = $1 AND m.position = $2");

pub(super) const OF_TXN: &str =
    message!("FROM messages AS m WHERE m.conversation = $1 AND m.source = $2 AND m.txn = $3");

pub(super) const PINNED: &str = message!(
    "FROM pins JOIN messages AS m ON m.conversation = pins.conversation AND m.position = pins.position
    WHERE pins.conversation = $1 ORDER BY pins.created DESC, pins.position DESC"
);

pub(super) const REACTORS: &str = "SELECT reaction, participant, created FROM reactions
    WHERE conversation = $1 AND position = $2 ORDER BY created, participant, reaction LIMIT $3";

/// What was never edited says what it said first.
pub(super) const REVISIONS: &str = "SELECT rev, text, source, created FROM message_bodies
        WHERE conversation = $1 AND target = $2 AND kind <> 'part'
    UNION ALL SELECT rev, text, source, created FROM messages
        WHERE conversation = $1 AND position = $2 AND rev = 0 AND deleted IS NULL
    ORDER BY rev LIMIT 1000";

pub(super) const REPORTS: &str = "SELECT position, participant, reason, created FROM reports
    WHERE conversation = $1 ORDER BY created DESC, position DESC, participant LIMIT $2";

impl<DB: Search> SqlStore<DB> {
    pub(super) async fn fetch_messages(
        &self,
        statement: Statement<'_>,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let found: Vec<MessageColumns> = self.rows(statement).await?;
        found.into_iter().map(rows::message).collect()
    }

    pub(super) async fn message_at(
        &self,
        target: &Target,
    ) -> Result<Option<StoredMessage>, StoreError> {
        let statement = Statement::fixed(AT, key(target).to_vec());
        Ok(self.fetch_messages(statement).await?.pop())
    }

    pub(super) async fn message_of_txn(
        &self,
        conversation: &str,
        source: &str,
        txn: &str,
    ) -> Result<Option<StoredMessage>, StoreError> {
        let statement =
            Statement::fixed(OF_TXN, [conversation, source, txn].map(Value::Text).into());
        Ok(self.fetch_messages(statement).await?.pop())
    }

    pub(super) async fn messages_of(
        &self,
        query: &MessageQuery,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.fetch_messages(of_conversation(query)).await
    }

    pub(super) async fn direct_messages(
        &self,
        user: &str,
        query: &MessageQuery,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.fetch_messages(inbox(user, query)).await
    }

    pub(super) async fn pinned_messages(
        &self,
        conversation: &str,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.fetch_messages(Statement::fixed(PINNED, vec![Value::Text(conversation)])).await
    }

    pub(super) async fn counted_reactions(
        &self,
        conversation: &str,
        positions: &[u64],
        me: &str,
    ) -> Result<Vec<ReactionCount>, StoreError> {
        let (mut all, of) = (Vec::new(), Of(conversation));
        let mut positions = positions.to_vec();
        positions.sort_unstable();
        for part in positions.chunks(ROWS_MAX) {
            let found: Vec<(i64, String, i64, i64)> =
                self.rows(reactions(conversation, part, me)).await?;
            for (position, reaction, count, mine) in found {
                let (position, count) = (of.number(position)?, of.number(count)?);
                all.push(ReactionCount { position, reaction, count, me: mine > 0 });
            }
        }
        Ok(all)
    }

    pub(super) async fn reactions_to(
        &self,
        target: &Target,
        limit: u32,
    ) -> Result<Vec<StoredReaction>, StoreError> {
        let [conversation, position] = key(target);
        let values = vec![conversation, position, Value::Int(limit.into())];
        let found: Vec<(String, String, i64)> =
            self.rows(Statement::fixed(REACTORS, values)).await?;
        let of = Of(&target.conversation);
        let make = |(reaction, participant, created)| {
            Ok(StoredReaction { reaction, participant, created: of.number(created)? })
        };
        found.into_iter().map(make).collect()
    }

    pub(super) async fn revisions_of(
        &self,
        target: &Target,
    ) -> Result<Vec<StoredRevision>, StoreError> {
        let found: Vec<(i64, String, String, i64)> =
            self.rows(Statement::fixed(REVISIONS, key(target).to_vec())).await?;
        let of = Of(&target.conversation);
        let make = |(rev, text, source, created)| {
            Ok(StoredRevision { rev: of.number(rev)?, text, source, created: of.number(created)? })
        };
        found.into_iter().map(make).collect()
    }

    pub(super) async fn reports_of(
        &self,
        conversation: &str,
        limit: u32,
    ) -> Result<Vec<StoredReport>, StoreError> {
        let values = vec![Value::Text(conversation), Value::Int(limit.into())];
        let found: Vec<(i64, String, String, i64)> =
            self.rows(Statement::fixed(REPORTS, values)).await?;
        let of = Of(conversation);
        let make = |(position, participant, reason, created)| {
            let (position, created) = (of.number(position)?, of.number(created)?);
            Ok(StoredReport { position, participant, reason, created })
        };
        found.into_iter().map(make).collect()
    }
}

fn key(target: &Target) -> [Value<'_>; 2] {
    [Value::Text(&target.conversation), target.position.into()]
}

pub(super) fn reactions<'a>(
    conversation: &'a str,
    positions: &[u64],
    me: &'a str,
) -> Statement<'a> {
    let mut draft = Draft::new(
        "SELECT position, reaction, COUNT(*), COUNT(CASE WHEN participant = $2 THEN 1 END)
        FROM reactions WHERE conversation = $1 AND position IN ",
        &[Value::Text(conversation), Value::Text(me)],
    );
    draft.list(positions.iter().map(|position| Value::from(*position)));
    draft.text(" GROUP BY position, reaction ORDER BY position, MIN(created), reaction");
    draft.finish(false)
}

pub(super) fn of_conversation(query: &MessageQuery) -> Statement<'_> {
    let conversation = Value::Text(&query.conversation);
    let source = message!("FROM messages AS m WHERE m.conversation = $1");
    let mut draft = Draft::new(source, &[conversation]);
    filter(&mut draft, "m", "m.position", query);
    draft.text(if query.descending { " ORDER BY m.position DESC" } else { " ORDER BY m.position" });
    draft.text(" LIMIT ").value(Value::Int(query.limit.into()));
    draft.text(" OFFSET ").value(Value::Int(query.skip.into()));
    draft.finish(true)
}

/// What the query asks of a message that is called `alias`, and of its position, however that is said.
fn filter<'a>(draft: &mut Draft<'a>, alias: &str, position: &str, query: &'a MessageQuery) {
    let bounds = [(" > ", Some(query.after)), (" < ", query.before)];
    for (comparison, bound) in bounds {
        if let Some(bound) = bound {
            draft.text(" AND ").text(position).text(comparison).value(bound);
        }
    }
    let conditions = [
        (".thread = ", query.thread.map(Value::from)),
        (".source = ", query.source.as_deref().map(Value::Text)),
        (".created = ", query.created.map(Value::from)),
        (".reply_to = ", query.reply_to.as_deref().map(Value::Text)),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            draft.text(" AND ").text(alias).text(condition).value(value);
        }
    }
    if query.main_line {
        draft.text(" AND ").text(alias).text(".thread IS NULL");
    }
}

/// Only as many of each conversation are looked at as can be among those that are asked for: up to
/// the time of the last of these, which an index tells. (One by position would not, so their positions
/// are written in a way that keeps it out.) The rest of the rows is read when it is clear which they are.
pub(super) fn inbox<'a>(user: &'a str, query: &'a MessageQuery) -> Statement<'a> {
    let wanted = u64::from(query.skip) + u64::from(query.limit);
    let (order, within, beyond) = match query.descending {
        true => (" DESC", " AND m.created >= COALESCE(", Value::Int(0)),
        false => ("", " AND m.created <= COALESCE(", Value::Int(i64::MAX)),
    };
    let source = message!(
        "FROM (SELECT m.conversation, m.position FROM participants AS p
            JOIN conversations AS c ON c.name = p.conversation
            JOIN messages AS m ON m.conversation = p.conversation
            WHERE p.participant = $1 AND p.standing = 'member' AND c.kind = 'direct'
                AND m.position + 0 > p.visible_records"
    );
    let mut draft = Draft::new(source, &[Value::Text(user)]);
    filter(&mut draft, "m", "m.position + 0", query);
    draft.text(within).text(
        "(SELECT x.created FROM messages AS x
            WHERE x.conversation = p.conversation AND x.position + 0 > p.visible_records",
    );
    filter(&mut draft, "x", "x.position + 0", query);
    draft.text(" ORDER BY x.created").text(order).text(" LIMIT 1 OFFSET ");
    draft.value(wanted.saturating_sub(1)).text("), ").value(beyond);
    draft.text(") ORDER BY m.created").text(order).text(", m.id").text(order).text(" LIMIT ");
    draft.value(Value::Int(query.limit.into())).text(" OFFSET ");
    draft.value(Value::Int(query.skip.into())).text(
        ") AS found JOIN messages AS m
            ON m.conversation = found.conversation AND m.position = found.position
        ORDER BY m.created",
    );
    draft.text(order).text(", m.id").text(order);
    draft.finish(true)
}
