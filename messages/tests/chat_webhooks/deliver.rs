//! What a webhook is told, how it says how far it is, and how it is told again.

use crate::{
    common::{Setup, webhook::Webhook},
    on_both_databases,
    team::{ZERO, acknowledge, start},
};
use http::Method;
use serde_json::{Value, json};

const BOT: &str = "/conversations/team/webhooks/bot";

async fn a_webhook_is_told_reads_and_acknowledges(setup: Setup) {
    let server = start(setup).await;
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let mut hook = Webhook::start().await;
    let before = alice.say("before").await;
    let asked = json!({ "url": hook.url(), "description": "a bot", "lease_ttl_ms": 60_000 });
    let created = bob.ask(Method::PUT, BOT, &asked).await;
    assert_eq!(created.status, 201, "{created:?}");
    let created = created.json();
    for (member, value) in [
        ("id", json!("bot")),
        ("conversation", json!("team")),
        ("owner", json!("bob")),
        ("type", json!("webhook")),
        ("status", json!("active")),
        ("description", json!("a bot")),
    ] {
        assert_eq!(created[member], value, "{created}");
    }
    assert_eq!(bob.acked("bot").await, before);
    assert_eq!(bob.ask(Method::PUT, BOT, &asked).await.status, 200);
    let other = json!({ "url": hook.url(), "description": "another one" });
    bob.ask(Method::PUT, BOT, &other).await.problem(409, "webhook_exists");

    let tail = alice.say("one").await;
    let wake = hook.call().await.json();
    assert_eq!(wake["conversation"], "team");
    let stream = json!([{ "path": "__chat/c/team", "link_type": "explicit", "acked_offset": before,
        "tail_offset": tail, "has_pending": true }]);
    assert_eq!(wake["streams"], stream);
    assert_eq!(bob.news(&wake).await, ["one"]);
    let done = acknowledge(&server, &wake).await;
    assert_eq!(done.json(), json!({ "ok": true, "next_wake": false }));
    assert_eq!(bob.acked("bot").await, tail);
    // One that says so in its answer is done, too.
    hook.answer(200, &[], r#"{"done":true}"#);
    let tail = alice.say("two").await;
    assert_eq!(hook.call().await.json()["streams"][0]["tail_offset"], tail);
    bob.until_acked("bot", &tail).await;
    for _ in 0..2 {
        bob.ok(Method::DELETE, BOT, &Value::Null).await;
    }
    bob.ask(Method::GET, BOT, &Value::Null).await.problem(404, "webhook_not_found");
    alice.say("three").await;
    assert!(!hook.was_called());
    server.stop().await;
}

async fn it_begins_and_is_replayed_anywhere(setup: Setup) {
    let server = start(setup.with(&["--flush-interval-ms", "1"])).await;
    let alice = server.user("alice");
    let mut ends = Vec::new();
    for i in 0..40 {
        ends.push(alice.say(&format!("message {i}")).await);
    }
    let mut hook = Webhook::start().await;
    hook.answer(200, &[], r#"{"done":true}"#);
    alice.hook_from("bot", &hook, "-1").await;
    let first = hook.call().await.json();
    assert_eq!(first["streams"][0]["acked_offset"], ZERO);
    alice.until_acked("bot", &ends[39]).await;
    // By position: the first event is the conversation itself.
    for count in [0, 1, 2, 17, 40] {
        let replayed = alice.replay("bot", &json!({ "position": count })).await;
        assert_eq!(replayed.status, 200, "{replayed:?}");
        let wake = hook.call().await.json();
        let news = alice.news(&wake).await;
        assert_eq!(news.len(), 41 - count, "{news:?}");
        assert_eq!(news.last().map(String::as_str), Some("message 39"));
    }
    // Nothing is left to be told, also of what was told before.
    assert_eq!(alice.replay("bot", &json!({ "position": 41 })).await.status, 200);
    assert_eq!(alice.acked("bot").await, ends[39]);
    hook.answer(200, &[], r#"{"done":true}"#);
    assert_eq!(alice.replay("bot", &json!({ "offset": ends[38] })).await.status, 200);
    let wake = hook.call().await.json();
    assert_eq!(alice.news(&wake).await, ["message 39"]);
    alice.until_acked("bot", &ends[39]).await;
    let (records, bytes) = ends[3].split_once('_').expect("an offset");
    let cut = format!("{records}_{:016}", bytes.parse::<u64>().expect("a number") - 1);
    for (bad, status, code) in [
        (json!({}), 400, "bad_body"),
        (json!({ "offset": "-1", "position": 0 }), 400, "bad_body"),
        (json!({ "offset": "x" }), 400, "bad_offset"),
        (json!({ "offset": cut }), 400, "bad_offset"),
        (json!({ "position": 42 }), 416, "offset_beyond_end"),
    ] {
        alice.replay("bot", &bad).await.problem(status, code);
    }
    alice.replay("other", &json!({ "position": 0 })).await.problem(404, "webhook_not_found");
    assert!(!hook.was_called());
    server.stop().await;
}

/// Whoever came later, to a conversation that shows them only what comes from then on.
async fn nobody_is_told_of_what_was_before_them(setup: Setup) {
    let server = start(setup).await;
    let (alice, dave) = (server.user("alice"), server.user("dave"));
    let settings = json!({ "settings": { "history": "since_join" } });
    alice.ok(Method::PATCH, "/conversations/team", &settings).await;
    alice.say("a secret").await;
    alice.ok(Method::PUT, "/conversations/team/participants/dave", &json!({})).await;
    let mut hook = Webhook::start().await;
    dave.hook_from("bot", &hook, "-1").await;
    let wake = hook.call().await.json();
    assert_eq!(dave.news(&wake).await, ["join"]);
    for to in [json!({ "position": 0 }), json!({ "offset": ZERO }), json!({ "offset": "-1" })] {
        assert_eq!(dave.replay("bot", &to).await.status, 200);
        let wake = hook.call().await.json();
        assert_eq!(dave.news(&wake).await, ["join"]);
    }
    server.stop().await;
}

on_both_databases! {
    a_webhook_is_told_reads_and_acknowledges,
    it_begins_and_is_replayed_anywhere,
    nobody_is_told_of_what_was_before_them,
}
