//! What is said.

use super::world::{Common, Node, add, message, name, read_now, remove, soon};
use messages::chat::{
    Action, ChatError, Extra, Mark, MessageId, NewConversation, NewMessage, Wanted,
};
use std::{collections::HashSet, sync::Arc};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_on_one_node_counts_on_all_at_once() {
    let common = Common::new().await;
    let [a, b, c] = common.nodes().await;
    a.create("alice", "team", &["bob", "carol"]).await;
    assert_eq!(b.say("bob", "team", "one").await.unwrap(), 2);
    assert_eq!(c.say("carol", "team", "two").await.unwrap(), 3);
    assert_eq!(a.say("alice", "team", "three").await.unwrap(), 4);
    for node in [&a, &b, &c] {
        assert_eq!(node.texts("bob", "team").await.unwrap(), ["one", "two", "three"]);
        let mut reader = node.reader("bob", "team").await.unwrap();
        let positions: Vec<u64> = read_now(&mut reader).await.iter().map(|e| e.position).collect();
        assert_eq!(positions, [1, 2, 3, 4]);
    }
    // Edits of one message from everywhere; each knows how often it was edited before.
    let edit = |text: &str, rev| Action::Edit { text: text.into(), extra: Extra::default(), rev };
    for (rev, node) in [&c, &a, &b, &c, &b].iter().enumerate() {
        let edit = edit(&format!("one {rev}"), Some(rev as u64));
        node.act_on("bob", "team", 2, edit).await.unwrap();
    }
    let late = a.act_on("bob", "team", 2, edit("late", Some(4))).await;
    assert!(matches!(late, Err(ChatError::EditedMeanwhile { rev: 5 })), "{late:?}");
    assert_eq!(a.texts("alice", "team").await.unwrap(), ["one 4", "two", "three"]);
    let react = |reaction: &str| Action::React { reaction: reaction.into() };
    a.act_on("alice", "team", 3, react("+")).await.unwrap();
    b.act_on("bob", "team", 3, react("+")).await.unwrap();
    let id = MessageId { conversation: name("team"), position: 3 };
    assert_eq!(c.chat.reactors("carol", &id).await.unwrap().len(), 2);
    // How far somebody is.
    assert_eq!(c.unread("alice").await, 0, "she has just sent the last one");
    a.say("bob", "team", "four").await.unwrap();
    assert_eq!(c.unread("alice").await, 1);
    b.chat.mark(&"alice".into(), &name("team"), Mark::Read, None, true).await.unwrap();
    let receipts = c.chat.receipts("carol", &name("team")).await.unwrap();
    let alice = receipts.iter().find(|one| &*one.participant == "alice").unwrap();
    assert_eq!(alice.read, 12);
    assert_eq!((a.unread("alice").await, c.unread("alice").await), (0, 0));
    // What was deleted is deleted everywhere.
    a.act_on("carol", "team", 3, Action::Delete { reason: None }).await.unwrap();
    assert_eq!(b.texts("bob", "team").await.unwrap()[1], "");
    let late = b.act_on("carol", "team", 3, edit("late", None)).await;
    assert!(matches!(late, Err(ChatError::Deleted)), "{late:?}");
    // A deleted conversation, too, and its name is not used again.
    b.act("alice", "team", Action::Close).await.unwrap();
    for node in [&a, &b, &c] {
        assert!(matches!(node.texts("bob", "team").await, Err(ChatError::NotFound)));
        assert!(matches!(node.say("bob", "team", "?").await, Err(ChatError::NotFound)));
        let again = NewConversation {
            name: Some(name("team")),
            participants: vec!["bob".into()],
            ..NewConversation::default()
        };
        let again = node.chat.create(&"alice".into(), again).await;
        assert!(matches!(again, Err(ChatError::Exists)), "{:?}", again.err());
    }
}

