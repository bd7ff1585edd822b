//! What is told of the others: how far they are, whether they type, whether they are there.

use crate::{
    common::Setup,
    on_both_databases,
    person::{Device, create, guarded},
};
use serde_json::{Value, json};

on_both_databases! {
    receipts_are_told_as_they_are_and_as_they_change,
}

/// How far somebody is, as a frame says it.
fn of<'a>(frame: &'a Value, user: &str) -> &'a Value {
    let receipts = frame["receipts"].as_array().expect("receipts");
    receipts.iter().find(|one| one["participant"] == user).unwrap_or(&Value::Null)
}

async fn receipts_are_told_as_they_are_and_as_they_change(setup: Setup) {
    let server = guarded(setup).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let mut alice = Device::following(&server, "alice").await;
    let all = alice.kind("receipts").await;
    assert_eq!(all["conversation"], "team");
    for user in ["alice", "bob"] {
        assert_eq!((&of(&all, user)["read"], &of(&all, user)["delivered"]), (&0.into(), &0.into()));
    }
    for n in 0..3 {
        alice.say("team", &n.to_string()).await;
    }
    let mut bob = Device::open(&server, "bob").await;
    let frame = json!({"type": "delivered", "conversation": "team", "position": 3});
    bob.socket.send(frame).await;
    let changed = alice.wait(|frame| of_type(frame) && of(frame, "bob")["delivered"] == 3).await;
    assert_eq!(of(&changed, "bob")["read"], 0);
    let done = bob.call("read", json!({"conversation": "team", "position": 4})).await;
    assert_eq!((&done["type"], &done["position"]), (&"done".into(), &4.into()));
    let changed = alice.wait(|frame| of_type(frame) && of(frame, "bob")["read"] == 4).await;
    assert_eq!(of(&changed, "bob")["delivered"], 4, "what is read has arrived");
    // It never goes back, and nobody has what is not there.
    bob.call("read", json!({"conversation": "team", "position": 2})).await;
    let done = bob.call("read", json!({"conversation": "team", "position": 99})).await;
    assert_eq!(done["position"], 4);
    let server = server.crash().await;
    let mut alice = Device::following(&server, "alice").await;
    let all = alice.kind("receipts").await;
    assert_eq!(of(&all, "bob")["read"], 4, "{all}");
    let following = Device::open(&server, "bob").await.follow(json!({})).await;
    let team = &following["conversations"][0];
    assert_eq!((&team["read"], &team["unread"]), (&4.into(), &0.into()), "{team}");
}

fn of_type(frame: &Value) -> bool {
    frame["type"] == "receipts"
}

/// A client that says goodbye behind it: it was said, so it counts.
#[tokio::test]
async fn what_was_read_before_a_goodbye_is_read() {
    let server = guarded(Setup::new().await).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let mut alice = Device::following(&server, "alice").await;
    for n in 0..10 {
        let position = alice.say("team", "x").await["position"].clone();
        let mut bob = Device::open(&server, "bob").await;
        bob.socket
            .feed(json!({"type": "read", "conversation": "team", "position": position}))
            .await;
        bob.socket.close().await;
        let changed = alice.wait(|frame| of_type(frame) && of(frame, "bob")["read"] == position);
        assert_eq!(of(&changed.await, "bob")["delivered"], position, "{n}");
    }
}

#[tokio::test]
async fn typing_is_told_to_those_who_look() {
    let server = guarded(Setup::new().await).start().await;
    create(&server, "alice", "team", &["bob", "carol"]).await;
    create(&server, "alice", "other", &["dave"]).await;
    let mut alice = Device::following(&server, "alice").await;
    let mut bob = Device::following(&server, "bob").await;
    let mut carol = Device::open(&server, "carol").await;
    let mut dave = Device::following(&server, "dave").await;
    for on in [true, false] {
        let frame = json!({"type": "typing", "conversation": "team", "on": on});
        bob.socket.send(frame).await;
        let told = alice.kind("typing").await;
        assert_eq!((&told["user"], &told["conversation"]), (&"bob".into(), &"team".into()));
        assert_eq!((&told["on"], told["for_ms"].as_u64() > Some(0)), (&on.into(), on));
    }
    // It came to alice, so it would have come to the others as well.
    for device in [&mut bob, &mut carol, &mut dave] {
        device.ping().await;
        assert!(device.others.iter().all(|frame| frame["type"] != "typing"));
    }
    // Who says it too often is not heard.
    for _ in 0..50 {
        bob.socket.feed(json!({"type": "typing", "conversation": "team"})).await;
    }
    let last = bob.say("team", "at last").await["position"].as_u64().expect("a position");
    alice.reach("team", last).await;
    let count = alice.others.iter().filter(|frame| frame["type"] == "typing").count();
    assert!((1..50).contains(&count), "{count}");
    let refused = dave.try_call("typing", json!({"conversation": "team"})).await;
    assert_eq!(refused["code"], "not_a_participant");
    // Not to those who do not look any more.
    alice.call("unsubscribe", json!({"sub": "team"})).await;
    alice.others.clear();
    let mut carol = Device::following(&server, "carol").await;
    bob.socket.send(json!({"type": "typing", "conversation": "team"})).await;
    let sees = async |device: &mut Device| device.kind("typing").await;
    // The limit is by the second: it says it again until it is heard.
    tokio::select! {
        _ = sees(&mut carol) => {}
        () = async {
            loop {
                bob.socket.send(json!({"type": "typing", "conversation": "team"})).await;
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            }
        } => {}
    }
    alice.ping().await;
    assert!(alice.others.iter().all(|frame| frame["type"] != "typing"));
}

#[tokio::test]
async fn presence_is_told_to_acquaintances_who_watch() {
    let server = guarded(Setup::new().await).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let mut alice = Device::open(&server, "alice").await;
    alice.socket.send(json!({"type": "presence", "watch": ["bob", "mallory"]})).await;
    let told = alice.kind("presence").await;
    assert_eq!((&told["user"], &told["online"]), (&"bob".into(), &false.into()));
    let bob = Device::following(&server, "bob").await;
    let told = alice.kind("presence").await;
    assert_eq!((&told["user"], &told["online"]), (&"bob".into(), &true.into()));
    let _mallory = Device::following(&server, "mallory").await;
    // A second device changes nothing, and neither does its end.
    Device::following(&server, "bob").await.socket.close().await;
    bob.socket.close().await;
    let told = alice.kind("presence").await;
    assert_eq!((&told["user"], &told["online"]), (&"bob".into(), &false.into()));
    assert!(told["last_seen"].as_u64() > Some(0), "{told}");
    alice.socket.send(json!({"type": "presence", "watch": []})).await;
    let _bob = Device::following(&server, "bob").await;
    alice.ping().await;
    assert!(alice.others.iter().all(|frame| frame["type"] != "presence"), "{:?}", alice.others);
    let many: Vec<String> = (0..501).map(|n| n.to_string()).collect();
    let refused = alice.try_call("presence", json!({"watch": many})).await;
    assert_eq!(refused["code"], "too_many", "{refused}");
}
