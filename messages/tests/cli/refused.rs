//! What is refused, how that is told, and what scripts read.

use crate::{common::Setup, tool::Tool};
use serde_json::Value;

const SECRET: &str = "a secret of these tests, and of nothing else";

#[tokio::test]
async fn exit_codes_tell_what_went_wrong() {
    let server = Setup::new().await.start().await;
    let tool = Tool::new(&server);
    assert_eq!(tool.run_with(&["push", "a", "--close"], "x").await.code(), Some(0));
    tool.run(&["push"]).await.fails(2, "Usage");
    tool.run(&["push", ""]).await.fails(2, "the id is empty");
    tool.run(&["tail", "a", "--from", "yesterday"]).await.fails(2, "must be beginning");
    tool.run(&["ls", "--url", "nowhere"]).await.fails(2, "must be as http://");
    let secret = tool.run(&["ls", "--url", "http://me:very-secret@127.0.0.1:1"]).await;
    secret.fails(2, "--token-file");
    assert!(!secret.stderr.contains("very-secret"));
    let silent = tool.run(&["ls", "--url", "http://127.0.0.1:1"]).await;
    silent.fails(1, "--url or MESSAGES_URL says which one to ask");
    tool.run(&["tail", "nothing"]).await.fails(3, "stream_not_found");
    tool.run(&["rm", "nothing"]).await.fails(3, "nothing: ");
    assert_eq!(tool.run(&["rm", "-f", "nothing"]).await.code(), Some(0));
    tool.run_with(&["push", "a"], "y").await.fails(5, "closed");
    tool.run_with(&["push", "a", "--content-type", "text/css"], "y")
        .await
        .fails(5, "and not text/css");
    assert_eq!(tool.run(&["rm", "a"]).await.code(), Some(0));
    tool.run(&["tail", "a"]).await.fails(3, "stream_not_found");
}

#[tokio::test]
async fn tokens_are_shown_and_their_absence_is_told() {
    let server = Setup::new().await.env("AUTH_SECRET", SECRET).start().await;
    let tool = Tool::new(&server);
    tool.run(&["ls"]).await.fails(4, "missing_token");
    tool.run_with(&["push", "a"], "x").await.fails(4, "missing_token");
    let token = |args: &[&str]| {
        let output = server.setup().run(&[&["token", "--sub", "me"], args].concat());
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let writer = tool.clone().env("MESSAGES_TOKEN", &token(&["--write", "a"]));
    assert_eq!(writer.run_with(&["push", "a"], "hello").await.code(), Some(0));
    writer.run(&["tail", "a"]).await.fails(4, "forbidden");
    writer.run(&["rm", "a"]).await.fails(4, "forbidden");
    let file = tool.home().join("token");
    std::fs::write(&file, format!("{}\n", token(&["--read", "**"]))).expect("a file");
    let file = file.to_str().expect("text");
    let reader = ["--token-file", file];
    let tail = tool.run(&[&["tail", "a"], &reader[..]].concat()).await;
    assert_eq!(tail.text(), "hello");
    assert_eq!(tool.run(&[&["ls"], &reader[..]].concat()).await.text(), "a\n");
    tool.run(&["ls", "--token-file", "nowhere"]).await.fails(1, "cannot read --token-file");
    tool.run(&["ls", "--token", "a\u{7f}b"]).await.fails(2, "the token is not one");
}

#[tokio::test]
async fn lists_are_for_people_and_for_scripts() {
    let server = Setup::new().await.start().await;
    let tool = Tool::new(&server);
    for number in 0..1_003 {
        server.create(&format!("s/{number:04}"), "text/plain", "x").await;
    }
    tool.run_with(&["push", "t/ö 1", "--close"], "hello").await;
    assert_eq!(tool.run(&["ls"]).await.text().lines().count(), 1_004);
    assert_eq!(tool.run(&["ls", "t/"]).await.text(), "t/ö 1\n");
    assert_eq!(tool.run(&["ls", "nothing"]).await.text(), "");
    let long = tool.run(&["ls", "-l", "t/"]).await;
    let columns: Vec<&str> = long.text().split_whitespace().collect();
    assert_eq!(columns, ["closed", "1", "5", "0", "application/octet-stream", "t/ö", "1"]);
    let json: Value =
        serde_json::from_str(tool.run(&["ls", "--json", "t/"]).await.text()).expect("JSON");
    assert_eq!(
        (&json["name"], &json["bytes"], &json["closed"]),
        (&"t/ö 1".into(), &5.into(), &true.into())
    );
    assert!(json["tail"].is_string() && json["stored"].is_string());
}

#[tokio::test]
async fn help_manuals_and_completions_render() {
    let server = Setup::new().await;
    let tool = Tool::at(&server, "http://127.0.0.1:1");
    let help = tool.run(&["--help"]).await;
    for command in [
        "serve",
        "token",
        "push",
        "tail",
        "ls",
        "rm",
        "export",
        "import",
        "backup",
        "check",
        "completions",
        "man",
    ] {
        assert!(help.text().contains(&format!("\n  {command} ")), "{command}");
        let own = tool.run(&[command, "--help"]).await;
        assert!(own.text().contains("Usage: messages"), "{own:?}");
    }
    assert!(help.text().contains("Exit codes: 0 done, 1 failed, 2 wrong usage"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = tool.run(&["completions", shell]).await;
        assert!(script.text().contains("push"), "{shell}");
    }
    tool.run(&["completions", "other"]).await.fails(2, "possible values");
    let page = tool.run(&["man"]).await;
    assert!(page.text().contains(".TH messages 1") && page.text().contains("messages\\-push"));
    assert_eq!(tool.run(&["man", "pages"]).await.text(), "");
    let page = std::fs::read_to_string(tool.home().join("pages/messages-tail.1")).expect("a page");
    assert!(page.contains("offset") && page.contains(".TH"), "{page}");
}
