//! What is done with messages: edited, deleted, reacted to, answered, pinned, reported.

use crate::{
    common::Setup,
    users::{User, each, id, list, start},
};
use http::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::collections::BTreeSet;

crate::on_both_databases!(
    edits_have_revisions_and_a_history,
    a_deleted_text_is_gone_everywhere,
    reactions_count_for_each_who_has_given_one,
    with_unique_reactions_the_last_one_stays,
    threads_are_beside_the_main_line,
    whoever_is_mentioned_is_told,
    pins_are_shown_the_latest_first,
    reports_are_for_moderators,
    a_search_finds_words,
);

async fn history(user: &User<'_>, message: &str) -> Vec<String> {
    let revisions = list(user.get(&format!("/messages/{message}/history")).await);
    let numbers: Vec<u64> = revisions.iter().map(|one| one["rev"].as_u64().expect("rev")).collect();
    assert_eq!(numbers, (0..revisions.len() as u64).collect::<Vec<_>>());
    each(&revisions, "text")
}

async fn edits_have_revisions_and_a_history(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    let said = alice.say("team", "zero").await;
    let message = format!("/messages/{said}");
    assert_eq!(history(&bob, &said).await, ["zero"]);
    for (rev, text) in [(1, "one"), (2, "two")] {
        let edited = alice.patch(&message, json!({"text": text, "meta": rev})).await;
        assert_eq!((&edited["rev"], &edited["text"]), (&json!(rev), &json!(text)));
        assert_eq!((&edited["meta"], edited["edited"].is_u64()), (&json!(rev), true));
    }
    assert_eq!(history(&bob, &said).await, ["zero", "one", "two"]);
    assert_eq!(bob.texts("team", "").await, ["two"]);
    bob.refused((Method::PATCH, &message), json!({"text": "x"}), 403, "not_yours").await;
    alice.delete(&message).await;
    assert!(history(&bob, &said).await.iter().all(String::is_empty));
    alice.refused((Method::PATCH, &message), json!({"text": "x"}), 410, "message_deleted").await;
}

/// Everything that the tables and streams of a database hold, as one text.
pub async fn whole_database(setup: &Setup) -> String {
    let url = setup.url();
    let chunks = "SELECT body FROM chunks";
    let columns =
        "SELECT text FROM messages UNION ALL SELECT text FROM message_bodies WHERE text IS NOT NULL
        UNION ALL SELECT extra FROM messages WHERE extra IS NOT NULL";
    let (bytes, texts): (Vec<(Vec<u8>,)>, Vec<(String,)>) = if url.starts_with("sqlite") {
        let mut db = SqliteConnection::connect(&url).await.expect("the database");
        let bytes = sqlx::query_as(AssertSqlSafe(chunks)).fetch_all(&mut db).await;
        (
            bytes.expect("chunks"),
            sqlx::query_as(AssertSqlSafe(columns)).fetch_all(&mut db).await.expect("texts"),
        )
    } else {
        let mut db = PgConnection::connect(&url).await.expect("the database");
        let bytes = sqlx::query_as(AssertSqlSafe(chunks)).fetch_all(&mut db).await;
        (
            bytes.expect("chunks"),
            sqlx::query_as(AssertSqlSafe(columns)).fetch_all(&mut db).await.expect("texts"),
        )
    };
    let bytes = bytes.iter().map(|(body,)| String::from_utf8_lossy(body).into_owned());
    bytes.chain(texts.into_iter().map(|(text,)| text)).collect()
}

