//! The socket itself: how it begins, what it does not put up with, and how it ends.

use crate::{
    BINARY, TEXT,
    client::{Got, Socket},
    common::{Setup, eventually, noise, raw::Raw, soon},
    create, post,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::test]
async fn the_server_speaks_first_and_tells_its_limits() {
    let server = Setup::new().await.start().await;
    for target in ["/ws", "/ws/"] {
        let socket = Socket::open_with(&server, target, &[]).await.expect("a socket");
        assert_eq!(socket.hello["version"], 1);
        assert_eq!(socket.hello["stall_secs"], 300);
        assert_eq!(socket.hello["heartbeat_secs"], 25);
        assert_eq!(socket.hello["expires_at"], Value::Null);
        for limit in ["subscriptions", "frame_bytes", "appends", "label_bytes", "bad_frames"] {
            assert!(socket.hello["limits"][limit].as_u64() > Some(0), "{}", socket.hello);
        }
        socket.close().await;
    }
    let answer = server.get("/ws").await;
    answer.problem(426, "upgrade_required");
    assert_eq!(answer.header("upgrade"), "websocket");
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_as_for_requests() {
    let setup = Setup::new().await.with(&["--cors-origins", "https://app.example.com"]);
    let server = setup.start().await;
    let own = format!("http://{}", server.address());
    for origin in ["https://app.example.com", &own] {
        let socket = Socket::open_with(&server, "/ws", &[("origin", origin)]).await;
        socket.expect("a socket");
    }
    match Socket::open_with(&server, "/ws", &[("origin", "https://evil.example.com")]).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 403),
        other => panic!("{:?}", other.err()),
    }
}

#[tokio::test]
async fn frames_that_make_no_sense_are_told_and_then_end_it() {
    let server = Setup::new().await.start().await;
    let mut socket = Socket::open(&server).await;
    socket.send_message("{".to_owned().into()).await;
    socket.refused("bad_frame").await;
    socket.send_message(Message::Binary("{}".into())).await;
    socket.refused("bad_frame").await;
    socket.send(json!({"type": "dance", "id": "x"})).await;
    assert_eq!(socket.refused("unknown_type").await["id"], "x");
    socket.send(json!({"type": "ping"})).await;
    assert_eq!(socket.next().await, json!({"type": "pong"}));
    let most = socket.hello["limits"]["bad_frames"].as_u64().expect("a number");
    for _ in 0..most {
        socket.send_message("?".to_owned().into()).await;
    }
    for _ in 0..most {
        socket.refused("bad_frame").await;
    }
    assert_eq!(socket.frame().await, Err(4400));
}

#[tokio::test]
async fn a_frame_too_large_ends_it() {
    let server = Setup::new().await.start().await;
    create(&server, "a", TEXT, "").await;
    let mut socket = Socket::open(&server).await;
    let most = socket.hello["limits"]["frame_bytes"].as_u64().expect("a number") as usize;
    let empty = json!({"type": "append", "stream": "a", "text": ""}).to_string().len();
    let frame = |text: usize| json!({"type": "append", "stream": "a", "text": "x".repeat(text)});
    socket.send(frame(most - empty)).await;
    socket.expect("appended").await;
    let larger = frame(most - empty + 1).to_string();
    socket.try_send(larger.into()).await;
    assert_eq!(socket.closed().await, 1009);
}

