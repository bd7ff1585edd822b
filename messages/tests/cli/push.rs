//! `push` and `tail`: byte for byte and exactly once, whatever breaks.

use crate::{
    common::{Database, Setup, TestServer, eventually, noise, soon},
    tool::{Tool, brittle_wire, end, feed},
};
use std::sync::atomic::Ordering;
use tokio::io::AsyncReadExt;

/// A server that keeps its address over restarts.
async fn steady() -> TestServer {
    let first = Setup::on(Database::Sqlite).await.start().await;
    let address = first.address().to_string();
    first.stop().await.listen(&address).start().await
}

async fn tail_bytes(server: &TestServer, name: &str) -> u64 {
    let answer = server.ask(http::Method::HEAD, name, &[], "").await;
    let offset = answer.header("stream-next-offset");
    offset.split_once('_').map_or(0, |(_, bytes)| bytes.parse().expect("a number"))
}

#[tokio::test]
async fn what_goes_in_comes_out() {
    let server = Setup::new().await.start().await;
    let tool = Tool::new(&server);
    let bytes = noise(1, 5_000_000);
    let pushed = tool.run_with(&["push", "a b/ü%", "--close", "--json"], &bytes).await;
    let outcome: serde_json::Value = serde_json::from_str(pushed.text()).expect("JSON");
    assert_eq!((&outcome["closed"], &outcome["name"]), (&true.into(), &"a b/ü%".into()));
    let offset = outcome["offset"].as_str().expect("text");
    assert!(offset.ends_with("_0000000005000000"), "{offset}");
    let shown = tool.run(&["tail", "a b/ü%"]).await;
    assert_eq!((shown.code(), shown.stdout == bytes), (Some(0), true), "{}", shown.stderr);
    let shown = tool.run(&["tail", "a b/ü%", "--from", "0000000000000000_0000000004999990"]).await;
    assert_eq!(shown.stdout, bytes[4_999_990..]);
    assert_eq!(tool.run(&["tail", "a b/ü%", "-f", "--from", "now"]).await.stdout, b"");
    assert_eq!(tool.run_with(&["push", "empty"], "").await.code(), Some(0));
    assert_eq!(tool.run(&["tail", "empty"]).await.text(), "");
}

#[tokio::test]
async fn messages_are_lines() {
    let server = Setup::new().await.start().await;
    let tool = Tool::new(&server);
    let lines = "{\"a\": 1.50}\n\n [1, 2] \n\"x,\\\"]\"\nnull";
    let args = ["push", "json", "--content-type", "application/json", "--close"];
    assert_eq!(tool.run_with(&args, lines).await.text(), "");
    let want = "{\"a\": 1.50}\n[1, 2]\n\"x,\\\"]\"\nnull\n";
    assert_eq!(tool.run(&["tail", "json"]).await.text(), want);
    assert_eq!(tool.run(&["tail", "json", "-f"]).await.text(), want);
    let bad =
        tool.run_with(&["push", "other", "--content-type", "application/json"], "1\n{\n").await;
    bad.fails(1, "line 2 is no JSON");
    let lines =
        tool.run_with(&["push", "lines", "--lines", "--content-type", "text/plain"], "a\nb").await;
    assert_eq!(lines.code(), Some(0));
    assert_eq!(tool.run(&["tail", "lines"]).await.text(), "a\nb");
}

#[tokio::test]
async fn a_line_arrives_before_the_next_is_written() {
    let server = Setup::new().await.start().await;
    let tool = Tool::new(&server);
    server.create("live", "text/plain", "").await;
    let mut tail = tool.start(&["tail", "live", "--follow"]);
    let mut push = tool.start(&["push", "live", "--lines", "--close"]);
    let mut stdin = push.stdin.take().expect("a pipe");
    let mut stdout = tail.stdout.take().expect("a pipe");
    for number in 0..20 {
        let line = format!("line {number}\n");
        feed(&mut stdin, line.as_bytes()).await;
        let mut got = vec![0; line.len()];
        soon("the line arrives", stdout.read_exact(&mut got)).await.expect("a line");
        assert_eq!(got, line.as_bytes());
    }
    drop(stdin);
    assert_eq!(end(push).await.code(), Some(0));
    assert_eq!(end(tail).await.code(), Some(0));
}

#[tokio::test]
async fn a_server_that_is_killed_costs_nothing() {
    let mut server = steady().await;
    let tool = Tool::new(&server);
    let bytes = noise(2, 3_000_000);
    let mut push = tool.start(&["push", "s", "--close"]);
    let mut stdin = push.stdin.take().expect("a pipe");
    eventually("the stream is there", async || {
        (server.ask(http::Method::HEAD, "s", &[], "").await.status == 200).then_some(())
    })
    .await;
    let tail = tokio::spawn(end(tool.start(&["tail", "s", "--follow"])));
    // A part for each life of the server, so that all of them have something to do with it.
    for (round, part) in (1..).zip(bytes.chunks(600_000)) {
        for piece in part.chunks(10_000) {
            feed(&mut stdin, piece).await;
        }
        if round <= 4 {
            let enough = round * 500_000;
            eventually("much has come", async || {
                (tail_bytes(&server, "s").await > enough).then_some(())
            })
            .await;
            let address = server.address().to_string();
            server = server.kill().await.listen(&address).start().await;
        }
    }
    drop(stdin);
    let pushed = end(push).await;
    assert_eq!(pushed.code(), Some(0), "{pushed:?}");
    let shown = tail.await.expect("no panic");
    assert_eq!((shown.code(), shown.stdout.len()), (Some(0), bytes.len()), "{}", shown.stderr);
    assert!(shown.stdout == bytes);
}

