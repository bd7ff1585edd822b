//! Readers at the end of a stream: nothing is lost there, and nothing comes twice.

use super::common::{Setup, noise, protocol::at, raw::Raw, request, soon};
use bytes::Bytes;
use http::Method;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const BYTES: &str = "text/plain";

#[tokio::test]
async fn the_last_record_is_not_lost_when_it_closes_the_stream() {
    let server = Setup::new().await.start().await;
    let pauses = noise(7, 40);
    for (turn, pause) in pauses.iter().enumerate() {
        let name = format!("last-{turn}");
        server.create(&name, BYTES, "a").await;
        let mut events = server.events(&name, "-1").await;
        events.expect("a").await;
        let tail = server.ask(Method::HEAD, &name, &[], "").await;
        let tail = tail.header("stream-next-offset").to_owned();
        let poll = at(&name, &format!("?offset={tail}&live=long-poll"));
        let poll = server.send(request(Method::GET, &poll, &[], Bytes::new()));
        let close = async {
            sleep(Duration::from_micros(u64::from(*pause) * 40)).await;
            let headers = [("content-type", BYTES), ("stream-closed", "true")];
            let answer = server.ask(Method::POST, &name, &headers, " the end").await;
            assert_eq!((answer.status.as_u16(), answer.header("stream-closed")), (204, "true"));
        };
        let (polled, ()) = tokio::join!(poll, close);
        assert_eq!((polled.status.as_u16(), polled.text()), (200, " the end"));
        assert_eq!(polled.header("stream-closed"), "true");
        let (rest, last) = events.rest().await;
        assert_eq!(rest, " the end");
        let control = last.control();
        assert_eq!(control["streamClosed"], true);
        assert!(control.get("streamCursor").is_none());
        assert_eq!(control["streamNextOffset"], polled.header("stream-next-offset"));
    }
}

#[tokio::test]
async fn positions_past_the_end_are_refused() {
    let server = Setup::new().await.start().await;
    server.create("s", BYTES, "12345").await;
    for beyond in ["0000000000000002_0000000000000006", "9999999999999999_9999999999999999"] {
        for live in ["", "&live=long-poll", "&live=sse"] {
            let answer = server.fetch(&format!("s?offset={beyond}{live}")).await;
            answer.problem(416, "offset_beyond_end");
            assert_eq!(
                answer.header("stream-next-offset"),
                "0000000000000001_0000000000000005",
                "it tells where the stream ends"
            );
        }
    }
    let end = server.fetch("s?offset=0000000000000001_0000000000000005").await;
    assert_eq!((end.status.as_u16(), end.text()), (200, ""));
}

#[tokio::test]
async fn a_body_in_pieces_is_seen_before_it_ends() {
    let server = Setup::new().await.start().await;
    server.create("s", BYTES, "").await;
    let mut events = server.events("s", "-1").await;
    events.next().await.expect("a control event");
    let head = "POST /v1/stream/s HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
                stream-closed: true\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut producer = Raw::send(server.address(), head).await;
    for piece in ["one ", "two ", "three"] {
        producer.write(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await;
        events.expect(piece).await;
    }
    assert_eq!(producer.text(), "", "it is not answered before it has ended");
    producer.write(b"0\r\n\r\n").await;
    producer.until("stream-closed: true").await;
    assert!(producer.text().starts_with("HTTP/1.1 204"), "{}", producer.text());
    let (rest, last) = events.rest().await;
    assert_eq!((rest.as_str(), &last.control()["streamClosed"]), ("", &true.into()));
    assert_eq!(server.fetch("s").await.text(), "one two three");
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_the_stream_open() {
    let server = Setup::new().await.start().await;
    server.create("s", BYTES, "").await;
    let head = "POST /v1/stream/s HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
                stream-closed: true\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n9\r\nof";
    let mut events = server.events("s", "-1").await;
    events.next().await.expect("a control event");
    let producer = Raw::send(server.address(), head).await;
    events.expect("half").await;
    drop(producer);
    server.append("s", BYTES, "!").await;
    let answer = server.fetch("s").await;
    assert_eq!(answer.header("stream-closed"), "");
    // The last piece may have been on its way when the connection broke.
    assert!(["half!", "halfof!", "half!of"].contains(&answer.text()), "{answer:?}");
    // What must be one step is nothing at all when it breaks off.
    server.create("j", "application/json", "").await;
    let head = "POST /v1/stream/j HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n3\r\n[1]\r\n";
    drop(Raw::send(server.address(), head).await);
    server.append("j", "application/json", "2").await;
    assert_eq!(server.fetch("j").await.text(), "[2]");
}

#[tokio::test]
async fn events_say_how_soon_to_come_back_and_that_they_live() {
    let server = Setup::new().await.start().await;
    server.create("s", BYTES, "").await;
    let mut delays = Vec::new();
    for _ in 0..6 {
        let first = server.events("s", "-1").await.any().await.expect("a setting");
        delays.push(first.retry.expect("retry comes first"));
    }
    assert!(delays.iter().all(|ms| (500..=2_500).contains(ms)), "{delays:?}");
    assert!(delays.iter().any(|ms| *ms != delays[0]), "not all at once: {delays:?}");
    let mut events = server.events("s", "-1").await;
    events.next().await.expect("a control event");
    let began = Instant::now();
    let comment = soon("a comment", events.any()).await.expect("still connected");
    assert_eq!(comment, super::common::protocol::Event::default());
    assert!((10..25).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_reader_has_to_come_back_now_and_then_and_loses_nothing() {
    let server = Setup::new().await.with(&["--sse-secs", "1"]).start().await;
    server.create("s", BYTES, "").await;
    let (mut offset, mut got, mut times) = ("-1".to_owned(), String::new(), 0);
    let write = async {
        for number in 0..60 {
            server.append("s", BYTES, format!("{number} ")).await;
            sleep(Duration::from_millis(50)).await;
        }
        server.close("s").await;
    };
    let read = async {
        loop {
            let mut events = server.events("s", &offset).await;
            times += 1;
            while let Some(event) = events.next().await {
                if event.name == "data" {
                    got.push_str(&event.data);
                } else {
                    offset = event.offset();
                    if event.control()["streamClosed"] == true {
                        return;
                    }
                }
            }
        }
    };
    tokio::join!(write, read);
    let want: String = (0..60).map(|number| format!("{number} ")).collect();
    assert_eq!(got, want);
    assert!(times > 1);
}
