//! Clients that know nothing of the protocol of sockets.

use crate::{
    client::Socket,
    common::{Setup, TestServer, eventually},
    on_both_databases,
    person::{Device, create, done, guarded, token},
};
use http::Method;
use serde_json::{Value, json};

on_both_databases! {
    a_plain_client_gets_every_new_message,
}

async fn plain(server: &TestServer, user: &str) -> Socket {
    let bearer = format!("Bearer {}", token(user));
    let headers = [("authorization", &*bearer)];
    Socket::open_with(server, "/ws", &headers).await.expect("a socket")
}

/// Says something in a conversation until `socket` is shown it. What was said while it connected may
/// not be.
async fn until_shown(socket: &mut Socket, sender: &mut Device, name: &str) -> Value {
    let (mut shown, mut count) = (None, 0);
    while shown.is_none() {
        count += 1;
        let said = sender.say(name, &format!("anybody? {count}")).await;
        let next = tokio::time::timeout(std::time::Duration::from_millis(200), socket.next());
        shown = next.await.ok();
        if let Some(frame) = &mut shown {
            // All that was said until then.
            while frame["position"] != said["position"] {
                *frame = socket.next().await;
            }
        }
    }
    shown.expect("a message")
}

async fn a_plain_client_gets_every_new_message(setup: Setup) {
    let server = guarded(setup).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let mut alice = Device::open(&server, "alice").await;
    alice.say("team", "before").await;
    let mut bob = plain(&server, "bob").await;
    let first = until_shown(&mut bob, &mut alice, "team").await;
    assert_eq!((&first["type"], &first["source"]), (&"message".into(), &"alice".into()));
    // What is no message is not shown; what is, all of it, in its order.
    let mut last = Value::Null;
    for n in 0..50 {
        last = alice.say("team", &n.to_string()).await;
        alice.call("react", json!({"message": last["id"], "reaction": "+"})).await;
    }
    for n in 0..50 {
        let frame = bob.next().await;
        assert_eq!((&frame["type"], &frame["text"]), (&"message".into(), &n.to_string().into()));
        assert_eq!((&frame["conversation"], &frame["from"]), (&"team".into(), &Value::Null));
    }
    // What was shown has arrived.
    eventually("it is delivered", async || {
        let target = "/conversations/team/receipts";
        let receipts = done(&server, "alice", Method::GET, target, Value::Null).await;
        let receipts = receipts.as_array().expect("receipts").clone();
        let bob = receipts.iter().find(|one| one["participant"] == "bob").expect("bob");
        (bob["delivered"] == last["position"]).then_some(())
    })
    .await;
    // To somebody, in both directions, and what is one's own comes, too.
    bob.send(json!({"type": "private", "to": "alice", "content": "psst"})).await;
    let frame = bob.next().await;
    assert_eq!((&frame["from"], &frame["content"]), (&"bob".into(), &"psst".into()), "{frame}");
    assert_eq!((&frame["source"], &frame["text"]), (&"bob".into(), &"psst".into()));
    alice.call("send", json!({"to": "bob", "text": "what?"})).await;
    let frame = bob.next().await;
    assert_eq!((&frame["from"], &frame["content"]), (&"alice".into(), &"what?".into()), "{frame}");
    bob.send(json!({"type": "private", "id": 7, "to": "alice", "content": "no"})).await;
    let mut kinds = [bob.next().await, bob.next().await].map(|frame| frame["type"].to_string());
    kinds.sort();
    assert_eq!(kinds, ["\"message\"", "\"sent\""]);
    // Conversations that come later, from their beginning; and those that are over, no more.
    create(&server, "alice", "later", &["bob"]).await;
    alice.say("later", "welcome").await;
    assert_eq!(bob.next().await["text"], "welcome");
    let target = "/conversations/later/participants/bob";
    done(&server, "alice", Method::DELETE, target, Value::Null).await;
    alice.say("later", "he is gone").await;
    alice.say("team", "still here").await;
    assert_eq!(bob.next().await["text"], "still here");
    // Whoever speaks the protocol gets what it asks for.
    bob.send(json!({"type": "ping"})).await;
    bob.expect("pong").await;
    alice.say("team", "nobody hears this").await;
    bob.send(json!({"type": "subscribe", "sub": 1, "conversation": "team", "offset": "now"})).await;
    bob.expect("subscribed").await;
}

#[tokio::test]
async fn whoever_chooses_the_subprotocol_is_shown_nothing_by_itself() {
    let server = guarded(Setup::new().await).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let bearer = format!("Bearer {}", token("bob"));
    let headers = [("authorization", &*bearer), ("sec-websocket-protocol", "messages")];
    let mut bob = Socket::open_with(&server, "/ws", &headers).await.expect("a socket");
    let mut heard = plain(&server, "bob").await;
    let mut alice = Device::open(&server, "alice").await;
    until_shown(&mut heard, &mut alice, "team").await;
    bob.send(json!({"type": "ping"})).await;
    bob.expect("pong").await;
}
