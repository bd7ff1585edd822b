//! Reading what has to be finished or taken away some time.

use super::{Search, rows::Of};
use crate::{
    model::{Offset, Target},
    store::{
        StoreError,
        sql::SqlStore,
        statement::{Statement, Value, integer},
    },
};
use std::sync::Arc;

pub(super) const STREAMING: &str = "SELECT conversation, position FROM messages
    WHERE streaming = 1 ORDER BY conversation, position LIMIT $1";

pub(super) const RETAINING: &str = "SELECT name FROM conversations
    WHERE retention = 1 AND closed IS NULL AND name > $1 ORDER BY name LIMIT $2";

/// Where a conversation ends.
pub(super) const END: &str = "SELECT c.n, s.records, s.bytes
    FROM conversations AS c JOIN streams AS s ON s.id = c.stream WHERE c.name = $1";

pub(super) const OLDEST: &str = "SELECT position, at_bytes, n, counted, created FROM messages
    WHERE conversation = $1 ORDER BY position LIMIT $2";

impl<DB: Search> SqlStore<DB> {
    pub(super) async fn growing_messages(&self, limit: u32) -> Result<Vec<Target>, StoreError> {
        let statement = Statement::fixed(STREAMING, vec![Value::Int(limit.into())]);
        let found: Vec<(String, i64)> = self.rows(statement).await?;
        let make = |(conversation, position): (String, i64)| {
            let position = Of(&conversation).number(position)?;
            Ok(Target { conversation: conversation.into(), position })
        };
        found.into_iter().map(make).collect()
    }

    pub(super) async fn conversations_with_retention(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Arc<str>>, StoreError> {
        let values = vec![Value::Text(after), Value::Int(limit.into())];
        let found: Vec<(String,)> = self.rows(Statement::fixed(RETAINING, values)).await?;
        Ok(found.into_iter().map(|(name,)| name.into()).collect())
    }

    pub(super) async fn end_of_old_part(
        &self,
        conversation: &str,
        older_than_ms: Option<u64>,
        keep: Option<u64>,
        limit: u32,
    ) -> Result<Option<(Offset, u64)>, StoreError> {
        let (name, of) = (Value::Text(conversation), Of(conversation));
        let found: Vec<(i64, i64, i64)> = self.rows(Statement::fixed(END, vec![name])).await?;
        let Some((n, records, bytes)) = found.first().copied() else { return Ok(None) };
        let limit = limit as usize;
        // One more than may go tells where the others end.
        let values = vec![name, Value::from(limit as u64 + 1)];
        let oldest: Vec<(i64, i64, i64, i64, i64)> =
            self.rows(Statement::fixed(OLDEST, values)).await?;
        let sent_before = older_than_ms.map_or(0, integer);
        let up_to = keep.map(|keep| n - integer(keep));
        let stays = oldest.iter().position(|(_, _, n, _, created)| {
            *created >= sent_before && up_to.is_none_or(|up_to| *n > up_to)
        });
        let old = stays.unwrap_or(oldest.len()).min(limit);
        if old == 0 {
            return Ok(None);
        }
        match oldest.get(old) {
            Some((position, at, n, counted, _)) => {
                Ok(Some((of.offset(position - 1, *at)?, of.number(n - counted)?)))
            }
            None => Ok(Some((of.offset(records, bytes)?, of.number(n)?))),
        }
    }
}
