//! Sending again: a message comes once, whatever goes wrong on the way.

use crate::{
    common::{Setup, TestServer, noise},
    users::{User, id, start},
};
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(
    many_equal_requests_at_once_are_one_message,
    a_repetition_is_answered_as_the_first_time,
    a_txn_is_of_one_user_and_one_conversation,
    a_txn_says_one_thing,
    what_is_written_is_read_at_once,
);

/// No flush but at a stop, or when somebody waits for one.
const NEVER: &[&str] = &["--flush-interval-ms", "600000"];

async fn put(user: &User<'_>, txn: &str, body: &Value) -> Value {
    user.put(&format!("/conversations/team/messages/{txn}"), body.clone()).await
}

async fn many_equal_requests_at_once_are_one_message(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    let body = json!({"text": "once", "meta": {"a": 1}});
    let answers = join_all((0..20).map(|_| put(&alice, "t", &body))).await;
    let first = answers.iter().filter(|answer| answer.get("duplicate").is_none()).count();
    assert_eq!(first, 1, "{answers:?}");
    assert!(answers.iter().all(|answer| id(answer) == "team:2"), "{answers:?}");
    assert_eq!(bob.texts("team", "").await, ["once"]);
    assert_eq!(bob.events("team").await.len(), 2);
}

async fn a_repetition_is_answered_as_the_first_time(setup: Setup) {
    for flush in [NEVER, &["--flush-interval-ms", "5"]] {
        let server = start(setup.clone().with(flush)).await;
        repeat(server, flush == NEVER).await;
    }
}

/// Sends, and sends again: at once, after a crash, after a flush, after a stop.
async fn repeat(server: TestServer, first: bool) {
    let name = if first { "one" } else { "two" };
    let target = format!("/conversations/{name}/messages/t");
    let alice = server.user("alice");
    alice.begin(name, &["bob"], json!({})).await;
    // Numbers that only come back exactly if they are read exactly.
    let bytes = noise(1, 8 * 200);
    let numbers = bytes.chunks(8).map(|eight| f64::from_le_bytes(eight.try_into().expect("8")));
    let numbers: Vec<f64> = numbers.filter(|number| number.is_finite()).collect();
    let meta = json!({"numbers": numbers, "nothing": null});
    let body = json!({"text": "once", "mentions": ["bob"], "meta": meta,
        "attachments": [{"url": "https://example.org/a", "bytes": 5}]});
    let mut sent = alice.put(&target, body.clone()).await;
    let members = sent.as_object_mut().expect("a message");
    assert!(members.remove("offset").is_some(), "where the stream goes on");
    let again = async |alice: &User<'_>| {
        let mut answer = alice.put(&target, body.clone()).await;
        assert_eq!(answer["duplicate"], true, "{answer}");
        answer.as_object_mut().expect("a message").remove("duplicate");
        assert_eq!(answer, sent);
    };
    again(&alice).await;
    drop(alice);
    let server = server.crash().await;
    again(&server.user("alice")).await;
    assert_eq!(
        server.user("bob").texts(name, "").await,
        ["once"],
        "and this has waited for a flush"
    );
    again(&server.user("alice")).await;
    let server = server.restart().await;
    again(&server.user("alice")).await;
    assert_eq!(server.user("bob").events(name).await.len(), 2);
    server.stop().await;
}

async fn a_txn_is_of_one_user_and_one_conversation(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    for name in ["team", "other"] {
        alice.begin(name, &["bob"], json!({})).await;
    }
    let body = json!({"text": "hi"});
    let other = "/conversations/other/messages/t";
    let ids = [
        id(&put(&alice, "t", &body).await),
        id(&put(&bob, "t", &body).await),
        id(&alice.put(other, body.clone()).await),
        id(&alice.post("/conversations/team/messages", json!({"text": "hi", "txn": "u"})).await),
    ];
    assert_eq!(ids, ["team:2", "team:3", "other:2", "team:4"]);
    let again = put(&alice, "u", &body).await;
    assert_eq!((id(&again), &again["duplicate"]), ("team:4".into(), &json!(true)));
}

async fn a_txn_says_one_thing(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    alice.begin("team", &["bob"], json!({})).await;
    let said = alice.say("team", "first").await;
    put(&alice, "t", &json!({"text": "one"})).await;
    for flushed in [false, true] {
        for other in [
            json!({"text": "two"}),
            json!({"text": "one", "reply_to": said}),
            json!({"text": "one", "thread": said}),
            json!({"text": "one", "meta": 1}),
            json!({"text": "one", "mentions": ["bob"]}),
        ] {
            let what = (Method::PUT, "/conversations/team/messages/t");
            alice.refused(what, other, 409, "txn_reused").await;
        }
        assert_eq!(alice.texts("team", "").await, ["first", "one"], "flushed: {flushed}");
    }
    // What has become of the message is no matter of what was sent.
    alice.patch("/messages/team:3", json!({"text": "edited"})).await;
    assert_eq!(put(&alice, "t", &json!({"text": "one"})).await["id"], "team:3");
    alice.delete("/messages/team:3").await;
    assert_eq!(put(&alice, "t", &json!({"text": "one"})).await["id"], "team:3");
    assert_eq!(alice.texts("team", "").await, ["first", ""]);
}

async fn what_is_written_is_read_at_once(setup: Setup) {
    // Nothing is in the tables unless whoever reads them waits for it.
    let server = start(setup.with(NEVER)).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    for turn in 0..3_u64 {
        let said = alice.post(
            "/conversations/team/messages",
            json!({"text": format!("word{turn}"), "mentions": ["bob"]}),
        );
        let said = id(&said.await);
        let message = format!("/messages/{said}");
        assert_eq!(bob.get(&message).await["text"], format!("word{turn}"));
        assert_eq!(bob.messages("team", "").await.len() as u64, turn + 1);
        assert_eq!(bob.get(&format!("/search?q=word{turn}")).await[0]["id"], said.as_str());
        bob.put(&format!("{message}/reactions/a"), Value::Null).await;
        assert_eq!(alice.get(&message).await["reactions"]["a"], json!({"count": 1, "me": false}));
        assert_eq!(alice.get(&format!("{message}/reactions")).await[0]["participant"], "bob");
        let unread = bob.get("/unread").await;
        assert_eq!((&unread[0]["unread"], &unread[0]["mentions"]), (&json!(1), &json!(1)));
        bob.put("/conversations/team/read", json!({})).await;
        assert_eq!(bob.get("/unread").await[0]["unread"], 0);
        assert_eq!(bob.get("/conversations").await[0]["unread"], 0);
        let receipts = alice.get("/conversations/team/receipts").await;
        assert_eq!(receipts[1]["read"], unread[0]["position"]);
        alice.put(&format!("/conversations/team/pins/{said}"), Value::Null).await;
        assert_eq!(bob.get("/conversations/team/pins").await[0]["id"], said.as_str());
        bob.post(&format!("{message}/report"), json!({"reason": "no"})).await;
        assert_eq!(alice.get("/conversations/team/reports").await[0]["message"], said.as_str());
        alice.patch(&message, json!({"text": format!("other{turn}")})).await;
        assert_eq!(
            alice.get(&format!("{message}/history")).await[1]["text"],
            format!("other{turn}")
        );
        let title = format!("title {turn}");
        alice.patch("/conversations/team", json!({"title": title})).await;
        assert_eq!(bob.get("/conversations/team").await["title"], title);
    }
}
