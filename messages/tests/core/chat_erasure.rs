//! What is deleted, trimmed or closed is gone: from the tables, and from the records of the stream.

use super::{
    chat_log::{Log, message, on_both_databases, unread},
    store_contract::content,
};
use messages::{
    model::{ChatWrite, Chunk, Offset, Standing},
    store::{self, Database, StoreError},
};
use sqlx::Connection;
use std::sync::Arc;

on_both_databases! {
    a_deleted_message_is_erased_wherever_it_lies,
    what_is_written_and_deleted_in_one_flush_is_erased,
    what_comes_too_late_for_a_message_is_erased,
    a_trim_splits_the_chunk_across_it,
    a_trim_within_a_record_is_refused,
    the_old_part_ends_where_something_stays,
    a_closed_conversation_leaves_its_name,
}

async fn chunks(store: &dyn Database, log: &Log) -> Vec<Chunk> {
    store.read(log.stream, 0, 1 << 30).await.unwrap()
}

/// Content as records, each without its comma.
async fn records(store: &dyn Database, log: &Log) -> Vec<serde_json::Value> {
    let mut records = Vec::new();
    for chunk in chunks(store, log).await {
        let mut from = 0;
        for end in chunk.ends() {
            let to = (end.bytes - chunk.at.bytes) as usize;
            let record = chunk.body[from..to].strip_suffix(b",").expect("a comma");
            records.push(serde_json::from_slice(record).expect("JSON"));
            from = to;
        }
    }
    records
}

