//! Messages as they come, grow and change.

use super::{erase, receipts, rows::Of};
use crate::{
    model::{ChatWrite, MessageRow, Place, ReceiptRow, StreamId, Target},
    store::{
        StoreError,
        sql::ROWS_MAX,
        statement::{Run, Statement, Value},
    },
};

const INSERT: &str = "INSERT INTO messages (conversation, position, id, source, text, reply_to,
    created, n, counted, txn, thread, extra, streaming, imported, at_bytes, bytes) VALUES";

const MENTION: (&str, &str) = (
    "INSERT INTO mentions (conversation, position, participant) VALUES",
    " ON CONFLICT DO NOTHING",
);

const UNMENTION: &str = "DELETE FROM mentions WHERE conversation = $1 AND position = $2";

const GROW: &str = "UPDATE messages SET text = text || $3
    WHERE conversation = $1 AND position = $2 AND deleted IS NULL";

const INSERT_PARTS: &str =
    "INSERT INTO message_bodies (conversation, target, at_bytes, bytes, kind) VALUES";

const KEEP_FIRST: &str = "INSERT INTO message_bodies
        (conversation, target, at_bytes, bytes, kind, rev, text, source, created)
    SELECT conversation, position, at_bytes, bytes, 'first', 0, text, source, created
    FROM messages WHERE conversation = $1 AND position = $2 AND rev = 0 AND deleted IS NULL";

const EDIT: &str = "UPDATE messages SET text = $3, extra = $4, rev = $5, edited = $6
    WHERE conversation = $1 AND position = $2 AND deleted IS NULL";

const INSERT_EDIT: &str = "INSERT INTO message_bodies
        (conversation, target, at_bytes, bytes, kind, rev, text, source, created)
    VALUES ($1, $2, $3, $4, 'edit', $5, $6, $7, $8)";

/// The record of a message, and those of everything it has grown by and said since.
const PLACES: &str = "SELECT at_bytes, bytes FROM messages
        WHERE conversation = $1 AND position = $2
    UNION SELECT at_bytes, bytes FROM message_bodies WHERE conversation = $1 AND target = $2";

const STREAM: &str = "SELECT stream FROM conversations WHERE name = $1";

/// Messages in one statement. SQLite looks up each parameter by its name among all of them, so fewer
/// rows are faster where there are many columns: 32 at once take a quarter of the time of 256.
const MESSAGES_MAX: usize = 32;

/// Writes the messages among `writes`.
pub(super) async fn messages<DB: Run>(
    on: &mut DB::Connection,
    writes: &[&ChatWrite],
) -> Result<(), StoreError> {
    let rows = writes.iter().filter_map(|write| match write {
        ChatWrite::Message(row) => Some(row),
        _ => None,
    });
    let rows: Vec<&MessageRow> = rows.collect();
    for part in rows.chunks(MESSAGES_MAX) {
        let values = part.iter().flat_map(|row| message_values(row)).collect();
        let statement = Statement::over(INSERT, part.len(), values, "");
        DB::execute(on, statement.recurring(part.len() == MESSAGES_MAX)).await?;
    }
    // What is brought along is old: it is nobody's news, and whoever said it has not been here.
    let new: Vec<&MessageRow> = rows.into_iter().filter(|row| !row.imported).collect();
    let mentions = new.iter().flat_map(|row| mentions(&row.target, &row.mentions));
    mention::<DB>(on, &mentions.collect::<Vec<_>>()).await?;
    // Whoever sends has read what is before.
    let sent = new.iter().map(|row| ReceiptRow {
        conversation: row.target.conversation.clone(),
        participant: row.source.clone(),
        delivered: row.target.position,
        delivered_at: Some(row.created),
        read: row.target.position,
        read_at: Some(row.created),
    });
    receipts::advance::<DB>(on, sent).await
}

fn message_values(row: &MessageRow) -> [Value<'_>; 16] {
    [
        Value::Text(&row.target.conversation),
        row.target.position.into(),
        Value::Text(&row.id),
        Value::Text(&row.source),
        Value::Text(&row.text),
        Value::MaybeText(row.reply_to.as_deref()),
        row.created.into(),
        row.n.into(),
        Value::Int(row.counted.into()),
        Value::MaybeText(row.txn.as_deref()),
        row.thread.into(),
        Value::MaybeText(row.extra.as_deref()),
        Value::Int(row.streaming.into()),
        Value::Int(row.imported.into()),
        row.place.at.into(),
        Value::Int(row.place.bytes.into()),
    ]
}

