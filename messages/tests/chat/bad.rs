//! What makes no sense is refused: with a status, a code and a detail that names what is wrong, and
//! without any effect.

use crate::{
    common::{Setup, TestServer},
    users::{User, start},
};
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(
    bad_bodies_of_messages_are_refused,
    bad_bodies_of_everything_else_are_refused,
    bad_names_and_parameters_are_refused,
    an_edit_may_say_what_it_edits,
);

/// Method, target, body, the code, and a word of the detail.
type Bad<'a> = (&'a str, &'a str, Value, &'a str, &'a str);

/// A conversation of alice, bob and a reader, with a message of alice.
async fn team(setup: Setup) -> TestServer {
    let server = start(setup).await;
    let alice = server.user("alice");
    alice.begin("team", &["bob"], json!({})).await;
    alice.say("team", "hi").await;
    server
}

/// Everything that alice is told about what there is.
async fn all(alice: &User<'_>) -> Vec<Value> {
    let mut all = Vec::new();
    for target in [
        "/conversations",
        "/unread",
        "/inbox/messages",
        "/conversations/team/events",
        "/conversations/team/messages",
        "/conversations/team/participants",
        "/conversations/team/receipts",
        "/conversations/team/reports",
    ] {
        all.push(alice.get(target).await);
    }
    all
}