/// While the database takes nothing, nodes know of each other what has become of messages that only the
/// database has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_messages_are_changed_while_nothing_is_stored() {
    let common = Common::new().await;
    let (a, b) = (Node::without_flusher(&common).await, Node::without_flusher(&common).await);
    let flusher = Node::start(&common).await;
    a.create("alice", "team", &["bob"]).await;
    for text in ["one", "two", "three"] {
        flusher.say("alice", "team", text).await.unwrap();
    }
    let new = NewMessage { streaming: true, ..NewMessage::default() };
    flusher.act("alice", "team", Action::Send(new)).await.unwrap();
    // Also what is remembered of them.
    for node in [&a, &b, &flusher] {
        assert_eq!(node.texts("bob", "team").await.unwrap().len(), 4);
        node.chat.sweep();
    }
    drop(flusher);
    let edit =
        |rev| Action::Edit { text: "edited".into(), extra: Extra::default(), rev: Some(rev) };
    for rev in 0..6 {
        let node = [&a, &b][rev as usize % 2];
        node.act_on("alice", "team", 2, edit(rev)).await.unwrap();
        let late = node.act_on("alice", "team", 2, edit(rev)).await;
        assert!(matches!(late, Err(ChatError::EditedMeanwhile { .. })), "{late:?}");
    }
    let finish = Action::Finish { interrupted: false };
    a.act_on("alice", "team", 5, finish).await.unwrap();
    let late = b.act_on("alice", "team", 5, Action::Part { text: "late".into() }).await;
    assert!(matches!(late, Err(ChatError::Growing)), "{late:?}");
    let deleting = tokio::spawn({
        let chat = a.chat.clone();
        let id = MessageId { conversation: name("team"), position: 3 };
        async move {
            let delete = Action::Delete { reason: None };
            chat.act_on(&"alice".into(), &id, delete).await
        }
    });
    let deleted = soon(|| async {
        let react = Action::React { reaction: "+".into() };
        let reacted = b.act_on("bob", "team", 3, react).await;
        matches!(reacted, Err(ChatError::Deleted)).then_some(())
    });
    deleted.await;
    // It is answered when the text is gone.
    assert!(!deleting.is_finished());
    let _flusher = Node::start(&common).await;
    deleting.await.unwrap().unwrap();
    assert_eq!(b.texts("bob", "team").await.unwrap(), ["edited", "", "three", ""]);
}

/// Everybody at once, each message from two nodes: all are there, each once, in one order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_all_nodes_have_one_order_and_are_there_once() {
    let common = Common::new().await;
    crowd(&common).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_all_nodes_have_one_order_on_postgres() {
    let common = Common::on_postgres().await;
    crowd(&common).await;
}

async fn crowd(common: &Common) {
    let nodes: [_; 3] = common.nodes().await;
    let nodes = Arc::new(nodes);
    let users: Vec<String> = (0..9).map(|user| format!("u{user}")).collect();
    let names: Vec<&str> = users.iter().skip(1).map(String::as_str).collect();
    nodes[0].create("u0", "team", &names).await;
    let each = 20;
    let sending = users.iter().enumerate().map(|(number, user)| {
        let (nodes, user): (_, Arc<str>) = (nodes.clone(), user.as_str().into());
        tokio::spawn(async move {
            let mut last = 0;
            for count in 0..each {
                let new = NewMessage {
                    txn: Some(format!("t{count}")),
                    ..message(&format!("{user} {count}"))
                };
                let (one, other) = (&nodes[number % 3], &nodes[(number + count + 1) % 3]);
                let team = name("team");
                let (first, second) = tokio::join!(
                    one.chat.send(&user, &team, new.clone()),
                    other.chat.send(&user, &team, new),
                );
                let (first, second) = (first.unwrap(), second.unwrap());
                assert_eq!(
                    first.message.position, second.message.position,
                    "{user} {count}: {number} {first:?} {second:?}"
                );
                assert!(first.duplicate != second.duplicate, "one of them was the first");
                assert!(first.message.position > last, "in the order in which they were sent");
                last = first.message.position;
            }
        })
    });
    for one in futures::future::join_all(sending).await {
        one.unwrap();
    }
    let mut before = None;
    for node in &*nodes {
        let mut reader = node.reader("u1", "team").await.unwrap();
        let events = read_now(&mut reader).await;
        let positions: Vec<u64> = events.iter().map(|event| event.position).collect();
        assert_eq!(positions, (1..=1 + 9 * each as u64).collect::<Vec<_>>());
        let wanted = Wanted { limit: 1000, ..Wanted::default() };
        let found = node.chat.messages("u1", &name("team"), &wanted).await.unwrap();
        let texts: HashSet<&str> = found.iter().map(|message| message.text.as_str()).collect();
        assert_eq!((texts.len(), found.len()), (9 * each, 9 * each));
        let ns: Vec<u64> = found.iter().map(|message| message.n).collect();
        assert_eq!(ns, (1..=9 * each as u64).collect::<Vec<_>>());
        let texts: Vec<String> = found.into_iter().map(|message| message.text).collect();
        assert!(before.replace(texts.clone()).is_none_or(|before| before == texts));
    }
}

