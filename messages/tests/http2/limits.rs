//! Each request on a connection has the limits of a connection.

use crate::{
    client::{Client, WINDOW_BYTES, empty, rest, take},
    common::{Setup, noise, soon},
};
use http::Method;
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
async fn requests_have_places_among_the_connections() {
    let server = Setup::new().await.with(&["--connections-max", "4"]).start().await;
    server.put("/?id=live&close=false", "first").await;
    let mut client = Client::plain(server.address()).await;
    let mut readers = Vec::new();
    // One place is that of the connection, and for a moment one that of the producer's.
    soon("three places", async {
        while readers.len() < 3 {
            let request = client.request(Method::GET, "/?id=live").body(empty());
            let response = client.send(request.expect("a request")).await.expect("an answer");
            if response.status() == 200 {
                readers.push(response.into_body());
            }
        }
    })
    .await;
    let answer = client.get("/healthz").await;
    answer.problem(503, "too_many_connections");
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(take(&mut readers[0], 5).await, "first");
    readers.pop();
    soon("a place is free again", async { while client.get("/healthz").await.status != 200 {} })
        .await;
}

#[tokio::test]
async fn who_takes_nothing_for_long_loses_its_stream_and_nobody_else() {
    let server = Setup::new().await.with(&["--reader-stall-secs", "1"]).start().await;
    let content = noise(3, 4 << 20);
    server.put("/?id=large", content.clone()).await;
    server.put("/?id=live&close=false", "first").await;
    let mut client = Client::plain(server.address()).await;
    let mut live = client.open("/?id=live").await;
    let stalled = client.open("/?id=large").await;
    assert_eq!(take(&mut live, 5).await, "first");
    // One that is slow, but takes something now and then, and has all of it in the end.
    let mut slow = client.open("/?id=large").await;
    let mut got = Vec::new();
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        got.extend(take(&mut slow, 1).await);
    }
    let (part, good) = rest(stalled).await;
    assert!(!good, "{} bytes and a good end", part.len());
    assert!(part.len() <= 2 * WINDOW_BYTES as usize, "{} bytes", part.len());
    assert_eq!(part, content[..part.len()]);
    let (more, good) = rest(slow).await;
    got.extend(more);
    assert!(good && got == content, "{} bytes", got.len());
    // It is quiet for longer than anybody may stall, and that is no stall.
    server.put("/?id=live&close=false", "second").await;
    assert_eq!(take(&mut live, 6).await, "second");
}

#[tokio::test]
async fn a_connection_with_nothing_on_it_ends_and_one_with_a_reader_does_not() {
    let server = Setup::new().await.with(&["--head-wait-secs", "1"]).start().await;
    server.put("/?id=live&close=false", "first").await;
    let began = Instant::now();
    let mut idle = Client::plain(server.address()).await;
    assert_eq!(idle.get("/healthz").await.status, 200);
    let mut used = Client::plain(server.address()).await;
    let mut reader = used.open("/?id=live").await;
    assert_eq!(take(&mut reader, 5).await, "first");
    soon("the end", idle.connection).await.expect("no panic").expect("a good end");
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(used.get("/healthz").await.status, 200);
    server.put("/?id=live", "second").await;
    assert_eq!(rest(reader).await, ("second".into(), true));
    soon("the end", used.connection).await.expect("no panic").expect("a good end");
}
