//! Many streams over one WebSocket, against the real program.

#[path = "../common/mod.rs"]
mod common;

#[path = "../auth/jwt.rs"]
#[allow(dead_code, reason = "the tests of access control need all of it")]
mod jwt;

mod access;
mod append;
mod client;
mod connection;
mod example;
mod many;
mod read;

use bytes::Bytes;
use common::{Answer, TestServer, request};
use http::Method;

/// A stream with this content.
async fn create(server: &TestServer, name: &str, content_type: &str, body: impl Into<Bytes>) {
    let answer = put(server, name, content_type, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

async fn put(
    server: &TestServer,
    name: &str,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Answer {
    let headers = [("content-type", content_type)];
    let target = format!("/v1/stream/{name}");
    server.send(request(Method::PUT, &target, &headers, body.into())).await
}

/// Appends with a request.
async fn post(server: &TestServer, name: &str, content_type: &str, body: impl Into<Bytes>) {
    let headers = [("content-type", content_type)];
    let target = format!("/v1/stream/{name}");
    let answer = server.send(request(Method::POST, &target, &headers, body.into())).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

/// Closes with a request.
async fn close(server: &TestServer, name: &str) {
    let target = format!("/v1/stream/{name}");
    let headers = [("stream-closed", "true")];
    let answer = server.send(request(Method::POST, &target, &headers, Bytes::new())).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

async fn delete(server: &TestServer, name: &str) {
    let target = format!("/v1/stream/{name}");
    let answer = server.send(request(Method::DELETE, &target, &[], Bytes::new())).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

const TEXT: &str = "text/plain";
const BINARY: &str = "application/octet-stream";
const JSON: &str = "application/json";

/// The shared secret of the tests with tokens.
const SECRET: &str = "a secret of these tests, and of nothing else";