#[tokio::test]
async fn a_server_that_stops_sends_its_clients_elsewhere() {
    let mut server = Setup::new().await.start().await;
    create(&server, "a", TEXT, "x").await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = Socket::open(&server).await;
        socket.subscribe(1, "a", "-1").await;
        sockets.push(socket);
    }
    // One that says nothing at all any more must not hold it up.
    let _silent = Raw::send(
        server.address(),
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    let began = tokio::time::Instant::now();
    sockets[0].send(json!({"type": "append", "id": 1, "stream": "a", "text": "y"})).await;
    server.terminate();
    for socket in &mut sockets {
        assert_eq!(socket.closed().await, 1012);
    }
    let exit = server.exit().await;
    assert!(exit.status.success(), "{exit:?}");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn sockets_count_as_connections_until_they_end() {
    let server = Setup::new().await.with(&["--connections-max", "2"]).start().await;
    let one = Socket::open(&server).await;
    let _two = Socket::open(&server).await;
    // A connection that is refused may be gone before it has read a request.
    let status = async || {
        let mut raw = Raw::send(server.address(), "").await;
        raw.try_write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await;
        raw.closed().await;
        raw.text().split(' ').nth(1).map(String::from)
    };
    assert_eq!(status().await.as_deref(), Some("503"));
    one.close().await;
    crate::common::eventually("there is a place", async || {
        (status().await.as_deref() == Some("200")).then_some(())
    })
    .await;
}

/// Whoever does not even answer pings is gone; whoever answers stays.
#[tokio::test]
async fn a_silent_client_is_given_up_and_a_quiet_one_is_not() {
    let server = Setup::new().await.with(&["--reader-stall-secs", "2"]).start().await;
    create(&server, "a", TEXT, "").await;
    let mut quiet = Socket::open(&server).await;
    quiet.subscribe(1, "a", "now").await;
    quiet.expect("caught_up").await;
    let mut silent = Raw::send(
        server.address(),
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    let read = tokio::spawn(async move {
        let frame = quiet.expect("data").await;
        (quiet, frame)
    });
    soon("the silent one is closed", silent.closed()).await;
    assert!(silent.text().contains("heartbeat"), "{}", silent.text());
    post(&server, "a", TEXT, "still there").await;
    let (_quiet, frame) = soon("the quiet one reads", read).await.expect("no panic");
    assert_eq!(frame["text"], "still there");
}

/// A client that takes nothing is given up; one that takes a little now and then is not, and costs
/// the server no memory.
#[tokio::test]
async fn a_slow_reader_is_kept_and_costs_nothing() {
    let setup = Setup::new().await.with(&["--reader-stall-secs", "8", "--log", "warn"]);
    let server = setup.start().await;
    let bytes = noise(7, 24 << 20);
    create(&server, "big", BINARY, "").await;
    for piece in bytes.chunks(4 << 20) {
        post(&server, "big", BINARY, piece.to_vec()).await;
    }
    create(&server, "small", TEXT, "").await;
    let mut fast = Socket::open(&server).await;
    fast.subscribe(1, "small", "now").await;
    fast.expect("caught_up").await;
    let mut slow: Vec<(Socket, Got)> = Vec::new();
    for _ in 0..8 {
        let mut socket = Socket::open(&server).await;
        socket.subscribe(1, "big", "-1").await;
        slow.push((socket, Got::default()));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = server.resident_bytes();
    for round in 0..14 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        for (socket, got) in &mut slow {
            let enough = (got.bytes.len() + (600 << 10)).min(bytes.len());
            socket.read(got, |got| got.bytes.len() >= enough).await;
        }
        post(&server, "small", TEXT, format!("{round}")).await;
        assert_eq!(fast.expect("data").await["text"], round.to_string());
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    let (socket, got) = &mut slow[0];
    socket.read(got, |got| got.caught_up).await;
    assert!(got.bytes == bytes);
    // The others take nothing any more.
    drop(slow.pop());
    let (mut stalled, _) = slow.pop().expect("a socket");
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_ne!(stalled.closed().await, 1012);
}

#[tokio::test]
async fn each_subscription_counts_as_one_reader_until_it_ends() {
    let server = Setup::new().await.start().await;
    create(&server, "seen", TEXT, "some").await;
    let readers = async || server.get("/v1/streams").await.json()["streams"][0]["readers"].as_u64();
    let mut socket = Socket::open(&server).await;
    for (sub, expected) in [("a", Some(1)), ("b", Some(2))] {
        socket.subscribe(sub, "seen", "now").await;
        socket.expect("caught_up").await;
        assert_eq!(readers().await, expected);
    }
    socket.send(json!({"type": "unsubscribe", "sub": "a"})).await;
    socket.expect("unsubscribed").await;
    assert_eq!(readers().await, Some(1));
    socket.close().await;
    eventually("nobody reads", async || (readers().await == Some(0)).then_some(())).await;
}
