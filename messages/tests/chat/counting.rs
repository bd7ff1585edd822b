//! How far everybody is, and what is unread: against a list that counts.

use crate::{
    common::{Setup, TestServer, noise},
    users::{User, each, id, list, start},
};
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(
    unread_is_what_a_list_counts,
    marks_only_grow,
    a_sender_sees_how_far_a_message_has_come,
);

const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// Steps of the random play.
const STEPS: usize = 120;

/// A message as the list has it.
struct Listed {
    position: u64,
    counts: bool,
    imported: bool,
    deleted: bool,
    mentions: Vec<&'static str>,
    source: usize,
}

/// The list, and how far everybody is in it.
#[derive(Default)]
struct Model {
    messages: Vec<Listed>,
    read: [u64; 3],
    position: u64,
}

impl Model {
    fn unread(&self, user: usize) -> (usize, usize) {
        let behind =
            self.messages.iter().filter(|one| one.position > self.read[user] && !one.deleted);
        let (mut unread, mut mentions) = (0, 0);
        for one in behind {
            unread += usize::from(one.counts);
            let mine = one.mentions.iter().any(|name| *name == USERS[user] || *name == "@all");
            mentions += usize::from(mine && !one.imported);
        }
        (unread, mentions)
    }

    /// A message was sent. Its sender has read everything.
    fn sent(&mut self, message: Listed) {
        if !message.imported {
            self.read[message.source] = message.position;
        }
        self.position = message.position;
        self.messages.push(message);
    }

    async fn check(&self, server: &TestServer) {
        for (at, name) in USERS.iter().enumerate() {
            let (user, (unread, mentions)) = (server.user(name), self.unread(at));
            let read = self.read[at];
            let want = json!({"conversation": "team", "unread": unread, "mentions": mentions,
                "position": self.position, "read": read});
            assert_eq!(user.get("/unread").await, json!([want]), "{name}");
            let shown = user.get("/conversations/team").await;
            assert_eq!(user.get("/conversations").await, json!([shown]));
            let members = ["unread", "mentions", "position", "read"];
            assert!(members.iter().all(|member| shown[member] == want[member]), "{shown} {want}");
            let n = self.messages.iter().filter(|one| one.counts).count();
            assert_eq!(shown["n"], n);
        }
    }
}

async fn unread_is_what_a_list_counts(setup: Setup) {
    let mut server = start(setup.with(&["--flush-interval-ms", "5"])).await;
    server.user("alice").begin("team", &["bob", "carol"], json!({})).await;
    let mut model = Model { position: 1, ..Model::default() };
    for (turn, dice) in noise(11, STEPS * 4).chunks(4).enumerate() {
        step(&server, &mut model, dice).await;
        if turn % 6 == 0 {
            model.check(&server).await;
        }
        if turn == STEPS / 2 {
            server = server.crash().await;
        }
    }
    model.check(&server).await;
}

/// One thing that one of them does.
async fn step(server: &TestServer, model: &mut Model, dice: &[u8]) {
    let at = usize::from(dice[0]) % 3;
    let user = server.user(USERS[at]);
    let some = usize::from(dice[2]) % model.messages.len().max(1);
    let mentions = match dice[3] % 8 {
        0 if at == 0 => vec!["@all"],
        1 => vec!["bob"],
        2 => vec!["alice", "carol"],
        _ => vec![],
    };
    match dice[1] % 16 {
        0 | 1 if !model.messages.is_empty() => {
            let last = model.messages[some].position;
            user.put("/conversations/team/read", json!({"position": last})).await;
            model.read[at] = model.read[at].max(last);
        }
        2 => {
            user.put("/conversations/team/read", json!({})).await;
            model.read[at] = model.position;
        }
        3 | 4 if !model.messages.is_empty() && (at == 0 || model.messages[some].source == at) => {
            let target = format!("/messages/team:{}", model.messages[some].position);
            model.position = user.delete(&target).await["position"].as_u64().expect("a position");
            model.messages[some].deleted = true;
        }
        5 if at == 0 => {
            let line = json!({"source": "bob", "text": "old", "created": 5, "mentions": ["carol"]});
            let done = user.post("/conversations/team/import", line).await;
            let position = done["position"].as_u64().expect("a position");
            let mentions = vec!["carol"];
            model.sent(Listed {
                position,
                counts: false,
                imported: true,
                deleted: false,
                mentions,
                source: 1,
            });
        }
        6 | 7 if !model.messages.is_empty() => {
            let position = model.messages[some].position;
            let body = json!({"text": "reply", "thread": format!("team:{position}"), "mentions": mentions});
            let sent = user.send(Method::POST, "/conversations/team/messages", body).await;
            // Deleted ones and those in threads have no threads.
            if sent.status == 200 {
                let position = sent.json()["position"].as_u64().expect("a position");
                model.sent(Listed {
                    position,
                    counts: false,
                    imported: false,
                    deleted: false,
                    mentions,
                    source: at,
                });
            }
        }
        _ => {
            let body = json!({"text": "hi", "mentions": mentions});
            let sent = user.post("/conversations/team/messages", body).await;
            let position = sent["position"].as_u64().expect("a position");
            model.sent(Listed {
                position,
                counts: true,
                imported: false,
                deleted: false,
                mentions,
                source: at,
            });
        }
    }
}