async fn a_deleted_text_is_gone_everywhere(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    let body = json!({"text": "pomegranate", "meta": {"secret": "quince"}, "mentions": ["bob"]});
    let said = id(&alice.post("/conversations/team/messages", body).await);
    let message = format!("/messages/{said}");
    alice.patch(&message, json!({"text": "persimmon", "meta": "medlar"})).await;
    let reply = json!({"text": "an answer", "reply_to": said});
    let reply = id(&bob.post("/conversations/team/messages", reply).await);
    bob.put(&format!("{message}/reactions/x"), Value::Null).await;
    alice.put(&format!("/conversations/team/pins/{said}"), Value::Null).await;
    let stored = whole_database(server.setup()).await;
    assert!(stored.contains("pomegranate") && stored.contains("quince"), "it was there: {stored}");

    let deleted = alice.delete(&format!("{message}?reason=too%20much%20fruit")).await;
    let stored = whole_database(server.setup()).await;
    let file = match server.setup().url().strip_prefix("sqlite:") {
        Some(file) => std::fs::read(file).expect("the file"),
        None => Vec::new(),
    };
    let targets = [
        "/conversations/team/messages".to_owned(),
        "/conversations/team/events".to_owned(),
        "/conversations/team/export".to_owned(),
        "/conversations/team/pins".to_owned(),
        message.clone(),
        format!("{message}/history"),
        format!("/messages/{reply}"),
    ];
    for user in [&alice, &bob] {
        let mut shown = stored.clone() + &String::from_utf8_lossy(&file);
        for target in &targets {
            shown.push_str(&user.get(target).await.to_string());
        }
        for word in ["pomegranate", "persimmon", "quince", "medlar"] {
            assert!(!shown.contains(word), "{word} is still in {shown}");
            let found = user.get(&format!("/search?q={word}")).await;
            assert_eq!(found, json!([]));
        }
    }
    let left = bob.get(&message).await;
    assert_eq!((&left["text"], left["deleted"].is_u64()), (&json!(""), true));
    assert!(left.get("reactions").is_none() && left.get("pinned").is_none(), "{left}");
    assert_eq!(bob.get(&format!("/messages/{reply}")).await["reply_to"], said.as_str());
    let last = bob.events("team").await.pop().expect("an event");
    assert_eq!((&last["type"], &last["counted"]), (&json!("delete"), &json!(true)));
    assert_eq!(
        (&last["reason"], &last["position"]),
        (&json!("too much fruit"), &deleted["position"])
    );
    // To delete it again is no news.
    assert_eq!(alice.delete(&message).await, deleted);
    let server = server.crash().await;
    assert_eq!(server.user("bob").get(&message).await, left);
}

async fn reactions_count_for_each_who_has_given_one(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob, eve] = server.users(["alice", "bob", "eve"]);
    alice.begin("team", &["bob", "eve"], json!({})).await;
    let said = alice.say("team", "hi").await;
    let at = |reaction: &str| format!("/messages/{said}/reactions/{reaction}");
    for (user, reaction) in
        [(&bob, "a"), (&bob, "a"), (&bob, "b"), (&eve, "a"), (&alice, "%F0%9F%91%8D")]
    {
        user.put(&at(reaction), Value::Null).await;
    }
    let shown = bob.get(&format!("/messages/{said}")).await["reactions"].clone();
    let one = |count: u64, me: bool| json!({"count": count, "me": me});
    assert_eq!(shown, json!({"a": one(2, true), "b": one(1, true), "👍": one(1, false)}));
    assert_eq!(bob.messages("team", "").await[0]["reactions"], shown);
    bob.delete(&at("a")).await;
    bob.delete(&at("never")).await;
    let reactors = list(alice.get(&format!("/messages/{said}/reactions")).await);
    // Those of the same millisecond are in the order of names.
    let given = reactors.iter().map(|one| (one["participant"].as_str(), one["reaction"].as_str()));
    let expected = [("alice", "👍"), ("bob", "b"), ("eve", "a")];
    let expected = expected.map(|(who, what)| (Some(who), Some(what)));
    assert_eq!(given.collect::<BTreeSet<_>>(), expected.into());
    assert!(reactors.is_sorted_by_key(|one| one["created"].as_u64()), "{reactors:?}");
    eve.get(&format!("/messages/{said}/react/c")).await;
    assert_eq!(eve.get(&format!("/messages/{said}")).await["reactions"]["c"], one(1, true));
}

