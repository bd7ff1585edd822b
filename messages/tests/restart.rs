//! What a stop, a crash and a start leave of the streams.

mod common;

use bytes::Bytes;
use common::{End, Setup, TestServer, eventually, lines, noise, raw::Raw, redis, request};
use http::Method;
use sqlx::{Connection, Row, SqliteConnection};

async fn closed_reason(server: &TestServer, id: &str) -> String {
    let head = server.head(&format!("/?id={id}")).await;
    head.header("stream-closed-reason").to_owned()
}

async fn a_stop_ends_readers_of_closed_streams_and_cuts_off_the_others(setup: Setup) {
    let server = setup.with(&["--drain-secs", "2"]).start().await;
    server.put("/?id=open&close=false", "so far").await;
    let mut open = server.read("/?id=open").await;
    open.expect("so far").await;
    let mut produced = server.start("/?freq=20&max=1000", "production").await;
    produced.expect(&lines("production", 3)).await;
    // More than the sockets between hold, so that it is still on its way when the stop comes.
    let content = noise(3, 12_000_000);
    server.put("/?id=closed", content.clone()).await;
    let mut closed = server.read("/?id=closed").await;
    let first = closed.piece().await.expect("a piece");

    server.terminate();
    let (rest, end) = produced.rest().await;
    assert_eq!(end, End::Clean, "it was closed in time");
    assert_eq!(open.rest().await, (Bytes::new(), End::BrokenOff));
    let (closed_rest, end) = closed.rest().await;
    assert_eq!(end, End::Clean);
    assert!([first, closed_rest].concat() == content);

    let server = server.stop().await.start().await;
    assert_eq!(closed_reason(&server, "production").await, "interrupted");
    let kept = server.get("/?id=production").await;
    assert_eq!(
        kept.body,
        lines("production", 3).into_bytes().into_iter().chain(rest).collect::<Vec<u8>>()
    );
    let count = kept.text().lines().count();
    assert_eq!(kept.text(), lines("production", count));
    assert_eq!(closed_reason(&server, "open").await, "");
    assert_eq!(server.put("/?id=open&offset=6", " good").await.status, 200);
    assert_eq!(server.get("/?id=open").await.text(), "so far good");
}

async fn after_a_stop_the_database_has_everything(setup: Setup) {
    // No flush before the last one.
    let setup = setup.with(&["--flush-interval-ms", "600000"]);
    let server = setup.start().await;
    let content = noise(4, 700_000);
    server.put("/?id=big", content.clone()).await;
    for i in 0..20 {
        server.put("/?id=small&close=false", format!("{i},")).await;
    }
    let setup = server.stop().await;
    // Another data directory: whatever is there now has come from the database.
    let elsewhere = setup.home().join("elsewhere");
    let server = setup.clone().database_url(setup.url()).data_dir(elsewhere).start().await;
    assert_eq!(server.get("/?id=big").await.body, content);
    assert_eq!(server.put("/?id=small", "").await.status, 200);
    let small: String = (0..20).map(|i| format!("{i},")).collect();
    assert_eq!(server.get("/?id=small").await.text(), small);
}

async fn a_crash_leaves_a_gapless_beginning_of_a_production(setup: Setup) {
    let server = setup.start().await;
    let mut reader = server.start("/?freq=200&max=100000", "crashed").await;
    reader.expect(&lines("crashed", 100)).await;
    let setup = server.kill().await;
    let (seen, end) = reader.rest().await;
    assert_eq!(end, End::BrokenOff, "a part is not the whole");
    let server = setup.start().await;
    let kept = server.get("/?id=crashed").await;
    assert_eq!(kept.header("stream-closed-reason"), "interrupted");
    let count = kept.text().lines().count();
    assert_eq!(kept.text(), lines("crashed", count));
    assert!(kept.body.len() >= lines("crashed", 100).len() + seen.len(), "what was seen is kept");
    assert_eq!(server.post("/?freq=1000&max=2", "crashed").await.text(), lines("crashed", 2));
}

async fn acknowledged_content_survives_crashes(setup: Setup) {
    for (durability, flush_ms) in [("sync", "600000"), ("os", "600000"), ("sync", "1"), ("os", "1")]
    {
        let id = format!("{durability}-{flush_ms}");
        let setup =
            setup.clone().with(&["--durability", durability, "--flush-interval-ms", flush_ms]);
        let mut server = setup.start().await;
        let mut content = Vec::new();
        for round in 0..3 {
            for i in 0..10 {
                let piece = noise(round * 10 + i, 1000 * i as usize + 1);
                let target = format!("/?id={id}&close=false&offset={}", content.len());
                assert!(server.put(&target, piece.clone()).await.status.is_success());
                content.extend_from_slice(&piece);
            }
            server = server.crash().await;
        }
        server.put(&format!("/?id={id}"), "").await;
        assert!(server.get(&format!("/?id={id}")).await.body == content, "{id}");
        server.crash().await.stop().await;
    }
}