/// How far somebody is: delivered and read.
async fn marks(user: &User<'_>, whose: &str) -> (u64, u64) {
    let receipts = list(user.get("/conversations/team/receipts").await);
    let one = receipts.iter().find(|one| one["participant"] == whose).expect("somebody");
    let number = |member: &str| one[member].as_u64().expect("a number");
    let has_time =
        |member: &str, at: &str| assert_eq!(one[member] != 0, one.get(at).is_some(), "{one}");
    has_time("delivered", "delivered_at");
    has_time("read", "read_at");
    (number("delivered"), number("read"))
}

async fn marks_only_grow(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    for turn in 0..5 {
        alice.say("team", &turn.to_string()).await;
    }
    assert_eq!(marks(&alice, "alice").await, (6, 6), "whoever sends has read");
    let (read, delivered) = ("/conversations/team/read", "/conversations/team/delivered");
    for (target, body, want) in [
        (delivered, json!({"position": 3}), (3, 0)),
        (read, json!({"position": 2}), (3, 2)),
        (delivered, json!({"position": 1}), (3, 2)),
        (read, json!({"message": "team:4"}), (4, 4)),
        (read, json!({"position": 1}), (4, 4)),
        (delivered, json!({"position": 999}), (6, 4)),
        (read, Value::Null, (6, 6)),
    ] {
        bob.put(target, body.clone()).await;
        assert_eq!(marks(&alice, "bob").await, want, "{target} {body}");
    }
    let other = json!({"message": "other:2"});
    bob.refused((Method::PUT, read), other, 404, "message_not_found").await;
    let server = server.crash().await;
    let [alice, bob] = server.users(["alice", "bob"]);
    assert_eq!(marks(&alice, "bob").await, (6, 6));
    bob.put("/messages/team:2/read", Value::Null).await;
    bob.get("/messages/team:2/mark_as_read").await;
    assert_eq!(marks(&alice, "bob").await, (6, 6));
    let said = bob.say("team", "x").await;
    assert_eq!((said.as_str(), marks(&alice, "bob").await), ("team:7", (7, 7)));
}

async fn a_sender_sees_how_far_a_message_has_come(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob, carol] = server.users(USERS);
    alice.begin("team", &["bob", "carol", "dave"], json!({})).await;
    let first = alice.say("team", "first").await;
    let second = alice.say("team", "second").await;
    bob.put(&format!("/messages/{first}/read"), Value::Null).await;
    carol.put("/conversations/team/delivered", json!({})).await;
    carol.put(&format!("/messages/{first}/reactions/a"), Value::Null).await;
    let of_first = list(alice.get(&format!("/messages/{first}/receipts")).await);
    assert_eq!(each(&of_first, "user"), ["bob", "carol"], "dave has got nothing");
    assert!(of_first.iter().all(|one| one["message"] == first.as_str()));
    assert!(of_first[0]["read_at"].is_u64() && of_first[1]["read_at"].is_null());
    assert_eq!(of_first[1]["reaction"], "a");
    let of_second = list(alice.get(&format!("/messages/{second}/receipts")).await);
    assert_eq!(each(&of_second, "user"), ["carol"]);
    let target = format!("/messages/{first}/receipts");
    bob.refused((Method::GET, &target), Value::Null, 403, "not_yours").await;
    assert_eq!(id(&bob.get(&format!("/messages/{first}")).await), first);
}
