//! What is said arrives: everywhere, in order, once, through crashes and repetitions.

use crate::{
    common::Setup,
    on_both_databases,
    person::{Device, create, guarded},
};
use serde_json::{Value, json};

on_both_databases! {
    a_message_comes_to_all_devices,
    nothing_is_missing_after_a_crash,
    a_txn_is_sent_once_over_all_sockets_and_lives,
    what_is_done_with_a_message_is_seen,
}

async fn a_message_comes_to_all_devices(setup: Setup) {
    let server = guarded(setup).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let mut sender = Device::following(&server, "alice").await;
    let mut devices =
        [Device::following(&server, "alice").await, Device::following(&server, "bob").await];
    let first = &sender.log("team").events[0];
    assert_eq!((&first["type"], &first["source"]), (&"conversation".into(), &"alice".into()));
    let frame = json!({"conversation": "team", "text": "hi", "txn": "t1", "meta": {"a": [1]}});
    let sent = sender.call("send", frame).await;
    assert_eq!((&sent["type"], &sent["duplicate"]), (&"sent".into(), &false.into()));
    let message = &sent["message"];
    assert_eq!((&message["id"], &message["position"]), (&"team:2".into(), &2.into()));
    sender.reach("team", 2).await;
    for device in &mut devices {
        device.reach("team", 2).await;
        let event = &device.log("team").events[1];
        for member in ["id", "position", "n", "text", "txn", "meta", "source", "created"] {
            assert_eq!(event[member], message[member], "{member}");
        }
        assert_eq!(device.log("team").offset, message["offset"]);
    }
    // To somebody, without a conversation before.
    let sent = sender.call("send", json!({"to": "bob", "text": "psst"})).await;
    let direct = sent["message"]["conversation"].as_str().expect("a name").to_owned();
    for device in [&mut sender].into_iter().chain(&mut devices) {
        let came = device.kind("conversation").await;
        assert_eq!(came["conversation"]["name"], direct);
        assert_eq!(came["conversation"]["kind"], "direct");
        device.reach(&direct, 2).await;
        assert_eq!(device.log(&direct).texts(), ["psst"]);
    }
}

async fn nothing_is_missing_after_a_crash(setup: Setup) {
    let server = guarded(setup).start().await;
    for name in ["one", "two"] {
        create(&server, "alice", name, &["bob"]).await;
    }
    let mut bob = Device::following(&server, "bob").await;
    let mut alice = Device::open(&server, "alice").await;
    let say = async |alice: &mut Device, numbers: std::ops::Range<usize>| {
        for n in numbers.clone() {
            let name = ["one", "two"][n % 2];
            let frame =
                json!({"type": "send", "id": n, "conversation": name, "text": n.to_string()});
            alice.socket.feed(frame).await;
        }
        alice.ping().await;
        for n in numbers {
            assert_eq!(alice.answer(n).await["type"], "sent");
        }
    };
    say(&mut alice, 0..100).await;
    bob.reach("one", 20).await;
    let mut logs = bob.logs.clone();
    drop(bob);
    say(&mut alice, 100..200).await;
    let server = server.crash().await;
    let mut alice = Device::open(&server, "alice").await;
    let mut bob = Device::open(&server, "bob").await;
    bob.follow(json!({"from": {"one": logs["one"].offset, "two": logs["two"].offset}})).await;
    say(&mut alice, 200..300).await;
    for (first, name) in ["one", "two"].into_iter().enumerate() {
        bob.reach(name, 151).await;
        let log = logs.get_mut(name).expect("a log");
        let more = &bob.log(name).events;
        assert_eq!(more[0]["position"], log.position() + 1, "it goes on where it was");
        log.events.extend(more.iter().cloned());
        let want: Vec<String> = (first..300).step_by(2).map(|n| n.to_string()).collect();
        assert_eq!(log.texts(), want);
    }
}