async fn with_unique_reactions_the_last_one_stays(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({"reactions": "unique"})).await;
    let said = alice.say("team", "hi").await;
    for (user, reaction) in [(&alice, "a"), (&bob, "a"), (&bob, "b"), (&bob, "c")] {
        user.put(&format!("/messages/{said}/reactions/{reaction}"), Value::Null).await;
    }
    let reactions = &alice.get(&format!("/messages/{said}")).await["reactions"];
    assert_eq!(*reactions, json!({"a": {"count": 1, "me": true}, "c": {"count": 1, "me": false}}));
    let event = alice.events("team").await.pop().expect("an event");
    assert_eq!((&event["type"], &event["replaces"]), (&json!("react"), &json!(true)));
}

async fn threads_are_beside_the_main_line(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    let root = alice.say("team", "root").await;
    let target = "/conversations/team/messages";
    let mut replies = Vec::new();
    for turn in 0..3 {
        let body = json!({"text": format!("reply {turn}"), "thread": root});
        let reply = alice.post(target, body).await;
        assert_eq!((&reply["n"], &reply["thread"]), (&json!(1), &json!(root)), "it does not count");
        replies.push(id(&reply));
    }
    alice.say("team", "next").await;
    assert_eq!(bob.texts("team", "").await, ["root", "next"]);
    let thread = format!("?thread={root}");
    assert_eq!(bob.texts("team", &thread).await, ["reply 0", "reply 1", "reply 2"]);
    assert_eq!(bob.get(&format!("/messages/{root}")).await["replies"], 3);
    assert_eq!(bob.get("/unread").await[0]["unread"], 2);
    alice.delete(&format!("/messages/{}", replies[0])).await;
    assert_eq!(bob.messages("team", "").await[0]["replies"], 2);
    let deleted = bob.events("team").await.pop().expect("an event");
    assert_eq!(deleted["counted"], false);
    assert_eq!(bob.get("/unread").await[0]["unread"], 2);
    for thread in [&replies[1], &replies[0], &"team:1".to_owned()] {
        let body = json!({"text": "x", "thread": thread});
        alice.refused((Method::POST, target), body, 400, "bad_thread").await;
    }
    alice.delete(&format!("/messages/{root}")).await;
    let body = json!({"text": "x", "thread": root});
    alice.refused((Method::POST, target), body, 400, "bad_thread").await;
    assert_eq!(bob.texts("team", &thread).await, ["", "reply 1", "reply 2"]);
}

async fn whoever_is_mentioned_is_told(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob, eve] = server.users(["alice", "bob", "eve"]);
    alice.begin("team", &["bob", "eve"], json!({})).await;
    let (target, mentions) = ("/conversations/team/messages", async |user: &User<'_>| {
        user.get("/unread").await[0]["mentions"].as_u64().expect("a number")
    });
    let said = alice.post(target, json!({"text": "x", "mentions": ["bob", "bob"]})).await;
    assert_eq!(said["mentions"], json!(["bob", "bob"]));
    alice.post(target, json!({"text": "x", "mentions": ["@all"]})).await;
    assert_eq!((mentions(&bob).await, mentions(&eve).await), (2, 1));
    bob.refused(
        (Method::POST, target),
        json!({"text": "x", "mentions": ["@all"]}),
        403,
        "forbidden",
    )
    .await;
    alice
        .patch(&format!("/messages/{}", id(&said)), json!({"text": "x", "mentions": ["eve"]}))
        .await;
    assert_eq!((mentions(&bob).await, mentions(&eve).await), (1, 2));
    alice.delete(&format!("/messages/{}", id(&said))).await;
    assert_eq!((mentions(&bob).await, mentions(&eve).await), (1, 1));
    bob.put("/conversations/team/read", json!({})).await;
    assert_eq!((mentions(&bob).await, mentions(&eve).await), (0, 1));
}

