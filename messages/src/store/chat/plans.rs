//! What is asked of the tables of chat, all in one place, so that the ways on which the databases find
//! it can be looked at.

use super::{
    MessageQuery, SearchQuery, conversations, messages, retention,
    search::{quoted, search},
};
use crate::store::{postgres, sqlite, statement::Statement};

/// The statements of [`ChatStore`](super::ChatStore) by what they are for, with all kinds of
/// conditions. The two kinds of search are each for one database.
#[must_use]
pub fn chat_reads() -> Vec<(&'static str, String)> {
    let mut reads: Vec<(&str, String)> =
        FIXED.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    let mut add = |name, statement: Statement<'_>| reads.push((name, statement.text().to_owned()));
    let users = ["a".to_owned(), "b".to_owned()];
    add("acquainted", conversations::acquainted("", &users));
    add("reactions", messages::reactions("", &[1, 2], ""));
    let all = MessageQuery {
        conversation: "".into(),
        after: 0,
        before: Some(1),
        thread: None,
        main_line: false,
        source: None,
        created: None,
        reply_to: None,
        descending: true,
        limit: 1,
        skip: 0,
    };
    for (name, query) in [
        ("messages", all.clone()),
        ("main line", MessageQuery { main_line: true, descending: false, ..all.clone() }),
        ("thread", MessageQuery { thread: Some(1), ..all.clone() }),
        ("source", MessageQuery { source: Some("a".into()), ..all.clone() }),
        ("created", MessageQuery { created: Some(1), ..all.clone() }),
        ("reply_to", MessageQuery { reply_to: Some("a:1".into()), ..all.clone() }),
    ] {
        add(name, messages::of_conversation(&query));
    }
    add("inbox", messages::inbox("", &all));
    add("inbox, oldest first", messages::inbox("", &MessageQuery { descending: false, ..all }));
    let words = quoted(&users);
    let mut query =
        SearchQuery { user: "a".into(), conversation: None, words: vec![], before: None, limit: 1 };
    add("search everywhere, SQLite", search(sqlite::WORDS, &words, &query));
    add("search everywhere, Postgres", search(postgres::WORDS, &words, &query));
    query = SearchQuery { conversation: Some("a".into()), before: Some(1), ..query };
    add("search, SQLite", search(sqlite::WORDS, &words, &query));
    add("search, Postgres", search(postgres::WORDS, &words, &query));
    reads
}

const FIXED: [(&str, &str); 17] = [
    ("conversation", conversations::CONVERSATION),
    ("participants", conversations::PARTICIPANTS),
    ("receipts", conversations::RECEIPTS),
    ("pins", conversations::PINS),
    ("conversations of a user", conversations::FIRST_PAGE),
    ("more conversations of a user", conversations::NEXT_PAGE),
    ("conversation of a user", conversations::ONE),
    ("message", messages::AT),
    ("message by txn", messages::OF_TXN),
    ("pinned", messages::PINNED),
    ("reactors", messages::REACTORS),
    ("revisions", messages::REVISIONS),
    ("reports", messages::REPORTS),
    ("streaming", retention::STREAMING),
    ("retaining", retention::RETAINING),
    ("end", retention::END),
    ("oldest", retention::OLDEST),
];