fn mentions<'a>(
    target: &'a Target,
    users: &'a [String],
) -> impl Iterator<Item = (&'a Target, &'a str)> {
    users.iter().map(move |user| (target, user.as_str()))
}

async fn mention<DB: Run>(
    on: &mut DB::Connection,
    mentions: &[(&Target, &str)],
) -> Result<(), StoreError> {
    for part in mentions.chunks(ROWS_MAX) {
        let values = part.iter().flat_map(|(target, user)| {
            [Value::Text(&target.conversation), target.position.into(), Value::Text(user)]
        });
        let statement = Statement::over(MENTION.0, part.len(), values.collect(), MENTION.1);
        DB::execute(on, statement).await?;
    }
    Ok(())
}

/// Lets a message grow by the parts among `writes`, all at once: its text is written anew each time.
pub(super) async fn parts<DB: Run>(
    on: &mut DB::Connection,
    target: &Target,
    writes: &[&ChatWrite],
) -> Result<(), StoreError> {
    let parts = writes.iter().filter_map(|write| match write {
        ChatWrite::Part { place, text, .. } => Some((*place, text.as_str())),
        _ => None,
    });
    let (places, texts): (Vec<Place>, Vec<&str>) = parts.unzip();
    let [conversation, position] = key(target);
    let text = texts.concat();
    let grow = Statement::fixed(GROW, vec![conversation, position, Value::Text(&text)]);
    if DB::execute(on, grow).await? == 0 {
        return said_too_late::<DB>(on, target, places).await;
    }
    let kind = Value::Text("part");
    let values = places.iter().flat_map(|place| {
        [conversation, position, place.at.into(), Value::Int(place.bytes.into()), kind]
    });
    let statement = Statement::over(INSERT_PARTS, places.len(), values.collect(), "");
    DB::execute(on, statement).await?;
    Ok(())
}

/// Lets a message say what `write`, an edit, tells. What it said first is kept beside its edits.
pub(super) async fn edit<DB: Run>(
    on: &mut DB::Connection,
    write: &ChatWrite,
) -> Result<(), StoreError> {
    let ChatWrite::Edit { target, place, rev, source, text, extra, mentions: users, at_ms } = write
    else {
        return Ok(());
    };
    let [conversation, position] = key(target);
    let both = vec![conversation, position];
    DB::execute(on, Statement::fixed(KEEP_FIRST, both.clone())).await?;
    let (rev, text, at_ms) = (Value::from(*rev), Value::Text(text), Value::from(*at_ms));
    let extra = Value::MaybeText(extra.as_deref());
    let values = vec![conversation, position, text, extra, rev, at_ms];
    if DB::execute(on, Statement::fixed(EDIT, values)).await? == 0 {
        return said_too_late::<DB>(on, target, vec![*place]).await;
    }
    let (at, bytes) = (place.at.into(), Value::Int(place.bytes.into()));
    let values = vec![conversation, position, at, bytes, rev, text, Value::Text(source), at_ms];
    DB::execute(on, Statement::fixed(INSERT_EDIT, values)).await?;
    DB::execute(on, Statement::fixed(UNMENTION, both)).await?;
    mention::<DB>(on, &mentions(target, users).collect::<Vec<_>>()).await
}

/// What is said of a message that is gone is erased at once.
async fn said_too_late<DB: Run>(
    on: &mut DB::Connection,
    target: &Target,
    places: Vec<Place>,
) -> Result<(), StoreError> {
    let statement = Statement::fixed(STREAM, vec![Value::Text(&target.conversation)]);
    let found: Vec<(i64,)> = DB::fetch(on, statement).await?;
    match found.first() {
        Some((stream,)) => erase::erase::<DB>(on, StreamId(*stream as u64), places).await,
        None => Ok(()),
    }
}

/// Where a message lies in its stream, with everything it has said.
pub(super) async fn places<DB: Run>(
    on: &mut DB::Connection,
    target: &Target,
) -> Result<Vec<Place>, StoreError> {
    let found: Vec<(i64, i64)> =
        DB::fetch(on, Statement::fixed(PLACES, key(target).to_vec())).await?;
    let of = Of(&target.conversation);
    found.into_iter().map(|(at, bytes)| of.place(at, bytes)).collect()
}

fn key(target: &Target) -> [Value<'_>; 2] {
    [Value::Text(&target.conversation), target.position.into()]
}