async fn pins_are_shown_the_latest_first(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    let pin = |said: &str| format!("/conversations/team/pins/{said}");
    let mut said = Vec::new();
    for turn in 0..101 {
        said.push(alice.say("team", &turn.to_string()).await);
    }
    for said in &said[..100] {
        alice.put(&pin(said), Value::Null).await;
    }
    let before = alice.get("/conversations/team").await["position"].clone();
    assert_eq!(alice.put(&pin(&said[0]), Value::Null).await["position"], before, "it is pinned");
    alice.refused((Method::PUT, &pin(&said[100])), Value::Null, 409, "too_many").await;
    bob.refused((Method::DELETE, &pin(&said[0])), Value::Null, 403, "forbidden").await;
    alice.delete(&pin(&said[0])).await;
    alice.delete(&format!("/messages/{}", said[1])).await;
    alice.put(&pin(&said[100]), Value::Null).await;
    let pinned = list(bob.get("/conversations/team/pins").await);
    let want: Vec<&String> = said[2..].iter().rev().collect();
    assert_eq!(each(&pinned, "id").iter().collect::<Vec<_>>(), want);
    assert!(pinned.iter().all(|one| one["pinned"] == true));
}

async fn reports_are_for_moderators(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob, eve] = server.users(["alice", "bob", "eve"]);
    alice.begin("team", &["bob", "eve"], json!({})).await;
    let said = alice.say("team", "rude").await;
    let before = bob.get("/conversations/team").await["position"].clone();
    for user in [&bob, &eve] {
        user.post(&format!("/messages/{said}/report"), json!({"reason": "this is rude"})).await;
    }
    let reports = list(alice.get("/conversations/team/reports").await);
    let mut users = each(&reports, "participant");
    users.sort();
    assert_eq!(users, ["bob", "eve"]);
    assert!(
        reports
            .iter()
            .all(|one| one["message"] == said.as_str() && one["reason"] == "this is rude")
    );
    bob.refused((Method::GET, "/conversations/team/reports"), Value::Null, 403, "forbidden").await;
    assert_eq!(bob.get("/conversations/team").await["position"], before, "nobody else is told");
}

async fn a_search_finds_words(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob, eve] = server.users(["alice", "bob", "eve"]);
    alice.begin("team", &["bob"], json!({})).await;
    alice.begin("other", &["eve"], json!({})).await;
    for text in
        ["The quick brown fox", "a quick answer", "100% \"quoted\" (x) AND NOT *", "naïve café"]
    {
        alice.say("team", text).await;
    }
    alice.say("other", "quick elsewhere").await;
    let found = async |user: &User<'_>, target: &str| each(&list(user.get(target).await), "text");
    let team = "/conversations/team/search?q=";
    assert_eq!(
        found(&bob, &format!("{team}quick")).await,
        ["a quick answer", "The quick brown fox"]
    );
    assert_eq!(found(&bob, &format!("{team}QUICK+fox")).await, ["The quick brown fox"]);
    assert_eq!(found(&bob, &format!("{team}quick&limit=1")).await, ["a quick answer"]);
    assert_eq!(found(&bob, "/search?q=quick").await.len(), 2, "of his own conversations");
    assert_eq!(found(&alice, "/search?q=quick").await.len(), 3);
    assert_eq!(found(&eve, "/search?q=quick").await, ["quick elsewhere"]);
    assert_eq!(found(&bob, &format!("{team}quoted")).await.len(), 1);
    assert_eq!(found(&bob, &format!("{team}caf%C3%A9")).await, ["naïve café"]);
    for odd in [
        "%22",
        "*",
        "%25",
        "%00",
        "(",
        "-x",
        "NOT",
        "a%22b",
        "%27%3B--",
        "%5C",
        ":*",
        "%F0%9F%91%8D",
    ] {
        found(&bob, &format!("{team}{odd}")).await;
        found(&bob, &format!("/search?q={odd}")).await;
    }
    let first = bob.messages("team", "").await.remove(0);
    assert!(found(&bob, &format!("{team}quick&before={}", first["created"])).await.is_empty());
}