/// A node that goes in the middle of it takes nothing with it that was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_has_answered_is_there() {
    let common = Common::new().await;
    let [a, b] = common.nodes().await;
    a.create("alice", "team", &["bob"]).await;
    let sending = tokio::spawn(async move {
        let mut sent = Vec::new();
        for count in 0..200 {
            let new = NewMessage { txn: Some(count.to_string()), ..message(&count.to_string()) };
            if let Ok(sent_one) = a.chat.send(&"alice".into(), &name("team"), new).await {
                sent.push(sent_one.message.text);
            }
            if count == 60 {
                break;
            }
        }
        drop(a);
        sent
    });
    for count in 0..60 {
        b.say("bob", "team", &format!("b{count}")).await.unwrap();
    }
    let sent = sending.await.unwrap();
    // What it was about to store, another one may store only now.
    common.clock.advance_ms(31_000);
    let texts = b.texts("bob", "team").await.unwrap();
    assert_eq!(texts.len(), sent.len() + 60);
    assert!(sent.iter().all(|text| texts.contains(text)));
    // What is sent again, somewhere else, was sent.
    let again = NewMessage { txn: Some("7".into()), ..message("7") };
    assert!(b.chat.send(&"alice".into(), &name("team"), again).await.unwrap().duplicate);
    let c = Node::start(&common).await;
    assert_eq!(c.texts("alice", "team").await.unwrap(), texts);
}

/// Those who begin the one conversation that two have with each other, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_begin_their_conversation_on_two_nodes() {
    let common = Common::new().await;
    let [a, b] = common.nodes().await;
    for round in 0..20 {
        let (one, other) = (format!("x{round}"), format!("y{round}"));
        let (one_arc, other_arc): (Arc<str>, Arc<str>) =
            (one.as_str().into(), other.as_str().into());
        let (first, second) = tokio::join!(
            a.chat.send_to(&one_arc, &other, message("from x")),
            b.chat.send_to(&other_arc, &one, message("from y")),
        );
        let positions = [first.unwrap().message.position, second.unwrap().message.position];
        assert!(positions == [2, 3] || positions == [3, 2], "{positions:?}");
    }
}

/// Conversations are created, used and changed on nodes that have never heard of them, while they are
/// being loaded there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_loaded_while_it_changes() {
    let common = Common::new().await;
    let [a, b, c] = common.nodes().await;
    for round in 0..30 {
        let called = format!("team{round}");
        a.create("alice", &called, &["bob"]).await;
        let changing = async {
            for _ in 0..4 {
                a.act("alice", &called, add("carol")).await.unwrap();
                a.say("carol", &called, "hi").await.unwrap();
                a.act("alice", &called, remove("carol")).await.unwrap();
            }
            a.act("alice", &called, add("dave")).await.unwrap();
        };
        let loading = async {
            b.say("bob", &called, "b").await.unwrap();
            c.say("bob", &called, "c").await.unwrap();
        };
        tokio::join!(changing, loading);
        for node in [&b, &c] {
            node.say("dave", &called, "d").await.unwrap();
            let refused = node.say("carol", &called, "out").await;
            assert!(matches!(refused, Err(ChatError::NotAParticipant)), "{refused:?}");
        }
        let mut reader = c.reader("bob", &called).await.unwrap();
        assert_eq!(read_now(&mut reader).await.len(), 1 + 4 * 3 + 1 + 2 + 2);
    }
}
