//! `GET /v1/streams`.

use crate::{
    common::{Answer, Setup, TestServer, eventually, redis, request},
    on_both_databases,
};
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

on_both_databases!(
    it_goes_through_everything_page_by_page,
    it_shows_what_is_known_of_a_stream,
    what_is_gone_is_not_shown,
);

const SECRET: &str = "a secret of these tests, and of nothing else";

async fn page(server: &TestServer, query: &str) -> Value {
    let answer = server.get(&format!("/v1/streams?{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

fn names(page: &Value) -> Vec<String> {
    let streams = page["streams"].as_array().expect("a list").iter();
    streams.map(|stream| stream["name"].as_str().expect("a name").to_owned()).collect()
}

fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// All names, and how many pages they took.
async fn all(server: &TestServer, query: &str) -> (Vec<String>, usize) {
    let (mut found, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = page(server, &format!("{query}{after}")).await;
        found.extend(names(&page));
        pages += 1;
        let Some(next) = page["next"].as_str() else { return (found, pages) };
        after = format!("&after={}", encoded(next));
    }
}

async fn it_goes_through_everything_page_by_page(setup: Setup) {
    let server = setup.start().await;
    assert_eq!(page(&server, "").await, serde_json::json!({"streams": [], "next": null}));
    let mut want: Vec<String> = (0..25).map(|n| format!("logs/{n:02}")).collect();
    want.extend(["a b".into(), "a+%/ü".into(), "logs".into(), "z".into()]);
    want.sort();
    for (number, name) in want.iter().enumerate() {
        let target = format!("/?id={}", encoded(name));
        assert_eq!(server.put(&target, "x").await.status, 201);
        // Some of them only in the database, some in memory alone.
        if number == 12 {
            break;
        }
    }
    let server = server.restart().await;
    for name in &want[13..] {
        server.put(&format!("/?id={name}"), "x").await;
    }
    for limit in [1, 7, 29, 1000] {
        let (found, pages) = all(&server, &format!("limit={limit}")).await;
        assert_eq!((found, pages), (want.clone(), want.len().div_ceil(limit)));
    }
    let (logs, pages) = all(&server, "limit=10&prefix=logs/").await;
    assert_eq!((logs.len(), pages), (25, 3));
    assert_eq!(all(&server, "prefix=logs/1").await.0.len(), 10);
    assert_eq!(names(&page(&server, "after=logs/23").await), ["logs/24", "z"]);
    assert_eq!(names(&page(&server, "prefix=logs/&after=a").await).len(), 25);
    assert!(names(&page(&server, "prefix=logs/&after=z").await).is_empty());
    assert!(names(&page(&server, "prefix=nothing").await).is_empty());
    for bad in ["limit=0", "limit=1001", "limit=x", "prefx=a", "prefix=a&prefix=b", "after=%00"] {
        let answer = server.get(&format!("/v1/streams?{bad}")).await;
        answer.problem(400, "bad_parameter");
    }
    let long = "x".repeat(513);
    server.get(&format!("/v1/streams?prefix={long}")).await.problem(400, "bad_parameter");
    server.post("/v1/streams", "").await.problem(405, "method_not_allowed");
}

async fn it_shows_what_is_known_of_a_stream(setup: Setup) {
    let server = setup.start().await;
    server.create("json", "application/json", r#"[{"a":1},{"b":2}]"#).await;
    server.create("open", "text/plain", "abc").await;
    let ttl = [("content-type", "text/plain"), ("stream-ttl", "600")];
    server.ask(Method::PUT, "ttl", &ttl, "").await;
    let until = [("content-type", "text/plain"), ("stream-expires-at", "2190-01-01T00:00:00Z")];
    server.ask(Method::PUT, "until", &until, "").await;
    let fork = [("content-type", "text/plain"), ("stream-forked-from", "/v1/stream/open")];
    assert_eq!(server.ask(Method::PUT, "fork", &fork, "").await.status, 201);
    server.close("json").await;
    let mut reader = server.events("open", "-1").await;
    reader.next().await;
    let tail = server.append("open", "text/plain", "def").await;
    let shown = async || {
        let found = page(&server, "").await;
        let streams = found["streams"].as_array().expect("a list").clone();
        let map = streams.into_iter().map(|s| (s["name"].as_str().expect("text").to_owned(), s));
        map.collect::<std::collections::BTreeMap<_, _>>()
    };
    let streams = shown().await;
    let json = &streams["json"];
    assert_eq!(
        (&json["content_type"], &json["closed"]),
        (&"application/json".into(), &true.into())
    );
    assert_eq!((&json["records"], &json["bytes"]), (&2.into(), &16.into()));
    assert_eq!((&json["closed_reason"], &json["readers"]), (&"finished".into(), &0.into()));
    let open = &streams["open"];
    assert_eq!((&open["tail"], &open["records"]), (&tail.as_str().into(), &2.into()));
    assert_eq!((&open["closed"], &open["readers"]), (&false.into(), &1.into()));
    assert!(open.get("closed_reason").is_none() && open.get("ttl").is_none());
    assert_eq!(streams["ttl"]["ttl"], 600);
    assert_eq!(streams["until"]["expires_at"], "2190-01-01T00:00:00Z");
    assert_eq!(streams["fork"]["forked_from"], "open");
    assert_eq!(streams["fork"]["fork_offset"], "0000000000000001_0000000000000003");
    let stored = eventually("all is in the database", async || {
        let streams = shown().await;
        let all = streams.values().all(|s| s["stored"] == s["tail"] && s["created"].is_string());
        all.then_some(streams)
    });
    let created = stored.await["open"]["created"].as_str().expect("a time").to_owned();
    assert!(created.starts_with("20") && created.ends_with('Z'), "{created}");
    drop(reader);
}

async fn what_is_gone_is_not_shown(setup: Setup) {
    let server = setup.start().await;
    for name in ["a", "b", "c"] {
        server.create(name, "text/plain", "x").await;
    }
    let past = [("content-type", "text/plain"), ("stream-expires-at", "2001-01-01T00:00:00Z")];
    server.ask(Method::PUT, "over", &past, "").await;
    let fork = [("content-type", "text/plain"), ("stream-forked-from", "/v1/stream/c")];
    server.ask(Method::PUT, "d", &fork, "").await;
    server.ask(Method::DELETE, "b", &[], "").await;
    server.ask(Method::DELETE, "c", &[], "").await;
    assert_eq!(names(&page(&server, "").await), ["a", "d"]);
    let server = server.restart().await;
    assert_eq!(names(&page(&server, "").await), ["a", "d"]);
}

/// Somebody with a token that the program has made.
struct Somebody(String);

impl Somebody {
    fn new(setup: &Setup, args: &[&str]) -> Self {
        let output = setup.run(&[&["token", "--sub", "me"], args].concat());
        assert!(output.status.success(), "{output:?}");
        Self(format!("Bearer {}", String::from_utf8(output.stdout).expect("text").trim()))
    }

    async fn send(&self, server: &TestServer, method: Method, target: &str, body: &str) -> Answer {
        let headers = [("authorization", &*self.0)];
        server.send(request(method, target, &headers, Bytes::from(body.to_owned()))).await
    }

    async fn list(&self, server: &TestServer, query: &str) -> Answer {
        self.send(server, Method::GET, &format!("/v1/streams?{query}"), "").await
    }
}

#[tokio::test]
async fn everybody_sees_what_they_may_read() {
    let server = Setup::new().await.env("AUTH_SECRET", SECRET).start().await;
    let boss = Somebody::new(server.setup(), &["--read", "**", "--write", "**", "--manage", "**"]);
    for name in ["a/1", "a/2", "a/x/3", "b", "c/1", "c/1/public"] {
        boss.send(&server, Method::PUT, &format!("/?id={name}"), "x").await;
    }
    let begun = boss
        .send(&server, Method::POST, "/conversations", r#"{"name":"team","participants":["you"]}"#)
        .await;
    assert_eq!(begun.status, 200, "{begun:?}");
    for (grants, query, want) in [
        (&["--read", "**"][..], "", &["a/1", "a/2", "a/x/3", "b", "c/1", "c/1/public"][..]),
        (&["--read", "**"], "prefix=__chat", &[]),
        (&["--read", "a/*"], "", &["a/1", "a/2"]),
        (&["--read", "a/**", "--read", "b"], "", &["a/1", "a/2", "a/x/3", "b"]),
        (&["--read", "a/**", "--read", "b"], "after=a/2", &["a/x/3", "b"]),
        (&["--read", "c/*/public", "--read", "b"], "prefix=c", &["c/1/public"]),
        (&["--write", "**", "--manage", "**"], "", &[]),
        (&["--read", "a/**"], "prefix=c", &[]),
    ] {
        let found = Somebody::new(server.setup(), grants).list(&server, query).await;
        assert_eq!(found.status, 200, "{found:?}");
        assert_eq!(names(&found.json()), want, "{grants:?} {query}");
        assert!(found.json()["next"].is_null());
    }
    let limited = Somebody::new(server.setup(), &["--read", "a/*", "--read", "c/**"]);
    let found = limited.list(&server, "limit=2").await.json();
    assert_eq!((names(&found), &found["next"]), (vec!["a/1".into(), "a/2".into()], &"a/2".into()));
    server.get("/v1/streams").await.problem(401, "missing_token");
}

/// Many conversations lie between the streams, and are passed over.
#[tokio::test]
async fn conversations_do_not_stand_in_the_way() {
    let server = Setup::new().await.env("AUTH_SECRET", SECRET).start().await;
    let boss = Somebody::new(server.setup(), &["--read", "**", "--write", "**"]);
    for name in ["A", "z"] {
        boss.send(&server, Method::PUT, &format!("/?id={name}"), "x").await;
    }
    for number in 0..1_100 {
        let body = format!(r#"{{"name":"c{number}","participants":["you"]}}"#);
        let begun = boss.send(&server, Method::POST, "/conversations", &body).await;
        assert_eq!(begun.status, 200, "{begun:?}");
    }
    let server = server.restart().await;
    let found = boss.list(&server, "").await.json();
    assert_eq!(names(&found), ["A", "z"]);
    assert!(found["next"].is_null());
}

#[tokio::test]
async fn one_node_lists_what_another_has_acknowledged() {
    let setup = Setup::nodes(&redis::single()).await;
    let (a, b) = (setup.node("a"), setup.node("b"));
    let (a, b) = tokio::join!(a.start(), b.start());
    for round in 0..5 {
        a.create(&format!("s{round}"), "text/plain", "abc").await;
        let tail = b.append(&format!("s{round}"), "text/plain", "de").await;
        for node in [&a, &b] {
            let found = page(node, "").await;
            assert_eq!(names(&found).len(), round + 1);
            let last = &found["streams"][round];
            assert_eq!(
                (&last["tail"], &last["stored"]),
                (&tail.as_str().into(), &tail.as_str().into())
            );
        }
    }
    b.ask(Method::DELETE, "s2", &[], "").await;
    assert_eq!(names(&page(&a, "").await), ["s0", "s1", "s3", "s4"]);
}

/// Whoever may see one of very many looks for it in several requests, each of which does not take long.
#[tokio::test]
async fn a_page_looks_at_a_bounded_number_of_names() {
    let setup = Setup::new().await.env("AUTH_SECRET", SECRET).start().await.stop().await;
    let mut database = SqliteConnection::connect(&setup.url()).await.expect("a database");
    let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO streams (id, name, content_type, records, bytes, tied)
        SELECT i, printf('%06d/%s', i, CASE i WHEN 20000 THEN 'y' ELSE 'x' END), 'text/plain', 0, 0, 0 FROM n";
    sqlx::raw_sql(rows).execute(&mut database).await.expect("rows");
    database.close().await.expect("closed");
    let server = setup.start().await;
    let somebody = Somebody::new(server.setup(), &["--read", "*/y"]);
    let first = somebody.list(&server, "").await.json();
    assert!(names(&first).is_empty());
    assert_eq!(first["next"], "016384/x");
    let second = somebody.list(&server, "after=016384/x").await.json();
    assert_eq!((names(&second), second["next"].is_null()), (vec!["020000/y".into()], true));
    // Where the names begin is known, so nothing else is looked at.
    let somebody = Somebody::new(server.setup(), &["--read", "020000/**"]);
    let found = somebody.list(&server, "").await.json();
    assert_eq!((names(&found), found["next"].is_null()), (vec!["020000/y".into()], true));
}
