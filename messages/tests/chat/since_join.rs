//! Who comes in later and may not see what was before sees nothing of it, wherever they look.

use crate::{
    common::{Setup, TestServer},
    events::until,
    users::{each, list, position, start, texts},
};
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(
    whoever_comes_later_sees_what_comes_then,
    history_is_as_it_was_at_the_joining
);

const TEAM: &str = "/conversations/team";

/// Looks at `team` with the eyes of eve, who came in behind `old` and before `new`.
async fn look(server: &TestServer, old: &str, new: &str) {
    let eve = server.user("eve");
    assert_eq!(eve.texts("team", "").await, ["new berry"]);
    for query in
        ["?after=0", "?before=99", "?around=2", "?ordering=desc", "?source=alice", "?offset=0"]
    {
        assert_eq!(eve.texts("team", query).await, ["new berry"], "{query}");
    }
    for query in [format!("?thread={old}"), format!("?reply_to={old}"), "?before=3".into()] {
        assert_eq!(eve.messages("team", &query).await, Vec::<Value>::new(), "{query}");
    }
    for target in [format!("{TEAM}/search?q=berry"), "/search?q=berry".into()] {
        assert_eq!(texts(&list(eve.get(&target).await)), ["new berry"], "{target}");
    }
    assert_eq!(each(&list(eve.get(&format!("{TEAM}/pins")).await), "id"), [new]);
    let events = eve.events("team").await;
    assert_eq!(events[0]["type"], "join");
    assert!(!Value::from(events.clone()).to_string().contains("old"), "{events:?}");
    let export = eve.get(&format!("{TEAM}/export?from=0")).await;
    let lines: Vec<Value> = export
        .as_str()
        .expect("lines")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines, events);
    let from = events[0]["position"].as_u64().expect("a position");
    let beginning = format!("{TEAM}/events?offset=0000000000000001_0000000000000001");
    let trimmed = eve.raw(Method::GET, &beginning, &[], "").await;
    trimmed.problem(410, "trimmed");
    let low = trimmed.header("stream-next-offset").to_owned();
    assert_eq!(low[..16].parse::<u64>().expect("records"), from - 1, "it tells where to go on");
    assert_eq!(list(eve.get(&format!("{TEAM}/events?offset={low}")).await), events);
    assert_eq!(until(&mut eve.follow("team", "-1").await, "pin").await, events);
    for (method, target, body) in [
        (Method::GET, format!("/messages/{old}"), Value::Null),
        (Method::GET, format!("/messages/{old}/history"), Value::Null),
        (Method::GET, format!("/messages/{old}/reactions"), Value::Null),
        (Method::PUT, format!("/messages/{old}/reactions/a"), Value::Null),
        (Method::DELETE, format!("/messages/{old}/reactions/a"), Value::Null),
        (Method::PUT, format!("{TEAM}/pins/{old}"), Value::Null),
        (Method::POST, format!("/messages/{old}/report"), json!({"reason": "x"})),
        (Method::PUT, format!("/messages/{old}/read"), Value::Null),
        (Method::DELETE, format!("/messages/{old}"), Value::Null),
    ] {
        eve.refused((method, &target), body, 404, "message_not_found").await;
    }
    for member in ["reply_to", "thread"] {
        let mut body = json!({"text": "x"});
        body[member] = old.into();
        let what = (Method::POST, "/conversations/team/messages");
        eve.refused(what, body, 400, &format!("bad_{member}")).await;
    }
}

async fn whoever_comes_later_sees_what_comes_then(setup: Setup) {
    let server = start(setup).await;
    let [alice, eve] = server.users(["alice", "eve"]);
    alice.begin("team", &["bob"], json!({"history": "since_join"})).await;
    let old = alice.say("team", "old berry").await;
    alice.put(&format!("{TEAM}/pins/{old}"), Value::Null).await;
    alice.put(&format!("{TEAM}/participants/eve"), json!({"role": "moderator"})).await;
    assert_eq!(eve.get("/unread").await[0]["unread"], 0);
    let new = alice.say("team", "new berry").await;
    alice.put(&format!("{TEAM}/pins/{new}"), Value::Null).await;
    assert_eq!(eve.get("/unread").await[0]["unread"], 1);
    look(&server, &old, &new).await;
    look(&server.crash().await, &old, &new).await;
}

async fn history_is_as_it_was_at_the_joining(setup: Setup) {
    let server = start(setup).await;
    let [alice, eve, carol] = server.users(["alice", "eve", "carol"]);
    alice.begin("team", &["bob"], json!({"join": "open"})).await;
    let first = alice.say("team", "first").await;
    eve.post(&format!("{TEAM}/join"), Value::Null).await;
    alice.patch(TEAM, json!({"settings": {"history": "since_join"}})).await;
    carol.post(&format!("{TEAM}/join"), Value::Null).await;
    alice.say("team", "second").await;
    assert_eq!(eve.texts("team", "").await, ["first", "second"]);
    assert_eq!(carol.texts("team", "").await, ["second"]);
    // Whoever goes and comes again comes in anew.
    for turn in ["third", "fourth"] {
        eve.post(&format!("{TEAM}/leave"), Value::Null).await;
        eve.post(&format!("{TEAM}/join"), Value::Null).await;
        alice.say("team", turn).await;
    }
    assert_eq!(eve.texts("team", "").await, ["fourth"]);
    assert_eq!(position(&first), 2);
}
