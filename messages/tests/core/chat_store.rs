//! What every database promises about the tables of chat: what is written is read.

use super::chat_log::{Log, MEMBERS, message, on_both_databases, unread};
use messages::{
    model::{ChatWrite, Flush, Offset, ParticipantRow, ReceiptRow, Standing, Target},
    store::{Database, MessageQuery, StoredMessage, StoredReport},
};
use serde_json::json;
use std::sync::Arc;

on_both_databases! {
    a_conversation_is_found_with_all_that_decides_about_it,
    a_message_comes_back_as_it_was_sent,
    a_txn_is_used_once_by_each_user,
    a_message_grows_until_it_is_finished,
    edits_keep_what_was_said_before,
    messages_are_filtered_ordered_and_paged,
    reactions_are_counted_and_listed,
    pins_reports_and_marks_are_kept,
    conversations_are_listed_in_pages,
    the_inbox_merges_direct_conversations,
    acquaintances_take_part_in_the_same_conversation,
    many_messages_are_one_flush,
    what_is_transient_leaves_no_records,
    no_text_keeps_a_flush_from_being_written,
}

fn stand(
    user: &str,
    role: Option<&'static str>,
    standing: Standing,
    since: u64,
    banned_until: Option<u64>,
    at_ms: u64,
) -> ChatWrite {
    let (conversation, participant) = ("team".into(), user.into());
    ChatWrite::Standing { conversation, participant, role, standing, since, banned_until, at_ms }
}

async fn a_conversation_is_found_with_all_that_decides_about_it(store: Arc<dyn Database>) {
    let mut log = Log::new(7, "team");
    assert_eq!(store.conversation("team").await.unwrap(), None);
    let visible_from = Offset { records: 3, bytes: 50 };
    let came = ParticipantRow { visible_from, ..log.participant("dave", Standing::Member) };
    let banned = ParticipantRow {
        role: "reader".into(),
        since: 9,
        muted_until: Some(1 << 41),
        banned_until: Some(i64::MAX as u64),
        standing: Standing::Banned,
        ..came.clone()
    };
    let invited = stand("dave", Some("reader"), Standing::Invited, 2, None, came.created);
    let muted = ChatWrite::Voice {
        conversation: "team".into(),
        participant: "dave".into(),
        muted_until: banned.muted_until,
    };
    let promoted =
        ChatWrite::Role { conversation: "team".into(), participant: "dave".into(), role: "reader" };
    // Whoever comes back is muted as before.
    let comes = ChatWrite::Participant(came);
    let out = stand("dave", None, Standing::Banned, 9, banned.banned_until, 8);
    log.writes.extend([invited, muted, comes, promoted, out]);
    let hello = log.message("bob", "hello");
    log.event(json!({"type": "pin"}));
    let pin = ChatWrite::Pin { target: hello.clone(), participant: "alice".into(), at_ms: 5 };
    log.writes.extend([pin.clone(), pin]);
    log.store(&*store).await;

    let found = store.conversation("team").await.unwrap().unwrap();
    assert_eq!(found.row, log.row());
    assert_eq!((found.position, found.n, found.closed), (3, 1, false));
    assert_eq!((found.low, found.pins), (Offset::ZERO, vec![hello.position]));
    let mut want: Vec<_> = MEMBERS.map(|user| log.participant(user, Standing::Member)).into();
    want.push(banned);
    assert_eq!(found.participants, want);
    let read = ReceiptRow {
        conversation: "team".into(),
        participant: "bob".into(),
        delivered: 2,
        delivered_at: Some(2),
        read: 2,
        read_at: Some(2),
    };
    assert_eq!(found.receipts, [read]);

    log.writes.push(ChatWrite::Settings {
        conversation: "team".into(),
        title: None,
        settings: "{}".into(),
        retention: true,
    });
    log.writes.push(ChatWrite::Unpin { target: hello });
    log.store(&*store).await;
    let found = store.conversation("team").await.unwrap().unwrap();
    assert_eq!((found.row.title, found.row.settings.as_str()), (None, "{}"));
    assert!(found.row.retention && found.pins.is_empty());
    assert_eq!(store.retaining("", 9).await.unwrap(), [Arc::<str>::from("team")]);
    assert!(store.retaining("team", 9).await.unwrap().is_empty());
}