async fn a_txn_is_sent_once_over_all_sockets_and_lives(setup: Setup) {
    let server = guarded(setup).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let frame = |text: &str| json!({"conversation": "team", "text": text, "txn": "once"});
    let mut one = Device::open(&server, "alice").await;
    let first = one.call("send", frame("hi")).await;
    let again = async |device: &mut Device| {
        let sent = device.call("send", frame("hi")).await;
        assert_eq!(sent["duplicate"], true);
        assert_eq!(sent["message"]["id"], first["message"]["id"]);
        let refused = device.try_call("send", frame("something else")).await;
        assert_eq!((&refused["code"], &refused["status"]), (&"txn_reused".into(), &409.into()));
    };
    again(&mut one).await;
    let mut two = Device::open(&server, "alice").await;
    again(&mut two).await;
    let mut bob = Device::open(&server, "bob").await;
    assert_eq!(bob.call("send", frame("mine")).await["duplicate"], false);
    let server = server.crash().await;
    let mut three = Device::open(&server, "alice").await;
    again(&mut three).await;
    three.follow(json!({"default": "-1"})).await;
    assert_eq!(three.log("team").texts(), ["hi", "mine"]);
}

async fn what_is_done_with_a_message_is_seen(setup: Setup) {
    let server = guarded(setup).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let mut alice = Device::following(&server, "alice").await;
    let mut bob = Device::following(&server, "bob").await;
    let id = alice.say("team", "secret").await["id"].clone();
    for (user, kind, frame) in [
        ("bob", "react", json!({"reaction": "👍"})),
        ("bob", "unreact", json!({"reaction": "👍"})),
        ("alice", "edit", json!({"text": "better"})),
        ("alice", "delete", json!({"reason": "no"})),
    ] {
        let device = if user == "bob" { &mut bob } else { &mut alice };
        let mut frame = frame;
        frame["message"] = id.clone();
        let done = device.call(kind, frame).await;
        assert_eq!(done["type"], "done", "{done}");
        let position = done["position"].as_u64().expect("a position");
        for device in [&mut alice, &mut bob] {
            device.reach("team", position).await;
            let event = device.log("team").events.last().expect("an event");
            assert_eq!((&event["type"], &event["target"]), (&kind.into(), &2.into()), "{event}");
        }
    }
    let refused = bob.try_call("edit", json!({"message": id, "text": "mine"})).await;
    assert_eq!(refused["type"], "error", "{refused}");
    let refused = alice.try_call("edit", json!({"message": id, "text": "late"})).await;
    assert_eq!(refused["code"], "message_deleted", "{refused}");
    // Whoever reads the log now finds neither text.
    let mut late = Device::following(&server, "alice").await;
    late.ping().await;
    let log = json!(late.log("team").events).to_string();
    assert!(!log.contains("secret") && !log.contains("better"), "{log}");
}

/// None waits for the one before it to be durable, and all keep their order, beyond what the server
/// takes at once.
#[tokio::test]
async fn what_is_sent_without_waiting_keeps_its_order() {
    let server = guarded(Setup::new().await).start().await;
    let names = ["one", "two"];
    for name in names {
        create(&server, "alice", name, &["bob"]).await;
    }
    const COUNT: usize = 600;
    let mut alice = Device::open(&server, "alice").await;
    for n in 0..COUNT {
        let frame = match n % 6 {
            5 => json!({"type": "react", "id": n, "message": "one:2", "reaction": n.to_string()}),
            _ => {
                json!({"type": "send", "id": n, "conversation": names[n % 2], "text": n.to_string()})
            }
        };
        alice.socket.feed(frame).await;
    }
    alice.ping().await;
    let mut positions: [u64; 2] = [1, 1];
    // News of a conversation that has just begun may come in between.
    let is_answer = |frame: &&Value| !frame["id"].is_null();
    while alice.others.iter().filter(is_answer).count() < COUNT {
        alice.take().await;
    }
    for (n, answer) in alice.others.iter().filter(is_answer).enumerate() {
        assert_eq!(answer["id"], n, "{answer}");
        let (at, position) = match n % 6 {
            5 => (0, &answer["position"]),
            _ => (n % 2, &answer["message"]["position"]),
        };
        positions[at] += 1;
        assert_eq!(*position, Value::from(positions[at]), "{answer}");
    }
}
