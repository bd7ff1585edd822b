//! The share of one principal.

use crate::{
    As, SECRET,
    common::{Setup, eventually, request},
    guarded,
    jwt::{Key, claims},
};
use bytes::Bytes;
use http::Method;

fn token(subject: &str) -> String {
    Key::shared(SECRET.as_bytes()).token(&claims(subject))
}

#[tokio::test]
async fn requests_have_a_rate_for_each() {
    let server = guarded().await.with(&["--requests-per-sec-max", "2"]).start().await;
    let (alice, bob) = (token("alice"), token("bob"));
    let (alice, bob) = (As::new(&server, &alice), As::new(&server, &bob));
    alice.put("/?id=a", "x").await;
    let refused = eventually("the share is used up", async || {
        let answer = alice.get("/?id=a").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    let detail = refused.problem(429, "too_many_requests");
    assert!(detail.contains("--requests-per-sec-max"), "{detail}");
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=5).contains(&wait), "{wait}");
    assert_eq!(bob.get("/?id=a").await.status, 200, "everybody has a share");
    assert_eq!(server.get("/healthz").await.status, 200);
    let again = async || (alice.get("/?id=a").await.status == 200).then_some(());
    eventually("there is a share again", again).await;
}

#[tokio::test]
async fn without_keys_all_share_one_rate() {
    let server = Setup::new().await.with(&["--requests-per-sec-max", "1"]).start().await;
    eventually("the share is used up", async || {
        let answer = server.get("/?id=a").await;
        (answer.status == 429).then(|| answer.problem(429, "too_many_requests"))
    })
    .await;
}

#[tokio::test]
async fn streams_are_created_at_a_rate() {
    let server = guarded().await.with(&["--creations-per-min-max", "2"]).start().await;
    let alice = token("alice");
    let alice = As::new(&server, &alice);
    assert_eq!(alice.put("/?id=a&close=false", "x").await.status, 201);
    assert_eq!(alice.post("/?freq=1000&max=1", "b").await.status, 201);
    let refused = alice.put("/?id=c", "x").await;
    refused.problem(429, "too_many_creations");
    assert!(!refused.header("retry-after").is_empty());
    alice.post("/", "d").await.problem(429, "too_many_creations");
    assert_eq!(alice.put("/?id=a", "x").await.status, 200, "an append is none");
    alice.get("/?id=c").await.problem(404, "stream_not_found");
}

#[tokio::test]
async fn reads_that_are_open_are_counted() {
    let server = guarded().await.with(&["--reads-per-principal-max", "2"]).start().await;
    let (alice, bob) = (token("alice"), token("bob"));
    As::new(&server, &alice).put("/?id=a&close=false", "x").await;
    let read = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer)];
        server.open(request(Method::GET, "/?id=a", &headers, Bytes::new())).await
    };
    let first = read(&alice).await;
    let second = read(&alice).await;
    let refused = read(&alice).await.answer().await;
    refused.problem(429, "too_many_reads");
    assert_eq!(refused.header("retry-after"), "2");
    assert_eq!(read(&bob).await.status, 200);
    drop(first);
    eventually("a place is free", async || (read(&alice).await.status == 200).then_some(())).await;
    drop(second);
}
