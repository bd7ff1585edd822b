//! Old messages go away by themselves. The server looks for them when it starts, and then now and
//! then; so a restart is all that these tests wait for.

use crate::{
    common::{Setup, TestServer, eventually},
    messages::whole_database,
    users::{list, start},
};
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(the_last_so_many_stay, what_is_older_goes);

const TEAM: &str = "/conversations/team";

/// Starts again, and waits until messages have gone. Returns what went last.
async fn trimmed(server: TestServer) -> (TestServer, u64) {
    let server = server.restart().await;
    let low = eventually("old messages go", async || {
        let low = server.user("alice").get(TEAM).await["low"].as_u64().expect("a position");
        (low > 0).then_some(low)
    })
    .await;
    (server, low)
}

async fn the_last_so_many_stay(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({"retention_messages": 3})).await;
    for turn in 0..10 {
        let said = alice.say("team", &format!("plum {turn}")).await;
        bob.put(&format!("/messages/{said}/reactions/a"), Value::Null).await;
    }
    alice.put(&format!("{TEAM}/pins/team:2"), Value::Null).await;
    bob.post("/messages/team:2/report", json!({"reason": "sour"})).await;
    bob.put(&format!("{TEAM}/read"), json!({"position": 3})).await;
    assert_eq!(bob.get("/unread").await[0]["unread"], 9);
    let offset = "0000000000000001_0000000000000001";
    let (server, low) = trimmed(server).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    assert_eq!(low, 15, "what is before the third message from the end");
    assert_eq!(bob.texts("team", "").await, ["plum 7", "plum 8", "plum 9"]);
    assert_eq!(bob.get("/unread").await[0]["unread"], 3);
    bob.refused((Method::GET, "/messages/team:2"), Value::Null, 404, "message_not_found").await;
    let react = (Method::PUT, "/messages/team:2/reactions/b");
    bob.refused(react, Value::Null, 404, "message_not_found").await;
    for target in ["/pins", "/reports", "/search?q=%22plum+0%22"] {
        assert_eq!(alice.get(&format!("{TEAM}{target}")).await, json!([]), "{target}");
    }
    // Whoever was away for so long is told where to go on.
    let old = format!("{TEAM}/events?offset={offset}");
    for live in ["", "&live=long-poll", "&live=sse"] {
        let gone = bob.raw(Method::GET, &format!("{old}{live}"), &[], "").await;
        gone.problem(410, "trimmed");
        let low = gone.header("stream-next-offset").to_owned();
        let events = list(bob.get(&format!("{TEAM}/events?offset={low}")).await);
        assert_eq!(events[0]["position"], 16);
        assert_eq!(events, bob.events("team").await, "the beginning is there now");
        let trim = events.last().expect("an event");
        assert_eq!(
            (&trim["type"], &trim["low"], &trim["n"]),
            (&json!("trim"), &json!(15), &json!(7))
        );
    }
    let stored = whole_database(server.setup()).await;
    assert!(!stored.contains("plum 6") && stored.contains("plum 7"), "{stored}");
    // What is sent now is counted on, and what stays is no less for the next start.
    assert_eq!(alice.post(&format!("{TEAM}/messages"), json!({"text": "plum 10"})).await["n"], 11);
    let server = server.crash().await;
    let bob = server.user("bob");
    eventually("the fourth from the end goes", async || {
        (bob.texts("team", "").await == ["plum 8", "plum 9", "plum 10"]).then_some(())
    })
    .await;
}

async fn what_is_older_goes(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    alice.begin("team", &["bob"], json!({})).await;
    // Only what is imported is old enough.
    let lines: Vec<String> = (0..5)
        .map(|turn| json!({"source": "bob", "text": turn.to_string(), "created": turn}).to_string())
        .collect();
    alice.raw(Method::POST, &format!("{TEAM}/import"), &[], lines.join("\n")).await;
    alice.say("team", "new").await;
    alice.patch(TEAM, json!({"settings": {"retention_secs": 3600}})).await;
    let (server, low) = trimmed(server).await;
    assert_eq!(low, 6);
    assert_eq!(server.user("bob").texts("team", "").await, ["new"]);
    assert_eq!(server.user("bob").get("/unread").await[0]["unread"], 1);
}
