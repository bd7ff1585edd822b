//! What is told and not stored.

use super::{
    redis_servers,
    world::{Common, Node, add, frame, name, soon, told},
};
use messages::{
    chat::{Mark, Notice},
    shared_log::{Faults, Terms, Wake, WakeFault},
};
use serde_json::json;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_told_on_every_node_that_they_have_come_in() {
    let common = Common::new().await;
    let [a, b] = common.nodes().await;
    let (_seat, mut letters) = b.chat.sit_down(&"bob".into());
    let (_other, mut other) = a.chat.sit_down(&"bob".into());
    for (round, node) in [&a, &b].iter().enumerate() {
        let called = format!("team{round}");
        node.create("alice", &called, &["carol"]).await;
        node.act("alice", &called, add("bob")).await.unwrap();
        for letters in [&mut letters, &mut other] {
            assert_eq!(told(letters).await, Notice::Joined(name(&called)));
        }
        // It is there for whoever asks when they are told.
        b.chat.view("bob", &name(&called)).await.unwrap();
    }
    a.chat.send_to(&"alice".into(), "bob", super::world::message("hi")).await.unwrap();
    assert!(matches!(told(&mut letters).await, Notice::Joined(name) if name.is_direct()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_and_marks_are_told_on_every_node() {
    typing_and_marks(&Common::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_and_marks_are_told_on_redis() {
    typing_and_marks(&Common::on_redis(redis_servers::single()).await).await;
}

async fn typing_and_marks(common: &Common) {
    let [a, b] = common.nodes().await;
    a.create("alice", "team", &["bob"]).await;
    let (mut seat, mut letters) = b.chat.sit_down(&"bob".into());
    let readable = b.chat.readable(&"bob".into(), &name("team")).await.unwrap();
    let (mut reader, _) = b.streams.read(readable.conversation.channel().clone(), 0).await.unwrap();
    seat.look_at(readable.conversation);
    a.chat.typing("alice", &name("team"), true).await.unwrap();
    frame(&mut letters, |frame| {
        *frame
            == json!({"type": "typing", "conversation": "team", "user": "alice", "on": true,
                      "for_ms": 6000})
    })
    .await;
    a.say("bob", "team", "hi").await.unwrap();
    a.chat.mark(&"alice".into(), &name("team"), Mark::Read, None, true).await.unwrap();
    frame(&mut letters, |frame| {
        *frame
            == json!({"type": "receipts", "conversation": "team",
                      "receipts": [{"participant": "alice", "delivered": 2, "read": 2}]})
            || (frame["type"] == "receipts"
                && frame["receipts"][0]["participant"] == "alice"
                && frame["receipts"][0]["read"] == 2)
    })
    .await;
    // Marks of somebody of whom this node does not know yet that they take part.
    a.act("alice", "team", add("carol")).await.unwrap();
    a.say("alice", "team", "hi, carol").await.unwrap();
    a.chat.mark(&"carol".into(), &name("team"), Mark::Read, None, true).await.unwrap();
    soon(|| async {
        let receipts = b.chat.receipts("bob", &name("team")).await.unwrap();
        let carol = receipts.iter().find(|one| &*one.participant == "carol");
        carol.is_some_and(|carol| carol.read == 4).then_some(())
    })
    .await;
    let _ = reader.ready().await;
}

/// Also those that come while little is heard, and to a node that begins later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_are_known_after_everything_was_missed() {
    let common = Common::new().await;
    let [a, b] = common.nodes().await;
    a.create("alice", "team", &["bob"]).await;
    assert_eq!(b.texts("bob", "team").await.unwrap().len(), 0);
    for round in 0..10 {
        let position = a.say("bob", "team", "hi").await.unwrap();
        common.interrupt();
        a.chat.mark(&"alice".into(), &name("team"), Mark::Read, None, true).await.unwrap();
        let late = Node::start(&common).await;
        for node in [&b, &late] {
            let receipts = node.chat.receipts("bob", &name("team")).await.unwrap();
            let alice = receipts.iter().find(|one| &*one.participant == "alice").unwrap();
            assert_eq!(alice.read, position, "in round {round}");
        }
    }
}

/// Nothing is heard of other nodes.
struct Deaf;

impl Faults for Deaf {
    fn wake(&self, wake: &Wake) -> WakeFault {
        if matches!(wake, Wake::Moved { .. }) { WakeFault::Never } else { WakeFault::None }
    }
}

/// Where the log keeps so little that marks are found in the database alone, nobody is told of earlier ones.
#[tokio::test]
async fn marks_that_were_missed_are_known_before_anybody_is_told() {
    let terms = Terms { kept_changes: 1, ..Terms::default() };
    let common = Common::with(terms, Deaf).await;
    let [a, b] = common.nodes().await;
    a.create("alice", "team", &["bob"]).await;
    for _ in 0..20 {
        a.say("bob", "team", "hi").await.unwrap();
    }
    assert_eq!(b.texts("bob", "team").await.unwrap().len(), 20);
    let read = |receipts: &[(String, u64)]| {
        let alice = receipts.iter().find(|(participant, _)| participant == "alice");
        alice.map_or(0, |(_, read)| *read)
    };
    for position in 2..20 {
        let (alice, team) = ("alice".into(), name("team"));
        a.chat.mark(&alice, &team, Mark::Read, Some(position), true).await.unwrap();
        soon(|| async {
            let stored = common.database.conversation("team").await.unwrap().unwrap().receipts;
            let stored = stored.into_iter().map(|row| (row.participant, row.read));
            (read(&stored.collect::<Vec<_>>()) == position).then_some(())
        })
        .await;
        if position % 3 == 0 {
            let receipts = b.chat.receipts("bob", &team).await.unwrap();
            let told = receipts.into_iter().map(|one| (one.participant.to_string(), one.read));
            assert_eq!(read(&told.collect::<Vec<_>>()), position);
        }
    }
}

fn presence(user: &str, online: bool) -> impl Fn(&serde_json::Value) -> bool {
    move |frame| frame["type"] == "presence" && frame["user"] == *user && frame["online"] == online
}

fn online(frames: &[Arc<str>]) -> bool {
    frames[0].contains(r#""online":true"#)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_there_wherever_their_sockets_are() {
    let common = Common::new().await;
    let [a, b, c] = common.nodes().await;
    let (mut seat, mut letters) = a.chat.sit_down(&"alice".into());
    let frames = seat.watch(vec!["bob".into()]);
    assert!(!online(&frames));
    let (on_b, _letters) = b.chat.sit_down(&"bob".into());
    frame(&mut letters, presence("bob", true)).await;
    let (on_c, _others) = c.chat.sit_down(&"bob".into());
    // Nobody says which of two nodes is heard first.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    drop(on_b);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(online(&seat.watch(vec!["bob".into()])));
    drop(on_c);
    frame(&mut letters, presence("bob", false)).await;
    assert!(seat.watch(vec!["bob".into()])[0].contains("last_seen"));
    // Whoever begins later learns of those who are there.
    let (_on_b, _letters) = b.chat.sit_down(&"bob".into());
    let late = Node::start(&common).await;
    let (mut later, _theirs) = late.chat.sit_down(&"carol".into());
    soon(|| {
        let found = online(&later.watch(vec!["bob".into()]));
        async move { found.then_some(()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_a_node_that_is_gone_are_gone() {
    let common = Common::new().await;
    let [a, b, c] = common.nodes().await;
    let (mut seat, mut letters) = a.chat.sit_down(&"alice".into());
    seat.watch(vec!["bob".into(), "carol".into()]);
    let (on_b, theirs) = b.chat.sit_down(&"bob".into());
    let (on_c, others) = c.chat.sit_down(&"carol".into());
    frame(&mut letters, presence("bob", true)).await;
    // One stops, the other one dies.
    std::mem::forget((on_c, others));
    c.stop().await;
    frame(&mut letters, presence("carol", false)).await;
    std::mem::forget((on_b, theirs));
    drop(b);
    common.clock.advance_ms(16_000);
    frame(&mut letters, presence("bob", false)).await;
}

/// A socket whose node may not have been told something is told that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_learn_that_something_was_missed() {
    let common = Common::new().await;
    let [a, _b] = common.nodes().await;
    let (_seat, mut letters) = a.chat.sit_down(&"alice".into());
    // Until it listens.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let _ = letters.has_missed();
    common.interrupt();
    assert_eq!(letters.next().await, Some(Notice::Missed));
    assert!(letters.has_missed());
}
