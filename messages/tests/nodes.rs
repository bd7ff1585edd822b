//! Several nodes on one Redis and one Postgres, as programs: what one knows no better than another.

mod common;

use bytes::Bytes;
use common::{End, Setup, TestServer, eventually, protocol::at, redis};
use http::Method;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

async fn two() -> (TestServer, TestServer) {
    let nodes = Setup::nodes(&redis::single()).await;
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    tokio::join!(a.start(), b.start())
}

async fn delete(node: &TestServer, name: &str) {
    assert_eq!(node.ask(Method::DELETE, name, &[], Bytes::new()).await.status, 204);
}

/// An append is decided on the stream that there is, and not on the one that a node has used last.
#[tokio::test]
async fn an_append_is_to_the_present_life_of_a_name() {
    let (a, b) = two().await;
    a.create("s", "text/plain", "old").await;
    a.append("s", "text/plain", " text").await;
    delete(&b, "s").await;
    b.create("s", "application/json", "1").await;
    // This makes sense in the new life alone.
    a.append("s", "application/json", "[2, 3]").await;
    for node in [&a, &b] {
        assert_eq!(node.fetch("s").await.text(), "[1,2,3]");
    }
    delete(&b, "s").await;
    b.create("s", "text/plain", "new").await;
    let as_json = [("content-type", "application/json")];
    a.ask(Method::POST, "s", &as_json, "4").await.problem(409, "content_type_mismatch");
    a.append("s", "text/plain", " text").await;
    assert_eq!(b.fetch("s").await.text(), "new text");
}

#[tokio::test]
async fn an_append_to_what_another_node_has_ended_is_refused() {
    let (a, b) = two().await;
    let text = [("content-type", "text/plain")];
    a.create("deleted", "text/plain", "").await;
    a.append("deleted", "text/plain", "text").await;
    delete(&b, "deleted").await;
    a.ask(Method::POST, "deleted", &text, "more").await.problem(404, "stream_not_found");
    a.create("closed", "text/plain", "").await;
    a.append("closed", "text/plain", "text").await;
    b.close("closed").await;
    let refused = a.ask(Method::POST, "closed", &text, "more").await;
    assert_eq!(refused.header("stream-closed"), "true");
    refused.problem(409, "stream_closed");
    assert_eq!(a.get(&at("closed", "")).await.text(), "text");
}

/// Waits until a stream ends there.
async fn has(node: &TestServer, id: &str, bytes: u64) {
    eventually("the content", async || {
        let head = node.head(&format!("/?id={id}")).await;
        let end = (head.status == 200).then(|| head.header("stream-next-offset").to_owned())?;
        end.ends_with(&format!("_{bytes:016}")).then_some(())
    })
    .await;
}

/// The node that a producer has begun on dies, and it goes on at another one.
#[tokio::test]
async fn a_producer_that_goes_on_elsewhere_outlives_the_node_that_it_began_on() {
    let (a, b) = two().await;
    let mut producer = a.produce("/?id=moves&close=always");
    producer.send("from a, ").await;
    has(&b, "moves", 8).await;
    let mut other = a.produce("/?id=stays&close=always");
    other.send("from a").await;
    has(&b, "stays", 6).await;
    drop(a.kill().await);
    let mut producer = b.produce("/?id=moves&close=always&offset=8");
    producer.send("from b").await;
    has(&b, "moves", 14).await;
    let mut reader = b.read("/?id=moves").await;
    reader.expect("from a, from b").await;
    // Whoever did not go on is ended when the others know that the node is gone.
    let stays = b.read("/?id=stays").await;
    let (content, end) = stays.rest().await;
    assert_eq!((&content[..], end), (&b"from a"[..], End::Clean));
    producer.send(", still").await;
    reader.expect(", still").await;
    assert_eq!(producer.finish().await.status, 200);
    assert_eq!(reader.rest().await.1, End::Clean);
}

/// A Redis of its own that wants TLS and a password, until it is dropped.
struct Guarded {
    process: Child,
    port: u16,
    _home: TempDir,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tls/testdata").join(name)
}

impl Guarded {
    async fn start() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let mut redis = Command::new("redis-server");
        redis.args(["--port", "0", "--bind", "127.0.0.1", "--tls-port", &port.to_string()]);
        redis.args(["--tls-auth-clients", "no", "--requirepass", "hunter2secret", "--save", ""]);
        redis.arg("--tls-cert-file").arg(pem("certificate.pem"));
        redis.arg("--tls-key-file").arg(pem("key.pem")).arg("--dir").arg(home.path());
        let process = redis.stdout(Stdio::null()).spawn().expect("redis-server");
        let there = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok();
        drop(eventually("Redis", there).await);
        Self { process, port, _home: home }
    }

    fn url(&self, credentials: &str) -> String {
        format!("rediss://{credentials}127.0.0.1:{}", self.port)
    }
}

#[tokio::test]
async fn redis_may_want_a_password_and_have_a_certificate_of_ones_own() {
    let redis = Guarded::start().await;
    let authority = |name: &str| ["--redis-ca-file".to_owned(), pem(name).display().to_string()];
    let with = async |credentials: &str, authority: &[String]| {
        let flags: Vec<&str> = authority.iter().map(String::as_str).collect();
        Setup::nodes(&redis.url(credentials)).await.with(&flags).node("a")
    };
    let known = authority("certificate.pem");
    let node = with(":hunter2secret@", &known).await.start().await;
    node.create("s", "text/plain", "over").await;
    node.append("s", "text/plain", " TLS").await;
    assert_eq!(node.fetch("s").await.text(), "over TLS");
    node.stop().await;
    for (credentials, authority, words) in [
        ("", &known, "NOAUTH"),
        (":wrong-guess@", &known, "WRONGPASS"),
        (":hunter2secret@", &authority("key.pem"), "--redis-ca-file"),
    ] {
        let exit = with(credentials, authority).await.start_in_vain().await;
        assert!(!exit.status.success());
        assert!(exit.output.contains(words), "{words}: {}", exit.output);
        for secret in ["hunter2secret", "wrong-guess"] {
            assert!(!exit.output.contains(secret), "{}", exit.output);
        }
    }
}

/// Redis is away when a node starts, and the node is told to stop.
#[tokio::test]
async fn a_node_that_waits_for_redis_can_be_stopped() {
    let nobody = std::net::TcpListener::bind("127.0.0.2:0").expect("a port");
    let port = nobody.local_addr().expect("an address").port();
    let setup = Setup::nodes(&format!("redis://127.0.0.1:{port}")).await;
    let exit = setup.node("a").stop_while_starting("Redis does not answer yet").await;
    assert!(exit.status.success(), "{exit:?}");
}