async fn a_deleted_message_is_erased_wherever_it_lies(store: Arc<dyn Database>) {
    let mut log = Log::new(7, "team");
    let kept = log.message("bob", "kept");
    let gone = log.message_with("bob", "secret one", |row| {
        (row.streaming, row.mentions) = (true, vec!["carol".into()]);
        (row.extra, row.txn) = (Some("secret".into()), Some("t".into()));
    });
    log.part(&gone, " secret two");
    log.store(&*store).await;
    log.part(&gone, " secret three");
    log.finish(&gone, false);
    log.message("bob", "kept, too");
    log.store(&*store).await;
    log.edit(&gone, 1, "secret four");
    log.react(&gone, "carol", "x", false);
    log.writes.push(ChatWrite::Pin { target: gone.clone(), participant: "bob".into(), at_ms: 1 });
    log.store(&*store).await;
    assert_eq!(store.revisions(&gone).await.unwrap()[0].text, "secret one secret two secret three");
    let before = chunks(&*store, &log).await;
    // The rows are joined meanwhile.
    store.merge(log.stream).await.unwrap();
    log.delete(&gone);
    log.store(&*store).await;

    let after = chunks(&*store, &log).await;
    let shape = |chunks: &[Chunk]| {
        chunks.iter().flat_map(|c| c.ends().collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    assert_eq!(shape(&before), shape(&after)[..shape(&before).len()]);
    let text = String::from_utf8(content(&*store, log.stream.0, 0).await).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let texts: Vec<_> =
        records(&*store, &log).await.iter().filter_map(|r| r.get("text").cloned()).collect();
    assert_eq!(texts, ["kept", "kept, too"]);
    let found = message(&*store, &gone).await;
    assert_eq!((found.text.as_str(), found.extra, found.deleted), ("", None, Some(10)));
    assert_eq!((found.txn.as_deref(), found.pinned, found.streaming), (Some("t"), false, false));
    assert_eq!(store.revisions(&gone).await.unwrap(), []);
    assert_eq!(store.reactors(&gone, 9).await.unwrap(), []);
    assert_eq!(store.pinned("team").await.unwrap(), []);
    assert_eq!(unread(&*store, "carol").await, [("team".into(), 2, 0)]);
    // Once more makes no difference.
    log.delete(&gone);
    log.delete(&log.target(99));
    log.store(&*store).await;
    assert_eq!(message(&*store, &gone).await.deleted, Some(10));
    assert_eq!(message(&*store, &kept).await.text, "kept");
}

async fn what_is_written_and_deleted_in_one_flush_is_erased(store: Arc<dyn Database>) {
    let (mut log, mut other) = (Log::new(7, "team"), Log::new(8, "other"));
    let gone = log.message("bob", "secret");
    log.edit(&gone, 1, "secret, again");
    log.delete(&gone);
    other.message("bob", "no secret");
    store.flush(&[log.flush(), other.flush()]).await.unwrap();
    let text = String::from_utf8(content(&*store, 7, 0).await).unwrap();
    assert!(text.len() as u64 == log.tail.bytes && !text.contains("secret"), "{text}");
    let text = String::from_utf8(content(&*store, 8, 0).await).unwrap();
    assert!(text.contains("no secret"));
}

async fn what_comes_too_late_for_a_message_is_erased(store: Arc<dyn Database>) {
    let mut log = Log::new(7, "team");
    let gone = log.message_with("bob", "secret", |row| row.streaming = true);
    log.delete(&gone);
    log.part(&gone, "secret");
    log.part(&gone, "secret");
    log.edit(&gone, 1, "secret");
    log.finish(&gone, false);
    log.store(&*store).await;
    let text = String::from_utf8(content(&*store, 7, 0).await).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let found = message(&*store, &gone).await;
    assert_eq!((found.text.as_str(), found.rev, found.edited), ("", 0, None));
    assert_eq!(store.streaming(9).await.unwrap(), []);
}

/// A conversation of twenty messages, stored as three chunks, and where each message begins.
async fn twenty(store: &dyn Database) -> (Log, Vec<Offset>) {
    let mut log = Log::new(7, "team");
    let mut begins = Vec::new();
    for at in 0..20 {
        begins.push(log.tail);
        let target = log.message("bob", &format!("text {at}"));
        if at % 7 == 6 {
            log.store(store).await;
        }
        log.writes.push(ChatWrite::Pin {
            target: target.clone(),
            participant: "bob".into(),
            at_ms: 1,
        });
        let (participant, reason) = ("bob".to_owned(), "x".to_owned());
        log.writes.push(ChatWrite::Report {
            target: target.clone(),
            participant,
            reason,
            at_ms: 1,
        });
        let reaction = ChatWrite::React {
            target,
            reaction: "x".into(),
            participant: "bob".into(),
            alone: false,
            at_ms: 1,
        };
        log.writes.push(reaction);
    }
    log.store(store).await;
    (log, begins)
}

fn trim(log: &mut Log, low: Offset, n: u64) {
    let (conversation, stream) = (log.name.clone(), log.stream);
    log.writes.push(ChatWrite::Trim { conversation, stream, low, n });
}

async fn a_trim_splits_the_chunk_across_it(store: Arc<dyn Database>) {
    let (mut log, begins) = twenty(&*store).await;
    let all = content(&*store, 7, 0).await;
    // Within a chunk, at the end of one, within the next, and behind everything.
    for (first, rest) in [(10, 10), (14, 6), (17, 3), (20, 0)] {
        let low = begins.get(first).copied().unwrap_or(log.tail);
        trim(&mut log, low, first as u64);
        log.store(&*store).await;
        let kept = chunks(&*store, &log).await;
        assert_eq!(kept.first().map_or(low, |chunk| chunk.at), low);
        assert_eq!(kept.iter().map(Chunk::records).sum::<u64>(), rest);
        assert_eq!(content(&*store, 7, low.bytes).await, all[low.bytes as usize..]);
        let found = store.messages(&log.query()).await.unwrap();
        assert_eq!(found.len() as u64, rest);
        assert_eq!(store.pinned("team").await.unwrap().len() as u64, rest);
        assert_eq!(store.reports("team", 99).await.unwrap().len() as u64, rest);
        let reactions =
            store.reactions("team", &(1..=21).collect::<Vec<_>>(), "bob").await.unwrap();
        assert_eq!(reactions.len() as u64, rest);
        let found = store.conversation("team").await.unwrap().unwrap();
        assert_eq!((found.low, found.n, found.position), (low, 20, 21));
        assert_eq!(unread(&*store, "carol").await[0].1, rest);
    }
    // What is deleted in a part that is gone is no error, and the log goes on.
    log.delete(&log.target(3));
    let last = log.message("bob", "more");
    log.store(&*store).await;
    assert_eq!(records(&*store, &log).await.len(), 2);
    assert_eq!(message(&*store, &last).await.n, 21);
}

async fn a_trim_within_a_record_is_refused(store: Arc<dyn Database>) {
    let (mut log, begins) = twenty(&*store).await;
    for low in [begins[3].advance(0, 4), begins[3].advance(1, 4), begins[3].advance(1, 0)] {
        trim(&mut log, low, 3);
        let flush = log.flush();
        let refused = store.flush(&[flush]).await;
        assert!(matches!(refused, Err(StoreError::Corrupt(..))), "{refused:?}");
    }
    assert_eq!(store.messages(&log.query()).await.unwrap().len(), 20, "nothing is written");
}

async fn the_old_part_ends_where_something_stays(store: Arc<dyn Database>) {
    let (mut log, begins) = twenty(&*store).await;
    let old = async |older_than, keep, limit| {
        store.old_part("team", older_than, keep, limit).await.unwrap()
    };
    let before = |first: usize| Some((begins[first], first as u64));
    assert_eq!(old(None, None, 99).await, None);
    // Message `at` is at position `at + 2`, which is also its time.
    assert_eq!(old(Some(7), None, 99).await, before(5));
    assert_eq!(old(Some(2), None, 99).await, None);
    assert_eq!(old(None, Some(8), 99).await, before(12));
    assert_eq!(old(None, Some(20), 99).await, None);
    assert_eq!(old(None, Some(u64::MAX), 99).await, None);
    assert_eq!(old(Some(7), Some(8), 99).await, before(12), "either is enough");
    assert_eq!(old(Some(17), Some(8), 99).await, before(15));
    assert_eq!(old(Some(u64::MAX), None, 4).await, before(4), "no more than the limit");
    assert_eq!(old(Some(u64::MAX), None, 20).await, Some((log.tail, 20)));
    assert_eq!(old(None, Some(0), 99).await, Some((log.tail, 20)));
    assert_eq!(store.old_part("nowhere", Some(7), None, 9).await.unwrap(), None);
    let (low, n) = old(None, Some(8), 99).await.unwrap();
    trim(&mut log, low, n);
    // A reply in a thread counts with the message before it.
    log.message_with("bob", "reply", |row| (row.thread, row.counted) = (Some(15), false));
    log.store(&*store).await;
    assert_eq!(old(None, Some(8), 99).await, None);
    assert_eq!(old(None, Some(1), 99).await, before(19));
    assert_eq!(old(Some(22), None, 99).await.map(|(_, n)| n), Some(20));
}

async fn a_closed_conversation_leaves_its_name(store: Arc<dyn Database>) {
    let (mut log, _) = twenty(&*store).await;
    let mut other = Log::new(8, "team2");
    other.message("bob", "stays");
    log.read("carol", 3);
    let (conversation, stream, tail) = (log.name.clone(), log.stream, log.tail);
    log.event(serde_json::json!({"type": "closed"}));
    log.writes.push(ChatWrite::Closed { conversation, stream, tail, at_ms: 9 });
    store.flush(&[log.flush(), other.flush()]).await.unwrap();
    let found = store.conversation("team").await.unwrap().unwrap();
    assert!(found.closed && found.participants.is_empty() && found.receipts.is_empty());
    assert!(found.pins.is_empty() && found.row.title.is_none() && found.row.admin.is_empty());
    assert_eq!(store.messages(&log.query()).await.unwrap(), []);
    assert_eq!(store.reports("team", 9).await.unwrap(), []);
    let listed = store.conversations_of("bob", Standing::Member, None, 9).await.unwrap();
    assert_eq!(listed.iter().map(|found| &*found.row.name).collect::<Vec<_>>(), ["team2"]);
    assert_eq!(records(&*store, &log).await, [serde_json::json!({"type": "closed"})]);
    assert_eq!(store.messages(&other.query()).await.unwrap().len(), 1);
    let mut again = Log::new(9, "team");
    store.flush(&[again.flush()]).await.expect_err("the name is taken");
}

#[tokio::test]
async fn nothing_of_a_deleted_text_is_left_in_the_file_of_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let url = store::default_url(dir.path());
    let store = store::open(&url).await.unwrap();
    let mut log = Log::new(7, "team");
    let long = format!("begin{}end", " xyzzyword".repeat(2000));
    let gone = [
        log.message("bob", "hello plughword"),
        log.message("bob", "hello fredword"),
        log.message("bob", &long),
    ];
    for at in 0..500 {
        log.message("bob", &format!("hello others {at} and fretwork"));
    }
    log.store(&*store).await;
    log.edit(&gone[1], 1, "hello thudword");
    log.edit(&gone[1], 2, "hello corgeword");
    log.store(&*store).await;
    let words = ["plughword", "fredword", "thudword", "corgeword", "xyzzyword"];
    let left = async || {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
        }
        let holds = |word: &str| bytes.windows(word.len()).any(|bytes| bytes == word.as_bytes());
        // The search index shares beginnings of words that are neighbours: look for endings, too.
        words.iter().filter(|word| holds(word) || holds(&word[2..])).copied().collect::<Vec<_>>()
    };
    assert_eq!(left().await, words, "that is how they are found");
    gone.iter().for_each(|target| log.delete(target));
    log.store(&*store).await;
    assert_eq!(left().await, [""; 0]);
    store.close().await;
    assert_eq!(left().await, [""; 0]);
}