async fn a_tied_upload_is_closed_after_a_crash(setup: Setup) {
    let server = setup.with(&["--flush-interval-ms", "1"]).start().await;
    let mut producer = server.produce("/?id=tied&close=always");
    producer.send("some").await;
    eventually("the piece has arrived", async || {
        let head = server.head("/?id=tied").await;
        head.header("stream-next-offset").ends_with("4").then_some(())
    })
    .await;
    let server = server.crash().await;
    let read = server.get("/?id=tied").await;
    assert_eq!((read.text(), read.header("stream-closed-reason")), ("some", "interrupted"));
}

async fn another_durability_keeps_everything(setup: Setup) {
    let with = |durability: &str| setup.clone().with(&["--durability", durability]);
    let server = with("sync").start().await;
    server.put("/?id=kept&close=false", "sync ").await;
    server.post("/?freq=1000&max=3", "anew").await;
    server.stop().await;
    for (durability, lines_anew) in
        [("memory", 4), ("sync", 5), ("memory", 6), ("os", 7), ("sync", 8)]
    {
        let server = with(durability).start().await;
        assert_eq!(
            server.get("/?id=anew").await.text(),
            lines("anew", lines_anew - 1),
            "{durability}"
        );
        let answer = server.put("/?id=kept&close=false", format!("{durability} ")).await;
        assert_eq!(answer.status, 200);
        server.post(&format!("/?freq=1000&max={lines_anew}"), "anew").await;
        server.stop().await;
    }
    let server = with("sync").start().await;
    server.put("/?id=kept", "").await;
    assert_eq!(server.get("/?id=kept").await.text(), "sync memory sync memory os sync ");
    assert_eq!(server.get("/?id=anew").await.text(), lines("anew", 8));
}

async fn what_a_crash_left_in_the_journal_survives_another_durability(setup: Setup) {
    let unflushed = |durability: &str| {
        setup.clone().with(&["--flush-interval-ms", "600000", "--durability", durability])
    };
    let server = unflushed("sync").start().await;
    server.put("/?id=s&close=false", "journal ").await;
    server.post("/?freq=1000&max=3", "anew").await;
    server.kill().await;
    let server = unflushed("memory").start().await;
    server.put("/?id=s&close=false", "memory ").await;
    server.post("/?freq=1000&max=4", "anew").await;
    server.stop().await;
    let server = unflushed("sync").start().await;
    server.put("/?id=s", "sync").await;
    assert_eq!(server.get("/?id=s").await.text(), "journal memory sync");
    assert_eq!(server.get("/?id=anew").await.text(), lines("anew", 4));
    let server = server.crash().await;
    assert_eq!(server.get("/?id=s").await.text(), "journal memory sync");
    server.stop().await;
}

async fn a_second_server_does_not_take_the_data_directory(setup: Setup) {
    let server = setup.start().await;
    let exit = setup.start_in_vain().await;
    assert!(!exit.status.success());
    let holder = format!("process {}", server.pid());
    for words in ["another server", &holder, "stop that one", "its own data directory"] {
        assert!(exit.output.contains(words), "{words}: {}", exit.output);
    }
    assert_eq!(server.put("/?id=a", "the first works on").await.status, 201);
    server.kill().await.start().await.stop().await;
}

async fn a_second_server_does_not_take_the_database(setup: Setup) {
    let server = setup.start().await;
    let second = setup.clone().database_url(setup.url()).data_dir(setup.home().join("second"));
    let exit = second.start_in_vain().await;
    assert!(!exit.status.success());
    for words in ["another server", "stop that one", "its own"] {
        assert!(exit.output.contains(words), "{words}: {}", exit.output);
    }
    assert_eq!(server.put("/?id=a", "the first works on").await.status, 201);
    server.kill().await;
    let server = second.start().await;
    server.get("/?id=b").await.problem(404, "stream_not_found");
}

