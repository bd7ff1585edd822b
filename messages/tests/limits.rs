//! Clients that ask for too much, or do nothing.

mod common;

use bytes::Bytes;
use common::{End, Setup, TestServer, eventually, lines, noise, raw::Raw};
use std::time::Duration;

/// Long after a wait of one second, and long before anything that takes much longer.
const ONE_SECOND: std::ops::Range<Duration> = Duration::from_millis(800)..Duration::from_secs(9);

#[tokio::test]
async fn a_stream_grows_to_its_cap_and_no_further() {
    let server = Setup::new().await.with(&["--stream-bytes-max", "1000"]).start().await;
    let put = async |id: &str, len: usize| {
        server.put(&format!("/?id={id}&close=false"), vec![b'x'; len]).await
    };
    assert_eq!(put("s", 600).await.status, 201);
    let refusal = put("s", 401).await;
    let detail = refusal.problem(413, "stream_too_long");
    assert!(detail.contains("--stream-bytes-max"), "{detail}");
    assert_eq!(refusal.json()["bytes"], 600);
    assert_eq!(put("s", 400).await.status, 200);
    put("s", 1).await.problem(413, "stream_too_long");
    assert_eq!(server.put("/?id=s", "").await.status, 200, "it can still be closed");
    assert_eq!(server.get("/?id=s").await.body.len(), 1000);
    let production = server.post("/?freq=1000&max=1000", "p").await;
    assert!(production.text().starts_with(&lines("p", 100)));
    assert!(production.body.len() <= 1000, "a production ends there, too");
    let end = server.head("/?id=p").await;
    assert_eq!(end.header("stream-closed-reason"), "interrupted");
}

#[tokio::test]
async fn a_reader_that_never_reads_holds_nobody_up_and_costs_little() {
    let setup = Setup::new().await.with(&["--window-bytes-max", "1048576"]);
    let server = setup.with(&["--unstored-bytes-max", "8388608"]).start().await;
    server.put("/?id=s&close=false", "").await;
    let mut stuck = Vec::new();
    for _ in 0..20 {
        let get = "GET /?id=s HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stuck.push(Raw::send(server.address(), get).await);
    }
    let reader = server.read("/?id=s").await;
    let before = server.resident_bytes();
    let content = noise(10, 48 << 20);
    let put = server.put("/?id=s", content.clone());
    let (answer, (read, end)) = tokio::join!(put, reader.rest());
    assert_eq!((answer.status.as_u16(), end), (200, End::Clean));
    assert!(read == content);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more for 20 readers that never read");
    let late = stuck.pop().expect("a reader").closed_after("\r\n\r\n").await;
    assert!(late.len() > content.len(), "it can still read everything");
}

