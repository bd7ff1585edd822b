//! Conversations out and in as lines of JSON.

use crate::{
    common::{Answer, Setup},
    users::{User, start, texts},
};
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(
    an_export_has_every_event,
    what_was_exported_can_be_imported,
    an_import_is_taken_whole_or_not_at_all,
);

const EXPORT: &str = "/conversations/team/export";

async fn exported(user: &User<'_>, target: &str) -> Vec<Value> {
    let answer = user.raw(Method::GET, target, &[], "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (200, "application/x-ndjson")
    );
    answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

async fn import(user: &User<'_>, name: &str, lines: &[Value]) -> Answer {
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let target = format!("/conversations/{name}/import");
    user.raw(Method::POST, &target, &[], lines.join("\n")).await
}

async fn an_export_has_every_event(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    assert_eq!(exported(&bob, EXPORT).await.len(), 1);
    for turn in 0..50 {
        alice.say("team", &format!("{turn} {}", "ü\n\"".repeat(2_000))).await;
    }
    alice.patch("/messages/team:3", json!({"text": "edited"})).await;
    let all = bob.events("team").await;
    assert_eq!(all.len(), 52);
    for _ in ["in memory", "in the database"] {
        assert_eq!(exported(&bob, EXPORT).await, all);
        for (from, to) in [(0, 0), (1, 1), (5, 10), (52, 99), (10, 5)] {
            let want: Vec<Value> = all
                .iter()
                .filter(|event| (from..=to).contains(&event["position"].as_u64().expect("one")))
                .cloned()
                .collect();
            let target = format!("{EXPORT}?from={from}&to={to}");
            assert_eq!(exported(&bob, &target).await, want, "{target}");
        }
        bob.messages("team", "").await;
    }
    let server = server.restart().await;
    assert_eq!(exported(&server.user("bob"), EXPORT).await, all);
}

async fn what_was_exported_can_be_imported(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    for name in ["team", "copy"] {
        alice.begin(name, &["bob"], json!({})).await;
    }
    for turn in 0..600 {
        let mut body = json!({"text": format!("{turn} \u{1f600}"), "meta": {"turn": turn}});
        if turn == 3 {
            body["reply_to"] = "team:2".into();
        }
        let user = if turn % 2 == 0 { &alice } else { &bob };
        user.post("/conversations/team/messages", body).await;
    }
    let events = exported(&bob, EXPORT).await;
    let lines: Vec<Value> = events.into_iter().filter(|event| event["type"] == "message").collect();
    let detail = import(&bob, "copy", &lines).await.problem(403, "forbidden");
    assert!(detail.contains("manage"), "{detail}");
    let done = import(&alice, "copy", &lines).await.json();
    assert_eq!(done, json!({"imported": 600, "position": 601}));
    let (from, to) = (bob.messages("team", "").await, bob.messages("copy", "").await);
    assert_eq!(texts(&to), texts(&from));
    for (one, other) in from.iter().zip(&to) {
        for member in ["source", "created", "reply_to", "meta"] {
            assert_eq!(one[member], other[member]);
        }
        assert_eq!((&other["imported"], &other["n"]), (&json!(true), &json!(0)));
    }
    let copy = bob.get("/conversations/copy").await;
    assert_eq!((&copy["unread"], &copy["n"]), (&json!(0), &json!(0)), "they count as read");
    assert_eq!(alice.post("/conversations/copy/messages", json!({"text": "x"})).await["n"], 1);
    assert_eq!(bob.get("/conversations/copy").await["unread"], 1);
}

async fn an_import_is_taken_whole_or_not_at_all(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    alice.begin("team", &["bob"], json!({})).await;
    let good = json!({"source": "somebody", "text": "x", "created": 5});
    for (bad, code, word) in [
        (json!([]), "bad_body", "line 701"),
        (json!({"source": "x", "created": -1}), "bad_body", "line 701"),
        (json!({"source": "", "text": "x", "created": 1}), "bad_user", "name"),
        (json!({"source": "x", "text": "", "created": 1}), "bad_body", "text"),
        (json!({"source": "x", "text": "\0", "created": 1}), "bad_body", "NUL"),
    ] {
        let lines = [vec![good.clone(); 700], vec![bad.clone()]].concat();
        let detail = import(&alice, "team", &lines).await.problem(400, code);
        assert!(detail.contains(word), "{bad}: {detail}");
        assert_eq!(alice.get("/conversations/team").await["position"], 1, "{bad}");
    }
    // What was sent later than now was not.
    let late = json!({"source": "somebody", "text": "x", "created": 99_999_999_999_999_u64});
    import(&alice, "team", &[late]).await;
    let shown = alice.messages("team", "").await;
    let begun = alice.get("/conversations/team").await["created"].as_u64().expect("a time");
    let created = shown[0]["created"].as_u64().expect("a time");
    assert!((begun..begun + 60_000).contains(&created), "{created}");
}
