//! Several nodes on one Redis and one Postgres, as programs: what one knows no better than another.

mod common;

use bytes::Bytes;
use common::{Setup, TestServer, protocol::at, redis};
use http::Method;

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
