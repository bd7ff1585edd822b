//! How far everybody is. Marks never go back, whatever comes in which order.

use crate::{
    model::{ChatWrite, ReceiptRow},
    store::{
        StoreError,
        sql::ROWS_MAX,
        statement::{Run, Statement, Value},
    },
};
use std::collections::BTreeMap;

const MOVE: (&str, &str) = (
    "INSERT INTO message_receipts
        (conversation, user_id, delivered, delivered_at, read, read_at) VALUES",
    " ON CONFLICT (conversation, user_id) DO UPDATE SET
        delivered = CASE WHEN excluded.delivered > message_receipts.delivered
            THEN excluded.delivered ELSE message_receipts.delivered END,
        delivered_at = CASE WHEN excluded.delivered > message_receipts.delivered
            THEN excluded.delivered_at ELSE message_receipts.delivered_at END,
        read = CASE WHEN excluded.read > message_receipts.read
            THEN excluded.read ELSE message_receipts.read END,
        read_at = CASE WHEN excluded.read > message_receipts.read
            THEN excluded.read_at ELSE message_receipts.read_at END",
);

/// Writes the receipts among `writes`.
pub(super) async fn from_writes<DB: Run>(
    on: &mut DB::Connection,
    writes: &[&ChatWrite],
) -> Result<(), StoreError> {
    let receipts = writes.iter().filter_map(|write| match write {
        ChatWrite::Receipt(row) => Some(row.clone()),
        _ => None,
    });
    advance::<DB>(on, receipts).await
}

/// Moves all these marks on. One statement may name a row only once, so those of one user become one.
pub(super) async fn advance<DB: Run>(
    on: &mut DB::Connection,
    receipts: impl Iterator<Item = ReceiptRow>,
) -> Result<(), StoreError> {
    let mut furthest: BTreeMap<_, ReceiptRow> = BTreeMap::new();
    for row in receipts {
        let key = (row.conversation.clone(), row.participant.clone());
        let known = furthest.entry(key).or_insert_with(|| row.clone());
        if row.delivered > known.delivered {
            (known.delivered, known.delivered_at) = (row.delivered, row.delivered_at);
        }
        if row.read > known.read {
            (known.read, known.read_at) = (row.read, row.read_at);
        }
    }
    let rows: Vec<ReceiptRow> = furthest.into_values().collect();
    for part in rows.chunks(ROWS_MAX) {
        let values = part.iter().flat_map(|row| {
            [
                Value::Text(&row.conversation),
                Value::Text(&row.participant),
                row.delivered.into(),
                row.delivered_at.into(),
                row.read.into(),
                row.read_at.into(),
            ]
        });
        let statement = Statement::over(MOVE.0, part.len(), values.collect(), MOVE.1);
        DB::execute(on, statement).await?;
    }
    Ok(())
}
