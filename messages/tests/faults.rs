//! What breaks under a running server: its database, its journal, its disk.

mod common;

use common::{
    Answer, End, Exit, Setup, TestServer, eventually, noise,
    outage::{Network, OwnPostgres, SmallDisk},
};
use sqlx::{Connection, SqliteConnection};
use std::{os::unix::fs::FileExt, path::PathBuf};

/// How many bytes a stream has.
async fn tail(server: &TestServer, id: &str) -> usize {
    let head = server.head(&format!("/?id={id}")).await;
    let (_, bytes) = head.header("stream-next-offset").split_once('_').expect("an offset");
    bytes.parse().expect("a number")
}

/// Appends to a stream until that is refused. Returns what it holds then, and the refusal.
async fn append_until_refused(
    server: &TestServer,
    id: &str,
    piece_bytes: usize,
) -> (Vec<u8>, Answer) {
    let mut content = Vec::new();
    for seed in 0..1000 {
        let target = format!("/?id={id}&close=false&offset={}", content.len());
        content.extend_from_slice(&noise(seed, piece_bytes));
        let piece = content[content.len() - piece_bytes..].to_vec();
        let answer = server.put(&target, piece).await;
        if !answer.status.is_success() {
            // A part of the last piece may have gone in.
            let tail = tail(server, id).await;
            assert!(tail + piece_bytes >= content.len(), "what was acknowledged is there");
            content.truncate(tail);
            return (content, answer);
        }
    }
    panic!("{} bytes were taken and none was refused", content.len());
}

/// Appends a last piece as soon as the server takes it, and closes the stream.
async fn finish_when_possible(server: &TestServer, id: &str, at: usize, code: &str) {
    eventually("the server takes appends again", async || {
        let answer = server.put(&format!("/?id={id}&offset={at}"), "the end").await;
        if answer.status.is_success() {
            return Some(());
        }
        answer.problem(503, code);
        None
    })
    .await;
}

#[tokio::test]
async fn the_server_outlives_its_database() {
    let postgres = OwnPostgres::start();
    let setup = Setup::new().await.with(&["--unstored-bytes-max", "8388608"]);
    let setup = setup.database_url(&postgres.url);
    let server = setup.start().await;
    server.put("/?id=known&close=false", "").await;
    server.put("/?id=other&close=false", "before").await;
    let mut reader = server.read("/?id=known").await;

    postgres.go_down();
    let (content, refusal) = append_until_refused(&server, "known", 256 << 10).await;
    refusal.problem(503, "overloaded");
    assert_eq!(refusal.header("retry-after"), "2");
    assert!((6 << 20..8 << 20).contains(&content.len()), "{} bytes went in", content.len());
    assert!(reader.bytes(content.len()).await == content, "readers go on");
    let other = server.put("/?id=other&close=false", noise(1, 1 << 20)).await;
    other.problem(503, "overloaded");
    let (get, put) = tokio::join!(server.get("/?id=unknown"), server.put("/?id=unknown", "x"));
    get.problem(503, "database_unavailable");
    put.problem(503, "database_unavailable");
    assert_eq!(server.get("/readyz").await.status, 200, "the journal takes appends");

    postgres.come_up();
    finish_when_possible(&server, "known", content.len(), "overloaded").await;
    let (rest, end) = reader.rest().await;
    assert_eq!((&rest[..], end), (&b"the end"[..], End::Clean));
    server.get("/?id=unknown").await.problem(404, "stream_not_found");
    assert_eq!(server.put("/?id=new", "x").await.status, 201);
    let setup = server.stop().await;

    let elsewhere = setup.home().join("elsewhere");
    let server = setup.data_dir(elsewhere).start().await;
    let whole = server.get("/?id=known").await.body;
    assert!(whole == [&content[..], b"the end"].concat());
    assert_eq!(server.get("/?id=new").await.text(), "x");
}

#[tokio::test]
async fn what_the_database_misses_stays_in_the_journal() {
    let postgres = OwnPostgres::start();
    let setup = Setup::new().await.database_url(&postgres.url);
    let mut server = setup.start().await;
    server.put("/?id=s&close=false", "one ").await;

    postgres.go_down();
    assert_eq!(server.put("/?id=s&close=false", "two ").await.status, 200);
    server.terminate();
    let Exit { status, output } = server.exit().await;
    assert!(!status.success(), "a stop that leaves something behind is no success");
    assert!(output.contains("the journal keeps what is missing"), "{output}");
    let refused = setup.start_in_vain().await;
    assert!(refused.output.contains("database"), "{}", refused.output);

    postgres.come_up();
    let server = setup.start().await;
    assert_eq!(server.put("/?id=s&close=false", "three ").await.status, 200);
    postgres.go_down();
    assert_eq!(server.put("/?id=s&close=false", "four").await.status, 200);
    server.kill().await;
    postgres.come_up();
    let server = setup.start().await;
    server.put("/?id=s", "").await;
    assert_eq!(server.get("/?id=s").await.text(), "one two three four");
}

