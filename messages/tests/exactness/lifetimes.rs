//! Streams that go away by themselves, with readers connected.

use super::common::{Setup, TestServer, eventually};
use http::Method;
use std::time::Duration;
use tokio::time::{Instant, sleep};

async fn gone(server: &TestServer, name: &str) {
    eventually("it has expired", async || {
        (server.ask(Method::HEAD, name, &[], "").await.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_lives_while_somebody_reads_it() {
    let server = Setup::new().await.start().await;
    let headers = [("content-type", "text/plain"), ("stream-ttl", "1")];
    for name in ["read", "polled", "alone"] {
        assert_eq!(server.ask(Method::PUT, name, &headers, "x").await.status, 201);
    }
    let mut events = server.events("read", "-1").await;
    events.expect("x").await;
    let poll = async {
        let end = server.fetch("polled?offset=now").await.header("stream-next-offset").to_owned();
        server.fetch(&format!("polled?offset={end}&live=long-poll")).await
    };
    let write = async {
        sleep(Duration::from_millis(3_500)).await;
        assert_eq!(server.ask(Method::HEAD, "alone", &[], "").await.status, 404);
        server.append("read", "text/plain", "y").await;
        server.append("polled", "text/plain", "y").await;
    };
    let (polled, ()) = tokio::join!(poll, write);
    assert_eq!(polled.text(), "y");
    events.expect("y").await;
    drop(events);
    let left = Instant::now();
    gone(&server, "read").await;
    assert!(left.elapsed() >= Duration::from_millis(500), "{:?}", left.elapsed());
    let again = server.ask(Method::PUT, "read", &headers, "new").await;
    assert_eq!(again.status, 201);
    assert_eq!(server.fetch("read").await.text(), "new");
}

#[tokio::test]
async fn a_time_of_day_ends_a_stream_with_its_readers() {
    let server = Setup::new().await.start().await;
    let at = jiff::Timestamp::now() + Duration::from_millis(2_500);
    let at = at.to_string();
    let headers = [("content-type", "text/plain"), ("stream-expires-at", at.as_str())];
    assert_eq!(server.ask(Method::PUT, "s", &headers, "x").await.status, 201);
    let mut events = server.events("s", "-1").await;
    events.expect("x").await;
    let poll = async {
        let end = server.fetch("s?offset=now").await.header("stream-next-offset").to_owned();
        server.fetch(&format!("s?offset={end}&live=long-poll")).await
    };
    let watch = async {
        let (rest, _) = events.rest().await;
        assert_eq!(rest, "");
    };
    let (polled, ()) = tokio::join!(poll, watch);
    assert_eq!(polled.status, 404, "{polled:?}");
    assert_eq!(server.fetch("s").await.status, 404);
    let headers = [("content-type", "text/plain")];
    assert_eq!(server.ask(Method::POST, "s", &headers, "x").await.status, 404);
}
