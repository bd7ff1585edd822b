//! Reading conversations, and who takes part in them.

use super::{
    ListedConversation, Search, StoredConversation,
    rows::{self, ConversationColumns, Listed, Of, ParticipantColumns, ReceiptColumns},
};
use crate::{
    model::{ParticipantRow, ReceiptRow, Standing},
    store::{
        StoreError,
        sql::{ROWS_MAX, SqlStore},
        statement::{Draft, Statement, Value},
    },
};

pub(super) const CONVERSATION: &str = "SELECT name, title, admin, created, kind, stream, settings,
        retention, position, n, low_records, low_bytes, closed
    FROM conversations WHERE name = $1";

pub(super) const PARTICIPANTS: &str = "SELECT conversation, participant, role, standing, since,
        visible_records, visible_bytes, muted_until, banned_until, created AS joined
    FROM participants WHERE conversation = $1 ORDER BY participant";

pub(super) const RECEIPTS: &str = "SELECT user_id, delivered, delivered_at, read, read_at
    FROM message_receipts WHERE conversation = $1 ORDER BY user_id";

pub(super) const PINS: &str =
    "SELECT position FROM pins WHERE conversation = $1 ORDER BY created, position";

/// A page of the conversations of $1, to which they are $2. What is unread lies behind `seen`: behind
/// what is read, behind what went away, and behind what the user may not see.
macro_rules! page {
    ($after:literal) => {
        concat!(
            "SELECT page.*,
                page.n - COALESCE((SELECT m.n FROM messages AS m
                    WHERE m.conversation = page.name AND m.position <= page.seen
                    ORDER BY m.position DESC LIMIT 1), page.low_n)
                - (SELECT COUNT(*) FROM messages AS m
                    WHERE m.conversation = page.name AND m.position > page.seen
                    AND m.deleted IS NOT NULL AND m.counted = 1) AS unread,
                (SELECT COUNT(DISTINCT m.position) FROM mentions AS m WHERE m.participant = $1
                    AND m.conversation = page.name AND m.position > page.seen)
                + (SELECT COUNT(*) FROM mentions AS m WHERE m.participant = '@all'
                    AND m.conversation = page.name AND m.position > page.seen) AS mentions
            FROM (SELECT c.name, c.title, c.admin, c.created, c.kind, c.stream, c.settings,
                    c.retention, c.position, c.n, c.low_records, c.low_bytes, c.low_n, c.closed,
                    p.conversation, p.participant, p.role, p.standing, p.since, p.visible_records,
                    p.visible_bytes, p.muted_until, p.banned_until, p.created AS joined,
                    COALESCE(s.records, 0) AS tail_records, COALESCE(s.bytes, 0) AS tail_bytes,
                    COALESCE(r.delivered, 0) AS delivered, r.delivered_at,
                    COALESCE(r.read, 0) AS read, r.read_at,
                    CASE WHEN r.read >= p.visible_records AND r.read >= c.low_records THEN r.read
                        WHEN p.visible_records >= c.low_records THEN p.visible_records
                        ELSE c.low_records END AS seen
                FROM participants AS p
                JOIN conversations AS c ON c.name = p.conversation
                LEFT JOIN streams AS s ON s.id = c.stream
                LEFT JOIN message_receipts AS r
                    ON r.conversation = p.conversation AND r.user_id = p.participant
                WHERE p.participant = $1 AND p.standing = $2 AND c.closed IS NULL",
            $after,
            " ORDER BY c.created DESC, c.name LIMIT $3) AS page
            ORDER BY page.created DESC, page.name"
        )
    };
}

pub(super) const FIRST_PAGE: &str = page!("");

/// One of them, which is called $4.
pub(super) const ONE: &str = page!(" AND c.name = $4");

pub(super) const NEXT_PAGE: &str = page!(
    " AND c.created <= (SELECT created FROM conversations WHERE name = $4)
        AND (c.created < (SELECT created FROM conversations WHERE name = $4) OR c.name > $4)"
);

impl<DB: Search> SqlStore<DB> {
    /// The row comes first: what the others say beyond its position says the same when it is applied
    /// to them once more.
    pub(super) async fn whole_conversation(
        &self,
        name: &str,
    ) -> Result<Option<StoredConversation>, StoreError> {
        let mut connection = self.reader().await?;
        let by_name = |text| Statement::fixed(text, vec![Value::Text(name)]);
        let found: Vec<ConversationColumns> =
            DB::fetch(&mut connection, by_name(CONVERSATION)).await?;
        let Some(columns) = found.into_iter().next() else { return Ok(None) };
        let participants: Vec<ParticipantColumns> =
            DB::fetch(&mut connection, by_name(PARTICIPANTS)).await?;
        let receipts: Vec<ReceiptColumns> = DB::fetch(&mut connection, by_name(RECEIPTS)).await?;
        let pins: Vec<(i64,)> = DB::fetch(&mut connection, by_name(PINS)).await?;
        let (row, of) = (rows::conversation(&columns)?, Of(name));
        let receipts = receipts.into_iter().map(|receipt| rows::receipt(&row.name, receipt));
        Ok(Some(StoredConversation {
            position: of.number(columns.position)?,
            n: of.number(columns.n)?,
            low: of.offset(columns.low_records, columns.low_bytes)?,
            closed: columns.closed.is_some(),
            participants: participants
                .into_iter()
                .map(rows::participant)
                .collect::<Result<Vec<ParticipantRow>, _>>()?,
            receipts: receipts.collect::<Result<Vec<ReceiptRow>, _>>()?,
            pins: pins
                .into_iter()
                .map(|(position,)| of.number(position))
                .collect::<Result<_, _>>()?,
            row,
        }))
    }

    pub(super) async fn listed_conversations(
        &self,
        user: &str,
        standing: Standing,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ListedConversation>, StoreError> {
        let mut values =
            vec![Value::Text(user), Value::Text(standing.as_str()), Value::Int(limit.into())];
        values.extend(after.map(Value::Text));
        let text = if after.is_some() { NEXT_PAGE } else { FIRST_PAGE };
        let found: Vec<Listed> = self.rows(Statement::fixed(text, values)).await?;
        found.into_iter().map(rows::listed).collect()
    }

    pub(super) async fn listed_conversation(
        &self,
        user: &str,
        standing: Standing,
        name: &str,
    ) -> Result<Option<ListedConversation>, StoreError> {
        let words = [user, standing.as_str(), name].map(Value::Text);
        let values = vec![words[0], words[1], Value::Int(1), words[2]];
        let found: Vec<Listed> = self.rows(Statement::fixed(ONE, values)).await?;
        found.into_iter().next().map(rows::listed).transpose()
    }

    pub(super) async fn acquaintances(
        &self,
        user: &str,
        users: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let mut all = Vec::new();
        for part in users.chunks(ROWS_MAX) {
            let found: Vec<(String,)> = self.rows(acquainted(user, part)).await?;
            all.extend(found.into_iter().map(|(user,)| user));
        }
        Ok(all)
    }
}

pub(super) fn acquainted<'a>(user: &'a str, users: &'a [String]) -> Statement<'a> {
    let mut draft = Draft::new(
        "SELECT DISTINCT theirs.participant FROM participants AS mine
        JOIN participants AS theirs ON theirs.conversation = mine.conversation
        WHERE mine.participant = $1 AND mine.standing = 'member' AND theirs.standing = 'member'
            AND theirs.participant IN ",
        &[Value::Text(user)],
    );
    draft.list(users.iter().map(|user| Value::Text(user)));
    draft.finish(false)
}
