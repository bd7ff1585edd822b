//! Who may have and see which webhooks, and when they end.

use crate::{
    common::{Setup, TestServer, eventually, webhook::Webhook},
    on_both_databases,
    team::{acknowledge, all_done, callback, guarded, report, start, stored},
};
use http::Method;
use serde_json::{Value, json};

/// Waits until the database has only these subscriptions, and stops the server.
async fn until_ended(server: TestServer, left: i64) -> Setup {
    let ended = async || (stored(server.setup()).await == left).then_some(());
    eventually("the subscriptions end", ended).await;
    server.stop().await
}

async fn whoever_goes_is_told_nothing_more(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    for user in ["dave", "erin"] {
        let path = format!("/conversations/team/participants/{user}");
        alice.ok(Method::PUT, &path, &json!({})).await;
    }
    let mut hooks = Vec::new();
    for user in ["bob", "carol", "dave", "erin"] {
        let hook = Webhook::start().await;
        server.user(user).hook("bot", &hook).await;
        hooks.push(hook);
    }
    let named = ["bob/bot", "carol/bot", "dave/bot", "erin/bot"];
    let mut all = alice.hooks().await;
    all.sort();
    assert_eq!(all, named);
    // Bob leaves while his works on a wake, Carol is kicked, Dave is banned.
    alice.say("one").await;
    let mut wakes = Vec::new();
    for hook in &mut hooks {
        wakes.push(hook.call().await.json());
    }
    for wake in &wakes[1..] {
        assert_eq!(acknowledge(&server, wake).await.status, 200);
    }
    server.user("bob").ok(Method::POST, "/conversations/team/leave", &Value::Null).await;
    alice.ok(Method::DELETE, "/conversations/team/participants/carol", &Value::Null).await;
    alice.ok(Method::PUT, "/conversations/team/bans/dave", &json!({})).await;
    assert_eq!(alice.hooks().await, ["erin/bot"]);
    let refused = acknowledge(&server, &wakes[0]).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    // Whoever comes again has no webhook, and can have another one of that name.
    alice.ok(Method::PUT, "/conversations/team/participants/bob", &json!({})).await;
    let bob = server.user("bob");
    assert_eq!(bob.hooks().await, [""; 0]);
    let bot = "/conversations/team/webhooks/bot";
    bob.ask(Method::GET, bot, &Value::Null).await.problem(404, "webhook_not_found");
    server
        .user("carol")
        .ask(Method::GET, bot, &Value::Null)
        .await
        .problem(403, "not_a_participant");
    // Erin's is told of all of it, the others of nothing.
    let told = hooks[3].call().await.json();
    assert!(!server.user("erin").news(&told).await.is_empty());
    let setup = until_ended(server, 1).await;
    // Each was told of what came before they went, at most: that of the others, not their own.
    for (hook, last) in hooks.iter_mut().zip([4, 5, 6]) {
        while hook.was_called() {
            let wake = hook.call().await.json();
            let tail = wake["streams"][0]["tail_offset"].as_str().expect("an offset");
            assert!(tail < &*format!("{:016}", last + 1), "{wake}");
        }
    }
    let server = setup.start().await;
    assert_eq!(server.user("alice").hooks().await, ["erin/bot"]);
    server.stop().await;
}

async fn a_deleted_conversation_has_none(setup: Setup) {
    let server = start(setup).await;
    let mut hook = Webhook::start().await;
    server.user("bob").hook("bot", &hook).await;
    server.user("alice").say("one").await;
    let wake = hook.call().await.json();
    server.user("alice").ok(Method::DELETE, "/conversations/team", &Value::Null).await;
    let token = wake["callback_token"].as_str().expect("a token");
    let refused = report(&server, callback(&wake), &all_done(&wake), token).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    until_ended(server, 0).await;
    assert!(!hook.was_called());
}

/// The server dies right after somebody was sent away.
async fn it_ends_also_after_a_crash(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    let (hook, closed) = (Webhook::start().await, Webhook::start().await);
    server.user("bob").hook("bot", &hook).await;
    let other = json!({ "name": "other", "participants": ["bob"] });
    alice.ok(Method::POST, "/conversations", &other).await;
    let asked = json!({ "url": closed.url() });
    let path = "/conversations/other/webhooks/bot";
    server.user("bob").ok(Method::PUT, path, &asked).await;
    alice.ok(Method::DELETE, "/conversations/team/participants/bob", &Value::Null).await;
    alice.ok(Method::DELETE, "/conversations/other", &Value::Null).await;
    let server = server.crash().await;
    assert_eq!(server.user("alice").hooks().await, [""; 0]);
    until_ended(server, 0).await;
    assert!(!hook.was_called() && !closed.was_called());
}

