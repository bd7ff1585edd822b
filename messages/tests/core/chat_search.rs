//! Finding messages by their words.

use super::chat_log::{Log, on_both_databases};
use messages::{
    model::{ChatWrite, Offset, ParticipantRow, Standing},
    store::{Database, SearchQuery},
};
use std::sync::Arc;

on_both_databases! {
    all_words_must_be_there,
    the_latest_are_found_first_and_in_pages,
    only_what_the_user_may_see_is_found,
    what_changes_is_found_as_it_is,
    what_grows_is_found_when_it_is_complete,
    no_word_does_harm,
}

async fn search(store: &dyn Database, query: &SearchQuery) -> Vec<String> {
    let found = store.search(query).await.expect("an answer");
    found.into_iter().map(|found| found.id).collect()
}

/// What bob finds.
fn query(words: &str) -> SearchQuery {
    SearchQuery {
        user: "bob".into(),
        conversation: None,
        words: words.split(' ').map(str::to_owned).collect(),
        before: None,
        limit: 100,
    }
}

fn within(name: &str, words: &str) -> SearchQuery {
    SearchQuery { conversation: Some(name.into()), ..query(words) }
}

async fn all_words_must_be_there(store: Arc<dyn Database>) {
    let mut log = Log::new(1, "team");
    log.message("alice", "The quick brown fox");
    log.message("alice", "jumps over the lazy dog; see https://example.com/a_page?x=foxes");
    log.message("alice", "over-quick");
    log.store(&*store).await;
    for (words, want) in [
        ("quick", &["team:4", "team:2"][..]),
        ("fox QUICK", &["team:2"]),
        ("the", &["team:3", "team:2"]),
        ("over quick", &["team:4"]),
        ("over-quick", &["team:4"]),
        ("example page foxes", &["team:3"]),
        ("foxe", &[]),
        ("fox dog", &[]),
    ] {
        assert_eq!(search(&*store, &query(words)).await, want, "{words}");
        assert_eq!(search(&*store, &within("team", words)).await, want, "{words}");
    }
}

async fn the_latest_are_found_first_and_in_pages(store: Arc<dyn Database>) {
    let mut logs = [Log::new(1, "a"), Log::new(2, "b")];
    for at in 0..10 {
        logs[at % 2].message_with("alice", "word", |row| row.created = 50 + at as u64);
    }
    store.flush(&logs.each_mut().map(Log::flush)).await.unwrap();
    let all = SearchQuery { limit: 3, ..query("word") };
    assert_eq!(search(&*store, &all).await, ["b:6", "a:6", "b:5"]);
    let next = SearchQuery { before: Some(57), ..all.clone() };
    assert_eq!(search(&*store, &next).await, ["a:5", "b:4", "a:4"]);
    let within_a = SearchQuery { conversation: Some("a".into()), ..next };
    assert_eq!(search(&*store, &within_a).await, ["a:5", "a:4", "a:3"]);
}

async fn only_what_the_user_may_see_is_found(store: Arc<dyn Database>) {
    let mut logs =
        [Log::new(1, "open"), Log::new(2, "left"), Log::new(3, "late"), Log::new(4, "of")];
    logs[3] = Log::direct(4, ["alice", "carol"]);
    for log in &mut logs {
        log.message("alice", "word one");
        log.message("alice", "word two");
    }
    let gone = logs[1].participant("bob", Standing::Left);
    logs[1].writes.push(ChatWrite::Participant(gone));
    let late = logs[2].participant("bob", Standing::Member);
    let visible_from = Offset { records: 2, bytes: 0 };
    logs[2].writes.push(ChatWrite::Participant(ParticipantRow { visible_from, ..late }));
    store.flush(&logs.each_mut().map(Log::flush)).await.unwrap();
    assert_eq!(search(&*store, &query("word")).await, ["late:3", "open:3", "open:2"]);
    assert_eq!(search(&*store, &within("late", "word")).await, ["late:3"]);
    for name in ["left", "alice.carol", "nowhere"] {
        assert_eq!(search(&*store, &within(name, "word")).await, [""; 0]);
    }
}

