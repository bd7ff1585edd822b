//! What `/metrics` says is true, and there are always as many numbers.

mod common;

use bytes::Bytes;
use common::{
    Answer, Setup, TestServer, eventually, protocol::at, redis, request, webhook::Webhook,
};
use http::Method;
use serde_json::json;
use sqlx::{Connection, SqliteConnection};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Every number of a scrape by its name with its labels.
async fn scrape(server: &TestServer) -> BTreeMap<String, f64> {
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    parse(&answer)
}

/// Reads the text as strictly as its format is specified: every number belongs to a family that was said
/// before, with its help and type; and only OpenMetrics marks the end.
fn parse(answer: &Answer) -> BTreeMap<String, f64> {
    let text = answer.text();
    let (mut families, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    let is_open = answer.header("content-type").starts_with("application/openmetrics-text;");
    let body = if is_open { text.strip_suffix("# EOF\n").expect("an end") } else { text };
    assert!(body.ends_with('\n') && !body.contains("# EOF"));
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
        let open_endings = ["_total", "_info", "_bucket", "_sum", "_count", ""];
        // In the older format a family of counters is called as they are.
        let endings = &open_endings[if is_open { 0 } else { 2 }..];
        let family = endings.iter().find_map(|ending| families.get(bare.strip_suffix(ending)?));
        let said = family.unwrap_or_else(|| panic!("{line} has no family"));
        assert!(said.iter().any(|word| word == "HELP") && said.iter().any(|word| word == "TYPE"));
        let before = numbers.insert(name.to_owned(), value.parse().expect("a number"));
        assert!(before.is_none(), "{name} is there twice");
    }
    for (name, count) in &numbers {
        // The last range has no end: without it Prometheus knows no quantiles.
        if let Some((family, rest)) = name.split_once("_bucket{")
            && let Some(labels) = rest.split_once(r#"le="+Inf""#).map(|(_, labels)| labels)
        {
            let labels = labels.strip_prefix(',').map_or(String::new(), |it| format!("{{{it}"));
            assert_eq!(numbers.get(&format!("{family}_count{labels}")), Some(count), "{name}");
        }
    }
    let endless = numbers.keys().filter(|name| name.contains(r#"le="+Inf""#)).count();
    let histograms = numbers.keys().filter(|name| name.contains("_count")).count();
    assert_eq!(endless, histograms, "histograms that end");
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
    assert_eq!(server.get("/v1/stream/__ds/subscriptions/none").await.status, 404);
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
    is(r#"messages_problems_total{code="SUBSCRIPTION_NOT_FOUND"}"#, 1.0);
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
async fn a_scraper_gets_the_format_that_it_asks_for() {
    let server = Setup::new().await.start().await;
    server.create("s", "text/plain", "x").await;
    let get = async |accept: &str| {
        let headers = [("accept", accept)];
        server.send(request(Method::GET, "/metrics", &headers, Bytes::new())).await
    };
    let open = get("application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    let plain = get("*/*").await;
    let type_of = |answer: &Answer| answer.header("content-type").to_owned();
    assert_eq!(type_of(&open), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(type_of(&plain), "text/plain; version=0.0.4; charset=utf-8");
    assert!(plain.header("vary").contains("accept"), "{plain:?}");
    assert!(open.text().contains("# TYPE messages_appends counter\n"));
    assert!(plain.text().contains("# TYPE messages_appends_total counter\n"));
    assert!(!plain.text().contains("# UNIT"));
    let names = |answer| parse(answer).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&open), names(&plain));
}

/// All who work with a database, a disk, other servers or keys say what comes of it.
#[tokio::test]
async fn work_beside_streams_is_counted() {
    let setup = Setup::new().await.env("AUTH_SECRET", "a secret of more than 32 bytes, for tests");
    let server = setup.start().await;
    let made = setup.run(&["token", "--sub", "all", "--read", "*", "--write", "*"]);
    let token = format!("Bearer {}", String::from_utf8(made.stdout).expect("text").trim());
    let ask = async |method: Method, target: &str, body: &'static str| {
        let headers = [("authorization", &*token), ("content-type", "application/json")];
        server.send(request(method, target, &headers, Bytes::from_static(body.as_bytes()))).await
    };
    server.get("/metrics").await.problem(401, "missing_token");
    let bad = [("authorization", "Bearer none")];
    let bad = server.send(request(Method::GET, "/metrics", &bad, Bytes::new())).await;
    bad.problem(401, "invalid_token");
    server.get("/?id=s&ticket=none").await.problem(401, "invalid_ticket");
    server.get("/?id=s&token=x").await.problem(400, "token_in_url");
    assert_eq!(ask(Method::POST, "/v1/auth/ticket", "").await.status, 200);
    assert_eq!(
        ask(Method::POST, "/conversations", r#"{"name":"c","participants":["bob"]}"#).await.status,
        200
    );
    for _ in 0..2 {
        let sent = ask(Method::POST, "/conversations/c/messages", r#"{"text":"hi","txn":"1"}"#);
        assert!(sent.await.status.is_success());
    }
    assert_eq!(ask(Method::PUT, &at("s", ""), "[1]").await.status, 201);
    let numbers = parse(&ask(Method::GET, "/metrics", "").await);
    for (name, value) in [
        (r#"messages_auth_failures_total{reason="missing"}"#, 1.0),
        (r#"messages_auth_failures_total{reason="invalid"}"#, 1.0),
        (r#"messages_auth_failures_total{reason="bad_ticket"}"#, 1.0),
        (r#"messages_auth_failures_total{reason="token_in_url"}"#, 1.0),
        (r#"messages_auth_failures_total{reason="expired"}"#, 0.0),
        ("messages_tickets_total", 1.0),
        ("messages_tickets_refused_total", 0.0),
        ("messages_chat_sends_total", 1.0),
        ("messages_chat_duplicates_total", 1.0),
        ("messages_subscriptions", 0.0),
        ("messages_readers_behind", 0.0),
    ] {
        assert_eq!(numbers[name], value, "{name}");
    }
    for above in [
        "messages_journal_segments",
        "messages_journal_disk_bytes",
        "messages_sql_readers",
        "messages_sql_readers_max",
        "messages_sql_wait_seconds_count",
    ] {
        assert!(numbers[above] > 0.0, "{above}");
    }
}

#[tokio::test]
async fn wakes_are_counted() {
    let server = Setup::new().await.start().await;
    let mut hook = Webhook::start().await;
    hook.answer(500, &[], "");
    hook.answer(200, &[], r#"{"done":true}"#);
    let body = json!({ "type": "webhook", "pattern": "jobs/*", "webhook": { "url": hook.url() } });
    let target = "/v1/stream/__ds/subscriptions/w";
    let json = [("content-type", "application/json")];
    let body = Bytes::from(body.to_string());
    assert_eq!(server.send(request(Method::PUT, target, &json, body)).await.status, 201);
    server.create("jobs/1", "text/plain", "x").await;
    hook.call().await;
    hook.call().await;
    let done = async || {
        let numbers = scrape(&server).await;
        let is_done = numbers["messages_subscriptions_pending"] == 0.0
            && numbers["messages_webhooks_calling"] == 0.0;
        is_done.then_some(numbers)
    };
    let numbers = eventually("the wake is delivered", done).await;
    for (name, value) in [
        (r#"messages_webhook_calls_total{outcome="refused"}"#, 1.0),
        (r#"messages_webhook_calls_total{outcome="delivered"}"#, 1.0),
        (r#"messages_webhook_calls_total{outcome="unanswered"}"#, 0.0),
        ("messages_webhook_seconds_count", 2.0),
        ("messages_wake_retries_total", 1.0),
        ("messages_subscriptions", 1.0),
        ("messages_subscriptions_failing", 0.0),
    ] {
        assert_eq!(numbers[name], value, "{name}");
    }
}

#[tokio::test]
async fn a_reader_that_is_behind_memory_is_seen() {
    let flags = ["--window-bytes-max", "0", "--flush-interval-ms", "20"];
    let server = Setup::new().await.with(&flags).start().await;
    let length = 24 << 20;
    assert!(server.put("/?id=s", vec![b'x'; length]).await.status.is_success());
    let stored = async || (scrape(&server).await["messages_unstored_streams"] == 0.0).then_some(());
    eventually("the database has everything", stored).await;
    // It takes nothing: what it is sent fills the buffers in between.
    let reader = server.read("/?id=s").await;
    let behind = async || {
        let numbers = scrape(&server).await;
        let bytes = numbers["messages_readers_behind_bytes"];
        (numbers["messages_readers_behind"] == 1.0 && bytes > 0.0).then_some(bytes)
    };
    assert!(eventually("it is seen", behind).await <= length as f64);
    drop(reader);
    let gone = async || {
        let numbers = scrape(&server).await;
        let left = ["messages_readers_behind", "messages_readers_behind_bytes"];
        left.iter().all(|name| numbers[*name] == 0.0).then_some(())
    };
    eventually("it is gone", gone).await;
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
    // The connection of whoever came before may still be on its way out.
    let read = async || {
        let reader = server.read("/?id=s").await;
        (reader.status == 200).then_some(reader)
    };
    let reader = eventually("a place", read).await;
    let other = eventually("a second place", read).await;
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

/// Whichever node is asked, and whichever answers.
#[tokio::test]
async fn what_another_node_refuses_is_counted_once() {
    let setup = Setup::nodes(&redis::single()).await;
    let nodes = [setup.node("a").start().await, setup.node("b").start().await];
    let target = "/v1/stream/__ds/subscriptions/none";
    for node in &nodes {
        let known = async || (node.get(target).await.status == 404).then_some(());
        eventually("somebody works on subscriptions", known).await;
    }
    let count = async || {
        let mut sum = 0.0;
        for node in &nodes {
            let numbers = scrape(node).await;
            let name = r#"messages_problems_total{code="SUBSCRIPTION_NOT_FOUND"}"#;
            sum += numbers.get(name).copied().unwrap_or_default();
        }
        sum
    };
    let before = count().await;
    for node in &nodes {
        assert_eq!(node.get(target).await.status, 404);
    }
    assert_eq!(count().await - before, 2.0);
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

/// Whoever is woken by an alert finds what to do, and nothing is told of alerts that there are not.
#[test]
fn every_alert_says_what_to_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |file: &str| fs::read_to_string(root.join(file)).expect(file);
    let (alerts, docs) = (read("docker/alerts.yml"), read("docs/operations.md"));
    let named: BTreeSet<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let (_, table) = docs.split_once("| alert | what it means |").expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let first = rows.filter_map(|row| row.split('|').nth(1));
    let told: BTreeSet<&str> = first.flat_map(|names| names.split(',')).map(str::trim).collect();
    assert!(named.len() > 10);
    assert_eq!(named, told);
}

/// Numbers that people are shown elsewhere are there.
#[tokio::test]
async fn whatever_is_named_in_dashboards_alerts_and_docs_is_there() {
    let nodes = Setup::nodes(&redis::single()).await;
    let nodes = nodes.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").start().await;
    nodes.get("/whatever").await;
    let mut numbers = scrape(&nodes).await;
    // Nodes have no journal, and one at a time works on subscriptions.
    numbers.extend(scrape(&Setup::new().await.start().await).await);
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
        let answer = get(bad).await;
        assert_eq!(answer.header("x-request-id").len(), 32, "one of ours");
        assert_eq!(answer.json()["request_id"], answer.header("x-request-id"));
    }
    let headers = [("x-request-id", "of-a-head")];
    for target in ["/?id=none", "/whatever"] {
        let head = server.send(request(Method::HEAD, target, &headers, Bytes::new())).await;
        let body = server.send(request(Method::GET, target, &headers, Bytes::new())).await;
        assert_eq!(body.json()["request_id"], "of-a-head");
        let length = body.body.len().to_string();
        assert_eq!((head.header("content-length"), head.text()), (&*length, ""), "{target}");
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