/// A killed server whose journal holds ten acknowledged records and nothing of them in the database:
/// how it was started, its journal, and where the bytes of record `i` are.
async fn unflushed_journal() -> (Setup, PathBuf, impl Fn(usize) -> u64) {
    let setup = Setup::new().await.with(&["--flush-interval-ms", "600000"]);
    let server = setup.start().await;
    for i in 0..10 {
        server.put("/?id=journal&close=false", format!("record {i};")).await;
    }
    server.kill().await;
    let file = setup.journal_files().pop().expect("a journal file");
    let bytes = std::fs::read(&file).expect("the journal");
    let position = move |i: usize| {
        let record = format!("record {i};");
        let found = bytes.windows(record.len()).position(|window| window == record.as_bytes());
        found.expect("the record") as u64
    };
    (setup, file, position)
}

fn open(file: &PathBuf) -> std::fs::File {
    std::fs::OpenOptions::new().write(true).open(file).expect("the journal")
}

#[tokio::test]
async fn a_damaged_journal_is_named_and_not_replayed() {
    let (setup, file, position) = unflushed_journal().await;
    let damage = position(8) + 3;
    open(&file).write_all_at(b"X", damage).expect("a write");
    let exit = setup.start_in_vain().await;
    assert!(!exit.status.success());
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(exit.output.contains(&format!("file {name}")), "{}", exit.output);
    let byte = exit.output.split_once("byte ").expect("a position").1;
    let byte: u64 = byte.split_once(';').and_then(|(n, _)| n.parse().ok()).expect("a number");
    assert!(byte < damage && damage - byte < 100, "{byte} is where the frame of {damage} begins");
    assert!(exit.output.contains("backup"), "{}", exit.output);

    // Nothing was changed by the attempt: mended, it is all there.
    open(&file).write_all_at(b"o", damage).expect("a write");
    let server = setup.start().await;
    server.put("/?id=journal", "").await;
    let expected: String = (0..10).map(|i| format!("record {i};")).collect();
    assert_eq!(server.get("/?id=journal").await.text(), expected);
}

#[tokio::test]
async fn a_torn_end_of_the_journal_costs_only_what_is_torn() {
    let (setup, file, position) = unflushed_journal().await;
    open(&file).set_len(position(9) + 3).expect("a cut");
    let server = setup.start().await;
    assert!(server.output().contains("cut short by a crash"), "{}", server.output());
    let expected: String = (0..9).map(|i| format!("record {i};")).collect();
    let target = format!("/?id=journal&offset={}", expected.len());
    assert_eq!(server.put(&target, "!").await.status, 200);
    assert_eq!(server.get("/?id=journal").await.text(), format!("{expected}!"));
    let server = server.crash().await;
    assert_eq!(server.get("/?id=journal").await.text(), format!("{expected}!"));
}

#[tokio::test]
async fn a_lost_journal_file_is_named() {
    let (setup, lost, _) = unflushed_journal().await;
    // Every start begins a file, and none is freed while nothing is flushed.
    for id in ["second", "third"] {
        let server = setup.start().await;
        server.put(&format!("/?id={id}"), "x").await;
        server.kill().await;
    }
    let files = setup.journal_files();
    assert_eq!(files.len(), 3, "{files:?}");
    std::fs::remove_file(&files[1]).expect("a file");
    let exit = setup.start_in_vain().await;
    let name = files[1].file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(exit.output.contains(&format!("file {name} is missing")), "{}", exit.output);
    assert!(files[0] == lost, "nothing else is touched: {files:?}");
}

/// A server whose journal is on a disk that has room for little more than one segment.
async fn on_small_disk(disk: &SmallDisk, durability: &str) -> Setup {
    let setup = Setup::new().await;
    let database = format!("sqlite:{}", setup.home().join("elsewhere.db").display());
    let setup = setup.data_dir(disk.dir.join("data")).database_url(database);
    setup.with(&["--journal-segment-bytes", "16777216", "--durability", durability])
}

/// Appends until the disk is full. Some append finds that out and waits for room; all that come
/// after it are refused. Returns what was acknowledged and what the waiting one has sent.
async fn append_until_full(server: &TestServer, id: &str) -> (Vec<u8>, common::Producer) {
    let mut content = Vec::new();
    for seed in 0..100 {
        let piece = noise(seed, 1 << 20);
        let target = format!("/?id={id}&close=false&offset={}", content.len());
        let mut producer = server.produce(&target);
        producer.send(piece.clone()).await;
        let len = content.len() + piece.len();
        let is_taken = eventually("the append is taken or the disk is full", async || {
            if server.get("/readyz").await.status == 503 {
                return Some(false);
            }
            (server.head(&format!("/?id={id}")).await.status == 200
                && tail(server, id).await == len)
                .then_some(true)
        });
        if !is_taken.await {
            return (content, producer);
        }
        assert!(producer.finish().await.status.is_success());
        content.extend_from_slice(&piece);
    }
    panic!("the disk has room for {} bytes", content.len());
}

