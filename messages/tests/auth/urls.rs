//! What may be in a URL: tickets and signatures, and no tokens.

use crate::common::{Setup, request, soon};
use crate::{
    As, SECRET, guarded,
    jwt::{Key, claims, everything, granting, now},
};
use bytes::Bytes;
use http::Method;
use serde_json::json;

pub async fn ticket(somebody: &As<'_>) -> String {
    let answer = somebody.post("/v1/auth/ticket", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
    assert_eq!(answer.json()["expires_in"], 30);
    answer.json()["ticket"].as_str().expect("a ticket").to_owned()
}

#[tokio::test]
async fn a_ticket_is_good_once_and_for_what_its_owner_may() {
    let server = guarded().await.start().await;
    let all = everything();
    As::new(&server, &all).put("/?id=docs/a", "content").await;
    As::new(&server, &all).put("/?id=b", "content").await;
    let token = granting(&["docs/*"], &["docs/*"], &[]);
    let alice = As::new(&server, &token);
    let shown = ticket(&alice).await;
    assert_eq!(server.get(&format!("/?id=docs/a&ticket={shown}")).await.text(), "content");
    let again = server.get(&format!("/?id=docs/a&ticket={shown}")).await;
    again.problem(401, "invalid_ticket");
    let shown = ticket(&alice).await;
    server.get(&format!("/?ticket={shown}&id=b")).await.problem(403, "forbidden");
    let shown = ticket(&alice).await;
    assert_eq!(server.put(&format!("/?id=docs/c&ticket={shown}"), "x").await.status, 201);
    for bad in ["", "x", &shown[1..]] {
        server.get(&format!("/?id=docs/a&ticket={bad}")).await.problem(401, "invalid_ticket");
    }
    // What is good for one request gets nothing that is good for more.
    let shown = ticket(&alice).await;
    server.post(&format!("/v1/auth/ticket?ticket={shown}"), "").await.problem(401, "missing_token");
}

#[tokio::test]
async fn many_who_show_one_ticket_at_once_get_in_once() {
    let server = guarded().await.start().await;
    let token = everything();
    let alice = As::new(&server, &token);
    alice.put("/?id=a", "content").await;
    let target = format!("/?id=a&ticket={}", ticket(&alice).await);
    let answers = (0..20).map(|_| server.get(&target));
    let answers = soon("all answers", futures::future::join_all(answers)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
}

#[tokio::test]
async fn a_ticket_lives_no_longer_than_its_token() {
    let server = guarded().await.start().await;
    let mut claims = claims("alice");
    // With the leeway it is good for one or two seconds more.
    claims["exp"] = (now() - 28).into();
    let token = Key::shared(SECRET.as_bytes()).token(&claims);
    let ticket = ticket(&As::new(&server, &token)).await;
    crate::common::eventually("the token expires", async || {
        let answer = As::new(&server, &token).get("/?id=a").await;
        (answer.status == 401).then_some(())
    })
    .await;
    server.get(&format!("/?id=a&ticket={ticket}")).await.problem(401, "token_expired");
}

pub async fn sign(somebody: &As<'_>, url: &str) -> String {
    let answer = somebody.post("/v1/auth/sign", json!({"url": url}).to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["url"].as_str().expect("a URL").to_owned()
}

#[tokio::test]
async fn a_signed_url_reads_one_stream_and_does_nothing_else() {
    let server = guarded().await.start().await;
    let all = everything();
    As::new(&server, &all).put("/?id=docs/a", "content").await;
    As::new(&server, &all).put("/?id=docs/b", "secret").await;
    let token = granting(&["docs/*"], &[], &[]);
    let alice = As::new(&server, &token);
    let url = sign(&alice, "/?id=docs%2Fa").await;
    assert_eq!(server.get(&url).await.text(), "content");
    assert_eq!(server.get(&url).await.text(), "content", "as often as anybody likes");
    assert_eq!(server.get(&format!("{url}&offset=3")).await.text(), "tent");
    assert_eq!(server.head(&url).await.status, 200);
    server.get(&url.replace("%2Fa", "%2Fb")).await.problem(403, "forbidden");
    server.put(&url, "x").await.problem(403, "forbidden");
    server.post("/v1/auth/ticket", "").await.problem(401, "missing_token");
    let signed = url.split_once("signed=").expect("a signature").1.to_owned();
    server
        .post(&format!("/v1/auth/sign?signed={signed}"), "{}")
        .await
        .problem(401, "missing_token");
    // The path of the protocol has the same signature.
    let other = sign(&alice, "https://example.org/v1/stream/docs/a?live=sse#end").await;
    assert!(other.starts_with("https://example.org/v1/stream/docs/a?live=sse&signed="), "{other}");
    let signed = other.split_once("signed=").expect("a signature").1;
    assert_eq!(server.get(&format!("/?id=docs/a&signed={signed}")).await.text(), "content");
    // Nobody signs what they may not read.
    let body = json!({"url": "/?id=other"}).to_string();
    alice.post("/v1/auth/sign", body).await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_signature_with_any_change_is_none() {
    let server = guarded().await.start().await;
    let token = everything();
    let alice = As::new(&server, &token);
    alice.put("/?id=a", "content").await;
    let url = sign(&alice, "/?id=a").await;
    let (begin, signed) = url.split_once("signed=").expect("a signature");
    for at in 0..signed.len() {
        let mut changed = signed.to_owned();
        let to = if &signed[at..=at] == "A" { "B" } else { "A" };
        changed.replace_range(at..=at, to);
        server.get(&format!("{begin}signed={changed}")).await.problem(401, "invalid_signature");
    }
    for bad in ["", ".", "e30.e30", &everything()] {
        server.get(&format!("{begin}signed={bad}")).await.problem(401, "invalid_signature");
    }
    // A seal is no token, and a token is no seal.
    As::new(&server, signed).get("/?id=a").await.problem(401, "invalid_token");
}

#[tokio::test]
async fn a_signed_url_has_an_end() {
    let server = guarded().await.start().await;
    let token = everything();
    let alice = As::new(&server, &token);
    alice.put("/?id=a", "content").await;
    let body = json!({"url": "/?id=a", "expires_in": 1}).to_string();
    let answer = alice.post("/v1/auth/sign", body).await.json();
    let url = answer["url"].as_str().expect("a URL");
    crate::common::eventually("it expires", async || {
        let answer = server.get(url).await;
        (answer.status != 200).then(|| answer.problem(401, "url_expired"))
    })
    .await;
    for secs in [json!(0), json!(7 * 24 * 3600 + 1), json!(-1), json!("1h")] {
        let body = json!({"url": "/?id=a", "expires_in": secs}).to_string();
        assert_eq!(alice.post("/v1/auth/sign", body).await.status, 400);
    }
    for body in ["", "[]", "{}", r#"{"url": "/"}"#, r#"{"url": "/?id=a", "for": 1}"#] {
        assert_eq!(alice.post("/v1/auth/sign", body).await.status, 400, "{body}");
    }
    // It ends with the token that it was made with.
    let mut short = claims("alice");
    short["exp"] = (now() + 10).into();
    let short = Key::shared(SECRET.as_bytes()).token(&short);
    let body = json!({"url": "/?id=a", "expires_in": 3600}).to_string();
    let answer = As::new(&server, &short).post("/v1/auth/sign", body).await.json();
    assert_eq!(answer["expires_at"], now_within(short_end(&answer)), "{answer}");
}

/// The token of ten seconds and the leeway.
fn short_end(answer: &serde_json::Value) -> i64 {
    answer["expires_at"].as_i64().expect("a time")
}

fn now_within(end: i64) -> i64 {
    assert!((now()..=now() + 41).contains(&end), "{end}");
    end
}

#[tokio::test]
async fn a_signed_url_outlives_a_restart_with_keys_of_others_too() {
    let setup = Setup::new().await;
    let key = Key::ed();
    let path = setup.home().join("keys.json");
    std::fs::write(&path, crate::jwt::set(&[&key])).expect("written");
    let setup = setup.env("AUTH_JWKS", path.to_str().expect("text"));
    let server = setup.start().await;
    let token = key.token(&claims("alice"));
    let alice = As::new(&server, &token);
    alice.put("/?id=a", "content").await;
    let url = sign(&alice, "/?id=a").await;
    assert_eq!(server.get(&url).await.text(), "content");
    let server = server.restart().await;
    assert_eq!(server.get(&url).await.text(), "content");
}

#[tokio::test]
async fn a_token_in_a_url_is_refused_wherever_it_is() {
    let server = guarded().await.start().await;
    let token = everything();
    for name in ["token", "access_token"] {
        for target in [format!("/?id=a&{name}={token}"), format!("/?{name}={token}&id=a")] {
            let detail = server.get(&target).await.problem(400, "token_in_url");
            assert!(detail.contains("/v1/auth/ticket") && !detail.contains(&token), "{detail}");
            let bearer = [("authorization", &*format!("Bearer {token}"))];
            let answer = server.send(request(Method::GET, &target, &bearer, Bytes::new())).await;
            answer.problem(400, "token_in_url");
        }
    }
    server.get(&format!("/?id=a&ticket={token}")).await.problem(401, "invalid_ticket");
}
