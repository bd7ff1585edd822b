//! Coming and going: conversations come by themselves, and access ends at a position.

use crate::{
    common::Setup,
    on_both_databases,
    person::{Device, create, done, guarded},
};
use futures::StreamExt;
use http::Method;
use serde_json::{Value, json};

on_both_databases! {
    whoever_is_kicked_gets_all_up_to_that_and_nothing_behind,
    conversations_come_by_themselves,
}

/// Enough to fill what lies between the server and a client that does not read.
const MESSAGES: usize = 300;

/// More than a server tells a socket that takes nothing.
const CONVERSATIONS: usize = 500;

async fn fill(alice: &mut Device) {
    let text = "x".repeat(60_000);
    for n in 0..MESSAGES {
        let frame = json!({"type": "send", "id": n, "conversation": "team", "text": text});
        alice.socket.send(frame).await;
        assert_eq!(alice.answer(n).await["type"], "sent");
    }
}

/// Whoever was told of so much that some of it was dropped has everything in the end.
#[tokio::test]
async fn nothing_is_missing_when_letters_were_lost() {
    let server = guarded(Setup::new().await).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let mut alice = Device::open(&server, "alice").await;
    let mut bob = Device::following(&server, "bob").await;
    fill(&mut alice).await;
    let names: Vec<String> = (0..CONVERSATIONS).map(|n| format!("c{n}")).collect();
    futures::stream::iter(&names)
        .for_each_concurrent(8, |name| create(&server, "alice", name, &["bob"]))
        .await;
    alice.call("read", json!({"conversation": "team"})).await;
    bob.until(|bob| {
        let has = |name: &String| bob.logs.get(name).is_some_and(|log| log.caught_up);
        names.iter().all(has)
    })
    .await;
    bob.reach("team", MESSAGES as u64 + 1).await;
    let came = bob.others.iter().filter(|frame| frame["type"] == "conversation").count();
    assert_eq!(came, CONVERSATIONS, "each once");
}

async fn whoever_is_kicked_gets_all_up_to_that_and_nothing_behind(setup: Setup) {
    let server = guarded(setup).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let mut alice = Device::open(&server, "alice").await;
    let mut quick = Device::following(&server, "bob").await;
    // It takes nothing of what comes from here on.
    let mut lagging = Device::following(&server, "bob").await;
    fill(&mut alice).await;
    let target = "/conversations/team/participants/bob";
    done(&server, "alice", Method::DELETE, target, Value::Null).await;
    let end = MESSAGES as u64 + 2;
    let ended = |log: &crate::person::Log| {
        let error = log.error.as_ref().expect("an error");
        assert_eq!(
            (&error["code"], &error["offset"]),
            (&"access_ended".into(), &log.offset.as_str().into())
        );
        assert_eq!(log.position(), end);
        let last = log.events.last().expect("an event");
        assert_eq!((&last["type"], &last["user"]), (&"leave".into(), &"bob".into()));
    };
    alice.say("team", "bob is gone").await;
    quick.until(|device| device.log("team").error.is_some()).await;
    ended(quick.log("team"));
    alice.say("team", "for good").await;
    quick.ping().await;
    ended(quick.log("team"));
    for (kind, frame) in [
        ("send", json!({"conversation": "team", "text": "x"})),
        ("subscribe", json!({"conversation": "team", "sub": "again"})),
        ("typing", json!({"conversation": "team"})),
        ("read", json!({"conversation": "team", "position": 1})),
    ] {
        let refused = quick.try_call(kind, frame).await;
        assert_eq!(refused["code"], "not_a_participant", "{refused}");
    }
    // One comes in again while the other still lags.
    done(&server, "alice", Method::PUT, target, json!({})).await;
    assert_eq!(quick.kind("conversation").await["conversation"]["name"], "team");
    quick.reach("team", end + 3).await;
    lagging.until(|device| device.log("team").error.is_some()).await;
    ended(lagging.log("team"));
    assert!(lagging.others.iter().all(|other| other["type"] != "conversation"));
    assert_eq!(lagging.kind("conversation").await["conversation"]["name"], "team");
    lagging.reach("team", end + 3).await;
    assert_eq!(lagging.log("team").events.len() as u64, end + 3, "from the beginning");
}

async fn conversations_come_by_themselves(setup: Setup) {
    let server = guarded(setup).start().await;
    let mut bob = Device::following(&server, "bob").await;
    // It does not follow, and is only told.
    let mut idle = Device::open(&server, "bob").await;
    let refused = idle.try_call("typing", json!({"conversation": "none"})).await;
    assert_eq!(refused["code"], "conversation_not_found", "{refused}");
    create(&server, "alice", "new", &["bob"]).await;
    let came = bob.kind("conversation").await["conversation"].clone();
    assert_eq!((&came["name"], &came["state"]), (&"new".into(), &"member".into()));
    bob.reach("new", 1).await;
    assert_eq!(idle.kind("conversation").await["conversation"]["name"], "new");
    // One that bob has to join.
    create(&server, "alice", "later", &["carol"]).await;
    let target = "/conversations/later/participants/bob";
    done(&server, "alice", Method::PUT, target, json!({"invite": true})).await;
    assert_eq!(bob.kind("conversation").await["conversation"]["state"], "invited");
    let target = "/conversations/later/join";
    done(&server, "bob", Method::POST, target, Value::Null).await;
    assert_eq!(bob.kind("conversation").await["conversation"]["state"], "member");
    bob.reach("later", 3).await;
    assert_eq!(bob.log("later").events[2]["type"], "join");
    idle.ping().await;
    assert!(idle.logs.is_empty());
}
