//! Idempotent producers: a repetition is never news, and always gets the first answer.

use super::common::{Setup, protocol::at, raw::Raw};
use http::Method;
use std::time::Duration;
use tokio::time::sleep;

const TEXT: &str = "text/plain";

#[tokio::test]
async fn a_late_duplicate_gets_what_the_first_one_got() {
    let mut server = Setup::new().await.start().await;
    server.create("s", TEXT, "").await;
    let mut offsets = Vec::new();
    for seq in 0..10u64 {
        let first = server.append_as("s", TEXT, ("p", 0, seq), format!("{seq};")).await;
        assert_eq!(first.status, 200, "{first:?}");
        offsets.push(first.header("stream-next-offset").to_owned());
        server.append_as("s", TEXT, ("q", 7, seq), "other;").await;
    }
    let headers = [("stream-closed", "true")];
    assert_eq!(server.ask(Method::POST, "s", &headers, "").await.status, 204);
    for _ in 0..3 {
        for (seq, offset) in offsets.iter().enumerate() {
            let again = server.append_as("s", TEXT, ("p", 0, seq as u64), "whatever").await;
            assert_eq!(again.status, 204);
            assert_eq!(again.header("stream-next-offset"), offset);
            assert_eq!((again.header("producer-epoch"), again.header("producer-seq")), ("0", "9"));
            assert_eq!(again.header("stream-closed"), "true");
        }
        server = server.crash().await;
    }
}

#[tokio::test]
async fn what_was_in_flight_at_a_crash_is_there_once_after_a_repetition() {
    let mut server = Setup::new().await.start().await;
    server.create("s", "application/json", "").await;
    let mut seq = 0u64;
    for _ in 0..4 {
        for _ in 0..5 {
            let answer = server.append_as("s", "application/json", ("p", 0, seq), seq.to_string());
            assert_eq!(answer.await.status, 200);
            seq += 1;
        }
        // Sent, and perhaps taken, but never answered.
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             producer-id: p\r\nproducer-epoch: 0\r\nproducer-seq: {seq}\r\ncontent-length: {}\r\n\r\n{seq}",
            at("s", ""),
            seq.to_string().len(),
        );
        let raw = Raw::send(server.address(), &head).await;
        sleep(Duration::from_micros(seq * 150)).await;
        server = server.crash().await;
        drop(raw);
        let again = server.append_as("s", "application/json", ("p", 0, seq), seq.to_string()).await;
        assert!([200, 204].contains(&again.status.as_u16()), "{again:?}");
        seq += 1;
    }
    let want: Vec<u64> = (0..seq).collect();
    assert_eq!(server.fetch("s").await.json(), serde_json::json!(want));
    let gap = server.append_as("s", "application/json", ("p", 0, seq + 3), "0").await;
    assert_eq!(gap.header("producer-expected-seq"), seq.to_string());
}

#[tokio::test]
async fn an_old_session_stays_fenced_after_a_crash() {
    let server = Setup::new().await.start().await;
    server.create("s", TEXT, "").await;
    assert_eq!(server.append_as("s", TEXT, ("p", 0, 0), "a").await.status, 200);
    assert_eq!(server.append_as("s", TEXT, ("p", 3, 0), "b").await.status, 200);
    assert_eq!(server.append_as("s", TEXT, ("p", 4, 1), "x").await.status, 400);
    let server = server.crash().await;
    let fenced = server.append_as("s", TEXT, ("p", 0, 1), "x").await;
    assert_eq!((fenced.status.as_u16(), fenced.header("producer-epoch")), (403, "3"));
    assert_eq!(server.append_as("s", TEXT, ("p", 3, 1), "c").await.status, 200);
    assert_eq!(server.fetch("s").await.text(), "abc");
}

#[tokio::test]
async fn the_first_content_comes_with_the_stream_or_not_at_all() {
    let mut server = Setup::new().await.start().await;
    let body = "0123456789".repeat(100);
    for round in 0..6u64 {
        let length = body.len();
        let put = |turn: usize| {
            format!(
                "PUT /v1/stream/c{round}-{turn} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
                 stream-closed: true\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        };
        let mut sent = Vec::new();
        for turn in 0..20 {
            sent.push(Raw::send(server.address(), &put(turn)).await);
        }
        sleep(Duration::from_micros(round * 400)).await;
        server = server.crash().await;
        for (turn, mut raw) in sent.into_iter().enumerate() {
            raw.closed().await;
            let answered = raw.text().starts_with("HTTP/1.1 201");
            let answer = server.fetch(&format!("c{round}-{turn}")).await;
            let whole = answer.status == 200 && answer.text() == body;
            assert!(whole || !answered && answer.status == 404, "{answered}: {answer:?}");
            assert!(!whole || answer.header("stream-closed") == "true");
        }
    }
}
