//! Two users and nobody else.

use crate::{
    common::Setup,
    users::{each, id, list, start},
};
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(
    two_users_have_one_conversation,
    nobody_else_comes_in,
    whoever_is_banned_cannot_write,
    an_inbox_has_all_of_them,
    what_is_refused_begins_nothing,
);

async fn two_users_have_one_conversation(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob, eve] = server.users(["alice", "bob", "eve"]);
    let both = (0..10).map(|turn| {
        let (user, peer) = if turn % 2 == 0 { (&alice, "bob") } else { (&bob, "alice") };
        user.post(
            if peer == "bob" { "/inbox/bob/messages" } else { "/inbox/alice/messages" },
            json!({"text": turn.to_string()}),
        )
    });
    let sent = join_all(both).await;
    let name = sent[0]["conversation"].as_str().expect("a name");
    assert!(sent.iter().all(|one| one["conversation"] == name), "{sent:?}");
    for user in [&alice, &bob] {
        let shown = user.get("/conversations").await;
        assert_eq!((&shown[0]["name"], &shown[0]["kind"]), (&json!(name), &json!("direct")));
        assert_eq!(shown.as_array().map(Vec::len), Some(1));
        assert_eq!(user.texts(name, "").await.len(), 10);
    }
    let target = format!("/conversations/{name}");
    // Anybody can work the name out; whether these two have ever written is nobody's business.
    eve.refused((Method::GET, &target), Value::Null, 404, "conversation_not_found").await;
    let messages = format!("{target}/messages");
    eve.refused((Method::GET, &messages), Value::Null, 404, "conversation_not_found").await;
    let own = eve.post("/inbox/eve/messages", json!({"text": "a note"})).await;
    let name = own["conversation"].as_str().expect("a name");
    let people = eve.get(&format!("/conversations/{name}/participants")).await;
    assert_eq!(each(&list(people), "participant"), ["eve"]);
}

async fn nobody_else_comes_in(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob, eve] = server.users(["alice", "bob", "eve"]);
    let sent = alice.post("/inbox/bob/messages", json!({"text": "hi"})).await;
    let at = format!("/conversations/{}", sent["conversation"].as_str().expect("a name"));
    let before = bob.get(&at).await["position"].clone();
    for (method, rest, body) in [
        (Method::PUT, "/participants/eve", json!({})),
        (Method::PUT, "/participants/eve", json!({"invite": true})),
        (Method::DELETE, "/participants/bob", Value::Null),
        (Method::POST, "/leave", Value::Null),
        (Method::PUT, "/bans/eve", json!({})),
        (Method::PUT, "/bans/alice", json!({})),
        (Method::DELETE, "", Value::Null),
    ] {
        let what = (method, &*format!("{at}{rest}"));
        alice.refused(what, body, 409, "direct_conversation").await;
    }
    let patch = json!({"settings": {"join": "open"}});
    alice.refused((Method::PATCH, &at), patch, 403, "forbidden").await;
    let join = format!("{at}/join");
    eve.refused((Method::POST, &join), Value::Null, 403, "not_invited").await;
    assert_eq!(bob.get(&at).await["position"], before);
}

async fn whoever_is_banned_cannot_write(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    let sent = alice.post("/inbox/bob/messages", json!({"text": "hi"})).await;
    let name = sent["conversation"].as_str().expect("a name");
    let ban = format!("/conversations/{name}/bans/alice");
    bob.put(&ban, json!({})).await;
    let write = (Method::POST, "/inbox/bob/messages");
    alice.refused(write.clone(), json!({"text": "x"}), 403, "not_a_participant").await;
    alice.refused((Method::DELETE, &ban), Value::Null, 403, "not_a_participant").await;
    assert_eq!(alice.get("/inbox/messages").await, json!([]));
    assert_eq!(bob.texts(name, "").await, ["hi"]);
    let server = server.crash().await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.refused(write.clone(), json!({"text": "x"}), 403, "not_a_participant").await;
    bob.delete(&ban).await;
    alice.post("/inbox/bob/messages", json!({"text": "again"})).await;
    assert_eq!(alice.texts(name, "").await, ["hi", "again"]);
    // One that is over lets them come back by themselves.
    let join = format!("/conversations/{name}/join");
    bob.put(&ban, json!({"until": 9_999_999_999_999_u64})).await;
    alice.refused((Method::POST, &join), Value::Null, 403, "banned").await;
    bob.delete(&ban).await;
    bob.put(&ban, json!({"until": 1})).await;
    alice.refused(write, json!({"text": "x"}), 403, "not_a_participant").await;
    alice.post(&join, Value::Null).await;
    alice.post("/inbox/bob/messages", json!({"text": "back"})).await;
    assert_eq!(bob.texts(name, "").await, ["hi", "again", "back"]);
}

async fn an_inbox_has_all_of_them(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob, carol] = server.users(["alice", "bob", "carol"]);
    alice.begin("team", &["bob"], json!({})).await;
    alice.say("team", "not direct").await;
    let mut sent = Vec::new();
    for turn in 0..6 {
        let (user, peer) = [(&alice, "bob"), (&carol, "alice"), (&bob, "alice")][turn % 3];
        let target = format!("/inbox/{peer}/messages");
        sent.push(id(&user.post(&target, json!({"text": format!("text {turn}")})).await));
    }
    let ids =
        async |query: &str| each(&list(alice.get(&format!("/inbox/messages{query}")).await), "id");
    let mut sorted = ids("").await;
    sorted.sort();
    let mut want = sent.clone();
    want.sort();
    assert_eq!(sorted, want);
    assert_eq!(ids("?source=carol").await, [sent[1].clone(), sent[4].clone()]);
    let times: Vec<Value> = list(alice.get("/inbox/messages?ordering=desc").await);
    let times: Vec<u64> =
        times.iter().map(|one| one["created"].as_u64().expect("a time")).collect();
    assert!(times.is_sorted_by(|one, other| one >= other));
    let all = ids("").await;
    assert_eq!(ids("?limit=2&offset=2").await, all[2..4]);
    assert_eq!(
        each(&list(carol.get("/inbox/messages").await), "id"),
        [sent[1].clone(), sent[4].clone()]
    );
    assert_eq!(carol.get("/search?q=text").await.as_array().map(Vec::len), Some(2));
}

async fn what_is_refused_begins_nothing(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    for (body, code) in [
        (json!({"text": ""}), "bad_body"),
        (json!({"text": "x", "reply_to": "a:1"}), "bad_reply_to"),
        (json!({"text": "x", "mentions": ["eve"]}), "bad_mention"),
        (json!({"text": "x", "txn": "\0"}), "bad_body"),
    ] {
        alice.refused((Method::POST, "/inbox/bob/messages"), body, 400, code).await;
    }
    assert_eq!(bob.get("/conversations").await, json!([]));
    assert_eq!(alice.get("/conversations").await, json!([]));
    alice.post("/inbox/bob/messages", json!({"text": "x", "mentions": ["bob"]})).await;
    assert_eq!(bob.get("/unread").await[0]["mentions"], 1);
}
