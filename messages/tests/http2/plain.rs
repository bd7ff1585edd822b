//! HTTP/2 in the clear, for proxies, beside HTTP/1 on the same port.

use crate::{
    client::{Client, empty, full, message, rest, take},
    common::{Setup, TestServer, eventually, lines, noise, raw::Raw, soon},
    frames::{CANCEL, DATA, RST_STREAM, begin, frame, put},
};
use bytes::Bytes;
use futures::SinkExt;
use http::{HeaderValue, Method, header};
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use std::{
    io::Write,
    process::{Command, Stdio},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

#[tokio::test]
async fn everything_is_as_it_is_over_http1() {
    let server = Setup::new().await.start().await;
    let mut client = Client::plain(server.address()).await;
    let answer = client.append("/?id=a", "hello").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (201, "/?id=a"));
    let answer = client.get("/?id=a").await;
    assert_eq!((answer.text(), answer.header("stream-closed")), ("hello", "true"));
    assert_eq!(server.get("/?id=a").await.text(), "hello");

    for target in ["/?id=a", "/v1/stream/a", "/healthz"] {
        let head = client.request(Method::HEAD, target).body(empty()).expect("a request");
        let head = client.ask(head).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{target}: {head:?}");
    }
    client.get("/nowhere").await.problem(404, "no_such_route");
    let start = client.request(Method::POST, "/?freq=1000&max=50");
    let start = start.body(full("x")).expect("a request");
    assert_eq!(client.ask(start).await.text(), lines("x", 50));
    // All of that was one connection.
    assert!(!client.connection.is_finished());
}

#[tokio::test]
async fn the_authority_is_the_host_whatever_else_is_said() {
    let server = Setup::new().await.start().await;
    let mut client = Client::plain(server.address()).await;
    let request = |authority: &str, host: &'static str| {
        let request = http::Request::get(format!("http://{authority}/healthz"));
        let request = request.header(header::HOST, host).body(empty());
        request.expect("a request")
    };
    assert_eq!(client.ask(request("localhost:1", "evil.test")).await.status, 200);
    client.ask(request("evil.test", "localhost")).await.problem(421, "foreign_host");
    let own = format!("http://{}", server.address());
    for (origin, status) in [(&*own, 200), ("http://evil.test", 403)] {
        let request = client.request(Method::GET, "/healthz");
        let origin = HeaderValue::from_str(origin).expect("a value");
        let request = request.header(header::ORIGIN, origin).body(empty());
        assert_eq!(client.ask(request.expect("a request")).await.status, status);
    }
    let create = client.request(Method::PUT, "/v1/stream/a").body(empty()).expect("a request");
    let location = client.ask(create).await.header("location").to_owned();
    assert_eq!(location, format!("{own}/v1/stream/a"));
}

/// A reader that takes nothing costs the others nothing, not even on its own connection.
#[tokio::test]
async fn many_readers_on_one_connection_with_one_that_takes_nothing() {
    const READERS: usize = 300;
    let server = Setup::new().await.start().await;
    let content = noise(7, 6 << 20);
    server.put("/?id=large", content.clone()).await;
    server.put("/?id=live&close=false", "first").await;
    let mut client = Client::plain(server.address()).await;
    let stalled = client.open("/?id=large").await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(client.open("/?id=live").await);
    }
    for round in ["first", "second", "third"] {
        if round != "first" {
            server.put("/?id=live&close=false", round).await;
        }
        for reader in &mut readers {
            assert_eq!(take(reader, round.len()).await, round);
        }
    }
    let mut large = client.open("/?id=large").await;
    assert_eq!(take(&mut large, content.len()).await, content);
    assert_eq!(rest(stalled).await, (Bytes::from(content), true));
    server.put("/?id=live", "").await;
    for reader in readers {
        assert_eq!(rest(reader).await, (Bytes::new(), true));
    }
}

