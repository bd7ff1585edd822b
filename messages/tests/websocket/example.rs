//! The example of the documentation, as it stands there.

use crate::{JSON, TEXT, close, common::Setup, create, post};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

const DOCUMENT: &str = include_str!("../../../docs/websocket.md");

fn code() -> &'static str {
    let (_, rest) = DOCUMENT.split_once("```js\n").expect("an example");
    rest.split_once("```").expect("its end").0
}

#[tokio::test]
async fn it_follows_streams_through_a_crash() {
    if !Command::new("node").arg("--version").output().await.is_ok_and(|o| o.status.success()) {
        eprintln!("there is no Node.js here, and the example is not run");
        return;
    }
    // It comes back to the same address. Nobody hands out ports below 32768.
    let port = 20_000 + std::process::id() % 12_000;
    let listen = format!("127.0.0.1:{port}");
    let server = Setup::new().await.listen(&listen).start().await;
    create(&server, "t", TEXT, " one\r\n").await;
    create(&server, "j", JSON, r#"[{"n": 1}]"#).await;
    let file = server.setup().home().join("example.mjs");
    std::fs::write(&file, code()).expect("a file");
    let mut node = Command::new("node")
        .args(["--experimental-websocket", "--no-warnings"])
        .arg(&file)
        .args([&format!("ws://{listen}/ws"), "t", "j"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a program");
    let mut lines = BufReader::new(node.stdout.take().expect("a pipe")).lines();
    let mut next = async || {
        let line = crate::common::soon("a line", lines.next_line()).await;
        line.expect("a pipe").unwrap_or_default()
    };
    let mut both = [next().await, next().await];
    both.sort();
    assert_eq!(both, [r#"j [{"n":1}]"#, r#"t " one\r\n""#]);
    let server = server.crash().await;
    post(&server, "t", TEXT, "two").await;
    assert_eq!(next().await, r#"t "two""#);
    for name in ["t", "j"] {
        close(&server, name).await;
    }
    let status = crate::common::soon("its end", node.wait()).await.expect("an end");
    assert!(status.success(), "{status}");
}
