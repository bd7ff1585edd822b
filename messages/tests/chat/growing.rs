//! Messages that grow with the body of a request.

use crate::{
    common::{Setup, eventually, protocol::Events},
    users::{User, each, list, start},
};
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(
    readers_see_parts_as_they_come,
    a_body_that_breaks_off_leaves_it_interrupted,
    a_crash_leaves_it_interrupted,
    what_is_no_text_ends_it,
    one_that_grows_can_be_deleted_and_not_edited,
    sent_again_it_is_the_same,
);

/// The texts of events until one of this type, with the type of the last.
async fn grown(events: &mut Events, until: &str) -> String {
    let mut text = String::new();
    loop {
        let event = events.next().await.expect("more events");
        if event.name != "data" {
            continue;
        }
        for event in list(serde_json::from_str(&event.data).expect("JSON")) {
            text.push_str(event["text"].as_str().unwrap_or_default());
            if event["type"] == until {
                return text;
            }
        }
    }
}

/// What has come until there is as much as `want`, which must be that.
async fn sees(events: &mut Events, want: &str) {
    let mut text = String::new();
    while text != want {
        text.push_str(&grown(events, "part").await);
        assert!(want.starts_with(&text), "{text:?} instead of {want:?}");
    }
}

async fn team(alice: &User<'_>) {
    alice.begin("team", &["bob"], json!({})).await;
}

async fn readers_see_parts_as_they_come(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    team(&alice).await;
    let mut live = bob.follow("team", "now").await;
    let mut growing = alice.grow("team", "t");
    // A character may be cut in two.
    let word = "größer ";
    let (head, rest) = word.as_bytes().split_at(3);
    growing.send(head.to_vec()).await;
    grown(&mut live, "message").await;
    growing.send(rest.to_vec()).await;
    sees(&mut live, word).await;
    for _ in 0..3 {
        growing.send(word).await;
        sees(&mut live, word).await;
    }
    let shown = bob.messages("team", "").await;
    assert_eq!((&shown[0]["streaming"], &shown[0]["text"]), (&json!(true), &json!(word.repeat(4))));
    assert_eq!(bob.get("/unread").await[0]["unread"], 1, "it counts once");
    let said = alice.say("team", "in between").await;
    assert_eq!(said.rsplit_once(':').map(|(team, _)| team), Some("team"));
    let answer = growing.finish().await.json();
    assert_eq!((&answer["text"], answer.get("streaming")), (&json!(word.repeat(4)), None));
    assert_eq!(grown(&mut live, "finish").await, "in between");
    assert_eq!(bob.get("/unread").await[0]["unread"], 2);
    assert_eq!(bob.texts("team", "").await, [word.repeat(4), "in between".into()]);
    let found = list(bob.get("/search?q=gr%C3%B6%C3%9Fer").await);
    assert_eq!(each(&found, "txn"), ["t"]);
}

async fn a_body_that_breaks_off_leaves_it_interrupted(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    team(&alice).await;
    let mut live = bob.follow("team", "now").await;
    let mut growing = alice.grow("team", "t");
    growing.send("so far").await;
    sees(&mut live, "so far").await;
    growing.break_off().await;
    grown(&mut live, "finish").await;
    let shown = bob.messages("team", "").await;
    assert_eq!((&shown[0]["interrupted"], &shown[0]["text"]), (&json!(true), &json!("so far")));
    assert!(shown[0].get("streaming").is_none());
    // It is complete as it is, and can be edited.
    alice.patch("/messages/team:2", json!({"text": "all of it"})).await;
    assert_eq!(bob.texts("team", "").await, ["all of it"]);
}

async fn a_crash_leaves_it_interrupted(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    team(&alice).await;
    let mut live = bob.follow("team", "now").await;
    let mut growing = alice.grow("team", "t");
    growing.send("so far").await;
    sees(&mut live, "so far").await;
    let server = server.crash().await;
    let bob = server.user("bob");
    let shown = eventually("the server ends it", async || {
        let shown = bob.messages("team", "").await.remove(0);
        shown.get("streaming").is_none().then_some(shown)
    })
    .await;
    assert_eq!((&shown["interrupted"], &shown["text"]), (&json!(true), &json!("so far")));
    let finish = bob.events("team").await.pop().expect("an event");
    assert_eq!((&finish["type"], &finish["target"]), (&json!("finish"), &json!(2)));
    assert_eq!((&finish["interrupted"], &finish["source"]), (&json!(true), &json!("@server")));
}

async fn what_is_no_text_ends_it(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    team(&alice).await;
    for (turn, (bytes, status, code)) in [
        (vec![b'a', 0xff], 400, "bad_body"),
        (vec![b'a', 0], 400, "bad_body"),
        // Half a character.
        (vec![b'a', 0xc3], 400, "bad_body"),
        (vec![b'a'; (256 << 10) + 1], 413, "body_too_large"),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/conversations/team/messages/{turn}/text");
        let headers = [("content-type", "text/plain; charset=utf-8")];
        let answer = alice.raw(Method::PUT, &target, &headers, bytes).await;
        answer.problem(status, code);
        let shown = alice.messages("team", "?ordering=desc&limit=1").await;
        assert_eq!(
            (&shown[0]["txn"], &shown[0]["interrupted"]),
            (&json!(turn.to_string()), &json!(true))
        );
        let text = shown[0]["text"].as_str().expect("a text");
        assert!(text.len() <= 256 << 10 && text.bytes().all(|byte| byte == b'a'), "{turn}");
    }
    let headers = [("content-type", "text/plain")];
    let empty =
        alice.raw(Method::PUT, "/conversations/team/messages/empty/text", &headers, "").await;
    assert_eq!((&empty.json()["text"], empty.json().get("interrupted")), (&json!(""), None));
}

async fn one_that_grows_can_be_deleted_and_not_edited(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    team(&alice).await;
    let mut live = bob.follow("team", "now").await;
    let mut growing = alice.grow("team", "t");
    growing.send("cherry").await;
    sees(&mut live, "cherry").await;
    let edit = json!({"text": "x"});
    alice.refused((Method::PATCH, "/messages/team:2"), edit, 409, "message_growing").await;
    alice.delete("/messages/team:2").await;
    growing.try_send("and more").await;
    growing.refusal().await.problem(410, "message_deleted");
    assert_eq!(bob.texts("team", "").await, [""]);
    let events = Value::from(bob.events("team").await).to_string();
    assert!(!events.contains("cherry") && !events.contains("more"), "{events}");
    assert!(!crate::messages::whole_database(server.setup()).await.contains("cherry"));
}

async fn sent_again_it_is_the_same(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    team(&alice).await;
    let send = async |user: &User<'_>| {
        let headers = [("content-type", "text/plain")];
        let target = "/conversations/team/messages/t/text";
        user.raw(Method::PUT, target, &headers, "all of it").await.json()
    };
    let first = send(&alice).await;
    assert_eq!((&first["text"], first.get("duplicate")), (&json!("all of it"), None));
    let mut again = send(&alice).await;
    assert_eq!(again["duplicate"], true);
    again.as_object_mut().expect("a message").remove("duplicate");
    assert_eq!(again, first);
    assert_eq!(bob.texts("team", "").await, ["all of it"]);
    let server = server.crash().await;
    assert_eq!(send(&server.user("alice")).await["duplicate"], true);
    assert_eq!(server.user("bob").texts("team", "").await, ["all of it"]);
}