on_both_databases!(
    a_stop_ends_readers_of_closed_streams_and_cuts_off_the_others,
    after_a_stop_the_database_has_everything,
    a_crash_leaves_a_gapless_beginning_of_a_production,
    acknowledged_content_survives_crashes,
    a_tied_upload_is_closed_after_a_crash,
    another_durability_keeps_everything,
    what_a_crash_left_in_the_journal_survives_another_durability,
    a_second_server_does_not_take_the_data_directory,
    a_second_server_does_not_take_the_database,
);

#[tokio::test]
async fn content_is_plain_to_read_in_the_database() {
    let setup = Setup::new().await;
    let server = setup.start().await;
    let content = noise(5, 600_000);
    server.put("/?id=big", content.clone()).await;
    server.post("/?freq=1000&max=40", "numbers").await;
    let setup = server.stop().await;
    let mut sqlite = SqliteConnection::connect(&setup.url()).await.expect("the database");
    for (id, expected) in [("big", content), ("numbers", lines("numbers", 40).into_bytes())] {
        let sql = "SELECT body FROM chunks JOIN streams ON streams.id = chunks.stream
            WHERE name = $1 AND closed = 'finished' ORDER BY at_bytes";
        let rows = sqlx::query(sql).bind(id).fetch_all(&mut sqlite).await.expect("rows");
        let body: Vec<u8> = rows.iter().flat_map(|row| row.get::<Vec<u8>, _>(0)).collect();
        assert!(body == expected, "{id}");
    }
    let sql = "SELECT bytes FROM streams WHERE name = 'big'";
    let bytes: i64 = sqlx::query_scalar(sql).fetch_one(&mut sqlite).await.expect("a row");
    assert_eq!(bytes, 600_000);
}

#[tokio::test]
async fn one_server_becomes_several_and_one_again() {
    let nodes = Setup::nodes(&redis::single()).await;
    let alone = alone(&nodes).await;
    let server = alone.start().await;
    server.put("/?id=text&close=false", "alone ").await;
    server.put("/?id=gone", "old").await;
    let delete = request(Method::DELETE, "/v1/stream/gone", &[], Bytes::new());
    assert_eq!(server.send(delete).await.status, 204);
    server.stop().await;

    let (a, b) = (nodes.node("one").start().await, nodes.node("two").start().await);
    assert_eq!(a.put("/?id=text&close=false&offset=6", "together ").await.status, 200);
    b.read("/?id=text").await.expect("alone together ").await;
    b.get("/?id=gone").await.problem(404, "stream_not_found");
    a.stop().await;
    b.stop().await;

    let exit = alone.start_in_vain().await;
    for words in ["several nodes", "--redis-url", "--redis-accept-loss"] {
        assert!(exit.output.contains(words), "{words}: {}", exit.output);
    }
    alone.clone().with(&["--redis-accept-loss"]).start().await.stop().await;
    let server = alone.start().await;
    assert_eq!(server.put("/?id=text", "alone again").await.status, 200);
    assert_eq!(server.get("/?id=text").await.text(), "alone together alone again");
    server.stop().await;

    // What Redis still knows is older than that.
    let exit = nodes.node("one").start_in_vain().await;
    assert!(
        exit.output.contains("another one than this database was used with"),
        "{}",
        exit.output
    );
}

#[tokio::test]
async fn a_node_does_not_start_on_what_only_a_journal_has() {
    let nodes = Setup::nodes(&redis::single()).await;
    let server = alone(&nodes).await.start().await;
    server.put("/?id=text&close=false", "in the journal ").await;
    server.kill().await;
    let exit = nodes.node("one").start_in_vain().await;
    for words in ["the journal in", "start once without --redis-url"] {
        assert!(exit.output.contains(words), "{words}: {}", exit.output);
    }
    alone(&nodes).await.start().await.stop().await;
    let node = nodes.node("one").start().await;
    assert_eq!(node.put("/?id=text", "and in Redis").await.status, 200);
    assert_eq!(node.get("/?id=text").await.text(), "in the journal and in Redis");
}

/// One server alone on the database of these nodes, which never flushes but at its end.
async fn alone(nodes: &Setup) -> Setup {
    let setup = Setup::new().await.database_url(nodes.url()).data_dir(nodes.home().join("one"));
    setup.with(&["--flush-interval-ms", "600000"])
}

