//! The tables of chat as everybody else sees them: each method is where its statement is.

use super::{
    ChatStore, ListedConversation, MessageQuery, ReactionCount, Search, SearchQuery,
    StoredConversation, StoredMessage, StoredReaction, StoredReport, StoredRevision,
};
use crate::{
    model::{Offset, Standing, Target},
    store::{
        StoreError,
        sql::SqlStore,
        statement::{Row, Statement},
    },
};
use futures::future::BoxFuture;
use std::sync::Arc;

impl<DB: Search> SqlStore<DB> {
    /// All rows that a statement finds.
    pub(super) async fn rows<R: Row>(
        &self,
        statement: Statement<'_>,
    ) -> Result<Vec<R>, StoreError> {
        let mut connection = self.reader().await?;
        Ok(DB::fetch(&mut connection, statement).await?)
    }
}

impl<DB: Search> ChatStore for SqlStore<DB> {
    fn conversation<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredConversation>, StoreError>> {
        Box::pin(self.whole_conversation(name))
    }

    fn conversations_of<'a>(
        &'a self,
        user: &'a str,
        standing: Standing,
        after: Option<&'a str>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<ListedConversation>, StoreError>> {
        Box::pin(self.listed_conversations(user, standing, after, limit))
    }

    fn conversation_of<'a>(
        &'a self,
        user: &'a str,
        standing: Standing,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<ListedConversation>, StoreError>> {
        Box::pin(self.listed_conversation(user, standing, name))
    }

    fn message<'a>(
        &'a self,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Option<StoredMessage>, StoreError>> {
        Box::pin(self.message_at(target))
    }

    fn message_by_txn<'a>(
        &'a self,
        conversation: &'a str,
        source: &'a str,
        txn: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredMessage>, StoreError>> {
        Box::pin(self.message_of_txn(conversation, source, txn))
    }

    fn messages<'a>(
        &'a self,
        query: &'a MessageQuery,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        Box::pin(self.messages_of(query))
    }

    fn inbox<'a>(
        &'a self,
        user: &'a str,
        query: &'a MessageQuery,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        Box::pin(self.direct_messages(user, query))
    }

    fn reactions<'a>(
        &'a self,
        conversation: &'a str,
        positions: &'a [u64],
        me: &'a str,
    ) -> BoxFuture<'a, Result<Vec<ReactionCount>, StoreError>> {
        Box::pin(self.counted_reactions(conversation, positions, me))
    }

    fn reactors<'a>(
        &'a self,
        target: &'a Target,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredReaction>, StoreError>> {
        Box::pin(self.reactions_to(target, limit))
    }

    fn revisions<'a>(
        &'a self,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<Vec<StoredRevision>, StoreError>> {
        Box::pin(self.revisions_of(target))
    }

    fn pinned<'a>(
        &'a self,
        conversation: &'a str,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        Box::pin(self.pinned_messages(conversation))
    }

    fn reports<'a>(
        &'a self,
        conversation: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<StoredReport>, StoreError>> {
        Box::pin(self.reports_of(conversation, limit))
    }

    fn search<'a>(
        &'a self,
        query: &'a SearchQuery,
    ) -> BoxFuture<'a, Result<Vec<StoredMessage>, StoreError>> {
        Box::pin(self.found_messages(query))
    }

    fn acquainted<'a>(
        &'a self,
        user: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(self.acquaintances(user, users))
    }

    fn streaming(&self, limit: u32) -> BoxFuture<'_, Result<Vec<Target>, StoreError>> {
        Box::pin(self.growing_messages(limit))
    }

    fn retaining<'a>(
        &'a self,
        after: &'a str,
        limit: u32,
    ) -> BoxFuture<'a, Result<Vec<Arc<str>>, StoreError>> {
        Box::pin(self.conversations_with_retention(after, limit))
    }

    fn old_part<'a>(
        &'a self,
        conversation: &'a str,
        older_than_ms: Option<u64>,
        keep: Option<u64>,
        limit: u32,
    ) -> BoxFuture<'a, Result<Option<(Offset, u64)>, StoreError>> {
        Box::pin(self.end_of_old_part(conversation, older_than_ms, keep, limit))
    }
}