/// A server that waits a second for the head of a request.
async fn impatient() -> TestServer {
    Setup::new().await.with(&["--head-wait-secs", "1"]).start().await
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_not_waited_for() {
    let server = impatient().await;
    let mut slow = Raw::send(server.address(), "").await;
    let head = format!("GET /healthz HTTP/1.1\r\nx: {}", "y".repeat(1000));
    let took = slow.drip(head.as_bytes(), Duration::from_millis(50)).await;
    assert!(took.is_some_and(|took| ONE_SECOND.contains(&took)), "{took:?}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = impatient().await;
    let took = Raw::send(server.address(), "").await.closed().await;
    assert!(ONE_SECOND.contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_connection_that_is_done_is_kept_for_a_while_and_then_closed() {
    let server = impatient().await;
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut raw = Raw::send(server.address(), get).await;
    raw.until("ok\n").await;
    raw.received.clear();
    raw.write(get.as_bytes()).await;
    raw.until("ok\n").await;
    let took = raw.closed().await;
    assert!(ONE_SECOND.contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_live_reader_is_not_taken_for_an_idle_connection() {
    let server = impatient().await;
    server.put("/?id=s&close=false", "a").await;
    let mut reader = server.read("/?id=s").await;
    reader.expect("a").await;
    // It outlives a connection that does nothing.
    Raw::send(server.address(), "").await.closed().await;
    server.put("/?id=s", "b").await;
    assert_eq!(reader.rest().await, ("b".into(), End::Clean));
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = Setup::new().await.start().await;
    let get = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(200 << 10));
    let mut raw = Raw::send(server.address(), "").await;
    raw.try_write(get.as_bytes()).await;
    raw.closed().await;
    assert!(raw.text().starts_with("HTTP/1.1 431 "), "{:?}", raw.text());
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let server = Setup::new().await.start().await;
    for bytes in ["\u{16}\u{3}\u{1} client hello\r\n\r\n", "GET\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let mut raw = Raw::send(server.address(), bytes).await;
        raw.closed().await;
        assert!(
            raw.text().is_empty() || raw.text().starts_with("HTTP/1.1 400 "),
            "{:?}",
            raw.text()
        );
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_producer_that_falls_silent_can_go_on_with_a_new_request() {
    let server = Setup::new().await.with(&["--producer-idle-secs", "1"]).start().await;
    let mut silent = server.produce("/?id=s");
    silent.send("kept ").await;
    let detail = silent.refusal().await.problem(408, "body_timeout");
    assert!(detail.contains("?offset="), "{detail}");
    let mut reader = server.read("/?id=s").await;
    reader.expect("kept ").await;
    assert_eq!(server.put("/?id=s&offset=5", "more").await.status, 200);
    assert_eq!(reader.rest().await, ("more".into(), End::Clean));

    let mut tied = server.produce("/?id=tied&close=always");
    tied.send("kept").await;
    tied.refusal().await.problem(408, "body_timeout");
    assert_eq!(server.get("/?id=tied").await.text(), "kept");
    let end = server.head("/?id=tied").await;
    assert_eq!(end.header("stream-closed-reason"), "broken-off");
}

#[tokio::test]
async fn an_id_that_never_comes_is_not_waited_for() {
    let server = Setup::new().await.start().await;
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab";
    let mut raw = Raw::send(server.address(), head).await;
    raw.until("body_timeout").await;
    assert!(raw.text().starts_with("HTTP/1.1 408 "), "{}", raw.text());
    raw.closed().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = Setup::new().await.with(&["--connections-max", "3"]).start().await;
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::send(server.address(), get).await;
        raw.until("ok\n").await;
        held.push(raw);
    }
    for _ in 0..50 {
        let mut refused = Raw::send(server.address(), "").await;
        // It may be gone before it has read this, and yet its answer must arrive.
        refused.try_write(get.as_bytes()).await;
        refused.closed().await;
        let text = refused.text();
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: 2"), "{head}");
        let document: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(document["code"], "too_many_connections");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    }
    drop(held.pop());
    eventually("there is a place again", async || {
        let mut raw = Raw::send(server.address(), get).await;
        raw.until("\r\n\r\n").await;
        raw.text().starts_with("HTTP/1.1 200 ").then_some(())
    })
    .await;
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let server = Setup::new().await.start().await;
    server.put("/?id=s", Bytes::from_static(b"content")).await;
    let mut pipelined = String::new();
    for target in ["/healthz", "/?id=s", "/nowhere", "/readyz"] {
        pipelined += &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    let mut raw = Raw::send(server.address(), &pipelined).await;
    raw.until("ready\n").await;
    let text = raw.text();
    let found: Vec<_> =
        ["ok\n", "\r\ncontent\r\n", "no_such_route", "ready\n"].map(|w| text.find(w)).into();
    assert!(found.is_sorted() && found.iter().all(Option::is_some), "{text}");
}

#[tokio::test]
async fn a_request_behind_a_live_reader_does_not_hold_its_content_back() {
    let server = Setup::new().await.start().await;
    server.put("/?id=s&close=false", "first").await;
    let live = "GET /?id=s HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let next = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut raw = Raw::send(server.address(), &format!("{live}{next}")).await;
    raw.until("first").await;
    server.put("/?id=s&close=false", "second").await;
    raw.until("second").await;
    server.put("/?id=s", "").await;
    raw.until("ok\n").await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_for_too_long_is_given_up() {
    let setup = Setup::new().await.with(&["--reader-stall-secs", "2"]);
    let setup = setup.with(&["--head-wait-secs", "300"]);
    let server = setup.with(&["--connections-max", "2"]).start().await;
    server.put("/?id=s", noise(11, 20 << 20)).await;
    // A connection that has just been closed may still count.
    let admitted = async |what: &str, target: &str| {
        let get = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        eventually(what, async || {
            let mut raw = Raw::send(server.address(), "").await;
            raw.try_write(get.as_bytes()).await;
            raw.until("\r\n").await;
            raw.text().starts_with("HTTP/1.1 200 ").then_some(raw)
        })
        .await
    };
    let stuck = admitted("a place for a reader", "/?id=s").await;
    let done = admitted("a place for somebody else", "/healthz").await;
    admitted("the place of the stuck reader is free", "/healthz").await;
    drop((stuck, done));
}