/// Connections break in the middle of requests, answers and bodies.
#[tokio::test]
async fn a_network_that_breaks_costs_nothing() {
    let server = Setup::new().await.start().await;
    let (address, cuts) = brittle_wire(server.address()).await;
    let tool = Tool::at(server.setup(), &format!("http://{address}"));
    server.create("json", "application/json", "").await;
    let lines: String =
        (0..100_000).map(|n| format!("{{\"n\":{n},\"x\":\"{n:050}\"}}\n")).collect();
    let bytes = noise(5, 8_000_000);
    let all = [("json", lines.as_bytes()), ("bytes", &bytes[..])];
    for (name, input) in all {
        let args = ["push", name, "--close"];
        let push = tool.run_with(&args, input);
        let shown = async {
            eventually("the stream is there", async || {
                let head = server.ask(http::Method::HEAD, name, &[], "").await;
                (head.status == 200).then_some(())
            })
            .await;
            end(tool.start(&["tail", name, "--follow"])).await
        };
        let (pushed, shown) = tokio::join!(push, shown);
        assert_eq!(
            (pushed.code(), shown.code()),
            (Some(0), Some(0)),
            "{pushed:?} {}",
            shown.stderr
        );
        assert!(shown.stdout == input, "{} of {}", shown.stdout.len(), input.len());
        // All of it at once, in answers that break off.
        assert!(tool.run(&["tail", name]).await.stdout == input);
    }
    assert!(cuts.load(Ordering::Relaxed) > 10, "{cuts:?}");
}

#[tokio::test]
async fn a_push_that_is_killed_is_gone_on_with() {
    let server = Setup::new().await.start().await;
    let tool = Tool::new(&server);
    let bytes = noise(3, 4_000_000);
    let lines: String = (0..50_000).map(|n| format!("{{\"number\":{n}}}\n")).collect();
    server.create("json", "application/json", "").await;
    server.create("bytes", "text/plain", "").await;
    for (name, input) in [("bytes", &bytes[..]), ("json", lines.as_bytes())] {
        for round in 1..=5 {
            let mut push = tool.start(&["push", name, "--resume"]);
            let mut stdin = push.stdin.take().expect("a pipe");
            let (input, enough) = (input.to_vec(), input.len() as u64 * round / 7);
            let feeding = tokio::spawn(async move {
                use tokio::io::AsyncWriteExt;
                for piece in input.chunks(7_000) {
                    if stdin.write_all(piece).await.is_err() {
                        break;
                    }
                }
            });
            eventually("some has come", async || {
                (tail_bytes(&server, name).await >= enough).then_some(())
            })
            .await;
            push.kill().await.expect("killed");
            feeding.await.expect("no panic");
        }
        let last = tool.run_with(&["push", name, "--resume", "--close"], input).await;
        assert_eq!(last.code(), Some(0), "{last:?}");
        assert!(tool.run(&["tail", name]).await.stdout == input);
        // Once more changes nothing.
        let again = tool.run_with(&["push", name, "--resume", "--close"], input).await;
        assert_eq!(again.code(), Some(0), "{again:?}");
        assert!(tool.run(&["tail", name]).await.stdout == input);
    }
}

#[tokio::test]
async fn a_tail_goes_on_where_its_file_says() {
    let server = Setup::new().await.start().await;
    let tool = Tool::new(&server);
    let args = ["tail", "s", "--offset-file", "at"];
    tool.run_with(&["push", "s"], "one\n").await;
    assert_eq!(tool.run(&args).await.text(), "one\n");
    assert_eq!(tool.run(&args).await.text(), "");
    tool.run_with(&["push", "s"], "two\n").await;
    assert_eq!(tool.run(&args).await.text(), "two\n");
    let at = std::fs::read_to_string(tool.home().join("at")).expect("an offset");
    assert_eq!(at, "0000000000000002_0000000000000008\n");
    let all = [&args[..], &["--from", "beginning"]].concat();
    assert_eq!(tool.run(&all).await.text(), "one\ntwo\n");
    std::fs::write(tool.home().join("at"), "nonsense").expect("a file");
    tool.run(&args).await.fails(2, "must be beginning, now, or an offset");
}

#[tokio::test]
async fn whoever_reads_the_output_may_go() {
    let server = Setup::new().await.start().await;
    let tool = Tool::new(&server);
    tool.run_with(&["push", "s"], noise(4, 3_000_000)).await;
    let mut tail = tool.start(&["tail", "s", "--follow"]);
    let mut stdout = tail.stdout.take().expect("a pipe");
    let mut some = vec![0; 1000];
    stdout.read_exact(&mut some).await.expect("content");
    drop(stdout);
    let said = end(tail).await;
    assert_eq!((said.code(), said.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_server_that_does_not_come_back_is_given_up() {
    let server = steady().await;
    let tool = Tool::new(&server);
    tool.run_with(&["push", "s"], "x").await;
    let _home = server.stop().await;
    let said = tool.run_with(&["push", "s", "--retry-secs", "1"], "x").await;
    said.fails(1, "Connection refused");
    assert!(said.stderr.contains("trying again in"), "{said:?}");
    tool.run(&["ls"]).await.fails(1, "Connection refused");
    tool.run(&["tail", "s", "--retry-secs", "0"]).await.fails(1, "Connection refused");
}
