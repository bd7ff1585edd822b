//! Who may do what, over HTTP against the real program.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod jwks;
mod jwt;
mod limits;
mod live;
mod nodes;
mod program;
mod protocol;
mod secrets;
mod urls;

use common::{Answer, Setup, TestServer, request};
use http::Method;

/// The shared secret of these tests.
const SECRET: &str = "a secret of these tests, and of nothing else";

/// A server with [`SECRET`].
async fn guarded() -> Setup {
    Setup::new().await.env("AUTH_SECRET", SECRET)
}

/// A server and a token that goes with every request.
struct As<'a> {
    server: &'a TestServer,
    bearer: String,
}

impl<'a> As<'a> {
    fn new(server: &'a TestServer, token: &str) -> Self {
        Self { server, bearer: format!("Bearer {token}") }
    }

    async fn send(&self, method: Method, target: &str, body: impl Into<bytes::Bytes>) -> Answer {
        let headers = [("authorization", &*self.bearer)];
        self.server.send(request(method, target, &headers, body.into())).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.send(Method::GET, target, "").await
    }

    async fn put(&self, target: &str, body: impl Into<bytes::Bytes>) -> Answer {
        self.send(Method::PUT, target, body).await
    }

    async fn post(&self, target: &str, body: impl Into<bytes::Bytes>) -> Answer {
        self.send(Method::POST, target, body).await
    }
}