/// Whoever takes a request back has not sent all of its body, however politely it is done.
#[tokio::test]
async fn a_producer_that_takes_its_request_back_has_broken_off() {
    let server = Setup::new().await.start().await;
    let mut raw = Raw::send(server.address(), "").await;
    let target = "/?id=a&close=always";
    raw.write(&[begin(), put(1, target), frame(DATA, 0, 1, b"part")].concat()).await;
    eventually("a part is there", async || {
        (server.head("/?id=a").await.status == 200).then_some(())
    })
    .await;
    raw.write(&frame(RST_STREAM, 0, 1, &CANCEL)).await;
    broken_off(&server, "/?id=a").await;
    // Or less politely.
    let mut client = Client::plain(server.address()).await;
    let (pieces, request) = client.put("/?id=b&close=always");
    pieces.send("part");
    let sending = tokio::spawn(client.sender.send_request(request));
    eventually("a part is there", async || {
        (server.head("/?id=b").await.status == 200).then_some(())
    })
    .await;
    pieces.break_off();
    broken_off(&server, "/?id=b").await;
    assert!(soon("no answer", sending).await.expect("no panic").is_err());
}

#[tokio::test]
async fn a_producer_that_is_gone_is_noticed() {
    let server = Setup::new().await.start().await;
    let url = format!("http://{}/?id=a&close=always", server.address());
    let mut curl = Command::new("curl");
    let curl = curl.args(["-sS", "--http2-prior-knowledge", "-T", "-", &url]);
    let mut curl = curl.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("curl");
    let stdin = curl.stdin.as_mut().expect("a pipe");
    stdin.write_all(b"part").expect("taken");
    eventually("a part is there", async || {
        (server.head("/?id=a").await.status == 200).then_some(())
    })
    .await;
    curl.kill().expect("killed");
    curl.wait().expect("an end");
    broken_off(&server, "/?id=a").await;
}

async fn broken_off(server: &TestServer, target: &str) {
    eventually("it is closed", async || {
        let answer = server.head(target).await;
        let reason = answer.header("stream-closed-reason");
        assert!(["", "broken-off"].contains(&reason), "{reason}");
        (!reason.is_empty()).then_some(())
    })
    .await;
}

/// RFC 8441: browsers do so when the page has come over HTTP/2.
#[tokio::test]
async fn a_websocket_is_one_of_the_requests_on_a_connection() {
    let server = Setup::new().await.with(&["--head-wait-secs", "1"]).start().await;
    let mut client = Client::plain(server.address()).await;
    let request = client
        .request(Method::CONNECT, "/ws")
        .extension(Protocol::from_static("websocket"))
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .body(empty());
    let response = client.send(request.expect("a request")).await.expect("an answer");
    assert_eq!(response.status(), 200, "{response:?}");
    let stream = hyper::upgrade::on(response).await.expect("a socket");
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await;
    let hello = message(&mut socket).await.into_text().expect("text");
    assert!(hello.contains("\"hello\""), "{hello}");
    // It is in use, though nothing else is asked for.
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(client.get("/healthz").await.text(), "ok\n");
    socket.send(Message::text(r#"{"type":"ping"}"#)).await.expect("sent");
    let pong = message(&mut socket).await;
    assert_eq!(pong, Message::text(r#"{"type":"pong"}"#));
    server.terminate();
    let bye = message(&mut socket).await;
    assert!(matches!(&bye, Message::Close(Some(frame)) if frame.code == 1012.into()), "{bye:?}");
}

#[tokio::test]
async fn a_stop_cuts_off_readers_and_lets_requests_end() {
    let server = Setup::new().await.with(&["--drain-secs", "5"]).start().await;
    server.put("/?id=live&close=false", "first").await;
    let mut client = Client::plain(server.address()).await;
    let mut idle = Client::plain(server.address()).await;
    assert_eq!(idle.get("/healthz").await.status, 200);
    let mut reader = client.open("/?id=live").await;
    assert_eq!(take(&mut reader, 5).await, "first");
    let (pieces, request) = client.put("/?id=sent");
    pieces.send("one ");
    let sending = tokio::spawn(client.sender.send_request(request));
    eventually("a part is there", async || {
        (server.head("/?id=sent").await.status == 200).then_some(())
    })
    .await;
    server.terminate();
    assert_eq!(rest(reader).await, (Bytes::new(), false));
    pieces.send("two");
    drop(pieces);
    let answer = soon("an answer", sending).await.expect("sent").expect("an answer");
    assert_eq!(answer.status(), 201);
    drop(answer);
    soon("the connection ends", client.connection).await.expect("no panic").expect("a good end");
    soon("the connection ends", idle.connection).await.expect("no panic").expect("a good end");
    let setup = server.stop().await;
    assert_eq!(setup.start().await.get("/?id=sent").await.text(), "one two");
}