/// Each of them is refused with 400, and has no effect.
async fn are_refused(server: &TestServer, bad: &[Bad<'_>]) {
    let alice = server.user("alice");
    let before = all(&alice).await;
    for (method, target, body, code, word) in bad {
        let what = (method.parse().expect("a method"), *target);
        let detail = alice.refused(what, body.clone(), 400, code).await;
        assert!(detail.contains(word), "{method} {target} {body}: {detail}");
    }
    assert_eq!(all(&alice).await, before);
}

async fn bad_bodies_of_messages_are_refused(setup: Setup) {
    let server = team(setup).await;
    let many = |one: Value, count: usize| Value::Array(vec![one; count]);
    let link = json!({"url": "https://example.org"});
    let messages = [
        (json!([]), "bad_body", "object"),
        (json!(["x", null, null, [], [], null, null]), "bad_body", "object"),
        (json!("x"), "bad_body", "object"),
        (json!({"text": 5}), "bad_body", "string"),
        (json!({}), "bad_body", "nothing in the message"),
        (json!({"text": ""}), "bad_body", "nothing in the message"),
        (json!({"text": "a\0b"}), "bad_body", "NUL"),
        (json!({"text": "x".repeat((64 << 10) + 1)}), "bad_body", "65536"),
        (json!({"text": "x", "meta": {"a": ["\0"]}}), "bad_body", "NUL"),
        (json!({"text": "x", "meta": "x".repeat(16 << 10)}), "bad_body", "meta"),
        (json!({"text": "x", "mentions": "bob"}), "bad_body", "sequence"),
        (json!({"text": "x", "mentions": ["eve"]}), "bad_mention", "eve"),
        (json!({"text": "x", "mentions": many(json!("bob"), 101)}), "bad_body", "mentions"),
        (json!({"text": "x", "attachments": [{}]}), "bad_body", "url"),
        (json!({"text": "x", "attachments": [{"url": ""}]}), "bad_body", "url"),
        (json!({"text": "x", "attachments": [{"url": "u", "size": 5}]}), "bad_body", "size"),
        (json!({"text": "x", "attachments": [{"url": "\0"}]}), "bad_body", "NUL"),
        (json!({"text": "x", "attachments": many(link, 17)}), "bad_body", "attachments"),
        (json!({"text": "x", "reply_to": "team:1"}), "bad_reply_to", "reply_to"),
        (json!({"text": "x", "reply_to": "team:99"}), "bad_reply_to", "reply_to"),
        (json!({"text": "x", "reply_to": "other:2"}), "bad_reply_to", "reply_to"),
        (json!({"text": "x", "reply_to": "\0"}), "bad_reply_to", "reply_to"),
        (json!({"text": "x", "thread": "team:99"}), "bad_thread", "thread"),
        (json!({"text": "x", "thread": "nonsense"}), "bad_thread", "thread"),
        (json!({"text": "x", "txn": ""}), "bad_body", "txn"),
        (json!({"text": "x", "txn": "x".repeat(129)}), "bad_body", "txn"),
        (json!({"text": "x", "txn": "a\0b"}), "bad_body", "txn"),
    ];
    let places = ["/conversations/team/messages", "/inbox/bob/messages"];
    let bad: Vec<Bad<'_>> = messages
        .iter()
        .flat_map(|(body, code, word)| {
            places.map(|place| ("POST", place, body.clone(), *code, *word))
        })
        .collect();
    are_refused(&server, &bad).await;
    let put = messages.iter().filter(|(body, ..)| body.get("txn").is_none());
    let bad: Vec<Bad<'_>> = put
        .map(|(body, code, word)| {
            ("PUT", "/conversations/team/messages/t", body.clone(), *code, *word)
        })
        .collect();
    are_refused(&server, &bad).await;
    are_refused(
        &server,
        &[("PUT", "/conversations/team/messages/%00", json!({"text": "x"}), "bad_body", "txn")],
    )
    .await;
    let alice = server.user("alice");
    for (body, status, code) in [
        (r#"{"text": "#.to_owned(), 400, "bad_body"),
        ("text".to_owned(), 400, "bad_body"),
        ("\u{feff}{}".to_owned(), 400, "bad_body"),
        (format!("{}{}", "[".repeat(200_000), "]".repeat(200_000)), 413, "body_too_large"),
        (format!("{}{}", "[".repeat(1_000), "]".repeat(1_000)), 400, "bad_body"),
        (format!(r#"{{"text": "{}"}}"#, "x".repeat(256 << 10)), 413, "body_too_large"),
    ] {
        let answer = alice.raw(Method::POST, places[0], &[], body).await;
        answer.problem(status, code);
    }
    let bytes = alice.raw(Method::POST, places[0], &[], vec![b'"', 0xff, b'"']).await;
    bytes.problem(400, "bad_body");
}

async fn bad_bodies_of_everything_else_are_refused(setup: Setup) {
    let server = team(setup).await;
    let conversation = |members: Value| {
        let mut body = json!({"participants": ["bob"]});
        body.as_object_mut()
            .expect("members")
            .extend(members.as_object().expect("members").clone());
        body
    };
    let long = "x".repeat(1025);
    let mut bad: Vec<Bad<'_>> = vec![
        ("POST", "/conversations", json!({}), "bad_body", "participants"),
        ("POST", "/conversations", json!({"participants": []}), "bad_body", "participants"),
        ("POST", "/conversations", json!({"participants": "bob"}), "bad_body", "sequence"),
        ("POST", "/conversations", json!({"participants": [""]}), "bad_user", "name"),
        ("POST", "/conversations", json!({"participants": ["@all"]}), "bad_user", "@"),
        ("POST", "/conversations", json!({"participants": ["a\nb"]}), "bad_user", "control"),
        ("POST", "/conversations", json!({"participants": ["x".repeat(257)]}), "bad_user", "256"),
        ("POST", "/conversations", conversation(json!({"title": long})), "bad_body", "title"),
        ("POST", "/conversations", conversation(json!({"title": "\0"})), "bad_body", "title"),
        ("POST", "/conversations", conversation(json!({"name": "dm-x"})), "bad_body", "dm-"),
        ("PATCH", "/conversations/team", json!({"title": 5}), "bad_body", "string"),
        ("PATCH", "/conversations/team", json!({"titel": "x"}), "bad_body", "titel"),
        ("PATCH", "/conversations/team", json!({"title": "\0"}), "bad_body", "title"),
        (
            "PUT",
            "/conversations/team/participants/new",
            json!({"role": "king"}),
            "bad_body",
            "king",
        ),
        ("PUT", "/conversations/team/participants/new", json!({"rolle": 1}), "bad_body", "rolle"),
        ("PUT", "/conversations/team/participants/@all", json!({}), "bad_user", "@"),
        ("PUT", "/conversations/team/participants/%00", json!({}), "bad_user", "control"),
        ("DELETE", "/conversations/team/participants/%00", Value::Null, "bad_user", "control"),
        ("PUT", "/conversations/team/bans/bob", json!({"until": -1}), "bad_body", "-1"),
        ("PUT", "/conversations/team/bans/bob", json!({"reason": long}), "bad_body", "reason"),
        ("PUT", "/conversations/team/bans/bob", json!({"reason": "\0"}), "bad_body", "reason"),
        ("PUT", "/conversations/team/mutes/bob", json!({"until": "later"}), "bad_body", "later"),
        ("PUT", "/conversations/team/mutes/bob", json!({"reason": long}), "bad_body", "reason"),
        ("PUT", "/conversations/team/typing", json!({"on": 1}), "bad_body", "boolean"),
        ("PUT", "/conversations/team/read", json!({"position": -1}), "bad_body", "-1"),
        ("PUT", "/conversations/team/read", json!({"message": "x"}), "bad_message_id", "team:42"),
        ("PUT", "/conversations/team/read", json!({"until": 1}), "bad_body", "until"),
        ("PATCH", "/messages/team:2", json!({}), "bad_body", "text"),
        ("PATCH", "/messages/team:2", json!({"text": ""}), "bad_body", "text"),
        ("PATCH", "/messages/team:2", json!({"text": "\0"}), "bad_body", "NUL"),
        ("PATCH", "/messages/team:2", json!({"text": "x", "rev": "1"}), "bad_body", "u64"),
        (
            "PATCH",
            "/messages/team:2",
            json!({"text": "x", "mentions": ["eve"]}),
            "bad_mention",
            "eve",
        ),
        ("POST", "/messages/team:2/report", json!({}), "bad_body", "reason"),
        ("POST", "/messages/team:2/report", json!({"reason": ""}), "bad_body", "reason"),
        ("POST", "/messages/team:2/report", json!({"reason": long}), "bad_body", "reason"),
        ("POST", "/messages/team:2/report", json!({"reason": "\0"}), "bad_body", "reason"),
        ("POST", "/conversations/team/import", Value::Null, "bad_body", "no message"),
        ("POST", "/conversations/team/import", json!({"source": "x"}), "bad_body", "line 1"),
    ];
    for settings in [
        json!(5),
        json!({"join": "shut"}),
        json!({"colour": "red"}),
        json!({"slow_secs": 6 * 3600 + 1}),
        json!({"retention_secs": 0}),
        json!({"retention_messages": 0}),
        json!({"permissions": {"king": {}}}),
        json!({"permissions": {"member": {"fly": true}}}),
    ] {
        let both = conversation(json!({"settings": settings}));
        bad.push(("POST", "/conversations", both, "bad_body", "settings"));
        let patch = json!({"settings": settings});
        bad.push(("PATCH", "/conversations/team", patch, "bad_body", "settings"));
    }
    for name in ["", ".", "..", "a/b", "a b", "ö", "x\0", &"x".repeat(129)] {
        let named = conversation(json!({"name": name}));
        bad.push(("POST", "/conversations", named, "bad_name", "128"));
    }
    are_refused(&server, &bad).await;
    for (line, word) in [
        (json!({"source": "x", "text": "y", "created": 1, "reply_to": "\0"}), "reply_to"),
        (json!({"source": "x", "text": "y", "created": 1, "reply_to": long}), "reply_to"),
        (json!({"source": "x", "text": "\0", "created": 1}), "NUL"),
        (json!({"source": "x", "text": "y", "created": 1, "mentions": ["\0"]}), "NUL"),
    ] {
        let import = ("POST", "/conversations/team/import", line, "bad_body", word);
        are_refused(&server, &[import]).await;
    }
}

async fn bad_names_and_parameters_are_refused(setup: Setup) {
    let server = team(setup).await;
    let mut bad: Vec<Bad<'_>> = vec![
        ("GET", "/conversations/a%2Fb", Value::Null, "bad_name", "letters"),
        ("GET", "/conversations/%00", Value::Null, "bad_name", "letters"),
        ("GET", "/messages/team", Value::Null, "bad_message_id", "team:42"),
        ("GET", "/messages/team:0", Value::Null, "bad_message_id", "team:42"),
        ("GET", "/messages/team:-1", Value::Null, "bad_message_id", "team:42"),
        ("GET", "/conversations/team/search", Value::Null, "bad_parameter", "q"),
        ("GET", "/search?q=", Value::Null, "bad_body", "q"),
        ("GET", "/search?q=a&limit=0", Value::Null, "bad_parameter", "limit"),
        ("GET", "/search?q=a+b+c+d+e+f+g+h+i+j+k+l+m+n+o+p+q", Value::Null, "bad_body", "q"),
        ("GET", "/conversations?state=banned", Value::Null, "bad_parameter", "member"),
        ("GET", "/conversations?after=a%20b", Value::Null, "bad_name", "letters"),
        ("GET", "/conversations?limit=10001", Value::Null, "bad_parameter", "10000"),
        (
            "GET",
            "/conversations/team/participants?state=left",
            Value::Null,
            "bad_parameter",
            "state",
        ),
        ("GET", "/conversations/team/export?from=x", Value::Null, "bad_parameter", "from"),
        ("GET", "/conversations/team/export?until=5", Value::Null, "bad_parameter", "until"),
        ("GET", "/conversations/team/events?live=sse", Value::Null, "bad_offset", "offset"),
        ("GET", "/conversations/team/events?offset=5", Value::Null, "bad_offset", "offset"),
        ("DELETE", "/messages/team:2?why=x", Value::Null, "bad_parameter", "why"),
        ("DELETE", "/messages/team:2?reason=%00", Value::Null, "bad_body", "reason"),
        ("PUT", "/messages/team:2/reactions/%00", Value::Null, "bad_body", "reaction"),
        ("DELETE", "/messages/team:2/reactions/%00", Value::Null, "bad_body", "reaction"),
        ("POST", "/inbox/@all/messages", json!({"text": "x"}), "bad_user", "@"),
    ];
    let long = format!("/messages/team:2/reactions/{}", "x".repeat(65));
    bad.push(("PUT", &long, Value::Null, "bad_body", "64"));
    let parameters = [
        ("limit=0", "limit"),
        ("limit=1001", "1000"),
        ("limit=x", "limit"),
        ("before=-1", "before"),
        ("after=1.5", "after"),
        ("around=", "around"),
        ("ordering=up", "asc"),
        ("created=now", "created"),
        ("offset=-1", "offset"),
        ("source=%00", "source"),
        ("reply_to=%00", "reply_to"),
        ("page=1", "page"),
        ("limit=1&limit=2", "twice"),
        ("limit=%zz", "limit"),
    ];
    let targets: Vec<(String, &str)> = parameters
        .iter()
        .flat_map(|(query, word)| {
            ["/conversations/team/messages", "/inbox/messages"]
                .map(|target| (format!("{target}?{query}"), *word))
        })
        .collect();
    bad.extend(
        targets
            .iter()
            .map(|(target, word)| ("GET", target.as_str(), Value::Null, "bad_parameter", *word)),
    );
    bad.push((
        "GET",
        "/conversations/team/messages?before=a:b",
        Value::Null,
        "bad_message_id",
        "team:42",
    ));
    bad.push(("GET", "/conversations/team/messages?thread=x", Value::Null, "bad_thread", "thread"));
    are_refused(&server, &bad).await;
}

async fn an_edit_may_say_what_it_edits(setup: Setup) {
    let server = team(setup).await;
    let alice = server.user("alice");
    let edit = async |if_match: &str, rev: Value| {
        let mut body = json!({"text": "edited"});
        body["rev"] = rev;
        let headers = [("if-match", if_match)];
        let headers = if if_match.is_empty() { &[] } else { &headers[..] };
        alice.raw(Method::PATCH, "/messages/team:2", headers, body.to_string()).await
    };
    edit("\"1\"", Value::Null).await.problem(412, "edited_meanwhile");
    edit("", json!(1)).await.problem(412, "edited_meanwhile");
    assert_eq!(edit("\"0\"", Value::Null).await.json()["rev"], 1);
    assert_eq!(edit("", json!(1)).await.json()["rev"], 2);
    let detail = edit("\"1\"", json!(2)).await.problem(412, "edited_meanwhile");
    assert!(detail.contains("revision 2"), "{detail}");
    for bad in ["x", "\"x\"", "W/\"2\"", "2, 3"] {
        edit(bad, Value::Null).await.problem(400, "bad_header");
    }
    assert_eq!(alice.get("/messages/team:2").await["rev"], 2);
    // Of many who edit the same revision at once one wins.
    let edits = (0..10).map(|_| edit("\"2\"", Value::Null));
    let answers = futures::future::join_all(edits).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
}
