//! Who may do what on a socket, and until when.

use crate::{
    SECRET,
    client::Socket,
    common::{Setup, TestServer, request},
    jwt::{Key, claims, everything, granting, now},
};
use http::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

async fn guarded() -> Setup {
    Setup::new().await.env("AUTH_SECRET", SECRET)
}

fn token(claims: &Value) -> String {
    Key::shared(SECRET.as_bytes()).token(claims)
}

/// A token that is good for one or two seconds more: its leeway is nearly over.
fn short() -> String {
    let mut claims = claims("alice");
    claims["exp"] = (now() - 28).into();
    token(&claims)
}

async fn open(server: &TestServer, token: &str) -> Socket {
    let bearer = format!("Bearer {token}");
    let socket = Socket::open_with(server, "/ws", &[("authorization", &bearer)]).await;
    socket.expect("a socket")
}

async fn create(server: &TestServer, name: &str) {
    let bearer = format!("Bearer {}", everything());
    let headers = [("authorization", &*bearer), ("content-type", "text/plain")];
    let target = format!("/v1/stream/{name}");
    let answer = server.send(request(Method::PUT, &target, &headers, "x".into())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn a_socket_needs_a_token_in_one_of_three_ways() {
    let server = guarded().await.start().await;
    let all = everything();
    let bearer = format!("Bearer {all}");
    let answer = server
        .send(request(Method::POST, "/v1/auth/ticket", &[("authorization", &bearer)], "".into()))
        .await;
    let ticket = answer.json()["ticket"].as_str().expect("a ticket").to_owned();
    let target = format!("/ws?ticket={ticket}");
    let socket = Socket::open_with(&server, &target, &[]).await.expect("a socket");
    assert!(socket.hello["expires_at"].as_i64() > Some(now()), "{}", socket.hello);
    let subprotocols = format!("messages, bearer.{all}");
    Socket::open_with(&server, "/ws", &[("sec-websocket-protocol", &subprotocols)])
        .await
        .expect("a socket");
    open(&server, &all).await;
    for target in ["/ws", &target] {
        match Socket::open_with(&server, target, &[]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 401),
            other => panic!("{:?}", other.err()),
        }
    }
}

#[tokio::test]
async fn every_stream_is_asked_for() {
    let server = guarded().await.start().await;
    create(&server, "read").await;
    create(&server, "write").await;
    let mut socket = open(&server, &granting(&["read"], &["write"], &[])).await;
    socket.subscribe(1, "read", "now").await;
    socket.expect("caught_up").await;
    socket.send(json!({"type": "append", "stream": "write", "text": "y"})).await;
    socket.expect("appended").await;
    for name in ["write", "none"] {
        socket.send(json!({"type": "subscribe", "sub": 2, "stream": name})).await;
        assert_eq!(socket.refused("forbidden").await["sub"], 2);
    }
    for name in ["read", "none"] {
        socket.send(json!({"type": "append", "id": 3, "stream": name, "text": "y"})).await;
        assert_eq!(socket.refused("forbidden").await["id"], 3);
    }
}

#[tokio::test]
async fn a_socket_ends_with_its_token_unless_it_gets_another() {
    let server = guarded().await.start().await;
    for name in ["a", "b"] {
        create(&server, name).await;
    }
    let mut ends = open(&server, &short()).await;
    ends.subscribe(1, "a", "now").await;
    let mut goes_on = open(&server, &short()).await;
    for name in ["a", "b"] {
        goes_on.subscribe(name, name, "now").await;
        goes_on.expect("caught_up").await;
    }
    goes_on.send(json!({"type": "token", "id": 1, "token": "nonsense"})).await;
    goes_on.refused("invalid_token").await;
    goes_on.send(json!({"type": "token", "id": 1, "token": token(&claims("bob"))})).await;
    goes_on.refused("other_subject").await;
    let fewer = granting(&["a"], &["a"], &[]);
    goes_on.send(json!({"type": "token", "id": 1, "token": fewer})).await;
    let frame = goes_on.expect("token").await;
    assert!(frame["expires_at"].as_i64() > Some(now()), "{frame}");
    // What the new one does not grant has ended.
    let frame = goes_on.refused("forbidden").await;
    assert_eq!((&frame["sub"], &frame["offset"].is_string()), (&"b".into(), &true));
    assert_eq!(ends.closed().await, 4401);
    goes_on.send(json!({"type": "append", "stream": "a", "text": "y"})).await;
    let kinds = [goes_on.next().await, goes_on.next().await].map(|frame| frame["type"].clone());
    assert!(kinds.contains(&"data".into()) && kinds.contains(&"appended".into()), "{kinds:?}");
}

#[tokio::test]
async fn subscriptions_and_requests_count_for_their_principal() {
    let server = guarded().await.with(&["--reads-per-principal-max", "2"]).start().await;
    create(&server, "a").await;
    let mut socket = open(&server, &everything()).await;
    for sub in [1, 2] {
        socket.subscribe(sub, "a", "now").await;
        socket.expect("caught_up").await;
    }
    socket.send(json!({"type": "subscribe", "sub": 3, "stream": "a"})).await;
    let frame = socket.refused("too_many_reads").await;
    assert!(frame["retry_after_secs"].as_u64() > Some(0), "{frame}");
    socket.send(json!({"type": "unsubscribe", "sub": 1})).await;
    socket.expect("unsubscribed").await;
    socket.subscribe(3, "a", "now").await;
}