#[tokio::test]
async fn a_full_disk_refuses_appends_until_there_is_room() {
    let disk = SmallDisk::new(40);
    disk.fill(20);
    let setup = on_small_disk(&disk, "sync").await;
    let server = setup.start().await;
    server.put("/?id=other&close=false", "other").await;
    let (content, waiting) = append_until_full(&server, "full").await;
    server.get("/readyz").await.problem(503, "disk_full");
    let refusal = server.put("/?id=other&close=false", "x").await;
    refusal.problem(503, "disk_full");
    assert_eq!(refusal.header("retry-after"), "2");
    server.put("/?id=new", "x").await.problem(503, "disk_full");
    server.post("/", "new").await.problem(503, "disk_full");
    let mut reader = server.read("/?id=full").await;
    let mut seen = reader.at_least(content.len()).await.to_vec();
    assert!(seen[..content.len()] == content, "reads go on");

    disk.free();
    assert!(waiting.finish().await.status.is_success());
    eventually("appends are taken", async || {
        (server.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    seen.extend(reader.at_least(content.len() + (1 << 20) - seen.len()).await);
    assert_eq!(server.put("/?id=full", "").await.status, 200);
    assert_eq!(server.put("/?id=other", "!").await.status, 200);
    let server = server.crash().await;
    let whole = server.get("/?id=full").await.body;
    assert!(whole == seen && whole[..content.len()] == content);
    assert_eq!(server.get("/?id=other").await.text(), "other!");
}

#[tokio::test]
async fn a_server_on_a_full_disk_stops_and_starts_without_loss() {
    let disk = SmallDisk::new(40);
    disk.fill(20);
    let setup = on_small_disk(&disk, "sync").await.with(&["--drain-secs", "1"]);
    let mut server = setup.start().await;
    let (content, waiting) = append_until_full(&server, "full").await;
    server.terminate();
    server.exit().await;
    drop(waiting);

    let exit = setup.start_in_vain().await;
    assert!(!exit.status.success());
    assert!(exit.output.contains("journal") && exit.output.contains("No space"), "{}", exit.output);
    disk.free();
    let server = setup.start().await;
    let bytes = tail(&server, "full").await;
    assert!(bytes >= content.len(), "{bytes} of {} acknowledged bytes", content.len());
    server.put("/?id=full", "").await;
    assert!(server.get("/?id=full").await.body[..content.len()] == content);
}

/// Appends until the disk is full, frees it, and sees that nothing acknowledged is gone.
async fn fills_and_goes_on(server: &TestServer, disk: &SmallDisk) {
    let (content, waiting) = append_until_full(server, "full").await;
    server.get("/readyz").await.problem(503, "disk_full");
    disk.free();
    assert!(waiting.finish().await.status.is_success());
    finish_when_possible(server, "full", content.len() + (1 << 20), "disk_full").await;
    assert!(server.get("/?id=full").await.body[..content.len()] == content);
}

#[tokio::test]
async fn a_full_disk_is_no_failure_of_the_journal_without_barriers_either() {
    let disk = SmallDisk::new(40);
    disk.fill(20);
    let setup = on_small_disk(&disk, "os").await;
    let server = setup.start().await;
    fills_and_goes_on(&server, &disk).await;
}

#[tokio::test]
async fn a_full_disk_is_no_failure_of_the_journal_after_a_restart_either() {
    let disk = SmallDisk::new(40);
    let setup = on_small_disk(&disk, "sync").await;
    let server = setup.start().await;
    server.put("/?id=first", noise(8, 3 << 20)).await;
    let server = server.restart().await;
    // What the first run has left is freed behind this.
    server.put("/?id=second", noise(9, 3 << 20)).await;
    disk.fill(10);
    fills_and_goes_on(&server, &disk).await;
}

#[tokio::test]
async fn a_database_that_falls_silent_is_waited_for_but_holds_no_request() {
    let network = Network::before(&common::postgres::database().await).await;
    let setup = Setup::new().await.database_url(&network.url);
    let server = setup.start().await;
    server.put("/?id=known&close=false", "one ").await;
    network.fall_silent();
    assert_eq!(server.put("/?id=known&close=false", "two ").await.status, 200);
    server.get("/?id=unknown").await.problem(503, "database_unavailable");
    network.recover();
    server.get("/?id=unknown").await.problem(404, "stream_not_found");
    server.put("/?id=known", "three").await;
    let server = server.restart().await;
    assert_eq!(server.get("/?id=known").await.text(), "one two three");
}

#[tokio::test]
async fn somebody_else_may_lock_the_database_for_a_while() {
    let setup = Setup::new().await;
    let server = setup.start().await;
    server.put("/?id=known&close=false", "one ").await;
    let mut other = SqliteConnection::connect(&setup.url()).await.expect("the database");
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.expect("the lock");
    assert_eq!(server.put("/?id=known&close=false", "two ").await.status, 200);
    assert_eq!(
        server.put("/?id=new&close=false", "new").await.status,
        201,
        "reads are not locked out"
    );
    server.says("the store takes no writes").await;
    sqlx::query("COMMIT").execute(&mut other).await.expect("the end of the lock");
    server.says("the store takes writes again").await;
    server.put("/?id=known", "three").await;
    assert_eq!(server.get("/?id=known").await.text(), "one two three");
    server.stop().await;
}
