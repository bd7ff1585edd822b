//! Forks: where exactly they begin, and what repetitions of their creation get.

use super::common::{Answer, Setup, TestServer, protocol::at};
use http::Method;

const JSON: &str = "application/json";

async fn fork(server: &TestServer, name: &str, source: &str, headers: &[(&str, &str)]) -> Answer {
    let source = at(source, "");
    let mut all = vec![("stream-forked-from", source.as_str())];
    all.extend(headers);
    server.ask(Method::PUT, name, &all, "").await
}

#[tokio::test]
async fn messages_are_counted_whatever_stands_in_them() {
    let server = Setup::new().await.start().await;
    let messages = [r#"{"a":"1,2,[3"}"#, r#"[1,[2,3],{"b":","}]"#, r#""x,\",y""#, "4"];
    server.create("s", JSON, "").await;
    server.append("s", JSON, r#"["before"]"#).await;
    let anchor = server.fetch("s").await.header("stream-next-offset").to_owned();
    server.append("s", JSON, format!("[{}]", messages[..3].join(", "))).await;
    server.append("s", JSON, messages[3]).await;
    for server in [server.crash().await] {
        for count in 0..=4 {
            let name = format!("f{count}");
            let beyond = count.to_string();
            let headers =
                [("stream-fork-offset", anchor.as_str()), ("stream-fork-sub-offset", &beyond)];
            let created = fork(&server, &name, "s", &headers).await;
            assert_eq!(created.status, 201, "{created:?}");
            let want = [&["\"before\""], &messages[..count]].concat().join(",");
            assert_eq!(server.fetch(&name).await.text(), format!("[{want}]"));
            let own = server.append(&name, JSON, "\"own\"").await;
            assert!(own.as_str() > created.header("stream-next-offset"));
            assert_eq!(server.fetch(&name).await.text(), format!("[{want},\"own\"]"));
            let (data, _) = server.events(&name, "-1").await.data().await;
            assert!(format!("[{want},\"own\"]").starts_with(data.trim_end_matches(']')));
        }
        let headers = [("stream-fork-offset", anchor.as_str()), ("stream-fork-sub-offset", "5")];
        assert_eq!(fork(&server, "over", "s", &headers).await.status, 400);
        assert_eq!(server.fetch("over").await.status, 404);
    }
}

#[tokio::test]
async fn a_creation_may_be_repeated_whatever_the_source_has_done_since() {
    let mut server = Setup::new().await.start().await;
    server.create("s", "text/plain", "one").await;
    assert_eq!(fork(&server, "f", "s", &[]).await.status, 201);
    let body = [("content-type", "text/plain")];
    for _ in 0..2 {
        server.append("s", "text/plain", " two").await;
        assert_eq!(fork(&server, "f", "s", &[]).await.status, 200);
        assert_eq!(fork(&server, "f", "s", &body).await.status, 200);
        assert_eq!(server.fetch("f").await.text(), "one");
        server = server.crash().await;
    }
    server.close("s").await;
    assert_eq!(fork(&server, "f", "s", &[]).await.status, 200);
    assert_eq!(server.ask(Method::DELETE, "s", &[], "").await.status, 204);
    for _ in 0..2 {
        assert_eq!(fork(&server, "f", "s", &[]).await.status, 200, "the source is deleted");
        assert_eq!(fork(&server, "g", "s", &[]).await.status, 409, "nobody may begin there now");
        assert_eq!(server.ask(Method::PUT, "s", &body, "").await.status, 409);
        assert_eq!(server.fetch("s").await.status, 410);
        assert_eq!(server.fetch("f").await.text(), "one");
        server = server.crash().await;
    }
}

#[tokio::test]
async fn a_fork_reads_across_all_rows_of_its_source() {
    let setup = Setup::new().await.with(&["--flush-interval-ms", "20", "--window-bytes-max", "0"]);
    let server = setup.start().await;
    server.create("s", "text/plain", "").await;
    let (mut want, mut offsets) = (String::new(), Vec::new());
    for number in 0..40 {
        let line = format!("line {number}\n");
        want.push_str(&line);
        offsets.push((server.append("s", "text/plain", line).await, want.len()));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let server = server.crash().await;
    for (turn, (offset, len)) in offsets.iter().enumerate().step_by(3) {
        let (name, beyond) = (format!("f{turn}"), turn % 3);
        let beyond_text = beyond.to_string();
        let headers =
            [("stream-fork-offset", offset.as_str()), ("stream-fork-sub-offset", &beyond_text)];
        let created = fork(&server, &name, "s", &headers).await;
        let want = &want[..(len + beyond).min(want.len())];
        assert_eq!(created.status, 201, "{created:?}");
        server.append(&name, "text/plain", "own").await;
        assert_eq!(server.fetch(&name).await.text(), format!("{want}own"));
    }
}

#[tokio::test]
async fn the_deleted_stay_deleted_through_crashes() {
    let mut server = Setup::new().await.with(&["--flush-interval-ms", "600000"]).start().await;
    for name in ["a", "b"] {
        server.create(name, "text/plain", "x").await;
    }
    server = server.restart().await;
    assert_eq!(fork(&server, "fork-of-a", "a", &[]).await.status, 201);
    for name in ["a", "b"] {
        server.append(name, "text/plain", "y").await;
        assert_eq!(server.ask(Method::DELETE, name, &[], "").await.status, 204);
    }
    for _ in 0..3 {
        server = server.crash().await;
        assert_eq!(server.fetch("b").await.status, 404);
        assert_eq!(server.fetch("a").await.status, 410);
        assert_eq!(server.fetch("fork-of-a").await.text(), "x");
    }
    server.create("b", "text/plain", "new").await;
    assert_eq!(server.ask(Method::DELETE, "fork-of-a", &[], "").await.status, 204);
    for _ in 0..2 {
        server = server.crash().await;
        assert_eq!(server.fetch("b").await.text(), "new");
        assert_eq!(server.fetch("a").await.status, 404, "nobody needs it any more");
        assert_eq!(server.fetch("fork-of-a").await.status, 404);
    }
}
