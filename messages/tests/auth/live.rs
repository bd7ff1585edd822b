//! What takes longer than its token is good.

use crate::{
    As, SECRET,
    common::{End, TestServer, noise, request},
    guarded,
    jwt::{Key, claims, everything, now},
};
use bytes::Bytes;
use http::Method;

/// A token that is good for one or two seconds more: its leeway is nearly over.
fn short() -> String {
    let mut claims = claims("alice");
    claims["exp"] = (now() - 28).into();
    Key::shared(SECRET.as_bytes()).token(&claims)
}

async fn read(server: &TestServer, target: &str, token: &str) -> crate::common::Reader {
    let bearer = format!("Bearer {token}");
    server.open(request(Method::GET, target, &[("authorization", &bearer)], Bytes::new())).await
}

#[tokio::test]
async fn a_live_read_breaks_off_when_its_token_expires() {
    let server = guarded().await.start().await;
    let (all, short) = (everything(), short());
    As::new(&server, &all).put("/?id=s&close=false", "first").await;
    let mut lasting = read(&server, "/?id=s", &all).await;
    let mut reader = read(&server, "/?id=s", &short).await;
    reader.expect("first").await;
    lasting.expect("first").await;
    let (rest, end) = reader.rest().await;
    assert_eq!((&*rest, end), (&b""[..], End::BrokenOff));
    As::new(&server, &short).get("/?id=s").await.problem(401, "token_expired");
    As::new(&server, &all).put("/?id=s", "second").await;
    assert_eq!(lasting.rest().await, ("second".into(), End::Clean));
}

#[tokio::test]
async fn a_live_read_of_a_signed_url_ends_with_it() {
    let server = guarded().await.start().await;
    let all = everything();
    let alice = As::new(&server, &all);
    alice.put("/?id=s&close=false", "first").await;
    let body = serde_json::json!({"url": "/?id=s", "expires_in": 2}).to_string();
    let url = alice.post("/v1/auth/sign", body).await.json()["url"].as_str().map(String::from);
    let mut reader = server.read(&url.expect("a URL")).await;
    reader.expect("first").await;
    assert_eq!(reader.rest().await, ("".into(), End::BrokenOff));
}

#[tokio::test]
async fn a_producer_is_stopped_when_its_token_expires_and_can_go_on() {
    let server = guarded().await.start().await;
    let (all, short) = (everything(), short());
    let bearer = format!("Bearer {short}");
    let mut producer = server.produce_with("/?id=s", &[("authorization", &bearer)]);
    producer.send("kept ").await;
    crate::common::eventually("the token expires", async || {
        let answer = As::new(&server, &short).get("/?id=other").await;
        (answer.status == 401).then_some(())
    })
    .await;
    producer.send("too late").await;
    let refusal = producer.refusal().await;
    refusal.problem(401, "token_expired");
    assert_eq!(refusal.header("stream-next-offset"), "0000000000000001_0000000000000005");
    let alice = As::new(&server, &all);
    assert_eq!(alice.put("/?id=s&offset=5", "more").await.status, 200);
    assert_eq!(alice.get("/?id=s").await.text(), "kept more");
}

#[tokio::test]
async fn readers_who_catch_up_keep_the_pace_and_nobody_waits_for_them() {
    let setup = guarded().await.with(&["--catchup-bytes-per-sec-max", "4194304"]);
    // Nothing stays in memory, so that everything comes from the database.
    let server = setup.with(&["--window-bytes-max", "0"]).start().await;
    let all = everything();
    let alice = As::new(&server, &all);
    let content = noise(3, 6 << 20);
    alice.put("/?id=old&close=false", content.clone()).await;
    let server = server.restart().await;
    let alice = As::new(&server, &all);
    let began = tokio::time::Instant::now();
    let mut readers = Vec::new();
    for _ in 0..2 {
        readers.push(read(&server, "/?id=old", &all).await);
    }
    alice.put("/?id=live&close=false", "a").await;
    let mut live = read(&server, "/?id=live", &all).await;
    live.expect("a").await;
    for _ in 0..10 {
        assert_eq!(alice.put("/?id=live&close=false", "b").await.status, 200);
        live.expect("b").await;
    }
    let live_took = began.elapsed();
    for reader in &mut readers {
        assert!(reader.bytes(content.len()).await == content);
    }
    // Twice 6 MiB at 4 MiB a second, but for a page of each that is paid for later.
    let took = began.elapsed();
    assert!(took.as_secs_f64() > 2.0, "{took:?}");
    assert!(live_took < took, "{live_took:?} of {took:?}");
}

/// A client of the protocol comes anew with every page, and waits for its turn as well.
#[tokio::test]
async fn who_catches_up_page_by_page_keeps_the_pace() {
    let setup = guarded().await.with(&["--catchup-bytes-per-sec-max", "2097152"]);
    let server = setup.with(&["--window-bytes-max", "0"]).start().await;
    let all = everything();
    let alice = As::new(&server, &all);
    alice.put("/?id=old", noise(4, 1 << 20)).await;
    let server = server.restart().await;
    let alice = As::new(&server, &all);
    let began = tokio::time::Instant::now();
    for _ in 0..4 {
        assert_eq!(alice.get("/v1/stream/old").await.body.len(), 1 << 20);
    }
    // The last one is paid for later.
    let took = began.elapsed();
    assert!(took.as_secs_f64() > 1.3, "{took:?}");
}
