//! Who takes part and what they may do.

use crate::{
    common::{Setup, TestServer, eventually},
    messages::whole_database,
    users::{User, each, list, start},
};
use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(
    roles_may_do_what_the_documents_say,
    settings_may_say_otherwise,
    nobody_acts_on_somebody_above,
    the_last_owner_stays,
    people_come_and_go,
    a_ban_keeps_somebody_out_until_it_is_over,
    whoever_is_muted_only_reads,
    members_wait_in_slow_mode,
    an_open_conversation_is_open,
    of_many_who_begin_it_at_once_one_does,
    titles_and_settings_change,
    a_deleted_conversation_is_gone,
);

const ROLES: [&str; 4] = ["reader", "member", "moderator", "owner"];
const TEAM: &str = "/conversations/team";

/// Begins `team` of alice with a user for each role, who is called as it is.
async fn team(alice: &User<'_>, settings: Value) {
    alice.begin("team", &ROLES, settings).await;
    for role in ROLES {
        give(alice, role, role).await;
    }
}

async fn give(by: &User<'_>, user: &str, role: &str) {
    by.put(&format!("{TEAM}/participants/{user}"), json!({"role": role})).await;
}

fn now() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "bans end at a time of day")]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_millis() as u64
}

/// What needs a permission: its name, the least role, and a request. `{own}` is a message of theirs,
/// `{other}` one of alice.
const ACTIONS: [(&str, usize, &str, &str, &str); 15] = [
    ("send", 1, "POST", "/conversations/team/messages", r#"{"text": "x"}"#),
    ("react", 1, "PUT", "/messages/{other}/reactions/a", ""),
    ("edit", 1, "PATCH", "/messages/{own}", r#"{"text": "y"}"#),
    ("delete", 1, "DELETE", "/messages/{own}", ""),
    ("invite", 1, "PUT", "/conversations/team/participants/{new}", "{}"),
    ("delete_any", 2, "DELETE", "/messages/{other}", ""),
    ("pin", 2, "PUT", "/conversations/team/pins/{other}", ""),
    ("kick", 2, "DELETE", "/conversations/team/participants/{victim}", ""),
    ("ban", 2, "PUT", "/conversations/team/bans/{victim}", "{}"),
    ("mute", 2, "PUT", "/conversations/team/mutes/{victim}", "{}"),
    ("mention_all", 2, "PATCH", "/messages/{own}", r#"{"text": "y", "mentions": ["@all"]}"#),
    ("reports", 2, "GET", "/conversations/team/reports", ""),
    ("manage", 3, "PATCH", "/conversations/team", r#"{"title": "T"}"#),
    ("roles", 3, "PUT", "/conversations/team/participants/{victim}", r#"{"role": "member"}"#),
    ("roles", 3, "PUT", "/conversations/team/participants/{new}", r#"{"role": "reader"}"#),
];

async fn roles_may_do_what_the_documents_say(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    team(&alice, json!({})).await;
    for (turn, (permission, least, word, target, body)) in ACTIONS.into_iter().enumerate() {
        for (rank, role) in ROLES.into_iter().enumerate() {
            let user = server.user(role);
            let (victim, new) = (format!("victim-{turn}-{rank}"), format!("new-{turn}-{rank}"));
            alice.put(&format!("{TEAM}/participants/{victim}"), json!({"role": "reader"})).await;
            let other = alice.say("team", "of alice").await;
            // A reader has written before they were one.
            give(&alice, role, "member").await;
            let own = user.say("team", "of mine").await;
            give(&alice, role, role).await;
            let target =
                [("{own}", &own), ("{other}", &other), ("{victim}", &victim), ("{new}", &new)]
                    .iter()
                    .fold(target.to_owned(), |text, (name, value)| text.replace(name, value));
            let (what, body) =
                ((word.parse().expect("a method"), &*target), crate::routes::body(body));
            if rank >= least {
                user.ask(what.0, what.1, body).await;
            } else {
                let detail = user.refused(what, body, 403, "forbidden").await;
                assert!(detail.contains('('), "{role} {permission}: it names one: {detail}");
            }
        }
    }
}

async fn settings_may_say_otherwise(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    let permissions = json!({"reader": {"send": true}, "member": {"invite": false, "pin": true},
        "moderator": {"kick": false}, "owner": {"manage": false}});
    team(&alice, json!({"permissions": permissions})).await;
    let said = alice.say("team", "hi").await;
    let invite = format!("{TEAM}/participants/new");
    let pin = format!("{TEAM}/pins/{said}");
    let kick = format!("{TEAM}/participants/reader");
    let [reader, member, moderator, owner] = server.users(ROLES);
    reader.say("team", "a reader who writes").await;
    reader.refused((Method::PUT, &invite), json!({}), 403, "forbidden").await;
    member.refused((Method::PUT, &invite), json!({}), 403, "forbidden").await;
    member.put(&pin, Value::Null).await;
    moderator.refused((Method::DELETE, &kick), Value::Null, 403, "forbidden").await;
    moderator.put(&invite, json!({})).await;
    owner.patch(TEAM, json!({"title": "nobody locks owners out"})).await;
    alice.patch(TEAM, json!({"settings": {"permissions": null}})).await;
    moderator.delete(&kick).await;
    member.refused((Method::DELETE, &pin), Value::Null, 403, "forbidden").await;
}

async fn nobody_acts_on_somebody_above(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    team(&alice, json!({"permissions": {"moderator": {"roles": true}}})).await;
    give(&alice, "second", "moderator").await;
    let moderator = server.user("moderator");
    for above in ["second", "owner", "alice"] {
        for (method, list, body) in [
            (Method::DELETE, "participants", Value::Null),
            (Method::PUT, "bans", json!({})),
            (Method::PUT, "mutes", json!({})),
            (Method::PUT, "participants", json!({"role": "reader"})),
        ] {
            let target = format!("{TEAM}/{list}/{above}");
            moderator.refused((method, &target), body, 403, "forbidden").await;
        }
    }
    let member = format!("{TEAM}/participants/member");
    moderator.refused((Method::PUT, &member), json!({"role": "owner"}), 403, "forbidden").await;
    moderator.put(&member, json!({"role": "moderator"})).await;
    moderator.refused((Method::PUT, &member), json!({"role": "member"}), 403, "forbidden").await;
    server.user("owner").delete(&format!("{TEAM}/participants/alice")).await;
    alice.refused((Method::GET, TEAM), Value::Null, 403, "not_a_participant").await;
}

async fn the_last_owner_stays(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    let me = format!("{TEAM}/participants/alice");
    for (what, body) in [
        ((Method::POST, "/conversations/team/leave"), Value::Null),
        ((Method::DELETE, me.as_str()), Value::Null),
        ((Method::PUT, me.as_str()), json!({"role": "member"})),
        ((Method::PUT, "/conversations/team/bans/alice"), json!({})),
    ] {
        alice.refused(what, body, 409, "last_owner").await;
    }
    give(&alice, "bob", "owner").await;
    alice.post("/conversations/team/leave", Value::Null).await;
    bob.refused(
        (Method::PUT, "/conversations/team/participants/bob"),
        json!({"role": "reader"}),
        409,
        "last_owner",
    )
    .await;
    bob.post("/conversations/team/leave", Value::Null).await;
    bob.refused((Method::GET, TEAM), Value::Null, 403, "not_a_participant").await;
}

async fn people_come_and_go(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob, eve] = server.users(["alice", "bob", "eve"]);
    alice.begin("team", &["bob"], json!({})).await;
    let target = format!("{TEAM}/participants/eve");
    let invited = alice.put(&target, json!({"invite": true, "role": "moderator"})).await;
    assert_eq!((&invited["state"], &invited["role"]), (&json!("invited"), &json!("moderator")));
    // Somebody who is invited sees that there is something, and nothing of what is in it.
    assert_eq!(eve.get("/conversations?state=invited").await[0]["name"], "team");
    assert_eq!(eve.get("/conversations").await, json!([]));
    assert_eq!(eve.get(TEAM).await["state"], "invited");
    for target in ["messages", "events", "participants", "export"] {
        let target = format!("{TEAM}/{target}");
        eve.refused((Method::GET, &target), Value::Null, 403, "not_a_participant").await;
    }
    eve.delete(&target).await;
    eve.refused((Method::POST, "/conversations/team/join"), Value::Null, 403, "not_invited").await;
    alice.put(&target, json!({"invite": true, "role": "moderator"})).await;
    let joined = eve.post("/conversations/team/join", Value::Null).await;
    assert_eq!((&joined["state"], &joined["role"]), (&json!("member"), &json!("moderator")));
    assert_eq!(joined["unread"], 0, "nobody comes in with unread messages");
    let people = list(bob.get("/conversations/team/participants").await);
    assert_eq!(each(&people, "participant"), ["alice", "bob", "eve"]);
    assert_eq!(each(&people, "role"), ["owner", "member", "moderator"]);
    eve.post("/conversations/team/leave", Value::Null).await;
    eve.refused((Method::POST, "/conversations/team/leave"), Value::Null, 403, "not_a_participant")
        .await;
    eve.refused((Method::POST, "/conversations/team/join"), Value::Null, 403, "not_invited").await;
    let added = bob.put(&target, json!({})).await;
    assert_eq!((&added["state"], &added["role"]), (&json!("member"), &json!("member")));
    let kinds: Vec<String> = each(&bob.events("team").await, "type");
    let want = ["conversation", "invite", "leave", "invite", "join", "leave", "join"];
    assert_eq!(kinds, want);
}

async fn a_ban_keeps_somebody_out_until_it_is_over(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    alice.begin("team", &["bob"], json!({"join": "open"})).await;
    let (ban, join) = ("/conversations/team/bans/bob", "/conversations/team/join");
    let shown = alice.put(ban, json!({"reason": "rude"})).await;
    assert_eq!(shown["state"], "banned");
    let server = server.crash().await;
    let [alice, bob] = server.users(["alice", "bob"]);
    bob.refused((Method::GET, TEAM), Value::Null, 403, "not_a_participant").await;
    bob.refused((Method::POST, join), Value::Null, 403, "banned").await;
    let add = (Method::PUT, "/conversations/team/participants/bob");
    alice.refused(add, json!({}), 403, "banned").await;
    let banned = list(alice.get("/conversations/team/participants?state=banned").await);
    assert_eq!(each(&banned, "participant"), ["bob"]);
    alice.delete(ban).await;
    bob.post(join, Value::Null).await;
    let until = now() + 1000;
    assert_eq!(alice.put(ban, json!({"until": until})).await["banned_until"], until);
    let refused = bob.send(Method::POST, join, Value::Null).await;
    refused.problem(403, "banned");
    assert_eq!(refused.json()["until"], until);
    eventually("the ban is over", async || {
        (bob.send(Method::POST, join, Value::Null).await.status == 200).then_some(())
    })
    .await;
    assert!(now() >= until);
    let last = alice.events("team").await;
    assert_eq!(last[1]["reason"], "rude");
}

async fn whoever_is_muted_only_reads(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    let (mute, messages) = ("/conversations/team/mutes/bob", "/conversations/team/messages");
    let own = bob.say("team", "before").await;
    let shown = alice.put(mute, json!({})).await;
    assert_eq!((&shown["muted"], shown.get("muted_until")), (&json!(true), None));
    // To leave and come back does not help.
    bob.post("/conversations/team/leave", Value::Null).await;
    alice.put("/conversations/team/participants/bob", json!({})).await;
    for (method, target, body) in [
        (Method::POST, messages.to_owned(), json!({"text": "x"})),
        (Method::PATCH, format!("/messages/{own}"), json!({"text": "x"})),
        (Method::PUT, format!("/messages/{own}/reactions/a"), Value::Null),
    ] {
        bob.refused((method, &target), body, 403, "muted").await;
    }
    let server = server.crash().await;
    let [alice, bob] = server.users(["alice", "bob"]);
    bob.refused((Method::POST, messages), json!({"text": "x"}), 403, "muted").await;
    assert_eq!(bob.texts("team", "").await, ["before"], "but reads");
    alice.delete(mute).await;
    bob.say("team", "after").await;
    let until = now() + 1000;
    assert_eq!(alice.put(mute, json!({"until": until})).await["muted_until"], until);
    bob.refused((Method::POST, messages), json!({"text": "x"}), 403, "muted").await;
    eventually("the mute is over", async || {
        (bob.send(Method::POST, messages, json!({"text": "x"})).await.status == 200).then_some(())
    })
    .await;
    assert!(now() >= until);
    let people = alice.get("/conversations/team/participants").await;
    let shown = people.as_array().expect("people").iter().find(|one| one["participant"] == "bob");
    let shown = shown.expect("bob").as_object().expect("a person");
    assert!(!shown.contains_key("muted") && !shown.contains_key("muted_until"), "{shown:?}");
}

async fn members_wait_in_slow_mode(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({"slow_secs": 600})).await;
    let messages = (Method::POST, "/conversations/team/messages");
    bob.put("/conversations/team/messages/t", json!({"text": "one"})).await;
    let slow = bob.send(messages.0.clone(), messages.1, json!({"text": "two"})).await;
    slow.problem(429, "slow_mode");
    let wait: u64 = slow.header("retry-after").parse().expect("seconds");
    assert!((500..=600).contains(&wait), "{wait}");
    alice.say("team", "owners").await;
    alice.say("team", "do not wait").await;
    let again = bob.put("/conversations/team/messages/t", json!({"text": "one"})).await;
    assert_eq!(again["duplicate"], true, "to send again is to send nothing");
    let server = server.crash().await;
    let [alice, bob] = server.users(["alice", "bob"]);
    bob.refused(messages.clone(), json!({"text": "two"}), 429, "slow_mode").await;
    alice.patch(TEAM, json!({"settings": {"slow_secs": null}})).await;
    bob.say("team", "two").await;
    bob.say("team", "three").await;
}

async fn an_open_conversation_is_open(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob, eve] = server.users(["alice", "bob", "eve"]);
    alice.begin("team", &["bob"], json!({"join": "open"})).await;
    eve.refused((Method::GET, TEAM), Value::Null, 403, "not_a_participant").await;
    assert_eq!(eve.post("/conversations/team/join", Value::Null).await["role"], "member");
    let before = bob.get(TEAM).await["position"].clone();
    eve.post("/conversations/team/join", Value::Null).await;
    assert_eq!(bob.get(TEAM).await["position"], before, "they are in");
    alice.patch(TEAM, json!({"settings": {"join": "invite"}})).await;
    eve.post("/conversations/team/leave", Value::Null).await;
    eve.refused((Method::POST, "/conversations/team/join"), Value::Null, 403, "not_invited").await;
}

async fn of_many_who_begin_it_at_once_one_does(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    let body = json!({"name": "team", "participants": ["bob"]});
    let begun = (0..10).map(|_| alice.send(Method::POST, "/conversations", body.clone()));
    let (done, refused): (Vec<_>, Vec<_>) =
        join_all(begun).await.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(done.len(), 1);
    for refused in refused {
        refused.problem(409, "conversation_exists");
    }
    assert_eq!(alice.get(TEAM).await, done[0].json());
}

async fn titles_and_settings_change(setup: Setup) {
    let server = start(setup).await;
    let alice = server.user("alice");
    let begun = alice.begin("team", &["bob", "bob", "alice"], json!({"slow_secs": 5})).await;
    assert_eq!(begun, alice.get(TEAM).await);
    assert_eq!(
        (&begun["kind"], &begun["admin"], &begun["role"]),
        (&json!("group"), &json!("alice"), &json!("owner"))
    );
    let changed = alice.patch(TEAM, json!({"title": "T", "settings": {"slow_secs": 9}})).await;
    assert_eq!((&changed["title"], &changed["settings"]["slow_secs"]), (&json!("T"), &json!(9)));
    let same = alice.patch(TEAM, json!({"title": "T"})).await;
    assert_eq!(same["position"], changed["position"], "that is no change");
    let back = alice.patch(TEAM, json!({"title": null, "settings": {"slow_secs": null}})).await;
    assert_eq!((&back["title"], &back["settings"]["slow_secs"]), (&Value::Null, &json!(0)));
    let people = list(alice.get("/conversations/team/participants").await);
    assert_eq!(each(&people, "participant"), ["alice", "bob"]);
    let nameless = alice.post("/conversations", json!({"participants": ["bob"]})).await;
    let listed = list(server.user("bob").get("/conversations").await);
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().any(|one| one["name"] == nameless["name"]));
    let first = listed[0]["name"].as_str().expect("a name");
    let next = server.user("bob").get(&format!("/conversations?limit=1&after={first}")).await;
    assert_eq!(next, json!([listed[1]]));
}

async fn a_deleted_conversation_is_gone(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    let said = alice.say("team", "gooseberry").await;
    bob.refused((Method::DELETE, TEAM), Value::Null, 403, "forbidden").await;
    alice.delete(TEAM).await;
    is_gone(&server, &said).await;
    is_gone(&server.crash().await, &said).await;
}

/// Nothing is left of `team` for anybody, and nobody else gets its name.
async fn is_gone(server: &TestServer, said: &str) {
    let message = format!("/messages/{said}");
    for user in server.users(["alice", "bob"]) {
        for target in [TEAM, "/conversations/team/messages", "/conversations/team/events", &message]
        {
            user.refused((Method::GET, target), Value::Null, 404, "conversation_not_found").await;
        }
        for target in ["/conversations", "/unread", "/search?q=gooseberry"] {
            assert_eq!(user.get(target).await, json!([]), "{target}");
        }
        let again = json!({"name": "team", "participants": ["carol"]});
        user.refused((Method::POST, "/conversations"), again, 409, "conversation_exists").await;
    }
    assert!(!whole_database(server.setup()).await.contains("gooseberry"));
}
