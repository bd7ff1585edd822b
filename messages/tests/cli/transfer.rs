//! `export` and `import`.

use crate::{
    common::{Database, Setup, TestServer, eventually, noise},
    tool::Tool,
};
use http::Method;
use serde_json::Value;

async fn filled() -> TestServer {
    let server = Setup::on(Database::Sqlite).await.start().await;
    let tool = Tool::new(&server);
    tool.run_with(&["push", "a/bytes", "--close"], noise(6, 2_500_000)).await;
    let lines: String = (0..40_000).map(|n| format!("{{\"n\": {n}, \"x\":1.500}}\n")).collect();
    let args = ["push", "a/json", "--content-type", "application/json"];
    tool.run_with(&args, lines).await;
    let ttl = [("content-type", "text/plain; charset=utf-8"), ("stream-ttl", "600")];
    assert_eq!(server.ask(Method::PUT, "a/%C3%BC%20%25", &ttl, "hello\n").await.status, 201);
    let until = [("content-type", "text/plain"), ("stream-expires-at", "2190-01-01T00:00:00Z")];
    assert_eq!(server.ask(Method::PUT, "a/empty", &until, "").await.status, 201);
    server.create("b", "text/plain", "not in it").await;
    server
}

/// What scripts see of all streams, without what depends on the time.
async fn state(tool: &Tool) -> Vec<Value> {
    let list = tool.run(&["ls", "--json", "a/"]).await;
    let mut all = Vec::new();
    for line in list.text().lines() {
        let mut stream: Value = serde_json::from_str(line).expect("JSON");
        let members = stream.as_object_mut().expect("a document");
        for changing in ["created", "stored", "readers", "records", "tail"] {
            members.remove(changing);
        }
        let content = tool.run(&["tail", stream["name"].as_str().expect("text")]).await;
        assert_eq!(content.code(), Some(0), "{content:?}");
        stream["content"] = format!("{:?}", content.stdout).into();
        all.push(stream);
    }
    all
}

#[tokio::test]
async fn what_was_exported_comes_back() {
    let server = filled().await;
    let tool = Tool::new(&server);
    let outcome = tool.run(&["export", "a/", "-o", "file", "--json"]).await;
    let outcome: Value = serde_json::from_str(outcome.text()).expect("JSON");
    assert_eq!(outcome["streams"], 4);
    let other = Setup::new().await.start().await;
    let into = Tool::new(&other);
    let file = tool.home().join("file");
    let file = file.to_str().expect("text");
    let imported = into.run(&["import", file, "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(imported.text()).expect("JSON"), outcome);
    let (want, got) = (state(&tool).await, state(&into).await);
    assert_eq!(want.len(), 4);
    assert!(want == got, "what came back is different");
    into.run(&["import", file]).await.fails(5, "is there already");
    // Once more changes nothing.
    assert_eq!(into.run(&["import", file, "--resume"]).await.code(), Some(0));
    assert!(state(&into).await == want);
    // As a pipe.
    let piped = tool.run(&["export", "a/"]).await;
    let server = Setup::new().await.start().await;
    let third = Tool::new(&server);
    assert_eq!(third.run_with(&["import"], piped.stdout).await.code(), Some(0));
    assert!(state(&third).await == want);
}

#[tokio::test]
async fn a_file_that_is_cut_or_changed_is_noticed() {
    let server = filled().await;
    let tool = Tool::new(&server);
    let whole = tool.run(&["export", "a/"]).await.stdout;
    let other = Setup::new().await.start().await;
    let into = Tool::new(&other);
    let cut = into.run_with(&["import"], &whole[..whole.len() / 2]).await;
    cut.fails(1, "");
    // It goes on with the whole one.
    assert_eq!(into.run_with(&["import", "--resume"], &whole).await.code(), Some(0));
    assert!(state(&into).await == state(&tool).await);
    let text = String::from_utf8(whole).expect("text");
    let last = text.trim_end().rfind('\n').expect("lines");
    into.run_with(&["import", "--resume"], &text[..=last]).await.fails(1, "the file was cut off");
    let changed = text.replacen("{\"n\": 77,", "{\"n\": 78,", 1);
    assert_ne!(changed, text);
    let server = Setup::new().await.start().await;
    let third = Tool::new(&server);
    third.run_with(&["import"], changed).await.fails(1, "the file is damaged");
    into.run_with(&["import"], "{}\n").await.fails(1, "line 1 is damaged");
    into.run_with(&["import"], "{\"messages_export\":9}\n").await.fails(1, "has layout 9");
}

#[tokio::test]
async fn an_import_that_was_killed_is_gone_on_with() {
    let server = filled().await;
    let tool = Tool::new(&server);
    assert_eq!(tool.run(&["export", "a/", "-o", "file"]).await.code(), Some(0));
    let file = tool.home().join("file");
    let file = file.to_str().expect("text");
    let other = Setup::new().await.start().await;
    let into = Tool::new(&other);
    for enough in [100, 1_000_000, 1_600_000] {
        let mut child = into.start(&["import", file, "--resume"]);
        eventually("some has come", async || {
            let head = other.ask(Method::HEAD, "a/bytes", &[], "").await;
            let offset = head.header("stream-next-offset");
            let bytes: u64 = offset.split_once('_')?.1.parse().ok()?;
            (bytes >= enough).then_some(())
        })
        .await;
        child.kill().await.expect("killed");
    }
    let last = into.run(&["import", file, "--resume"]).await;
    assert_eq!(last.code(), Some(0), "{last:?}");
    assert!(state(&into).await == state(&tool).await);
}

#[tokio::test]
async fn an_export_touches_nothing_but_its_file() {
    let server = filled().await;
    let tool = Tool::new(&server);
    let home = tool.home();
    std::fs::write(home.join("real"), "before").expect("a file");
    std::os::unix::fs::symlink("real", home.join("link")).expect("a link");
    std::fs::write(home.join("link.part"), "mine").expect("a file");
    assert_eq!(tool.run(&["export", "b", "-o", "link"]).await.code(), Some(0));
    let text = |name: &str| std::fs::read_to_string(home.join(name)).expect("a file");
    assert!(text("real").contains("messages_export"));
    assert!(home.join("link").is_symlink());
    assert_eq!(text("link.part"), "mine");
    let made = std::process::Command::new("mkfifo").arg(home.join("pipe")).status();
    assert!(made.expect("mkfifo").success());
    let reader = tokio::task::spawn_blocking({
        let pipe = home.join("pipe");
        move || std::fs::read_to_string(pipe).expect("an export")
    });
    assert_eq!(tool.run(&["export", "b", "-o", "pipe"]).await.code(), Some(0));
    assert_eq!(reader.await.expect("read"), text("real"));
}

#[tokio::test]
async fn an_export_that_is_stopped_leaves_nothing() {
    let server = Setup::new().await.start().await;
    let tool = Tool::new(&server);
    // Nobody answers there, so it tries again and again.
    let mut export = tool.start(&["export", "-o", "file", "--url", "http://127.0.0.1:1"]);
    let parts = || {
        let entries = std::fs::read_dir(tool.home()).expect("a directory");
        let names =
            entries.filter_map(|entry| entry.expect("an entry").file_name().into_string().ok());
        names.filter(|name| name.starts_with("file")).count()
    };
    eventually("it has begun", async || (parts() == 1).then_some(())).await;
    let pid = export.id().expect("a process").to_string();
    let told = std::process::Command::new("kill").args(["-INT", &pid]).status();
    assert!(told.expect("kill").success());
    assert_eq!(export.wait().await.expect("an end").code(), Some(1));
    assert_eq!(parts(), 0);
}
