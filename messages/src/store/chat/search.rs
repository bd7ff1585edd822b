//! Finding messages by their words. How that is done differs between the databases: each has a text
//! of its own for it.

use super::{SearchQuery, StoredMessage, messages::message};
use crate::store::{
    StoreError,
    sql::SqlStore,
    statement::{Draft, Run, Statement, Value},
};

/// A database that finds words.
pub(in crate::store) trait Search: Run {
    /// The messages m that hold the words of $1, in conversations where the participant p sees them:
    /// where a query takes them from, and the first of its conditions.
    const WORDS: &'static str;
}

impl<DB: Search> SqlStore<DB> {
    pub(super) async fn found_messages(
        &self,
        query: &SearchQuery,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        let words = quoted(&query.words);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        self.fetch_messages(search(DB::WORDS, &words, query)).await
    }
}

/// What both databases take for a list of words that must all be there. Punctuation separates words,
/// as it does in what is searched; so nothing of it is taken for an operator.
pub(super) fn quoted(words: &[String]) -> String {
    let separates = |c: char| c.is_ascii_punctuation() || c.is_whitespace() || c.is_control();
    let words = words.iter().flat_map(|word| word.split(separates)).filter(|w| !w.is_empty());
    words.map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ")
}

/// The rows themselves are read when it is clear which they are.
pub(super) fn search<'a>(source: &str, words: &'a str, query: &'a SearchQuery) -> Statement<'a> {
    let values = [Value::Text(words), Value::Text(&query.user)];
    let found = message!("FROM (SELECT m.conversation, m.position FROM ");
    let mut draft = Draft::new(found, &values);
    draft.text(source).text(" AND p.participant = $2 AND p.standing = 'member'");
    if let Some(conversation) = &query.conversation {
        draft.text(" AND p.conversation = ").value(Value::Text(conversation));
    }
    if let Some(before) = query.before {
        draft.text(" AND m.created < ").value(before);
    }
    draft.text(" ORDER BY m.created DESC, m.position DESC, m.conversation LIMIT ");
    draft.value(Value::Int(query.limit.into())).text(
        ") AS found JOIN messages AS m
            ON m.conversation = found.conversation AND m.position = found.position
        ORDER BY m.created DESC, m.position DESC, m.conversation",
    );
    // How often words are there makes all the difference, so the way is looked for anew each time.
    draft.finish(false)
}
