//! What is not done, and what is said then.

use crate::{
    client::Socket,
    common::{Setup, request},
    person::{Device, create, guarded},
};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn frames_that_cannot_be_done_are_refused() {
    let server = guarded(Setup::new().await).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let mut carol = Device::open(&server, "carol").await;
    let team = "team";
    for (kind, frame, code) in [
        ("send", json!({"conversation": team, "text": "x"}), "not_a_participant"),
        ("send", json!({"conversation": "none", "text": "x"}), "conversation_not_found"),
        ("send", json!({"conversation": "a/b", "text": "x"}), "bad_name"),
        ("send", json!({"text": "x"}), "bad_frame"),
        ("send", json!({"conversation": team, "to": "bob", "text": "x"}), "bad_frame"),
        ("send", json!({"to": "bob\u{1}", "text": "x"}), "bad_user"),
        ("edit", json!({"message": "team:2", "text": "x"}), "not_a_participant"),
        ("edit", json!({"message": "team", "text": "x"}), "bad_message_id"),
        ("delete", json!({"message": "none:1"}), "conversation_not_found"),
        ("react", json!({"message": "team:2", "reaction": "x"}), "not_a_participant"),
        ("read", json!({"conversation": team}), "not_a_participant"),
        ("delivered", json!({"conversation": "none"}), "conversation_not_found"),
        ("typing", json!({"conversation": team}), "not_a_participant"),
        ("follow", json!({"from": {"team": "x"}}), "bad_offset"),
        ("follow", json!({"default": "5"}), "bad_offset"),
        ("subscribe", json!({"sub": "s", "conversation": team}), "not_a_participant"),
        ("subscribe", json!({"sub": "s", "conversation": "none"}), "conversation_not_found"),
        ("subscribe", json!({"sub": "s", "conversation": team, "stream": "t"}), "bad_frame"),
        ("subscribe", json!({"sub": "s"}), "bad_frame"),
        // Streams of the server's own are not read as streams.
        ("subscribe", json!({"sub": "s", "stream": "__ds/chat/c/team"}), "reserved_name"),
    ] {
        let refused = carol.try_call(kind, frame.clone()).await;
        assert_eq!(refused["code"], code, "{kind} {frame}: {refused}");
        carol.logs.clear();
    }
    let mut alice = Device::open(&server, "alice").await;
    let long = "x".repeat(70_000);
    let refused = alice.try_call("send", json!({"conversation": team, "text": long})).await;
    assert_eq!(refused["type"], "error", "{refused}");
    let frame =
        json!({"sub": "s", "conversation": team, "offset": "0000000000000009_0000000000099999"});
    assert_eq!(alice.try_call("subscribe", frame).await["code"], "offset_beyond_end");
}

#[tokio::test]
async fn chat_needs_users() {
    let server = Setup::new().await.start().await;
    let mut socket = Socket::open(&server).await;
    for frame in [
        json!({"type": "follow", "id": 1}),
        json!({"type": "send", "id": 1, "conversation": "team", "text": "x"}),
        json!({"type": "subscribe", "id": 1, "sub": 1, "conversation": "team"}),
        json!({"type": "private", "id": 1, "to": "bob", "content": "x"}),
    ] {
        socket.send(frame).await;
        let refused = socket.refused("no_users").await;
        assert_eq!((&refused["status"], &refused["id"]), (&401.into(), &1.into()));
    }
    // A URL that was signed by somebody is nobody.
    let server = guarded(Setup::new().await).start().await;
    let bearer = format!("Bearer {}", crate::jwt::everything());
    let headers = [("authorization", &*bearer)];
    let put = request(Method::PUT, "/v1/stream/a", &headers, "x".into());
    assert_eq!(server.send(put).await.status, 201);
    let body = json!({"url": "/?id=a"}).to_string();
    let signed = server.send(request(Method::POST, "/v1/auth/sign", &headers, body.into())).await;
    let url = signed.json()["url"].as_str().expect("a URL").to_owned();
    let target = url.replace("/?", "/ws?");
    let mut socket = Socket::open_with(&server, &target, &[]).await.expect("a socket");
    socket.send(json!({"type": "follow", "id": 1})).await;
    socket.refused("forbidden").await;
}

#[tokio::test]
async fn requests_about_chat_count() {
    let setup = guarded(Setup::new().await).with(&["--reads-per-principal-max", "2"]);
    let server = setup.start().await;
    for name in ["one", "two", "three"] {
        create(&server, "alice", name, &["bob"]).await;
    }
    let mut bob = Device::open(&server, "bob").await;
    bob.socket.send(json!({"type": "follow", "id": "f"})).await;
    let following = bob.answer("f").await;
    assert_eq!(following["conversations"].as_array().expect("all").len(), 3);
    let refused = bob.answer("f").await;
    assert_eq!(refused["code"], "too_many_reads", "{refused}");
    bob.until(|bob| bob.logs.values().filter(|log| log.caught_up).count() == 2).await;
}
