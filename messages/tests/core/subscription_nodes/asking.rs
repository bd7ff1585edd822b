//! Clients ask any node.

use super::{
    super::subscription_run::done,
    node::{DS, Together, token, until},
    webhook,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_answers_as_the_one_that_works() {
    let all = Together::new().await;
    let a = all.node(0).await;
    a.until_it_works().await;
    let b = all.node(1).await;
    let put = b.request("PUT", "/v1/stream/wake", &token("alice"), &Value::Null).await;
    assert_eq!(put.0, 201, "{put:?}");
    let config = json!({"type": "pull-wake", "pattern": "s/*", "wake_stream": "wake"});
    assert_eq!(b.put("p", &config).await.0, 201);
    assert_eq!(a.put("p", &config).await.0, 200);
    let keys = "/v1/stream/__ds/jwks.json";
    for (method, path, user, body) in [
        ("GET", format!("{DS}/p"), "alice", Value::Null),
        ("GET", format!("{DS}/nobody"), "alice", Value::Null),
        ("GET", keys.to_owned(), "alice", Value::Null),
        ("PATCH", format!("{DS}/p"), "alice", Value::Null),
        ("PUT", format!("{DS}/p"), "alice", webhook("s/*")),
        ("PUT", format!("{DS}/q"), "alice", json!({"type": "other"})),
        ("POST", format!("{DS}/p/claim"), "alice", json!({"worker": "one"})),
        ("POST", format!("{DS}/p/claim"), "alice", json!({"worker": ""})),
        ("POST", format!("{DS}/p/ack"), "alice", json!({"wake_id": "w", "generation": 1})),
        ("GET", "/v1/stream/__ds/other".to_owned(), "alice", Value::Null),
        ("GET", "/conversations/none/webhooks".to_owned(), "alice", Value::Null),
        ("GET", "/conversations/none/webhooks/x".to_owned(), "alice", Value::Null),
        ("PUT", "/conversations/none/webhooks/x".to_owned(), "alice", json!({"url": 1})),
    ] {
        let here = a.request(method, &path, &token(user), &body).await;
        assert_eq!(here, b.request(method, &path, &token(user), &body).await, "{method} {path}");
    }
    for path in [format!("{DS}/p"), "/conversations/none/webhooks".to_owned()] {
        assert_eq!(b.request("GET", &path, "no token", &Value::Null).await.0, 401);
    }
    // Work is claimed at one node and done at the other.
    let tail = b.append("s/x", "x").await;
    let events = async |count: usize| {
        let answer = b.ask("GET", "/v1/stream/wake", "alice", &Value::Null).await.1;
        answer.as_array().is_some_and(|events| events.len() == count)
    };
    until(async || events(1).await).await;
    let (status, claimed) =
        b.ask("POST", &format!("{DS}/p/claim"), "alice", &json!({"worker": "one"})).await;
    assert_eq!((status, &claimed["streams"][0]["path"]), (200, &"s/x".into()), "{claimed}");
    let busy = b.ask("POST", &format!("{DS}/p/claim"), "alice", &json!({"worker": "two"})).await;
    assert_eq!((busy.0, &busy.1["error"]["current_holder"]), (409, &"one".into()));
    // Further than the node that works may have heard of.
    let further = b.append("s/x", "y").await;
    assert!(further.bytes > tail.bytes);
    let report = json!({
        "wake_id": claimed["wake_id"],
        "generation": claimed["generation"],
        "acks": [{"stream": "s/x", "offset": further.to_string()}],
        "done": true,
    });
    let ack = format!("{DS}/p/ack");
    let acked = b.request("POST", &ack, claimed["token"].as_str().expect("a token"), &report).await;
    assert_eq!(acked.0, 200, "{acked:?}");
    assert_eq!(a.acked("p", "s/x").await, further.to_string());
    assert_eq!(b.ask("DELETE", &format!("{DS}/p"), "alice", &Value::Null).await.0, 204);
    assert_eq!(a.get("p").await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_waits_for_the_next_one_that_works() {
    let all = Together::new().await;
    let a = all.node(0).await;
    a.until_it_works().await;
    let b = all.node(1).await;
    let c = all.node(2).await;
    assert_eq!(c.put("w", &webhook("s/*")).await.0, 201);
    drop(a);
    let (found, other) = tokio::join!(b.get("w"), c.get("w"));
    assert_eq!((found.0, other.0), (200, 200));
    assert_eq!(found.1, other.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_by_name_made_anywhere_tells_what_happens_anywhere() {
    let mut all = Together::new().await;
    let a = all.node(0).await;
    a.until_it_works().await;
    let b = all.node(1).await;
    b.append("t/old", "before").await;
    assert_eq!(b.put("w", &webhook("s/*")).await.0, 201);
    let link = json!({"streams": ["t/old", "t/new"]});
    assert_eq!(b.ask("POST", &format!("{DS}/w/streams"), "alice", &link).await.0, 204);
    for (name, text) in [("t/old", "more"), ("t/new", "new"), ("t/old", "again")] {
        let tail = b.append(name, text).await;
        let (_, wake, answer) = all.call().await;
        assert_eq!(wake["streams"][0]["path"], name);
        done(answer);
        until(async || b.acked("w", name).await == tail.to_string()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_of_conversations_are_told_of_what_is_said_on_any_node() {
    let mut all = Together::new().await;
    let a = all.node(0).await;
    a.until_it_works().await;
    let b = all.node(1).await;
    let team = json!({"name": "team", "participants": ["bob"]});
    let (status, answer) = b.ask("POST", "/conversations", "alice", &team).await;
    assert_eq!(status, 200, "{answer}");
    let hook = json!({"url": "https://hook.test/"});
    let (status, made) = b.ask("PUT", "/conversations/team/webhooks/bot", "bob", &hook).await;
    assert_eq!(status, 201, "{made}");
    let list = "/conversations/team/webhooks";
    let here = a.ask("GET", list, "bob", &Value::Null).await;
    assert_eq!(here, b.ask("GET", list, "bob", &Value::Null).await);
    let message = json!({"text": "hello"});
    let said = b.ask("PUT", "/conversations/team/messages/1", "alice", &message).await;
    assert!((200..300).contains(&said.0), "{said:?}");
    let (by, wake, answer) = all.call().await;
    assert_eq!(by, 0, "{wake}");
    done(answer);
    // Who has left is told nothing any more.
    let left = b.ask("POST", "/conversations/team/leave", "bob", &Value::Null).await;
    assert!((200..300).contains(&left.0), "{left:?}");
    let said = b.ask("PUT", "/conversations/team/messages/2", "alice", &message).await;
    assert!((200..300).contains(&said.0), "{said:?}");
    all.silence().await;
}