async fn what_changes_is_found_as_it_is(store: Arc<dyn Database>) {
    let mut log = Log::new(1, "team");
    let (one, two) = (log.message("alice", "first word"), log.message("alice", "second word"));
    log.message("alice", "third word");
    let begin = log.tail;
    log.message("alice", "fourth word");
    log.store(&*store).await;
    log.edit(&one, 1, "changed text");
    log.delete(&two);
    log.store(&*store).await;
    assert_eq!(search(&*store, &query("word")).await, ["team:5", "team:4"]);
    assert_eq!(search(&*store, &query("changed")).await, ["team:2"]);
    assert_eq!(search(&*store, &query("first")).await, [""; 0]);
    log.edit(&one, 2, "changed word");
    log.store(&*store).await;
    assert_eq!(search(&*store, &query("changed word")).await, ["team:2"]);
    let (conversation, stream, n) = (log.name.clone(), log.stream, 3);
    log.writes.push(ChatWrite::Trim { conversation: conversation.clone(), stream, low: begin, n });
    log.store(&*store).await;
    assert_eq!(search(&*store, &query("word")).await, ["team:5"]);
    let tail = log.tail;
    log.writes.push(ChatWrite::Closed { conversation, stream, tail, at_ms: 9 });
    log.store(&*store).await;
    assert_eq!(search(&*store, &query("word")).await, [""; 0]);
}

async fn what_grows_is_found_when_it_is_complete(store: Arc<dyn Database>) {
    let mut log = Log::new(1, "team");
    let grows = log.message_with("alice", "once", |row| row.streaming = true);
    log.part(&grows, " upon");
    log.store(&*store).await;
    assert_eq!(search(&*store, &query("once")).await, [""; 0]);
    log.part(&grows, " a time");
    log.finish(&grows, true);
    log.store(&*store).await;
    assert_eq!(search(&*store, &query("once time")).await, ["team:2"]);
    log.delete(&grows);
    log.store(&*store).await;
    assert_eq!(search(&*store, &query("once")).await, [""; 0]);
}

async fn no_word_does_harm(store: Arc<dyn Database>) {
    let mut log = Log::new(1, "team");
    log.message("alice", "AND OR NOT NEAR text it's a \"quoted\" word* 'x' ö\u{1f389} \\ -- ; %");
    log.message("alice", &"long ".repeat(100_000));
    log.message("alice", &"l".repeat(100_000));
    let many: String = (0..60_000).map(|at| format!("{at:x}.{at:x}-")).collect();
    log.message("alice", &many);
    log.message("alice", "\u{1f389}");
    log.store(&*store).await;
    for words in [
        "*",
        "\"",
        "\"\"",
        "'",
        "''",
        "(",
        ")",
        ":",
        "^",
        "-",
        "+",
        "\\",
        "%",
        "--",
        "/*",
        "&",
        "|",
        "!",
        "<->",
        "",
        " ",
        "\0",
        "\u{1f389}",
        "\u{200b}",
        "\u{ffff}",
    ] {
        assert_eq!(search(&*store, &within("nowhere", words)).await, [""; 0], "{words:?}");
        search(&*store, &query(words)).await;
    }
    for words in [
        "AND",
        "OR NOT",
        "NEAR",
        "NEAR(text",
        "text*",
        "\"text",
        "text:quoted",
        "-text",
        "text\"OR\"nothere",
        "it's",
        "\\text",
        "^text",
        "{text}",
        "(AND",
        "te\u{301}xt\0text",
    ] {
        let found = search(&*store, &query(words)).await;
        let none = words.contains("nothere") || words.contains('\0');
        assert_eq!(found, if none { vec![] } else { vec!["team:2".to_owned()] }, "{words:?}");
    }
    assert_eq!(search(&*store, &query("long")).await, ["team:3"]);
    assert_eq!(search(&*store, &query(&vec!["text"; 2000].join(" "))).await, ["team:2"]);
    search(&*store, &query(&"l".repeat(100_000))).await;
}
