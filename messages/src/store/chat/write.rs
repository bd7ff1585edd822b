//! What the flusher writes into the tables of chat, in its transaction.

use super::{erase, receipts, send};
use crate::{
    model::{ChatWrite, ConversationRow, Flush, ParticipantRow, Target},
    store::{
        StoreError,
        sql::ROWS_MAX,
        statement::{Run, Statement, Value},
    },
};
use std::collections::BTreeMap;

const BEGIN: &str = "INSERT INTO conversations
    (name, title, admin, created, kind, stream, settings, retention, number)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8,
        (SELECT COALESCE(MAX(number), 0) + 1 FROM conversations))";

const SETTINGS: &str =
    "UPDATE conversations SET title = $2, settings = $3, retention = $4 WHERE name = $1";

const HEADS: (&str, &str) = (
    "UPDATE conversations SET position = v.column2,
        n = CASE WHEN v.column3 > conversations.n THEN v.column3 ELSE conversations.n END
     FROM (VALUES",
    ") AS v WHERE conversations.name = v.column1",
);

const LOW: &str =
    "UPDATE conversations SET low_records = $2, low_bytes = $3, low_n = $4 WHERE name = $1";

const CLOSE: &str = "UPDATE conversations SET closed = $2, title = NULL, admin = '',
    settings = '{}', retention = 0 WHERE name = $1";

const PUT_PARTICIPANT: &str = "INSERT INTO participants
    (conversation, participant, role, standing, since, visible_records, visible_bytes, muted_until,
     banned_until, created)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (conversation, participant) DO UPDATE SET role = excluded.role,
        standing = excluded.standing, since = excluded.since,
        visible_records = excluded.visible_records, visible_bytes = excluded.visible_bytes,
        banned_until = excluded.banned_until, created = excluded.created";

const STAND: &str = "INSERT INTO participants
    (conversation, participant, role, standing, since, banned_until, created, visible_records,
     visible_bytes)
    VALUES ($1, $2, COALESCE($8, $3), $4, $5, $6, $7, 0, 0)
    ON CONFLICT (conversation, participant) DO UPDATE SET role = COALESCE($8, participants.role),
        standing = excluded.standing, since = excluded.since,
        banned_until = excluded.banned_until";

const VOICE: &str = "UPDATE participants SET muted_until = $3
    WHERE conversation = $1 AND participant = $2";

const ROLE: &str = "UPDATE participants SET role = $3
    WHERE conversation = $1 AND participant = $2";

const REACT: &str = "INSERT INTO reactions (conversation, position, participant, reaction, created)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

const UNREACT_OTHERS: &str = "DELETE FROM reactions
    WHERE conversation = $1 AND position = $2 AND participant = $3 AND reaction <> $4";

const UNREACT: &str = "DELETE FROM reactions
    WHERE conversation = $1 AND position = $2 AND participant = $3 AND reaction = $4";

const PIN: &str = "INSERT INTO pins (conversation, position, participant, created)
    VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";

const UNPIN: &str = "DELETE FROM pins WHERE conversation = $1 AND position = $2";

const REPORT: &str = "INSERT INTO reports (conversation, position, participant, reason, created)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";

/// Messages up to a position, the oldest first, some at a time: to erase their words from the index of
/// SQLite takes a while, and no statement may take longer than an answer is waited for.
const TRIM_SOME: &str = "DELETE FROM messages WHERE conversation = $1 AND position <=
    (SELECT MAX(position) FROM (SELECT position FROM messages
        WHERE conversation = $1 AND position <= $2 ORDER BY position LIMIT 10000) AS oldest)";

/// What belongs to the messages of a conversation up to a position.
const TRIM: [&str; 5] = [
    "DELETE FROM message_bodies WHERE conversation = $1 AND target <= $2",
    "DELETE FROM reactions WHERE conversation = $1 AND position <= $2",
    "DELETE FROM pins WHERE conversation = $1 AND position <= $2",
    "DELETE FROM mentions WHERE conversation = $1 AND position <= $2",
    "DELETE FROM reports WHERE conversation = $1 AND position <= $2",
];

/// What else there is of a conversation.
const FORGET: [&str; 2] = [
    "DELETE FROM participants WHERE conversation = $1",
    "DELETE FROM message_receipts WHERE conversation = $1",
];

const FINISH: &str = "UPDATE messages SET streaming = 0, interrupted = $3
    WHERE conversation = $1 AND position = $2 AND streaming = 1";

const DELETE: &str = "UPDATE messages
    SET text = '', extra = NULL, streaming = 0, deleted = $3, deleted_by = $4
    WHERE conversation = $1 AND position = $2 AND deleted IS NULL";

/// What goes away with a message, besides its text.
const DELETE_WITH: [&str; 4] = [
    "DELETE FROM message_bodies WHERE conversation = $1 AND target = $2",
    "DELETE FROM reactions WHERE conversation = $1 AND position = $2",
    "DELETE FROM mentions WHERE conversation = $1 AND position = $2",
    UNPIN,
];

/// Writes what the records of `flushes` mean, in order. Only where conversations end is kept for the
/// end: it touches nothing else, and so the messages of many conversations are neighbours.
pub(in crate::store) async fn write<DB: Run>(
    on: &mut DB::Connection,
    flushes: &[Flush],
) -> Result<(), StoreError> {
    let (mut heads, mut writes) = (BTreeMap::new(), Vec::new());
    for write in flushes.iter().flat_map(|flush| &flush.writes) {
        match write {
            ChatWrite::Head { conversation, position, n } => {
                heads.insert(&**conversation, (*position, *n));
            }
            _ => writes.push(write),
        }
    }
    let mut rest = &writes[..];
    while let [first, others @ ..] = rest {
        let alike = others.iter().take(ROWS_MAX - 1).take_while(|next| go_together(first, next));
        let (run, later) = rest.split_at(1 + alike.count());
        match first {
            ChatWrite::Message(_) => send::messages::<DB>(on, run).await?,
            ChatWrite::Receipt(_) => receipts::from_writes::<DB>(on, run).await?,
            ChatWrite::Part { target, .. } => send::parts::<DB>(on, target, run).await?,
            ChatWrite::Edit { .. } => send::edit::<DB>(on, first).await?,
            _ => one::<DB>(on, first).await?,
        }
        rest = later;
    }
    let heads: Vec<_> = heads.into_iter().collect();
    for part in heads.chunks(ROWS_MAX) {
        let values = part.iter().flat_map(|(name, (position, n))| {
            [Value::Text(name), Value::from(*position), Value::from(*n)]
        });
        let statement = Statement::over(HEADS.0, part.len(), values.collect(), HEADS.1);
        DB::execute(on, statement).await?;
    }
    Ok(())
}

/// Whether two writes can be rows of the same statements.
fn go_together(first: &ChatWrite, next: &ChatWrite) -> bool {
    match (first, next) {
        (ChatWrite::Message(_), ChatWrite::Message(_))
        | (ChatWrite::Receipt(_), ChatWrite::Receipt(_)) => true,
        (ChatWrite::Part { target, .. }, ChatWrite::Part { target: next, .. }) => target == next,
        _ => false,
    }
}

/// Writes what comes alone: first what it does to the content of the stream, and to many messages.
async fn one<DB: Run>(on: &mut DB::Connection, write: &ChatWrite) -> Result<(), StoreError> {
    match write {
        ChatWrite::Delete { target, stream, .. } => {
            let places = send::places::<DB>(on, target).await?;
            erase::erase::<DB>(on, *stream, places).await?;
        }
        ChatWrite::Trim { conversation, stream, low, .. } => {
            erase::cut::<DB>(on, *stream, *low).await?;
            trim::<DB>(on, conversation, low.records.into()).await?;
        }
        ChatWrite::Closed { conversation, stream, tail, .. } => {
            erase::cut::<DB>(on, *stream, *tail).await?;
            trim::<DB>(on, conversation, Value::Int(i64::MAX)).await?;
        }
        _ => {}
    }
    for (text, values) in statements(write) {
        DB::execute(on, Statement::fixed(text, values)).await?;
    }
    Ok(())
}

async fn trim<DB: Run>(
    on: &mut DB::Connection,
    conversation: &str,
    up_to: Value<'_>,
) -> Result<(), StoreError> {
    let some = || Statement::fixed(TRIM_SOME, vec![Value::Text(conversation), up_to]);
    while DB::execute(on, some()).await? > 0 {}
    Ok(())
}

type Step<'a> = (&'static str, Vec<Value<'a>>);

/// The statements of a write, in order. Pure.
fn statements(write: &ChatWrite) -> Vec<Step<'_>> {
    match write {
        ChatWrite::Conversation(row) => vec![(BEGIN, conversation_values(row))],
        ChatWrite::Settings { conversation, title, settings, retention } => {
            let title = Value::MaybeText(title.as_deref());
            let retention = Value::Int((*retention).into());
            let name = Value::Text(conversation);
            vec![(SETTINGS, vec![name, title, Value::Text(settings), retention])]
        }
        ChatWrite::Participant(row) => vec![(PUT_PARTICIPANT, participant_values(row))],
        ChatWrite::Standing {
            conversation,
            participant,
            role,
            standing,
            since,
            banned_until,
            at_ms,
        } => {
            let values = vec![
                Value::Text(conversation),
                Value::Text(participant),
                // Of somebody who was nothing before and has no role.
                Value::Text("member"),
                Value::Text(standing.as_str()),
                (*since).into(),
                (*banned_until).into(),
                (*at_ms).into(),
                Value::MaybeText(*role),
            ];
            vec![(STAND, values)]
        }
        ChatWrite::Voice { conversation, participant, muted_until } => {
            let who = [Value::Text(conversation), Value::Text(participant)];
            vec![(VOICE, [&who[..], &[(*muted_until).into()]].concat())]
        }
        ChatWrite::Role { conversation, participant, role } => {
            let values = [conversation, &**participant, role].map(Value::Text);
            vec![(ROLE, values.into())]
        }
        ChatWrite::Finish { target, interrupted } => {
            vec![(FINISH, with(target, [Value::Int((*interrupted).into())]))]
        }
        ChatWrite::Delete { target, source, at_ms, .. } => {
            let delete = (DELETE, with(target, [(*at_ms).into(), Value::Text(source)]));
            let others = DELETE_WITH.map(|text| (text, with(target, [])));
            [delete].into_iter().chain(others).collect()
        }
        ChatWrite::React { target, reaction, participant, alone, at_ms } => {
            let (who, what) = (Value::Text(participant), Value::Text(reaction));
            let others = alone.then(|| (UNREACT_OTHERS, with(target, [who, what])));
            let react = (REACT, with(target, [who, what, (*at_ms).into()]));
            others.into_iter().chain([react]).collect()
        }
        ChatWrite::Unreact { target, reaction, participant } => {
            let values = [Value::Text(participant), Value::Text(reaction)];
            vec![(UNREACT, with(target, values))]
        }
        ChatWrite::Pin { target, participant, at_ms } => {
            vec![(PIN, with(target, [Value::Text(participant), (*at_ms).into()]))]
        }
        ChatWrite::Unpin { target } => vec![(UNPIN, with(target, []))],
        ChatWrite::Report { target, participant, reason, at_ms } => {
            let values = [Value::Text(participant), Value::Text(reason), (*at_ms).into()];
            vec![(REPORT, with(target, values))]
        }
        ChatWrite::Trim { conversation, low, n, .. } => {
            let name = Value::Text(conversation);
            let low = [low.records, low.bytes, *n].map(Value::from);
            let removed = TRIM.map(|text| (text, vec![name, low[0]]));
            removed.into_iter().chain([(LOW, [&[name], &low[..]].concat())]).collect()
        }
        ChatWrite::Closed { conversation, at_ms, .. } => {
            let name = Value::Text(conversation);
            let removed = TRIM.map(|text| (text, vec![name, Value::Int(i64::MAX)]));
            let forgotten = FORGET.map(|text| (text, vec![name]));
            let close = (CLOSE, vec![name, (*at_ms).into()]);
            removed.into_iter().chain(forgotten).chain([close]).collect()
        }
        // These are rows of larger statements, or depend on what is there.
        ChatWrite::Head { .. }
        | ChatWrite::Message(_)
        | ChatWrite::Receipt(_)
        | ChatWrite::Part { .. }
        | ChatWrite::Edit { .. } => vec![],
    }
}

fn with<'a, const N: usize>(target: &'a Target, values: [Value<'a>; N]) -> Vec<Value<'a>> {
    let place = [Value::Text(&target.conversation), target.position.into()];
    place.into_iter().chain(values).collect()
}

fn conversation_values(row: &ConversationRow) -> Vec<Value<'_>> {
    vec![
        Value::Text(&row.name),
        Value::MaybeText(row.title.as_deref()),
        Value::Text(&row.admin),
        row.created.into(),
        Value::Text(if row.direct { "direct" } else { "group" }),
        Value::Int(row.stream.0 as i64),
        Value::Text(&row.settings),
        Value::Int(row.retention.into()),
    ]
}

fn participant_values(row: &ParticipantRow) -> Vec<Value<'_>> {
    vec![
        Value::Text(&row.conversation),
        Value::Text(&row.participant),
        Value::Text(&row.role),
        Value::Text(row.standing.as_str()),
        row.since.into(),
        row.visible_from.records.into(),
        row.visible_from.bytes.into(),
        row.muted_until.into(),
        row.banned_until.into(),
        row.created.into(),
    ]
}