async fn a_message_comes_back_as_it_was_sent(store: Arc<dyn Database>) {
    let mut log = Log::new(7, "ö.team");
    let first = log.message("bob", "first");
    let second = log.message_with("carol \u{1f389}", "it's \"ö\" %_\\", |row| {
        (row.reply_to, row.txn) = (Some("team:2".into()), Some("t-1".into()));
        (row.thread, row.extra) = (Some(first.position), Some(r#"{"meta":{}}"#.into()));
        (row.counted, row.imported, row.created) = (false, true, 1 << 41);
        row.mentions = vec!["bob".into(), "alice".into(), "bob".into()];
    });
    let ChatWrite::Message(sent) = log.writes.last().cloned().unwrap() else { panic!() };
    log.store(&*store).await;
    let want = StoredMessage {
        target: second.clone(),
        n: 1,
        counted: false,
        id: sent.id,
        source: sent.source,
        text: sent.text,
        reply_to: sent.reply_to,
        created: 1 << 41,
        txn: sent.txn,
        thread: Some(first.position),
        extra: sent.extra,
        rev: 0,
        edited: None,
        deleted: None,
        streaming: false,
        interrupted: false,
        imported: true,
        pinned: false,
        replies: 0,
        place: sent.place,
    };
    assert_eq!(message(&*store, &second).await, want);
    let first = message(&*store, &first).await;
    assert_eq!((first.n, first.counted, first.replies), (1, true, 1));
    assert_eq!(store.message(&log.target(9)).await.unwrap(), None);
    let nowhere = Target { conversation: "nowhere".into(), position: 2 };
    assert_eq!(store.message(&nowhere).await.unwrap(), None);
    // What was imported is not read by whom it is from.
    assert_eq!(store.conversation("ö.team").await.unwrap().unwrap().receipts.len(), 1);
}

async fn a_txn_is_used_once_by_each_user(store: Arc<dyn Database>) {
    let mut log = Log::new(7, "team");
    let with_txn = |log: &mut Log, source: &str| {
        log.message_with(source, "x", |row| row.txn = Some("t".into()))
    };
    let (bob, carol) = (with_txn(&mut log, "bob"), with_txn(&mut log, "carol"));
    log.message("bob", "none");
    log.message("bob", "none");
    log.store(&*store).await;
    for (user, target) in [("bob", bob), ("carol", carol)] {
        let found = store.message_by_txn("team", user, "t").await.unwrap().unwrap();
        assert_eq!(found.target, target);
    }
    assert_eq!(store.message_by_txn("team", "alice", "t").await.unwrap(), None);
    assert_eq!(store.message_by_txn("other", "bob", "t").await.unwrap(), None);
    let mut again = Log::new(8, "other");
    with_txn(&mut again, "bob");
    again.store(&*store).await;
    with_txn(&mut log, "bob");
    store.flush(&[log.flush()]).await.expect_err("twice in one conversation");
}

async fn a_message_grows_until_it_is_finished(store: Arc<dyn Database>) {
    let mut log = Log::new(7, "team");
    let grow = |row: &mut messages::model::MessageRow| row.streaming = true;
    let (one, two) = (log.message_with("bob", "", grow), log.message_with("bob", "b", grow));
    log.part(&one, "once ");
    log.part(&one, "upon ");
    log.part(&two, "!");
    log.part(&one, "a time");
    log.store(&*store).await;
    log.part(&one, ".");
    log.finish(&two, true);
    log.store(&*store).await;
    let (first, second) = (message(&*store, &one).await, message(&*store, &two).await);
    assert_eq!((first.text.as_str(), second.text.as_str()), ("once upon a time.", "b!"));
    assert!(first.streaming && !second.streaming && !first.interrupted && second.interrupted);
    assert_eq!(store.streaming(9).await.unwrap(), std::slice::from_ref(&one));
    log.finish(&one, false);
    log.store(&*store).await;
    assert_eq!(store.streaming(9).await.unwrap(), []);
    let revisions = store.revisions(&one).await.unwrap();
    assert_eq!(revisions.len(), 1, "growing is no editing");
    assert_eq!((revisions[0].rev, revisions[0].text.as_str()), (0, "once upon a time."));
}

async fn edits_keep_what_was_said_before(store: Arc<dyn Database>) {
    let mut log = Log::new(7, "team");
    let said = log.message_with("bob", "one", |row| row.mentions = vec!["carol".into()]);
    log.store(&*store).await;
    assert_eq!(unread(&*store, "carol").await, [("team".into(), 1, 1)]);
    log.edit(&said, 1, "two");
    log.edit(&said, 2, "three");
    log.store(&*store).await;
    let found = message(&*store, &said).await;
    assert_eq!((found.text.as_str(), found.rev, found.edited), ("three", 2, Some(4)));
    assert_eq!((found.source.as_str(), found.extra.as_deref()), ("bob", Some(r#"{"meta":1}"#)));
    let revisions = store.revisions(&said).await.unwrap();
    let revisions: Vec<_> =
        revisions.iter().map(|r| (r.rev, r.text.as_str(), r.source.as_str(), r.created)).collect();
    let want = [(0, "one", "bob", 2), (1, "two", "carol", 3), (2, "three", "carol", 4)];
    assert_eq!(revisions, want);
    // The edit mentions somebody else.
    assert_eq!(unread(&*store, "carol").await, [("team".into(), 1, 0)]);
    assert_eq!(unread(&*store, "alice").await, [("team".into(), 1, 1)]);
}

async fn messages_are_filtered_ordered_and_paged(store: Arc<dyn Database>) {
    let (mut log, mut other) = (Log::new(7, "team"), Log::new(8, "teams"));
    other.message("bob", "somewhere else");
    let first = log.message("bob", "2").position;
    for position in 3..=9u64 {
        log.message_with(MEMBERS[position as usize % 3], &position.to_string(), |row| {
            row.thread = (position % 4 == 0).then_some(first);
            row.reply_to = (position > 6).then(|| "team:2".into());
            row.created = position / 2;
        });
    }
    log.delete(&log.target(5));
    store.flush(&[log.flush(), other.flush()]).await.unwrap();
    let all = log.query();
    let cases: [(MessageQuery, &[u64]); 12] = [
        (all.clone(), &[2, 3, 4, 5, 6, 7, 8, 9]),
        (MessageQuery { descending: true, limit: 3, ..all.clone() }, &[9, 8, 7]),
        (MessageQuery { skip: 2, limit: 2, ..all.clone() }, &[4, 5]),
        (MessageQuery { after: 4, before: Some(8), ..all.clone() }, &[5, 6, 7]),
        (MessageQuery { thread: Some(2), ..all.clone() }, &[4, 8]),
        (MessageQuery { main_line: true, ..all.clone() }, &[2, 3, 5, 6, 7, 9]),
        (MessageQuery { source: Some("bob".into()), ..all.clone() }, &[2, 4, 7]),
        (MessageQuery { created: Some(2), ..all.clone() }, &[2, 4, 5]),
        (MessageQuery { reply_to: Some("team:2".into()), ..all.clone() }, &[7, 8, 9]),
        (MessageQuery { after: u64::MAX, ..all.clone() }, &[]),
        (MessageQuery { before: Some(u64::MAX), limit: 1, ..all.clone() }, &[2]),
        (
            MessageQuery {
                source: Some("bob".into()),
                reply_to: Some("team:2".into()),
                main_line: true,
                created: Some(3),
                descending: true,
                ..all.clone()
            },
            &[7],
        ),
    ];
    for (query, want) in cases {
        let found = store.messages(&query).await.unwrap();
        let positions: Vec<u64> = found.iter().map(|found| found.target.position).collect();
        assert_eq!(positions, want, "{query:?}");
    }
    let found = store.messages(&all).await.unwrap();
    assert_eq!((found[3].deleted, found[3].text.as_str()), (Some(10), ""));
    assert_eq!(found[0].replies, 2);
    log.delete(&log.target(8));
    log.store(&*store).await;
    assert_eq!(message(&*store, &log.target(first)).await.replies, 1);
}

async fn reactions_are_counted_and_listed(store: Arc<dyn Database>) {
    let mut log = Log::new(7, "team");
    let (one, two) = (log.message("bob", "1"), log.message("bob", "2"));
    for (target, user, reaction, alone) in [
        (&one, "carol", "\u{1f44d}", false),
        (&one, "alice", "a", false),
        (&one, "bob", "\u{1f44d}", false),
        (&one, "bob", "\u{1f44d}", false),
        (&two, "bob", "x", false),
        (&two, "bob", "y", false),
        (&two, "alice", "x", true),
        (&two, "bob", "z", true),
    ] {
        log.react(target, user, reaction, alone);
    }
    log.store(&*store).await;
    let counted = |me: &'static str| {
        let store = store.clone();
        let positions = [two.position, 99, one.position];
        async move {
            let found = store.reactions("team", &positions, me).await.unwrap();
            let found = found.into_iter().map(|r| (r.position, r.reaction, r.count, r.me));
            found.collect::<Vec<_>>()
        }
    };
    let want = |me: &str| {
        vec![
            (one.position, "\u{1f44d}".to_owned(), 2, me == "bob"),
            (one.position, "a".to_owned(), 1, me == "alice"),
            (two.position, "x".to_owned(), 1, me == "alice"),
            (two.position, "z".to_owned(), 1, me == "bob"),
        ]
    };
    assert_eq!(counted("bob").await, want("bob"));
    assert_eq!(counted("alice").await, want("alice"));
    assert_eq!(store.reactions("team", &[], "bob").await.unwrap(), []);
    let found = store.reactors(&one, 2).await.unwrap();
    let users: Vec<_> = found.iter().map(|r| (r.participant.as_str(), r.created)).collect();
    assert_eq!(users, [("carol", 4), ("alice", 5)]);
    let (target, reaction) = (one.clone(), "\u{1f44d}".to_owned());
    log.writes.push(ChatWrite::Unreact { target, reaction, participant: "carol".into() });
    log.store(&*store).await;
    assert_eq!(store.reactors(&one, 9).await.unwrap().len(), 2);
}

async fn pins_reports_and_marks_are_kept(store: Arc<dyn Database>) {
    let mut log = Log::new(7, "team");
    let (one, two) = (log.message("bob", "1"), log.message("bob", "2"));
    for (target, at_ms) in [(&one, 20), (&two, 10)] {
        let (target, participant) = (target.clone(), "alice".to_owned());
        log.writes.push(ChatWrite::Pin { target: target.clone(), participant, at_ms });
        let (participant, reason) = ("carol".to_owned(), format!("because {at_ms}"));
        log.writes.push(ChatWrite::Report { target, participant, reason, at_ms });
    }
    log.read("carol", 3);
    log.read("carol", 2);
    log.read("alice", 1);
    log.store(&*store).await;
    log.read("carol", 1);
    log.read("alice", 2);
    log.store(&*store).await;
    let pinned = store.pinned("team").await.unwrap();
    let targets: Vec<_> = pinned.iter().map(|found| &found.target).collect();
    assert_eq!(targets, [&one, &two], "the latest pinned first");
    assert!(pinned.iter().all(|found| found.pinned));
    let report = |position, created| StoredReport {
        position,
        participant: "carol".into(),
        reason: format!("because {created}"),
        created,
    };
    let want = [report(one.position, 20), report(two.position, 10)];
    assert_eq!(store.reports("team", 9).await.unwrap(), want);
    assert_eq!(store.reports("team", 1).await.unwrap(), want[..1]);
    let marks = store.conversation("team").await.unwrap().unwrap().receipts;
    let marks: Vec<_> = marks.iter().map(|m| (m.participant.as_str(), m.read, m.read_at)).collect();
    assert_eq!(marks, [("alice", 2, Some(1002)), ("bob", 3, Some(3)), ("carol", 3, Some(1003))]);
}

async fn conversations_are_listed_in_pages(store: Arc<dyn Database>) {
    let mut logs: Vec<Log> = (1..=5).map(|id| Log::new(id, &format!("c{id}"))).collect();
    // Created at the same time as c3: by name.
    logs.push(Log::new(6, "b"));
    let row = messages::model::ConversationRow { created: 3, ..logs[5].row() };
    logs[5].writes[0] = ChatWrite::Conversation(row);
    let invited = logs[0].participant("dave", Standing::Invited);
    logs[0].writes.push(ChatWrite::Participant(invited.clone()));
    logs[1].message_with("alice", "for all", |row| row.mentions = vec!["@all".into()]);
    logs[1].message_with("alice", "for bob", |row| row.mentions = vec!["bob".into()]);
    let flushes: Vec<Flush> = logs.iter_mut().map(Log::flush).collect();
    store.flush(&flushes).await.unwrap();
    let (mut names, mut after) = (Vec::new(), None::<String>);
    loop {
        let page =
            store.conversations_of("bob", Standing::Member, after.as_deref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.row.name.to_string());
        names.extend(page.iter().map(|found| found.row.name.to_string()));
    }
    assert_eq!(names, ["c5", "c4", "b", "c3", "c2", "c1"]);
    let found = &store.conversations_of("bob", Standing::Member, Some("c3"), 1).await.unwrap()[0];
    assert_eq!((&found.row, found.offset), (&logs[1].row(), logs[1].tail));
    assert_eq!((found.position, found.n, found.low), (3, 2, 0));
    assert_eq!((found.unread, found.mentions, found.receipt.read), (2, 2, 0));
    assert_eq!(found.participant, logs[1].participant("bob", Standing::Member));
    let found = store.conversations_of("dave", Standing::Invited, None, 9).await.unwrap();
    assert_eq!((found.len(), &found[0].participant), (1, &invited));
    assert_eq!(store.conversations_of("dave", Standing::Member, None, 9).await.unwrap(), []);
}

async fn the_inbox_merges_direct_conversations(store: Arc<dyn Database>) {
    let mut logs = [
        Log::direct(1, ["alice", "bob"]),
        Log::direct(2, ["alice", "carol"]),
        Log::direct(3, ["bob", "carol"]),
        Log::new(4, "group"),
    ];
    for at in 0..12u64 {
        let source = if at % 3 == 0 { "alice" } else { "carol" };
        logs[at as usize % 4].message_with(source, "x", |row| row.created = 100 - at / 2);
    }
    let hidden = ParticipantRow {
        visible_from: Offset { records: 2, bytes: 0 },
        ..logs[0].participant("alice", Standing::Member)
    };
    logs[0].writes.push(ChatWrite::Participant(hidden));
    store.flush(&logs.each_mut().map(Log::flush)).await.unwrap();
    let inbox = async |query: &MessageQuery| -> Vec<String> {
        let found = store.inbox("alice", query).await.unwrap();
        found.into_iter().map(|found| found.id).collect()
    };
    let all = logs[3].query();
    // By time and id; the first message of alice.bob is hidden from alice.
    let want = ["alice.bob:4", "alice.carol:4", "alice.bob:3", "alice.carol:3", "alice.carol:2"];
    let (times, sources): (Vec<u64>, Vec<String>) = {
        let found = store.inbox("alice", &all).await.unwrap();
        found.into_iter().map(|found| (found.created, found.source)).unzip()
    };
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(inbox(&all).await, want);
    let latest = MessageQuery { descending: true, limit: 2, ..all.clone() };
    assert_eq!(inbox(&latest).await, [want[4], want[3]]);
    assert_eq!(inbox(&MessageQuery { skip: 1, ..latest.clone() }).await, [want[3], want[2]]);
    assert_eq!(inbox(&MessageQuery { limit: 2, skip: 3, ..all.clone() }).await, want[3..]);
    let of_carol = MessageQuery { source: Some("carol".into()), ..all };
    let want: Vec<&str> =
        want.into_iter().zip(&sources).filter(|(_, s)| *s == "carol").map(|(id, _)| id).collect();
    assert_eq!(inbox(&of_carol).await, want);
}

async fn acquaintances_take_part_in_the_same_conversation(store: Arc<dyn Database>) {
    let (mut log, mut other) = (Log::direct(1, ["alice", "bob"]), Log::direct(2, ["bob", "dave"]));
    let left = log.participant("erin", Standing::Left);
    log.writes.push(ChatWrite::Participant(left));
    store.flush(&[log.flush(), other.flush()]).await.unwrap();
    let known = async |user: &str, users: &[&str]| {
        let users: Vec<String> = users.iter().map(|user| (*user).to_owned()).collect();
        let mut found = store.acquainted(user, &users).await.unwrap();
        found.sort();
        found
    };
    assert_eq!(known("bob", &["dave", "alice", "erin", "zoe", "alice"]).await, ["alice", "dave"]);
    assert_eq!(known("alice", &["dave", "bob"]).await, ["bob"]);
    assert!(known("erin", &["alice"]).await.is_empty() && known("bob", &[]).await.is_empty());
}

async fn many_messages_are_one_flush(store: Arc<dyn Database>) {
    let mut logs: Vec<Log> = (1..=40).map(|id| Log::new(id, &format!("c{id}"))).collect();
    store.flush(&logs.iter_mut().map(Log::flush).collect::<Vec<_>>()).await.unwrap();
    for log in &mut logs {
        for at in 0..20 {
            let mentions = vec![MEMBERS[at % 2].to_owned()];
            log.message_with("carol", &format!("text {at}"), |row| row.mentions = mentions);
        }
        log.read("bob", 5);
    }
    store.flush(&logs.iter_mut().map(Log::flush).collect::<Vec<_>>()).await.unwrap();
    for log in [&logs[0], &logs[39]] {
        let found = store.messages(&log.query()).await.unwrap();
        assert_eq!((found.len(), found[19].text.as_str()), (20, "text 19"));
        let found = store.conversation(&log.name).await.unwrap().unwrap();
        assert_eq!((found.position, found.n), (21, 20));
        assert_eq!(found.receipts.iter().map(|r| r.read).collect::<Vec<_>>(), [5, 21]);
    }
    assert!(
        unread(&*store, "bob")
            .await
            .iter()
            .all(|(_, unread, mentions)| (*unread, *mentions) == (16, 8))
    );
}

async fn what_is_transient_leaves_no_records(store: Arc<dyn Database>) {
    let mut log = Log::new(1, "team");
    log.message("bob", "hello");
    let flush = Flush { transient: true, ..log.flush() };
    store.flush(&[flush]).await.unwrap();
    assert_eq!(store.read(log.stream, 0, 1 << 20).await.unwrap(), []);
    assert_eq!(store.streams(&[log.stream]).await.unwrap()[0].tail, log.tail);
    assert_eq!(store.messages(&log.query()).await.unwrap().len(), 1);
}

/// Whatever a client may send: what is in the journal must find its way into the tables.
async fn no_text_keeps_a_flush_from_being_written(store: Arc<dyn Database>) {
    let mut log = Log::new(1, "team");
    let long = "\u{10ffff}\u{301}x ".repeat(400_000);
    let extra = format!("{{\"meta\":\"{long}\"}}");
    let texts =
        ["a\0b", "", "\u{fffe}\r\n\t\u{1b}", "'; DROP TABLE messages; --", "$1 ? %s", &long];
    let sent: Vec<Target> = texts.map(|text| log.message("bob", text)).into();
    let grows = log.message_with("bob", "a\0", |row| {
        (row.streaming, row.extra) = (true, Some(extra.clone()));
    });
    log.part(&grows, "\0b");
    log.finish(&grows, false);
    log.edit(&sent[1], 1, "c\0d");
    log.store(&*store).await;
    assert_eq!(message(&*store, &sent[0]).await.text, "a\u{fffd}b", "Postgres holds no NUL");
    assert_eq!(message(&*store, &sent[1]).await.text, "c\u{fffd}d");
    assert_eq!(message(&*store, &grows).await.text, "a\u{fffd}\u{fffd}b");
    assert_eq!(message(&*store, &grows).await.extra, Some(extra));
    for (target, text) in sent.iter().zip(texts).skip(2) {
        assert_eq!(message(&*store, target).await.text, text);
    }
    for target in &sent {
        log.delete(target);
    }
    log.store(&*store).await;
    assert!(store.messages(&log.query()).await.unwrap()[..6].iter().all(|m| m.text.is_empty()));
}
