//! Subscriptions over HTTP, with the real program and real webhooks.

mod common;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use common::{
    Answer, Setup, TestServer, eventually, request,
    webhook::{Call, Webhook},
};
use http::Method;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use std::time::Duration;

const ROOT: &str = "/v1/stream/__ds";

/// Appends to a stream, which there is from then on. The one place that knows how.
async fn append(server: &TestServer, stream: &str, text: &str) -> String {
    let stream = stream.replace('/', "%2F");
    let answer = server.put(&format!("/?id={stream}&close=false"), text.to_owned()).await;
    assert!(answer.status.is_success(), "{answer:?}");
    answer.header("stream-next-offset").to_owned()
}

/// Makes a stream that takes wake events.
async fn wake_stream(server: &TestServer, stream: &str) {
    let path = format!("/v1/stream/{stream}");
    let json = [("content-type", "application/json")];
    let answer = server.send(request(Method::PUT, &path, &json, Bytes::new())).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

/// The events of a wake stream.
async fn events(server: &TestServer, stream: &str) -> Vec<Value> {
    let events = server.get(&format!("/v1/stream/{stream}")).await.json();
    events.as_array().expect("an array").clone()
}

async fn ask(server: &TestServer, method: Method, path: &str, body: &Value, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let host = server.address().to_string();
    let mut headers = vec![("host", host.as_str())];
    if !token.is_empty() {
        headers.push(("authorization", &bearer));
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    // The helper gives a host of its own, and the first one counts.
    let mut asked = request(method, &format!("{ROOT}{path}"), &[], Bytes::from(body));
    asked.headers_mut().clear();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().expect("a name");
        asked.headers_mut().insert(name, value.parse().expect("a value"));
    }
    server.send(asked).await
}

async fn put(server: &TestServer, id: &str, body: &Value) -> Answer {
    ask(server, Method::PUT, &format!("/subscriptions/{id}"), body, "").await
}

async fn get(server: &TestServer, id: &str) -> Value {
    let answer = ask(server, Method::GET, &format!("/subscriptions/{id}"), &Value::Null, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn post(server: &TestServer, path: &str, body: &Value, token: &str) -> Answer {
    ask(server, Method::POST, &format!("/subscriptions/{path}"), body, token).await
}

async fn claim(server: &TestServer, id: &str, worker: &str) -> Answer {
    post(server, &format!("{id}/claim"), &json!({ "worker": worker }), "").await
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    let error = answer.json()["error"].clone();
    assert_eq!(error["code"], code, "{error}");
    assert!(!error["message"].as_str().expect("words").is_empty());
    error
}

fn webhook(url: &str, pattern: &str) -> Value {
    json!({ "type": "webhook", "pattern": pattern, "webhook": { "url": url }, "lease_ttl_ms": 1000 })
}

fn pull_wake(pattern: &str, wake_stream: &str, lease_ttl_ms: u64) -> Value {
    json!({ "type": "pull-wake", "pattern": pattern, "wake_stream": wake_stream,
        "lease_ttl_ms": lease_ttl_ms })
}

/// What a worker says that has processed everything of its wake.
fn all_done(wake: &Value) -> Value {
    let streams = wake["streams"].as_array().expect("streams");
    let acks = streams.iter().map(|s| json!({ "stream": s["path"], "offset": s["tail_offset"] }));
    let acks: Vec<Value> = acks.collect();
    json!({ "wake_id": wake["wake_id"], "generation": wake["generation"], "acks": acks, "done": true })
}

async fn acked(server: &TestServer, id: &str, stream: &str) -> Option<String> {
    let description = get(server, id).await;
    let streams = description["streams"].as_array().expect("streams").clone();
    let link = streams.into_iter().find(|link| link["path"] == stream)?;
    link["acked_offset"].as_str().map(str::to_owned)
}

/// Checks the signature of a call with the published keys.
async fn verify(server: &TestServer, call: &Call) {
    let keys = ask(server, Method::GET, "/jwks.json", &Value::Null, "").await;
    assert_eq!(keys.header("content-type"), "application/jwk-set+json");
    assert_eq!(keys.header("cache-control"), "public, max-age=300");
    let header = call.headers["webhook-signature"].to_str().expect("text");
    let part = |name: &str| {
        let part = header.split(',').find_map(|part| part.strip_prefix(name));
        part.unwrap_or_else(|| panic!("{header}"))
    };
    let keys = keys.json();
    let key = keys["keys"].as_array().expect("keys").iter().find(|key| key["kid"] == part("kid="));
    let x = key.expect("the key of the header")["x"].as_str().expect("text");
    let mut signed = format!("{}.", part("t=")).into_bytes();
    signed.extend_from_slice(&call.body);
    let signature = BASE64.decode(part("ed25519=")).expect("base64url");
    let key = UnparsedPublicKey::new(&ED25519, BASE64.decode(x).expect("base64url"));
    key.verify(&signed, &signature).expect("a good signature");
}

async fn a_webhook_is_called_signed_and_done(setup: Setup) {
    let server = setup.start().await;
    let mut hook = Webhook::start().await;
    append(&server, "events/old", "before").await;
    let config = webhook(&hook.url(), "events/*");
    let created = put(&server, "a%20b", &config).await;
    assert_eq!(created.status, 201, "{created:?}");
    let root = format!("http://{}{ROOT}", server.address());
    assert_eq!(created.json()["webhook"]["signing"]["jwks_url"], format!("{root}/jwks.json"));
    assert_eq!(created.json()["id"], "a b");
    assert_eq!(put(&server, "a%20b", &config).await.status, 200);
    let other = webhook(&hook.url(), "events/**");
    refused(&put(&server, "a%20b", &other).await, 409, "SUBSCRIPTION_ALREADY_EXISTS");

    hook.answer(200, &[], r#"{"done":true}"#);
    let tail = append(&server, "events/new", "x").await;
    let call = hook.call().await;
    verify(&server, &call).await;
    assert_eq!(call.headers["content-type"], "application/json");
    let wake = call.json();
    assert_eq!(wake["callback_url"], format!("{root}/subscriptions/a%20b/callback"));
    let zero = "0000000000000000_0000000000000000";
    let want = json!([{ "path": "events/new", "link_type": "glob", "acked_offset": zero,
        "tail_offset": tail, "has_pending": true }]);
    assert_eq!(wake["streams"], want);
    eventually("the wake is acknowledged", async || {
        (acked(&server, "a%20b", "events/new").await.as_ref() == Some(&tail)).then_some(())
    })
    .await;
    assert!(!hook.was_called());
    for _ in 0..2 {
        let gone = ask(&server, Method::DELETE, "/subscriptions/a%20b", &Value::Null, "").await;
        assert_eq!(gone.status, 204);
    }
    server.stop().await;
}

async fn a_webhook_calls_back_and_is_fenced(setup: Setup) {
    let server = setup.start().await;
    let mut hook = Webhook::start().await;
    let mut config = webhook(&hook.url(), "events/*");
    config["lease_ttl_ms"] = json!(3000);
    put(&server, "s", &config).await;
    append(&server, "events/x", "x").await;
    let wake = hook.call().await.json();
    let token = wake["callback_token"].as_str().expect("a token");
    let report = all_done(&wake);
    let with = |key: &str, value: Value| {
        let mut report = report.clone();
        report[key] = value;
        report
    };
    refused(&post(&server, "s/callback", &report, "").await, 401, "TOKEN_INVALID");
    refused(&post(&server, "s/callback", &report, "x.y").await, 401, "TOKEN_INVALID");
    refused(&post(&server, "other/callback", &report, token).await, 404, "SUBSCRIPTION_NOT_FOUND");
    for (key, value) in [("wake_id", json!("w_x")), ("generation", json!(2))] {
        let stale = post(&server, "s/callback", &with(key, value), token).await;
        refused(&stale, 409, "FENCED");
    }
    let beyond = json!([{ "stream": "events/x", "offset": "0000000000000009_0000000000000009" }]);
    let beyond = post(&server, "s/callback", &with("acks", beyond), token).await;
    refused(&beyond, 409, "INVALID_OFFSET");
    refused(&post(&server, "s/ack", &report, token).await, 400, "INVALID_REQUEST");
    refused(&claim(&server, "s", "one").await, 400, "INVALID_REQUEST");
    let answer = post(&server, "s/callback", &report, token).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (200, json!({"ok":true,"next_wake":false}))
    );
    refused(&post(&server, "s/callback", &report, token).await, 409, "FENCED");
    // One that says nothing more loses its lease.
    append(&server, "events/x", "y").await;
    let second = hook.call().await.json();
    let third = hook.call().await.json();
    assert_eq!((&second["generation"], &third["generation"]), (&json!(2), &json!(3)));
    let late = second["callback_token"].as_str().expect("a token");
    refused(&post(&server, "s/callback", &all_done(&second), late).await, 409, "FENCED");
    server.stop().await;
}

async fn workers_claim_ack_and_release(setup: Setup) {
    let server = setup.start().await;
    wake_stream(&server, "wake/pool").await;
    assert_eq!(put(&server, "p", &pull_wake("**", "wake/pool", 60_000)).await.status, 201);
    refused(&claim(&server, "p", "one").await, 409, "NO_PENDING_WORK");
    append(&server, "events/x", "x").await;
    let wake = claim(&server, "p", "one").await;
    assert_eq!(wake.status, 200, "{wake:?}");
    let busy = refused(&claim(&server, "p", "two").await, 409, "ALREADY_CLAIMED");
    assert_eq!((&busy["current_holder"], &busy["generation"]), (&json!("one"), &json!(1)));
    let wake = wake.json();
    let token = wake["token"].as_str().expect("a token").to_owned();
    append(&server, "events/y", "y").await;
    let done = post(&server, "p/ack", &all_done(&wake), &token).await;
    assert_eq!((done.status.as_u16(), done.json()), (200, json!({"ok":true,"next_wake":true})));
    eventually("the event of the second wake", async || {
        let events = events(&server, "wake/pool").await;
        events.iter().any(|event| event["generation"] == 2).then_some(())
    })
    .await;
    let wake = claim(&server, "p", "two").await.json();
    assert_eq!(wake["streams"][0]["path"], "events/y");
    let token = wake["token"].as_str().expect("a token").to_owned();
    let released = json!({ "wake_id": wake["wake_id"], "generation": 2 });
    assert_eq!(post(&server, "p/release", &released, &token).await.status, 204);
    refused(&post(&server, "p/release", &released, &token).await, 409, "FENCED");
    eventually("the event of the third wake", async || {
        let events = events(&server, "wake/pool").await;
        events.iter().any(|event| event["generation"] == 3).then_some(())
    })
    .await;
    server.stop().await;
}

async fn explicit_streams_come_and_go(setup: Setup) {
    let server = setup.start().await;
    wake_stream(&server, "wake").await;
    let config = json!({ "type": "pull-wake", "streams": ["manual/a"], "wake_stream": "wake" });
    put(&server, "e", &config).await;
    let tail = append(&server, "manual/b", "before").await;
    let add = json!({ "streams": ["manual/b", "/manual/c/"] });
    for _ in 0..2 {
        assert_eq!(post(&server, "e/streams", &add, "").await.status, 204);
    }
    assert_eq!(acked(&server, "e", "manual/b").await, Some(tail));
    refused(&claim(&server, "e", "one").await, 409, "NO_PENDING_WORK");
    append(&server, "manual/c", "x").await;
    let wake = claim(&server, "e", "one").await.json();
    assert_eq!(wake["streams"][0]["path"], "manual/c");
    assert_eq!(wake["streams"][0]["link_type"], "explicit");
    for path in ["manual%2Fb", "manual/c", "never%2Fthere"] {
        let path = format!("/subscriptions/e/streams/{path}");
        assert_eq!(ask(&server, Method::DELETE, &path, &Value::Null, "").await.status, 204);
    }
    let left = get(&server, "e").await["streams"].as_array().expect("streams").len();
    assert_eq!((left, acked(&server, "e", "manual/a").await.is_some()), (1, true));
    for bad in [json!({}), json!({ "streams": ["wake"] }), json!({ "streams": ["__ds/x"] })] {
        refused(&post(&server, "e/streams", &bad, "").await, 400, "INVALID_REQUEST");
    }
    server.stop().await;
}

async fn everything_goes_on_after_a_crash(setup: Setup) {
    crash_in_every_state(setup.with(&["--flush-interval-ms", "1"])).await;
}

/// Nothing is in the database but what subscriptions store themselves.
async fn everything_goes_on_from_the_journal(setup: Setup) {
    crash_in_every_state(setup.with(&["--flush-interval-ms", "600000"])).await;
}

async fn crash_in_every_state(setup: Setup) {
    let server = setup.start().await;
    let mut hook = Webhook::start().await;
    wake_stream(&server, "wake").await;
    put(&server, "failing", &webhook(&hook.url(), "f/*")).await;
    put(&server, "leased", &pull_wake("l/*", "wake", 600_000)).await;
    put(&server, "offered", &pull_wake("o/*", "wake", 600_000)).await;
    put(&server, "idle", &pull_wake("i/*", "wake", 600_000)).await;
    hook.answer(500, &[], "");
    append(&server, "f/x", "x").await;
    let first = hook.call().await.json();
    append(&server, "l/x", "x").await;
    let claimed = claim(&server, "leased", "one").await.json();
    append(&server, "o/x", "x").await;
    let tail = append(&server, "i/x", "x").await;
    let wake = claim(&server, "idle", "one").await.json();
    let token = wake["token"].as_str().expect("a token").to_owned();
    assert_eq!(post(&server, "idle/ack", &all_done(&wake), &token).await.status, 200);
    let is_of = |event: &Value| event["subscription_id"] == "offered";
    eventually("the event", async || events(&server, "wake").await.iter().any(is_of).then_some(()))
        .await;
    eventually("the failure is noted", async || {
        (get(&server, "failing").await["status"] == "failed").then_some(())
    })
    .await;
    let keys = ask(&server, Method::GET, "/jwks.json", &Value::Null, "").await.json();

    let server = server.crash().await;
    assert_eq!(ask(&server, Method::GET, "/jwks.json", &Value::Null, "").await.json(), keys);
    assert_eq!(acked(&server, "idle", "i/x").await, Some(tail));
    refused(&claim(&server, "idle", "two").await, 409, "NO_PENDING_WORK");
    refused(&claim(&server, "leased", "two").await, 409, "ALREADY_CLAIMED");
    let token = claimed["token"].as_str().expect("a token");
    assert_eq!(post(&server, "leased/ack", &all_done(&claimed), token).await.status, 200);
    let again = hook.call().await;
    verify(&server, &again).await;
    assert_eq!(again.json()["wake_id"], first["wake_id"]);
    let wake = claim(&server, "offered", "one").await.json();
    assert_eq!(wake["generation"], 1);
    assert_eq!(events(&server, "wake").await.iter().filter(|e| is_of(e)).count(), 1);

    // And once more, with a stream that begins right before it.
    append(&server, "i/late", "x").await;
    let server = server.crash().await;
    let wake = claim(&server, "idle", "two").await.json();
    assert_eq!((&wake["generation"], &wake["streams"][0]["path"]), (&json!(2), &json!("i/late")));
    refused(&claim(&server, "offered", "two").await, 409, "ALREADY_CLAIMED");
    server.stop().await;
}

on_both_databases! {
    a_webhook_is_called_signed_and_done,
    a_webhook_calls_back_and_is_fenced,
    workers_claim_ack_and_release,
    explicit_streams_come_and_go,
    everything_goes_on_after_a_crash,
    everything_goes_on_from_the_journal,
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Setup::new().await.start().await;
    let (mut hook, elsewhere) = (Webhook::start().await, Webhook::start().await);
    hook.answer(307, &[("location", &elsewhere.url())], "");
    put(&server, "s", &webhook(&hook.url(), "events/*")).await;
    append(&server, "events/x", "x").await;
    hook.call().await;
    eventually("the failure is noted", async || {
        (get(&server, "s").await["status"] == "failed").then_some(())
    })
    .await;
    hook.call().await;
    assert!(!elsewhere.was_called());
}

#[tokio::test]
async fn webhooks_inside_are_refused() {
    let server = Setup::new().await.with(&["--webhook-allow-loopback", "false"]).start().await;
    for url in
        ["http://127.0.0.1:1/", "https://10.0.0.1/", "https://[::1]/", "ftp://a.example/", ""]
    {
        let answer = put(&server, "s", &webhook(url, "events/*")).await;
        refused(&answer, 400, "WEBHOOK_URL_REJECTED");
    }
    let answer = put(&server, "s", &webhook("https://hook.example/", "events/*")).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn workers_are_told_to_come_to_the_public_url() {
    let setup = Setup::new().await.with(&["--public-url", "https://streams.example/"]);
    let server = setup.start().await;
    let mut hook = Webhook::start().await;
    let created = put(&server, "s", &webhook(&hook.url(), "events/*")).await.json();
    let root = format!("https://streams.example{ROOT}");
    assert_eq!(created["webhook"]["signing"]["jwks_url"], format!("{root}/jwks.json"));
    append(&server, "events/x", "x").await;
    let callback = hook.call().await.json()["callback_url"].clone();
    assert_eq!(callback, format!("{root}/subscriptions/s/callback"));
}

#[tokio::test]
async fn what_is_not_there_or_makes_no_sense_is_refused() {
    let server = Setup::new().await.start().await;
    let nothing = Value::Null;
    for path in ["", "/", "/x", "/subscriptions", "/subscriptions/", "/subscriptions/a/b"] {
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
            refused(&ask(&server, method, path, &nothing, "").await, 404, "NOT_FOUND");
        }
    }
    for (method, path, allowed) in [
        (Method::POST, "/subscriptions/a", "GET, HEAD, PUT, DELETE"),
        (Method::GET, "/subscriptions/a/claim", "POST"),
        (Method::PUT, "/subscriptions/a/streams/x", "DELETE"),
        (Method::POST, "/jwks.json", "GET, HEAD"),
    ] {
        let answer = ask(&server, method, path, &nothing, "").await;
        refused(&answer, 405, "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), allowed);
    }
    let gone = ask(&server, Method::GET, "/subscriptions/a", &nothing, "").await;
    refused(&gone, 404, "SUBSCRIPTION_NOT_FOUND");
    refused(&claim(&server, "a", "one").await, 404, "SUBSCRIPTION_NOT_FOUND");
    for bad in [json!({}), json!({ "worker": "" }), json!({ "worker": 1 }), nothing.clone()] {
        refused(&post(&server, "a/claim", &bad, "").await, 400, "INVALID_REQUEST");
    }
    for bad in [nothing.clone(), json!([]), json!({ "type": "x", "pattern": "a" })] {
        refused(&put(&server, "a", &bad).await, 400, "INVALID_REQUEST");
    }
    let large = json!({ "worker": "x".repeat(2 << 20) });
    refused(&post(&server, "a/claim", &large, "").await, 413, "BODY_TOO_LARGE");
    // A pattern for everything does not link what is not a stream of an application.
    server.put("/?id=__ds/x", "x").await.problem(400, "bad_id");
    wake_stream(&server, "wake").await;
    let description = put(&server, "a", &pull_wake("**", "wake", 1000)).await.json();
    assert_eq!(description["streams"], json!([]));
}

/// Nothing secret is ever logged.
#[tokio::test]
async fn tokens_and_urls_stay_out_of_the_log() {
    let server = Setup::new().await.with(&["--log", "trace"]).start().await;
    let mut hook = Webhook::start().await;
    hook.answer(500, &[], "");
    let url = format!("{}?key=s3cret", hook.url());
    put(&server, "s", &webhook(&url, "events/*")).await;
    append(&server, "events/x", "x").await;
    let wake = hook.call().await.json();
    let token = wake["callback_token"].as_str().expect("a token").to_owned();
    post(&server, "s/callback", &all_done(&wake), &token).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let exit = {
        let mut server = server;
        server.terminate();
        server.exit().await
    };
    assert!(exit.output.contains("messages::subscription"), "something is logged");
    for secret in ["s3cret", token.as_str()] {
        let found = exit.output.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "{secret}");
    }
}
