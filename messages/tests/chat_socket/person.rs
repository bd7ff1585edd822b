//! People with tokens, and sockets that keep what has come of each conversation and check it.

use crate::{
    SECRET,
    client::Socket,
    common::{Answer, Setup, TestServer, request},
    jwt::{Key, claims},
};
use http::Method;
use serde_json::{Value, json};
use std::collections::HashMap;

/// With a key, so that there are users.
pub fn guarded(setup: Setup) -> Setup {
    setup.env("AUTH_SECRET", SECRET)
}

/// A token of somebody.
pub fn token(user: &str) -> String {
    let mut claims = claims(user);
    // Streams do not matter here.
    claims["streams"] = json!({});
    Key::shared(SECRET.as_bytes()).token(&claims)
}

/// A request of somebody.
pub async fn ask(
    server: &TestServer,
    user: &str,
    method: Method,
    target: &str,
    body: Value,
) -> Answer {
    let bearer = format!("Bearer {}", token(user));
    let headers = [("authorization", &*bearer)];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.send(request(method, target, &headers, body.into())).await
}

/// A request of somebody that is done, and its answer.
#[track_caller]
pub fn done(
    server: &TestServer,
    user: &str,
    method: Method,
    target: &str,
    body: Value,
) -> impl Future<Output = Value> {
    let caller = std::panic::Location::caller();
    async move {
        let answer = ask(server, user, method, target, body).await;
        assert!(answer.status.is_success(), "at {caller}: {answer:?}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }
}

/// A conversation of `owner` with others.
pub async fn create(server: &TestServer, owner: &str, name: &str, others: &[&str]) {
    let body = json!({"name": name, "participants": others});
    done(server, owner, Method::POST, "/conversations", body).await;
}

/// What has come of one conversation.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Its events from where it was subscribed to.
    pub events: Vec<Value>,
    /// Where it goes on.
    pub offset: String,
    /// There is nothing more at the moment.
    pub caught_up: bool,
    /// The last error.
    pub error: Option<Value>,
}

impl Log {
    fn records(&self) -> u64 {
        self.offset[..16].parse().expect("a number")
    }

    fn take(&mut self, frame: &Value) {
        let offset = frame["offset"].as_str().unwrap_or_default().to_owned();
        match frame["type"].as_str().expect("a type") {
            "subscribed" => *self = Self { offset, ..Self::default() },
            "data" => {
                assert!(self.error.is_none(), "{frame} after {:?}", self.error);
                for event in frame["messages"].as_array().expect("messages") {
                    let next = self.events.last().map_or_else(
                        || self.records() + 1,
                        |last| last["position"].as_u64().expect("a position") + 1,
                    );
                    assert_eq!(event["position"], next, "nothing is missing, nothing is twice");
                    self.events.push(event.clone());
                }
                self.offset = offset;
                let last = self.events.last().map(|event| event["position"].clone());
                assert_eq!(last, Some(self.records().into()), "{frame}");
            }
            "caught_up" => self.caught_up = true,
            "error" => self.error = Some(frame.clone()),
            "unsubscribed" => {}
            _ => panic!("{frame}"),
        }
    }

    /// The position of the last event.
    pub fn position(&self) -> u64 {
        self.records()
    }

    /// What the messages say.
    pub fn texts(&self) -> Vec<&str> {
        let messages = self.events.iter().filter(|event| event["type"] == "message");
        messages.filter_map(|event| event["text"].as_str()).collect()
    }
}

/// A socket of somebody.
pub struct Device {
    pub socket: Socket,
    /// What has come of each conversation.
    pub logs: HashMap<String, Log>,
    /// Everything else that has come and was not waited for, in its order.
    pub others: Vec<Value>,
}

impl Device {
    /// One that does not follow anything.
    pub async fn open(server: &TestServer, user: &str) -> Self {
        let protocols = format!("messages, bearer.{}", token(user));
        let headers = [("sec-websocket-protocol", &*protocols)];
        let socket = Socket::open_with(server, "/ws", &headers).await.expect("a socket");
        Self { socket, logs: HashMap::new(), others: Vec::new() }
    }

    /// One that follows all conversations from their beginning, and has what there is.
    pub async fn following(server: &TestServer, user: &str) -> Self {
        let mut device = Self::open(server, user).await;
        device.follow(json!({"default": "-1"})).await;
        device
    }

    /// Follows, and waits until everything is there.
    pub async fn follow(&mut self, members: Value) -> Value {
        let mut frame = members;
        (frame["type"], frame["id"]) = ("follow".into(), "follow".into());
        self.socket.send(frame).await;
        let following = self.answer("follow").await;
        assert_eq!(following["type"], "following", "{following}");
        let names = following["conversations"].as_array().expect("conversations");
        let names: Vec<String> =
            names.iter().map(|one| one["name"].as_str().expect("a name").into()).collect();
        self.until(|device| {
            names.iter().all(|name| device.logs.get(name).is_some_and(|log| log.caught_up))
        })
        .await;
        following
    }

    /// Takes the next frame. Those of subscriptions go to their logs.
    pub async fn take(&mut self) {
        let frame = self.socket.next().await;
        if let Some(name) = frame["sub"].as_str() {
            self.logs.entry(name.into()).or_default().take(&frame);
        }
        if !frame["sub"].is_string() || !frame["id"].is_null() {
            self.others.push(frame);
        }
    }

    /// Takes frames until `enough`.
    pub async fn until(&mut self, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            self.take().await;
        }
    }

    /// Takes frames until one that is about no content is as wanted, and returns it.
    pub async fn wait(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(at) = self.others.iter().position(&wanted) {
                return self.others.remove(at);
            }
            self.take().await;
        }
    }

    /// Waits for a frame of this kind.
    pub async fn kind(&mut self, kind: &str) -> Value {
        self.wait(|frame| frame["type"] == kind).await
    }

    /// Waits for the answer to a request.
    pub async fn answer(&mut self, id: impl Into<Value>) -> Value {
        let id = id.into();
        self.wait(|frame| frame["id"] == id).await
    }

    /// Sends a frame and waits for its answer.
    #[track_caller]
    pub fn call(&mut self, kind: &str, frame: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        let kind = kind.to_owned();
        async move {
            let answer = self.try_call(&kind, frame).await;
            assert_ne!(answer["type"], "error", "at {caller}: {answer}");
            answer
        }
    }

    /// As [`Device::call`], where the answer may be an error.
    pub async fn try_call(&mut self, kind: &str, frame: Value) -> Value {
        let mut frame = frame;
        (frame["type"], frame["id"]) = (kind.into(), "call".into());
        self.socket.send(frame).await;
        self.answer("call").await
    }

    /// Sends a message and waits until it is durable. Returns it.
    pub async fn say(&mut self, conversation: &str, text: &str) -> Value {
        let frame = json!({"conversation": conversation, "text": text});
        let sent = self.call("send", frame).await;
        assert_eq!(sent["type"], "sent", "{sent}");
        sent["message"].clone()
    }

    /// Everything that was on its way before this is there.
    pub async fn ping(&mut self) {
        assert_eq!(self.call("ping", json!({})).await["type"], "pong");
    }

    /// Waits until this position has come.
    pub async fn reach(&mut self, conversation: &str, position: u64) {
        self.until(|device| {
            device
                .logs
                .get(conversation)
                .is_some_and(|log| !log.offset.is_empty() && log.position() >= position)
        })
        .await;
    }

    /// What has come of a conversation.
    #[track_caller]
    pub fn log(&self, conversation: &str) -> &Log {
        self.logs.get(conversation).expect("something of it")
    }
}