async fn each_has_their_own(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.user(name));
    let (hook, other) = (Webhook::start().await, Webhook::start().await);
    bob.hook("bot", &hook).await;
    let bot = "/conversations/team/webhooks/bot";
    for (method, path) in [(Method::GET, bot.to_owned()), (Method::POST, format!("{bot}/replay"))] {
        let answer = carol.ask(method, &path, &json!({ "position": 0 })).await;
        answer.problem(404, "webhook_not_found");
    }
    carol
        .ask(Method::GET, &format!("{bot}?owner=bob"), &Value::Null)
        .await
        .problem(403, "forbidden");
    carol.ok(Method::DELETE, bot, &Value::Null).await;
    assert_eq!(carol.hooks().await, [""; 0]);
    carol.hook("bot", &other).await;
    assert_eq!(
        (carol.hooks().await, bob.hooks().await),
        (vec!["carol/bot".into()], vec!["bob/bot".into()])
    );
    let mut all = alice.hooks().await;
    all.sort();
    assert_eq!(all, ["bob/bot", "carol/bot"]);
    let seen = alice.get(&format!("{bot}?owner=bob")).await;
    assert_eq!((&seen["owner"], &seen["webhook"]["url"]), (&json!("bob"), &json!(hook.url())));
    // Whoever does not take part.
    let mallory = server.user("mallory");
    let asked = json!({ "url": hook.url() });
    for (method, path) in [
        (Method::GET, "/conversations/team/webhooks"),
        (Method::GET, bot),
        (Method::PUT, bot),
        (Method::DELETE, bot),
    ] {
        mallory.ask(method, path, &asked).await.problem(403, "not_a_participant");
    }
    let nowhere = "/conversations/nowhere/webhooks/bot";
    mallory.ask(Method::PUT, nowhere, &asked).await.problem(404, "conversation_not_found");
    server.get(bot).await.problem(401, "missing_token");
    for i in 1..16 {
        bob.hook(&format!("bot-{i}"), &hook).await;
    }
    let more = "/conversations/team/webhooks/one-more";
    bob.ask(Method::PUT, more, &asked).await.problem(409, "too_many");
    bob.hook("bot", &hook).await;
    bob.ask(Method::PUT, "/conversations/team/webhooks/a%20b", &asked)
        .await
        .problem(400, "bad_body");
    server.stop().await;
}

async fn a_forged_token_reports_nothing(setup: Setup) {
    let server = start(setup).await;
    let (mut hook, mut other) = (Webhook::start().await, Webhook::start().await);
    let bob = server.user("bob");
    bob.hook("bot", &hook).await;
    bob.hook("other", &other).await;
    server.user("alice").say("one").await;
    let (wake, others) = (hook.call().await.json(), other.call().await.json());
    let token = wake["callback_token"].as_str().expect("a token");
    let of_other = others["callback_token"].as_str().expect("a token");
    let mut bad = token.to_owned().into_bytes();
    bad[3] ^= 1;
    let bad = String::from_utf8(bad).expect("ASCII");
    for forged in ["", "x.y", &bad, of_other, &bob.token] {
        let refused = report(&server, callback(&wake), &all_done(&wake), forged).await;
        assert_eq!(refused.status, 401, "{refused:?}");
        assert_eq!(refused.json()["error"]["code"], "TOKEN_INVALID");
        // Nobody finds out that way which there are.
        let nowhere = callback(&wake).replace("team", "nowhere");
        assert_eq!(report(&server, &nowhere, &all_done(&wake), forged).await.status, 401);
    }
    let mut stale = all_done(&wake);
    stale["generation"] = json!(7);
    assert_eq!(report(&server, callback(&wake), &stale, token).await.status, 409);
    assert_eq!(acknowledge(&server, &wake).await.status, 200);
    server.stop().await;
}

on_both_databases! {
    whoever_goes_is_told_nothing_more,
    a_deleted_conversation_has_none,
    it_ends_also_after_a_crash,
    each_has_their_own,
    a_forged_token_reports_nothing,
}

/// As for all webhooks: with keys this machine is not called, unless that is configured.
#[tokio::test]
async fn they_lead_only_to_where_webhooks_may() {
    let setup = guarded(Setup::new().await);
    let server = setup.start().await;
    let alice = server.user("alice");
    alice
        .ok(Method::POST, "/conversations", &json!({ "name": "team", "participants": ["bob"] }))
        .await;
    let bot = "/conversations/team/webhooks/bot";
    for url in
        ["http://127.0.0.1:1/", "https://10.0.0.1/", "http://a.example/", "https://[::1]/", ""]
    {
        let answer = alice.ask(Method::PUT, bot, &json!({ "url": url })).await;
        answer.problem(400, "webhook_url_rejected");
    }
    for bad in
        [json!({}), json!({ "url": 1 }), json!({ "url": "https://a.example/", "lease_ttl_ms": 1 })]
    {
        alice.ask(Method::PUT, bot, &bad).await.problem(400, "bad_body");
    }
    let bad = json!({ "url": "https://a.example/", "from": "yesterday" });
    alice.ask(Method::PUT, bot, &bad).await.problem(400, "bad_offset");
    let fine = json!({ "url": "https://a.example/hook" });
    assert_eq!(alice.ask(Method::PUT, bot, &fine).await.status, 201);
}