#[tokio::test]
async fn a_producer_may_finish_while_the_server_stops() {
    let server = Setup::new().await.start().await;
    let mut producer = server.produce("/?id=last");
    producer.send("first ").await;
    eventually("the piece has arrived", async || {
        (server.head("/?id=last").await.status == 200).then_some(())
    })
    .await;
    server.terminate();
    server.says("stopping").await;
    producer.send("last").await;
    assert_eq!(producer.finish().await.status, 201);
    let server = server.restart().await;
    assert_eq!(server.get("/?id=last").await.text(), "first last");
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_it_is_told_to() {
    let server = Setup::new().await.with(&["--drain-secs", "1"]).start().await;
    let mut producer = server.produce("/?id=endless");
    producer.send("piece").await;
    eventually("the piece has arrived", async || {
        (server.head("/?id=endless").await.status == 200).then_some(())
    })
    .await;
    let began = tokio::time::Instant::now();
    let server = server.stop().await;
    assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
    let server = server.start().await;
    server.put("/?id=endless&offset=5", "!").await;
    assert_eq!(server.get("/?id=endless").await.text(), "piece!");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = Setup::new().await.start().await;
    let address = server.address().to_string();
    let exit = Setup::new().await.listen(&address).start_in_vain().await;
    assert!(!exit.status.success());
    for words in [&*format!("cannot listen on {address}"), "choose another --listen"] {
        assert!(exit.output.contains(words), "{words}: {}", exit.output);
    }
}

/// Nothing listens there as long as this is held.
fn closed_port() -> (std::net::TcpListener, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.2:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

#[tokio::test]
async fn a_database_that_is_down_is_named_without_its_password() {
    // Bound on another address of the loopback interface: nobody answers on this one.
    let (_held, port) = closed_port();
    let began = tokio::time::Instant::now();
    let url = format!("postgres://somebody:hunter2secret@127.0.0.1:{port}/nothing");
    let exit = Setup::new().await.database_url(url).start_in_vain().await;
    assert!(!exit.status.success());
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    for words in ["Postgres database", "--database-url", "refused"] {
        assert!(exit.output.contains(words), "{words}: {}", exit.output);
    }
    assert!(!exit.output.contains("hunter2secret"), "{}", exit.output);
}

#[tokio::test]
async fn a_database_that_never_answers_does_not_hang_the_start() {
    // The system accepts connections; nobody ever answers on them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let url = format!("postgres://somebody:hunter2secret@127.0.0.1:{port}/nothing");
    let exit = Setup::new().await.database_url(url).start_in_vain().await;
    assert!(exit.output.contains("--database-url"), "{}", exit.output);
    assert!(!exit.output.contains("hunter2secret"), "{}", exit.output);
}

#[tokio::test]
async fn urls_that_make_no_sense_are_refused_without_the_password() {
    for url in [
        "mysql://somebody:hunter2secret@host/name",
        "postgres://somebody:hunter2secret@host:port/name",
        "postgres://somebody:hunter2secret@host/name?sslmode=perhaps",
        "postgres://somebody:hunter2secret",
        "somebody:hunter2secret@host/name",
        "hunter2secret",
        "sqlite:/nowhere/at/all/hunter2secret.db?mode=what",
    ] {
        let exit = Setup::new().await.database_url(url).start_in_vain().await;
        assert!(!exit.status.success());
        assert!(exit.output.contains("--database-url"), "{}", exit.output);
        assert!(!exit.output.contains("hunter2secret"), "{url}: {}", exit.output);
    }
}

#[tokio::test]
async fn the_settings_come_from_the_environment_and_from_a_file_too() {
    let setup = Setup::new().await;
    std::fs::write(setup.home().join(".env"), "PRODUCER_IDLE_SECS=7\nLOG=debug\n").expect("a file");
    let server = setup.start().await;
    server.put("/?id=a", "x").await;
    assert_eq!(server.get("/?id=a").await.text(), "x");
    let setup = server.stop().await;
    std::fs::write(setup.home().join(".env"), "DURABILITY=never\n").expect("a file");
    let exit = setup.start_in_vain().await;
    assert!(exit.output.contains("never"), "{}", exit.output);
    std::fs::write(setup.home().join(".env"), "AUTH_SECRET=very secret\n").expect("a file");
    let exit = setup.start_in_vain().await;
    assert!(exit.output.contains("cannot read .env"), "{}", exit.output);
    assert!(!exit.output.contains("secret"), "{}", exit.output);
}

#[tokio::test]
async fn connections_that_do_nothing_do_not_delay_a_stop() {
    let server = Setup::new().await.with(&["--drain-secs", "25"]).start().await;
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut done = Raw::send(server.address(), get).await;
    done.until("ok\n").await;
    let silent = Raw::send(server.address(), "").await;
    let begun = Raw::send(server.address(), "GET /healthz HT").await;
    let began = tokio::time::Instant::now();
    server.stop().await;
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    drop((done, silent, begun));
}
