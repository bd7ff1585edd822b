//! `backup`, while writers are at work, opened and compared with what was acknowledged before it.

use crate::{
    common::{Database, Setup, TestServer, eventually, noise},
    tool::Tool,
};
use http::Method;
use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// What is in a stream at a place, so that nothing of it has to be kept.
fn content(stream: usize, from: u64, len: usize) -> Vec<u8> {
    const CYCLE: usize = 1_000_003;
    static CYCLES: LazyLock<Vec<Vec<u8>>> =
        LazyLock::new(|| (0..4).map(|stream| noise(stream, CYCLE)).collect());
    let start = from as usize % CYCLE;
    CYCLES[stream].iter().cycle().skip(start).take(len).copied().collect()
}

async fn tail_bytes(server: &TestServer, name: &str) -> Option<u64> {
    let answer = server.ask(Method::HEAD, name, &[], "").await;
    answer.header("stream-next-offset").split_once('_')?.1.parse().ok()
}

#[tokio::test]
async fn a_backup_has_all_that_was_acknowledged_before_it() {
    // Small files and fast flushes, so that what is copied is emptied all the time.
    let args = ["--journal-segment-bytes", "16777216", "--flush-interval-ms", "20"];
    let setup = Setup::on(Database::Sqlite).await.with(&args).with(&["--durability", "os"]);
    let server = Arc::new(setup.start().await);
    let tool = Tool::new(&server);
    let acknowledged: Arc<Vec<AtomicU64>> = Arc::new((0..4).map(|_| AtomicU64::new(0)).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for stream in 0..4 {
        let (server, acknowledged, stop) = (server.clone(), acknowledged.clone(), stop.clone());
        writers.push(tokio::spawn(async move {
            let name = format!("s{stream}");
            server.create(&name, "text/plain", "").await;
            while !stop.load(Ordering::Relaxed) {
                let from = acknowledged[stream].load(Ordering::Relaxed);
                server.append(&name, "text/plain", content(stream, from, 100_000)).await;
                acknowledged[stream].store(from + 100_000, Ordering::Relaxed);
            }
        }));
    }
    // A name that begins anew again and again.
    writers.push(tokio::spawn({
        let (server, stop) = (server.clone(), stop.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                server.create("anew", "text/plain", "first").await;
                server.append("anew", "text/plain", " second").await;
                server.ask(Method::DELETE, "anew", &[], "").await;
            }
        }
    }));
    for round in 0..2 {
        let enough = 6_000_000 * (round + 1);
        eventually("much is written", async || {
            let all = acknowledged.iter().all(|bytes| bytes.load(Ordering::Relaxed) > enough);
            all.then_some(())
        })
        .await;
        let before: Vec<u64> =
            acknowledged.iter().map(|bytes| bytes.load(Ordering::Relaxed)).collect();
        let dir = tool.home().join(format!("backup-{round}"));
        let dir = dir.to_str().expect("text");
        let said = tool.run(&["backup", dir, "--json"]).await;
        let outcome: serde_json::Value = serde_json::from_str(said.text()).expect("JSON");
        assert!(outcome["database_bytes"].as_u64() > Some(0), "{outcome}");
        tool.run(&["backup", dir]).await.fails(5, "is there already");
        let checked = tool.run(&["check", "--data-dir", dir]).await;
        assert_eq!(checked.code(), Some(0), "{checked:?}");
        let copy = setup.clone().data_dir(dir).start().await;
        for (stream, before) in before.into_iter().enumerate() {
            let name = format!("s{stream}");
            let bytes = tail_bytes(&copy, &name).await.expect("the stream is there");
            assert!(bytes >= before, "{name} has {bytes} of {before}");
            let got = copy.fetch(&name).await.body;
            assert!(got == content(stream, 0, bytes as usize), "{name} has other content");
        }
        let anew = copy.fetch("anew").await;
        assert!(anew.status == 404 || "first second".starts_with(anew.text()), "{anew:?}");
        let stopped = copy.stop().await;
        let checked = tool.run(&["check", "--data-dir", dir]).await;
        assert_eq!(checked.code(), Some(0), "{checked:?}");
        std::fs::remove_dir_all(stopped.data()).expect("removed");
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.expect("no panic");
    }
}

#[tokio::test]
async fn a_backup_of_a_server_that_is_not_running() {
    let server = Setup::new().await.start().await;
    let tool = Tool::new(&server);
    tool.run_with(&["push", "s"], "hello").await;
    let setup = server.kill().await;
    assert_eq!(tool.run(&["backup", "copy"]).await.text(), "");
    let copy = setup.data_dir(tool.home().join("copy")).start().await;
    assert_eq!(copy.fetch("s").await.text(), "hello");
    tool.run(&["backup", "other", "--data-dir", "nowhere"])
        .await
        .fails(3, "there is no database nowhere/messages.db");
    let url = "postgres://u:very-secret@h/d";
    let refused = tool.run(&["backup", "other", "--database-url", url]).await;
    refused.fails(2, "pg_dump");
    assert!(!refused.stderr.contains("very-secret"));
}

/// Names in the directory of `tool` that begin so.
fn beside(tool: &Tool, begin: &str) -> Vec<String> {
    let entries = std::fs::read_dir(tool.home()).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    let mut names: Vec<String> = names.flatten().filter(|name| name.starts_with(begin)).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_beside_a_backup_stays() {
    let server = Setup::new().await.start().await;
    let tool = Tool::new(&server);
    tool.run_with(&["push", "s"], "hello").await;
    // Somebody's own, whatever a backup calls itself while it is made.
    std::fs::create_dir(tool.home().join("copy.part")).expect("a directory");
    std::fs::write(tool.home().join("copy.part/mine"), "mine").expect("a file");
    let setup = server.kill().await;
    assert_eq!(tool.run(&["backup", "copy/"]).await.text(), "");
    assert_eq!(beside(&tool, "copy"), ["copy", "copy.part"]);
    let mine = std::fs::read_to_string(tool.home().join("copy.part/mine"));
    assert_eq!(mine.expect("a file"), "mine");
    tool.run(&["backup", "none/copy"]).await.fails(1, "none/copy.");
    // What was written last is in a file of its own.
    std::fs::remove_file(setup.data().join("messages.db-wal")).expect("a file");
    std::fs::write(setup.data().join("messages.db"), "no database").expect("a file");
    tool.run(&["backup", "other"]).await.fails(1, "cannot copy the database");
    assert_eq!(beside(&tool, "other"), [""; 0]);
}

#[tokio::test]
async fn a_directory_may_have_any_name() {
    let setup = Setup::on(Database::Sqlite).await;
    let dir = setup.home().join("a?b%41 c");
    let server = setup.data_dir(&dir).start().await;
    let tool = Tool::new(&server);
    tool.run_with(&["push", "s"], "hello").await;
    let dir = dir.to_str().expect("text");
    assert_eq!(tool.run(&["backup", "copy", "--data-dir", dir]).await.text(), "");
    let setup = server.kill().await;
    assert!(setup.data().join("messages.db").exists());
    let checked = tool.run(&["check", "--data-dir", dir]).await;
    assert_eq!(checked.code(), Some(0), "{checked:?}");
}
