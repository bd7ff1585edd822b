//! The stream of events: gapless, with one cursor for history and live, and ending with the access.

use crate::{
    common::{Setup, protocol::Events, soon},
    users::{User, each, list, start},
};
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(
    events_have_no_gap_and_go_on_from_anywhere,
    the_last_event_is_the_one_that_ends_access,
    a_deleted_conversation_ends_its_readers,
    many_writers_are_in_one_order,
);

const EVENTS: &str = "/conversations/team/events";

/// Events until one is of this type, with the offset behind each batch.
pub async fn until(events: &mut Events, kind: &str) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let event = events.next().await.expect("more events");
        if event.name == "data" {
            all.extend(list(serde_json::from_str(&event.data).expect("JSON")));
        }
        if all.last().is_some_and(|last| last["type"] == kind) {
            return all;
        }
    }
}

fn positions(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["position"].as_u64().expect("a position")).collect()
}

async fn events_have_no_gap_and_go_on_from_anywhere(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    let mut live = bob.follow("team", "-1").await;
    let mut offsets = vec![];
    for turn in 0..10 {
        let body = json!({"text": turn.to_string()});
        let sent = alice.post("/conversations/team/messages", body).await;
        offsets.push(sent["offset"].as_str().expect("an offset").to_owned());
    }
    alice.put("/messages/team:5/reactions/a", Value::Null).await;
    let followed = until(&mut live, "react").await;
    let all = bob.events("team").await;
    assert_eq!(followed, all);
    assert_eq!(positions(&all), (1..=12).collect::<Vec<_>>());
    for (turn, offset) in offsets.iter().enumerate() {
        let rest = list(bob.get(&format!("{EVENTS}?offset={offset}")).await);
        assert_eq!(rest, all[turn + 2..], "the message is just before its offset");
    }
    let shown = bob.get("/conversations/team").await;
    let offset = shown["offset"].as_str().expect("an offset");
    assert_eq!(bob.get(&format!("{EVENTS}?offset={offset}")).await, json!([]));
    let target = format!("{EVENTS}?offset={offset}&live=long-poll");
    let (polled, said) = tokio::join!(bob.get(&target), alice.say("team", "polled"));
    assert_eq!(each(&list(polled), "id"), [said]);
    let server = server.crash().await;
    assert_eq!(server.user("bob").events("team").await[..12], all);
}

async fn the_last_event_is_the_one_that_ends_access(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    for (method, list, body, kind) in [
        (Method::DELETE, "participants", Value::Null, "leave"),
        (Method::PUT, "bans", json!({"until": 1}), "ban"),
    ] {
        alice
            .send(
                Method::POST,
                "/conversations",
                json!({"name": "team", "participants": ["carol"]}),
            )
            .await;
        alice.put("/conversations/team/participants/bob", json!({})).await;
        let mut live = bob.follow("team", "now").await;
        assert_eq!(live.next().await.expect("an event").name, "control");
        let offset =
            bob.get("/conversations/team").await["offset"].as_str().expect("one").to_owned();
        let poll = format!("{EVENTS}?offset={offset}&live=long-poll");
        let end = async {
            alice.ask(method, &format!("/conversations/team/{list}/bob"), body).await;
            alice.say("team", "not for bob").await;
        };
        let (polled, ()) = tokio::join!(bob.raw(Method::GET, &poll, &[], ""), end);
        // Nobody knows whether it waits before the end comes.
        match polled.status.as_u16() {
            200 => assert_eq!(each(&crate::users::list(polled.json()), "type"), [kind]),
            _ => drop(polled.problem(403, "not_a_participant")),
        }
        let seen = until(&mut live, kind).await;
        assert_eq!(seen.len(), 1);
        let rest = soon("the end of the events", rest(live)).await;
        assert!(!rest.contains("not for bob") && !rest.contains("data"), "{rest}");
        bob.refused((Method::GET, &poll), Value::Null, 403, "not_a_participant").await;
    }
}

/// What comes until a response ends, however it does.
async fn rest(events: Events) -> String {
    let (bytes, _) = events.reader.rest().await;
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    text.lines().filter(|line| line.starts_with("event: data") || line.contains("text")).collect()
}

async fn a_deleted_conversation_ends_its_readers(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    let mut live = bob.follow("team", "-1").await;
    until(&mut live, "conversation").await;
    alice.delete("/conversations/team").await;
    let last = until(&mut live, "closed").await;
    assert_eq!(positions(&last), [2]);
    soon("the end of the events", rest(live)).await;
}

async fn many_writers_are_in_one_order(setup: Setup) {
    let server = start(setup).await;
    let names: Vec<String> = (0..8).map(|at| format!("user-{at}")).collect();
    let others: Vec<&str> = names.iter().map(String::as_str).collect();
    let alice = server.user("alice");
    alice.begin("team", &others, json!({})).await;
    let mut live = alice.follow("team", "-1").await;
    let users: Vec<User<'_>> = names.iter().map(|name| server.user(name)).collect();
    let writers = users.iter().map(|user| async move {
        for turn in 0..10 {
            user.say("team", &turn.to_string()).await;
        }
    });
    join_all(writers).await;
    alice.patch("/conversations/team", json!({"title": "done"})).await;
    let followed = until(&mut live, "settings").await;
    assert_eq!(followed, alice.events("team").await);
    assert_eq!(positions(&followed), (1..=82).collect::<Vec<_>>());
    let n: Vec<u64> = followed.iter().filter_map(|event| event["n"].as_u64()).collect();
    assert_eq!(n, (1..=80).collect::<Vec<_>>());
    for name in &names {
        let own = followed.iter().filter(|event| event["source"] == name.as_str());
        let texts: Vec<&str> = own.filter_map(|event| event["text"].as_str()).collect();
        assert_eq!(texts, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
}
