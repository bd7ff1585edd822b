//! Every route, and who gets in: nobody without a token, and in a conversation only who takes part.

use crate::{
    common::{Setup, TestServer, request},
    users::start,
};
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(
    every_route_is_only_for_those_whom_it_concerns,
    what_is_not_there_is_not_found,
    without_keys_nobody_is_anybody,
    aliases_do_nothing_on_head,
    a_signed_url_is_for_one_stream_only,
);

/// The routes of the program, as its source has them.
const SOURCE: &str = include_str!("../../src/http/chat/mod.rs");

/// Somebody of the conversation; it is alice who owns it.
const ALICE: &str = "alice";
const BOB: &str = "bob";

/// What those are told who do not take part.
const OUT: &str = "not_a_participant";
/// Of routes that are about no conversation, so that anybody may use them.
const ANYBODY: &str = "";

/// A webhook that nobody answers.
const HOOK: &str = r#"{"url": "https://hook.invalid/", "from": "now"}"#;

/// Method, route, body, who may use it, and what others are told. In an order in which all succeed.
pub const ROUTES: &[(&str, &str, &str, &str, &str)] = &[
    ("GET", "/conversations", "", ALICE, ANYBODY),
    ("POST", "/conversations", r#"{"participants": ["bob"]}"#, ALICE, ANYBODY),
    ("GET", "/unread", "", ALICE, ANYBODY),
    ("GET", "/search?q=hi", "", ALICE, ANYBODY),
    ("GET", "/inbox/messages", "", ALICE, ANYBODY),
    ("POST", "/inbox/{peer}/messages", r#"{"text": "hi"}"#, ALICE, ANYBODY),
    ("GET", "/conversations/{name}", "", ALICE, OUT),
    ("PATCH", "/conversations/{name}", r#"{"title": "The team"}"#, ALICE, OUT),
    ("GET", "/conversations/{name}/participants", "", ALICE, OUT),
    ("PUT", "/conversations/{name}/participants/{user}", "{}", ALICE, OUT),
    ("PUT", "/conversations/{name}/mutes/{user}", "{}", ALICE, OUT),
    ("DELETE", "/conversations/{name}/mutes/{user}", "", ALICE, OUT),
    ("DELETE", "/conversations/{name}/participants/{user}", "", ALICE, OUT),
    ("PUT", "/conversations/{name}/bans/{user}", "{}", ALICE, OUT),
    ("DELETE", "/conversations/{name}/bans/{user}", "", ALICE, OUT),
    ("PUT", "/conversations/{name}/typing", "{}", ALICE, OUT),
    ("GET", "/conversations/{name}/messages", "", ALICE, OUT),
    ("POST", "/conversations/{name}/messages", r#"{"text": "hi"}"#, ALICE, OUT),
    ("PUT", "/conversations/{name}/messages/{txn}", r#"{"text": "hi"}"#, ALICE, OUT),
    ("PUT", "/conversations/{name}/messages/{txn}/text", r#""hi""#, ALICE, OUT),
    ("GET", "/conversations/{name}/events", "", ALICE, OUT),
    ("PUT", "/conversations/{name}/pins/{message}", "", ALICE, OUT),
    ("GET", "/conversations/{name}/pins", "", ALICE, OUT),
    ("DELETE", "/conversations/{name}/pins/{message}", "", ALICE, OUT),
    ("GET", "/conversations/{name}/search?q=hi", "", ALICE, OUT),
    ("GET", "/conversations/{name}/reports", "", ALICE, OUT),
    ("GET", "/conversations/{name}/receipts", "", ALICE, OUT),
    ("PUT", "/conversations/{name}/read", "{}", ALICE, OUT),
    ("PUT", "/conversations/{name}/delivered", "{}", ALICE, OUT),
    ("GET", "/conversations/{name}/export", "", ALICE, OUT),
    (
        "POST",
        "/conversations/{name}/import",
        r#"{"source": "x", "text": "y", "created": 1}"#,
        ALICE,
        OUT,
    ),
    ("GET", "/conversations/{name}/webhooks", "", ALICE, OUT),
    ("PUT", "/conversations/{name}/webhooks/{id}", HOOK, ALICE, OUT),
    ("GET", "/conversations/{name}/webhooks/{id}", "", ALICE, OUT),
    ("POST", "/conversations/{name}/webhooks/{id}/replay", r#"{"position": 0}"#, ALICE, OUT),
    ("DELETE", "/conversations/{name}/webhooks/{id}", "", ALICE, OUT),
    ("GET", "/messages/{message}", "", ALICE, OUT),
    ("PATCH", "/messages/{message}", r#"{"text": "ho"}"#, ALICE, OUT),
    ("GET", "/messages/{message}/history", "", ALICE, OUT),
    ("PUT", "/messages/{message}/reactions/{reaction}", "", ALICE, OUT),
    ("GET", "/messages/{message}/reactions", "", ALICE, OUT),
    ("DELETE", "/messages/{message}/reactions/{reaction}", "", ALICE, OUT),
    ("POST", "/messages/{message}/report", r#"{"reason": "rude"}"#, ALICE, OUT),
    ("GET", "/messages/{message}/receipts", "", ALICE, OUT),
    ("PUT", "/messages/{message}/read", "", ALICE, OUT),
    ("GET", "/messages/{message}/react/{reaction}", "", ALICE, OUT),
    ("GET", "/messages/{message}/mark_as_read", "", ALICE, OUT),
    ("DELETE", "/messages/{message}", "", ALICE, OUT),
    ("POST", "/conversations/{name}/join", "", BOB, "not_invited"),
    ("POST", "/conversations/{name}/leave", "", BOB, OUT),
    ("DELETE", "/conversations/{name}", "", ALICE, OUT),
];

pub fn method(word: &str) -> Method {
    word.parse().expect("a method")
}

/// The target of a route in the conversation `name`.
pub fn target(route: &str, name: &str) -> String {
    let message = format!("{name}:2");
    [
        ("{name}", name),
        ("{message}", &message),
        ("{user}", "carol"),
        ("{peer}", "bob"),
        ("{txn}", "txn"),
        ("{id}", "bot"),
        ("{reaction}", "%F0%9F%91%8D"),
    ]
    .iter()
    .fold(route.to_owned(), |target, (what, value)| target.replace(what, value))
}

/// What a body says; `null` for none.
pub fn body(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { serde_json::from_str(text).expect("JSON") }
}

#[test]
fn the_table_has_every_route() {
    let routes = SOURCE.split("fn routes()").nth(1).and_then(|rest| rest.split("\n}\n").next());
    let mut known = Vec::new();
    for route in routes.expect("the routes").split(".route(").skip(1) {
        let path = route.split('"').nth(1).expect("a path");
        for method in ["get", "post", "put", "patch", "delete"] {
            if route.contains(&format!("{method}(")) {
                known.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let path = |route: &str| route.split('?').next().unwrap_or_default().to_owned();
    let mut table: Vec<String> =
        ROUTES.iter().map(|(method, route, ..)| format!("{method} {}", path(route))).collect();
    known.sort();
    table.sort();
    assert_eq!(table, known);
    assert!(known.len() > 40);
}

/// A conversation `team` of alice and bob, in which `team:2` is of alice. Mallory took part once.
async fn team(setup: Setup) -> TestServer {
    let server = start(setup).await;
    let alice = server.user(ALICE);
    alice.begin("team", &["bob", "mallory"], json!({})).await;
    assert_eq!(alice.say("team", "hi").await, "team:2");
    alice.delete("/conversations/team/participants/mallory").await;
    server
}

async fn every_route_is_only_for_those_whom_it_concerns(setup: Setup) {
    let server = team(setup).await;
    for (word, route, text, user, refusal) in ROUTES {
        let (method, target) = (method(word), target(route, "team"));
        let nobody = request(method.clone(), &target, &[], (*text).into());
        server.send(nobody).await.problem(401, "missing_token");
        for other in ["eve", "mallory"].into_iter().filter(|_| !refusal.is_empty()) {
            let (other, what) = (server.user(other), (method.clone(), &*target));
            other.refused(what, body(text), 403, refusal).await;
        }
        server.user(user).ask(method, &target, body(text)).await;
    }
}

async fn what_is_not_there_is_not_found(setup: Setup) {
    let server = team(setup).await;
    let alice = server.user(ALICE);
    for (word, route, text, _, refusal) in ROUTES {
        let nowhere = target(route, "nowhere");
        let what = (method(word), &*nowhere);
        if !refusal.is_empty() {
            alice.refused(what, body(text), 404, "conversation_not_found").await;
        }
        let nothing = target(route, "team").replace("team:2", "team:999");
        if route.contains("{message}") {
            let what = (method(word), &*nothing);
            alice.refused(what, body(text), 404, "message_not_found").await;
        }
    }
    assert_eq!(alice.get("/conversations/team").await["position"], 3, "nothing has happened");
    let other = (Method::PUT, "/conversations/team/pins/other:2");
    alice.refused(other, Value::Null, 404, "message_not_found").await;
    let stranger = (Method::PUT, "/conversations/team/mutes/nobody");
    alice.refused(stranger, json!({}), 404, "participant_not_found").await;
    let stranger = (Method::DELETE, "/conversations/team/participants/nobody");
    alice.refused(stranger, Value::Null, 404, "participant_not_found").await;
}

async fn without_keys_nobody_is_anybody(setup: Setup) {
    let server = setup.start().await;
    for (word, route, text, ..) in ROUTES {
        let request = request(method(word), &target(route, "team"), &[], (*text).into());
        let answer = server.send(request).await;
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="messages""#);
        let detail = answer.problem(401, "no_users");
        assert!(detail.contains("AUTH_SECRET"), "it says what to do: {detail}");
    }
    assert_eq!(server.put("/?id=s", "content").await.status, 201);
    assert_eq!(server.get("/?id=s").await.text(), "content", "streams need no users");
}

async fn aliases_do_nothing_on_head(setup: Setup) {
    let server = team(setup).await;
    let alice = server.user(ALICE);
    for alias in ["react/x", "mark_as_read"] {
        for other in [Method::HEAD, Method::POST] {
            let answer = alice.raw(other, &format!("/messages/team:2/{alias}"), &[], "").await;
            assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET"), "{alias}");
        }
    }
    assert_eq!(alice.get("/conversations/team").await["position"], 3, "nothing has happened");
}

async fn a_signed_url_is_for_one_stream_only(setup: Setup) {
    let server = team(setup).await;
    let token = server.user_of_streams(ALICE);
    token.raw(Method::PUT, "/?id=s", &[], "content").await;
    let url = token.post("/v1/auth/sign", json!({"url": "/?id=s"})).await;
    let url = url["url"].as_str().expect("a URL");
    assert_eq!(server.get(url).await.text(), "content");
    let query = url.split_once("signed=").expect("a signature").1;
    let list = server.get(&format!("/conversations?signed={query}")).await;
    list.problem(403, "forbidden");
    // And no stream grant opens the stream of a conversation.
    for name in ["__chat/c/team", "__chat%2Fc%2Fteam", "%5F%5Fchat/c/team", "c/team"] {
        let read = token.raw(Method::GET, &format!("/v1/stream/{name}"), &[], "").await;
        assert!([400, 403, 404].contains(&read.status.as_u16()), "{name}: {read:?}");
        assert!(!read.text().contains("alice"), "{name}: {read:?}");
    }
}
