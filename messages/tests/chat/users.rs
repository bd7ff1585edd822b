//! Users of a server: everything they do goes with a token of theirs.

use crate::common::{Answer, Producer, Reader, Setup, TestServer, protocol::Events, request};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Method;
use ring::hmac;
use serde_json::{Map, Value, json};
use std::{future::Future, panic::Location};

/// The shared secret of these tests.
const SECRET: &str = "a secret of these tests, and of nothing else";

/// The headers of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// Starts a server that knows its users.
pub async fn start(setup: Setup) -> TestServer {
    setup.env("AUTH_SECRET", SECRET).start().await
}

/// What goes in the header for `user`, who may do this with all streams.
fn bearer(user: &str, grants: &[&str]) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(json!({"alg": "HS256", "typ": "JWT"}));
    let streams: Map<String, Value> =
        grants.iter().map(|grant| ((*grant).to_owned(), json!(["**"]))).collect();
    // An end of time that is not that of the tests.
    let claims = json!({"sub": user, "exp": 4_102_444_800_u64, "streams": streams});
    let message = format!("{header}.{}", encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = hmac::sign(&key, message.as_bytes());
    format!("Bearer {message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Somebody at a server.
#[derive(Clone)]
pub struct User<'a> {
    server: &'a TestServer,
    bearer: String,
}

impl TestServer {
    /// Somebody at this server.
    pub fn user(&self, name: &str) -> User<'_> {
        User { server: self, bearer: bearer(name, &[]) }
    }

    /// Somebody who may do everything with streams.
    pub fn user_of_streams(&self, name: &str) -> User<'_> {
        User { server: self, bearer: bearer(name, &["read", "write", "manage"]) }
    }

    /// Several of them.
    pub fn users<const N: usize>(&self, names: [&str; N]) -> [User<'_>; N] {
        names.map(|name| self.user(name))
    }
}

impl User<'_> {
    /// Sends a request as it is.
    pub async fn raw(
        &self,
        method: Method,
        target: &str,
        headers: Headers<'_>,
        body: impl Into<bytes::Bytes>,
    ) -> Answer {
        let headers = [headers, &[("authorization", &*self.bearer)]].concat();
        self.server.send(request(method, target, &headers, body.into())).await
    }

    /// Sends a request; `null` stands for no body.
    pub async fn send(&self, method: Method, target: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(method, target, &[("content-type", "application/json")], body).await
    }

    /// Sends a request that must succeed. Returns what is answered: JSON, or a text; `null` for
    /// nothing.
    #[track_caller]
    pub fn ask(&self, method: Method, target: &str, body: Value) -> impl Future<Output = Value> {
        let caller = Location::caller();
        async move {
            let sent = format!("{method} {target} {body}, at {caller}");
            let answer = self.send(method, target, body).await;
            match answer.status.as_u16() {
                200 | 201 if answer.header("content-type") == "application/json" => answer.json(),
                200 => answer.text().into(),
                204 => Value::Null,
                _ => panic!("{sent}: {answer:?}"),
            }
        }
    }

    /// `GET`.
    #[track_caller]
    pub fn get(&self, target: &str) -> impl Future<Output = Value> {
        self.ask(Method::GET, target, Value::Null)
    }

    /// `POST`.
    #[track_caller]
    pub fn post(&self, target: &str, body: Value) -> impl Future<Output = Value> {
        self.ask(Method::POST, target, body)
    }

    /// `PUT`.
    #[track_caller]
    pub fn put(&self, target: &str, body: Value) -> impl Future<Output = Value> {
        self.ask(Method::PUT, target, body)
    }

    /// `PATCH`.
    #[track_caller]
    pub fn patch(&self, target: &str, body: Value) -> impl Future<Output = Value> {
        self.ask(Method::PATCH, target, body)
    }

    /// `DELETE`.
    #[track_caller]
    pub fn delete(&self, target: &str) -> impl Future<Output = Value> {
        self.ask(Method::DELETE, target, Value::Null)
    }

    /// Sends a request that must be refused. Returns why it was.
    #[track_caller]
    pub fn refused(
        &self,
        what: (Method, &str),
        body: Value,
        status: u16,
        code: &str,
    ) -> impl Future<Output = String> {
        let caller = Location::caller();
        async move {
            let answer = self.send(what.0.clone(), what.1, body).await;
            assert_eq!(answer.status, status, "{what:?} at {caller}: {answer:?}");
            answer.problem(status, code)
        }
    }

    /// Begins a conversation of this name with these others.
    pub async fn begin(&self, name: &str, others: &[&str], settings: Value) -> Value {
        let body = json!({"name": name, "participants": others, "settings": settings});
        self.post("/conversations", body).await
    }

    /// Says something and returns the id of the message.
    #[track_caller]
    pub fn say(&self, conversation: &str, text: &str) -> impl Future<Output = String> {
        let target = format!("/conversations/{conversation}/messages");
        let caller = Location::caller();
        async move {
            let answer = self.send(Method::POST, &target, json!({"text": text})).await;
            assert_eq!(answer.status, 200, "at {caller}: {answer:?}");
            id(&answer.json())
        }
    }

    /// The messages that a query finds.
    #[track_caller]
    pub fn messages(&self, conversation: &str, query: &str) -> impl Future<Output = Vec<Value>> {
        let target = format!("/conversations/{conversation}/messages{query}");
        async move { list(self.get(&target).await) }
    }

    /// What they say.
    #[track_caller]
    pub fn texts(&self, conversation: &str, query: &str) -> impl Future<Output = Vec<String>> {
        let messages = self.messages(conversation, query);
        async move { texts(&messages.await) }
    }

    /// All events that there are.
    pub async fn events(&self, conversation: &str) -> Vec<Value> {
        list(self.get(&format!("/conversations/{conversation}/events")).await)
    }

    /// Follows the events from `offset` on.
    pub async fn follow(&self, conversation: &str, offset: &str) -> Events {
        let target = format!("/conversations/{conversation}/events?offset={offset}&live=sse");
        let reader = self.open(&target).await;
        assert_eq!(reader.status, 200, "{target}");
        Events::new(reader)
    }

    /// `GET`, as it comes.
    pub async fn open(&self, target: &str) -> Reader {
        let headers = [("authorization", &*self.bearer)];
        self.server.open(request(Method::GET, target, &headers, bytes::Bytes::new())).await
    }

    /// A message that grows as its body comes.
    pub fn grow(&self, conversation: &str, txn: &str) -> Producer {
        let target = format!("/conversations/{conversation}/messages/{txn}/text");
        let headers = [("authorization", &*self.bearer), ("content-type", "text/plain")];
        self.server.produce_with(&target, &headers)
    }
}

/// An array.
#[track_caller]
pub fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        other => panic!("no array: {other}"),
    }
}

/// The id of a message.
#[track_caller]
pub fn id(message: &Value) -> String {
    message["id"].as_str().expect("an id").to_owned()
}

/// The position of what has an id.
#[track_caller]
pub fn position(id: &str) -> u64 {
    id.rsplit_once(':').expect("an id").1.parse().expect("a position")
}

/// One member of each, as text.
#[track_caller]
pub fn each(values: &[Value], member: &str) -> Vec<String> {
    let text = |value: &Value| value[member].as_str().expect("a text").to_owned();
    values.iter().map(text).collect()
}

/// What messages say.
#[track_caller]
pub fn texts(messages: &[Value]) -> Vec<String> {
    each(messages, "text")
}
