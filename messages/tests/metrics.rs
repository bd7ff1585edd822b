//! What `/metrics` says is true, and there are always as many numbers.

mod common;

use bytes::Bytes;
use common::{Answer, Setup, TestServer, eventually, protocol::at, redis, request};
use http::Method;
use sqlx::{Connection, SqliteConnection};
use std::{collections::BTreeMap, fs, path::Path};

/// Every number of a scrape by its name with its labels.
async fn scrape(server: &TestServer) -> BTreeMap<String, f64> {
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    parse(&answer)
}

/// Reads the text as strictly as it is specified: every number belongs to a family that was said
/// before, with its help and type, and the end is marked.
fn parse(answer: &Answer) -> BTreeMap<String, f64> {
    let text = answer.text();
    let (mut families, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    let body = text.strip_suffix("# EOF\n").expect("an end");
    for line in body.lines() {
        if let Some(said) = line.strip_prefix("# ") {
            let words: Vec<&str> = said.splitn(3, ' ').collect();
            let family: &mut Vec<String> = families.entry(words[1].to_owned()).or_default();
            family.push(words[0].to_owned());
            assert!(!words[2].is_empty(), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a number");
        let bare = name.split('{').next().expect("a name");
        let endings = ["_total", "_bucket", "_sum", "_count", "_info", ""];
        let family = endings.iter().find_map(|ending| families.get(bare.strip_suffix(ending)?));
        let said = family.unwrap_or_else(|| panic!("{line} has no family"));
        assert!(said.iter().any(|word| word == "HELP") && said.iter().any(|word| word == "TYPE"));
        let before = numbers.insert(name.to_owned(), value.parse().expect("a number"));
        assert!(before.is_none(), "{name} is there twice");
    }
    numbers
}

#[tokio::test]
async fn work_is_counted() {
    let server = Setup::new().await.with(&["--flush-interval-ms", "20"]).start().await;
    server.create("s", "text/plain", "begun").await;
    for _ in 0..9 {
        server.append("s", "text/plain", "12345").await;
    }
    server.ask(Method::POST, "none", &[("content-type", "text/plain")], "x").await;
    server.ask(Method::POST, "s", &[("content-type", "image/png")], "x").await;
    assert_eq!(server.get(&at("s", "")).await.text().len(), 50);
    let stored = async || {
        let numbers = scrape(&server).await;
        (numbers["messages_flush_records_total"] >= 10.0).then_some(numbers)
    };
    let numbers = eventually("everything is in the database", stored).await;
    let is = |name: &str, value: f64| assert_eq!(numbers[name], value, "{name}");
    is("messages_appends_total", 9.0);
    is("messages_append_records_total", 10.0);
    is("messages_append_bytes_total", 50.0);
    is("messages_append_refusals_total", 1.0);
    is(r#"messages_requests_total{kind="append",class="2xx"}"#, 9.0);
    is(r#"messages_requests_total{kind="append",class="4xx"}"#, 2.0);
    is(r#"messages_requests_total{kind="create",class="2xx"}"#, 1.0);
    is(r#"messages_request_duration_seconds_count{kind="append"}"#, 11.0);
    is(r#"messages_problems_total{code="stream_not_found"}"#, 1.0);
    is(r#"messages_problems_total{code="content_type_mismatch"}"#, 1.0);
    is("messages_delivered_bytes_total", 50.0);
    is("messages_flush_bytes_total", 50.0);
    is("messages_unstored_streams", 0.0);
    is("messages_flush_lag_seconds", 0.0);
    is("messages_unstored_bytes", 0.0);
    is("messages_channels", 1.0);
    is("messages_ready", 1.0);
    for above in [
        "messages_commit_journal_seconds_count",
        "messages_commit_queue_seconds_count",
        "messages_commit_group_sum",
        "messages_journal_bytes_total",
        "messages_flush_seconds_sum",
        "messages_flush_rows_total",
        "messages_window_bytes",
        "messages_unstored_bytes_max",
        "messages_connections",
        "messages_uptime_seconds",
        "messages_resident_memory_bytes",
        "messages_open_files",
    ] {
        assert!(numbers[above] > 0.0, "{above}");
    }
}

#[tokio::test]
async fn readers_are_counted_while_they_are_there() {
    let server = Setup::new().await.start().await;
    server.create("s", "text/plain", "content").await;
    let readers = async |transport: &str| {
        scrape(&server).await[&format!("messages_readers{{transport=\"{transport}\"}}")]
    };
    let plain = server.read("/?id=s").await;
    let events = server.read(&at("s", "?offset=-1&live=sse")).await;
    assert_eq!((readers("http").await, readers("sse").await), (1.0, 1.0));
    drop((plain, events));
    let gone = async || ((readers("http").await, readers("sse").await) == (0.0, 0.0)).then_some(());
    eventually("nobody is there", gone).await;
}

/// Otherwise no alert would ever stay for long enough.
#[tokio::test]
async fn a_database_that_hangs_is_seen_every_time() {
    let setup = Setup::new().await.with(&["--flush-interval-ms", "20"]);
    let server = setup.start().await;
    server.create("s", "text/plain", "x").await;
    let url = setup.url();
    let mut other = SqliteConnection::connect(&url).await.expect("the database");
    // It waits for its turn by itself.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.expect("the lock of the database");
    server.append("s", "text/plain", "y").await;
    for _ in 0..50 {
        let numbers = scrape(&server).await;
        assert!(numbers["messages_flush_lag_seconds"] > 0.0);
        assert!(numbers["messages_unstored_streams"] > 0.0);
    }
    sqlx::query("ROLLBACK").execute(&mut other).await.expect("an end");
    let done = async || (scrape(&server).await["messages_flush_lag_seconds"] == 0.0).then_some(());
    eventually("the database has everything", done).await;
}

#[tokio::test]
async fn who_finds_no_place_is_counted() {
    let server = Setup::new().await.with(&["--connections-max", "2"]).start().await;
    server.create("s", "text/plain", "x").await;
    let reader = server.read("/?id=s").await;
    let other = server.read("/?id=s").await;
    let refused = server.get("/healthz").await;
    refused.problem(503, "too_many_connections");
    drop(other);
    let count = async || {
        let answer = server.get("/metrics").await;
        (answer.status == 200).then(|| parse(&answer)["messages_connections_refused_total"])
    };
    assert!(eventually("a place", count).await >= 1.0);
    drop(reader);
}

#[tokio::test]
async fn names_that_anybody_chooses_add_no_numbers() {
    let server = Setup::new().await.start().await;
    server.create("first", "text/plain", "x").await;
    server.get("/whatever").await;
    let before = scrape(&server).await.len();
    for i in 0..20 {
        server.create(&format!("name-{i}"), "text/plain", "x").await;
        server.get(&format!("/whatever-{i}")).await;
        server.get(&format!("/conversations/name-{i}?user={i}")).await;
    }
    server.get("/conversations/known").await;
    // One more kind of problem, and no more.
    assert_eq!(scrape(&server).await.len(), before + 1);
}

#[tokio::test]
async fn several_nodes_tell_of_their_log() {
    let nodes = Setup::nodes(&redis::single()).await;
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    let (a, b) = tokio::join!(a.start(), b.start());
    a.create("s", "text/plain", "x").await;
    b.append("s", "text/plain", "y").await;
    let numbers = scrape(&b).await;
    assert_eq!(numbers["messages_appends_total"], 1.0);
    for above in
        ["messages_redis_seconds_count", "messages_redis_adds_total", "messages_redis_memory_bytes"]
    {
        assert!(numbers[above] > 0.0, "{above}");
    }
}

#[tokio::test]
async fn numbers_are_not_for_everybody() {
    let setup = Setup::new().await.env("AUTH_SECRET", "a secret of more than 32 bytes, for tests");
    let server = setup.start().await;
    server.get("/metrics").await.problem(401, "missing_token");
    let token = |name: &str| {
        let made = setup.run(&["token", "--sub", "prometheus", "--read", name]);
        assert!(made.status.success(), "{made:?}");
        let text = String::from_utf8(made.stdout).expect("text");
        format!("Bearer {}", text.trim())
    };
    let get = async |name: &str| {
        let headers = [("authorization", &*token(name))];
        server.send(request(Method::GET, "/metrics", &headers, Bytes::new())).await
    };
    get("other").await.problem(403, "forbidden");
    assert!(parse(&get("__metrics").await).len() > 100);
}

/// Numbers that people are shown elsewhere are there.
#[tokio::test]
async fn whatever_is_named_in_dashboards_alerts_and_docs_is_there() {
    let nodes = Setup::nodes(&redis::single()).await.start().await;
    nodes.get("/whatever").await;
    let numbers = scrape(&nodes).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in ["docker/grafana.json", "docker/alerts.yml", "docs/operations.md"] {
        let text = fs::read_to_string(root.join(file)).expect(file);
        let is_in_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let words = text.match_indices("messages_").map(|(at, _)| {
            let rest = &text[at..];
            &rest[..rest.find(|c| !is_in_name(c)).unwrap_or(rest.len())]
        });
        let named: Vec<&str> = words.filter(|word| *word != "messages_bench").collect();
        assert!(named.len() > 10, "{file}");
        for word in named {
            let is_there = numbers.keys().any(|name| name.split('{').next() == Some(word));
            assert!(is_there, "{file} names {word}");
        }
    }
}

#[tokio::test]
async fn a_request_keeps_its_name() {
    let flags = ["--log", "info,messages::access=debug", "--log-format", "json"];
    let server = Setup::new().await.with(&flags).start().await;
    let get = async |id: &str| {
        let headers = [("x-request-id", id)];
        server.send(request(Method::GET, "/?id=none&secret=hidden", &headers, Bytes::new())).await
    };
    assert_eq!(get("from-a-proxy.7").await.header("x-request-id"), "from-a-proxy.7");
    let long = "x".repeat(129);
    for bad in ["", "two words", &long] {
        assert_eq!(get(bad).await.header("x-request-id").len(), 32, "one of ours");
    }
    let mut server = server;
    server.terminate();
    let said = server.exit().await.output;
    let lines: Vec<serde_json::Value> =
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let access = lines.iter().find(|line| line["span"]["id"] == "from-a-proxy.7").expect("a line");
    assert_eq!((&access["status"], &access["span"]["path"]), (&400.into(), &"/".into()));
    assert!(lines.iter().any(|line| line["message"] == "stopping"), "{said}");
    assert!(!said.contains("hidden"), "{said}");
}
