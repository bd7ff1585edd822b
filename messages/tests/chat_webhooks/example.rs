//! The bot of the documentation, as it stands there.

use crate::{
    common::{Setup, eventually},
    team::start,
};
use http::Method;
use serde_json::json;
use std::process::Stdio;
use tokio::process::Command;

const DOCUMENT: &str = include_str!("../../../docs/chat.md");

fn code() -> &'static str {
    let (_, rest) = DOCUMENT.split_once("```python bot.py\n").expect("an example");
    rest.split_once("```").expect("its end").0
}

#[tokio::test]
async fn it_answers_each_message_once_also_after_a_crash() {
    if !Command::new("python3").arg("--version").output().await.is_ok_and(|o| o.status.success()) {
        eprintln!("there is no Python here, and the example is not run");
        return;
    }
    // Both come back to the same addresses. Nobody hands out ports below 32768.
    let port = 20_000 + std::process::id() % 6_000;
    let listen = format!("127.0.0.1:{port}");
    let server = start(Setup::new().await.listen(&listen)).await;
    let alice = server.user("alice");
    alice.ok(Method::PUT, "/conversations/team/participants/pong", &json!({})).await;
    alice.say("!ping").await;
    let file = server.setup().home().join("bot.py");
    std::fs::write(&file, code()).expect("a file");
    let _bot = Command::new("python3")
        .arg(&file)
        .args([format!("http://{listen}"), (port + 6_000).to_string()])
        .env("TOKEN", server.user("pong").token)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("a program");
    let pongs = async |server: &crate::common::TestServer| {
        let messages = server.user("alice").get("/conversations/team/messages").await;
        let messages = messages.as_array().expect("an array").clone();
        messages.iter().filter(|message| message["text"] == "pong").count()
    };
    eventually("a pong", async || (pongs(&server).await == 1).then_some(())).await;
    let server = server.crash().await;
    server.user("alice").say("!ping").await;
    eventually("another one", async || (pongs(&server).await == 2).then_some(())).await;
    let bot = server.user("pong");
    assert_eq!(bot.replay("pong", &json!({ "position": 0 })).await.status, 200);
    eventually("everything is processed again", async || {
        let end = bot.get("/conversations/team").await["offset"].clone();
        (bot.acked("pong").await == end).then_some(())
    })
    .await;
    assert_eq!(pongs(&server).await, 2, "however often it is told");
}
