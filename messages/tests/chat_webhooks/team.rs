//! A conversation `team` of Alice, who owns it, Bob and Carol.

use crate::common::{Answer, Setup, TestServer, eventually, request, webhook::Webhook};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, SqliteConnection};

pub const ZERO: &str = "0000000000000000_0000000000000000";

/// A server that knows its users.
pub fn guarded(setup: Setup) -> Setup {
    setup.env("AUTH_SECRET", "a secret of these tests, and of nothing else")
}

/// Starts one that may call this machine, with the conversation.
pub async fn start(setup: Setup) -> TestServer {
    let server = guarded(setup).with(&["--webhook-allow-loopback", "true"]).start().await;
    let team = json!({ "name": "team", "participants": ["bob", "carol"] });
    server.user("alice").ok(Method::POST, "/conversations", &team).await;
    server
}

/// Somebody at a server.
pub struct User<'a> {
    server: &'a TestServer,
    pub token: String,
}

impl TestServer {
    /// Somebody who may do nothing with streams.
    pub fn user(&self, name: &str) -> User<'_> {
        self.user_with(name, &[])
    }

    /// Somebody with more than a name.
    pub fn user_with(&self, name: &str, args: &[&str]) -> User<'_> {
        let output = self.setup().run(&[&["token", "--sub", name], args].concat());
        assert!(output.status.success(), "{output:?}");
        let token = String::from_utf8(output.stdout).expect("text").trim_end().to_owned();
        User { server: self, token }
    }
}

impl User<'_> {
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("authorization", &*bearer)];
        self.server.send(request(method, path, &headers, Bytes::from(body))).await
    }

    /// Asks for something that is done. Returns what is answered, `null` for nothing.
    pub async fn ok(&self, method: Method, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, body).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ok(Method::GET, path, &Value::Null).await
    }

    /// Says something in the conversation. Returns where it ends then.
    pub async fn say(&self, text: &str) -> String {
        let path = "/conversations/team/messages";
        let sent = self.ok(Method::POST, path, &json!({ "text": text })).await;
        sent["offset"].as_str().expect("an offset").to_owned()
    }

    /// Creates a webhook in the conversation that is told of what comes from now on.
    pub async fn hook(&self, name: &str, hook: &Webhook) -> Value {
        self.hook_from(name, hook, "now").await
    }

    pub async fn hook_from(&self, name: &str, hook: &Webhook, from: &str) -> Value {
        let asked = json!({ "url": hook.url(), "from": from, "lease_ttl_ms": 60_000 });
        self.ok(Method::PUT, &format!("/conversations/team/webhooks/{name}"), &asked).await
    }

    pub async fn replay(&self, name: &str, to: &Value) -> Answer {
        let path = format!("/conversations/team/webhooks/{name}/replay");
        self.ask(Method::POST, &path, to).await
    }

    /// How far a webhook is.
    pub async fn acked(&self, name: &str) -> String {
        let hook = self.get(&format!("/conversations/team/webhooks/{name}")).await;
        hook["streams"][0]["acked_offset"].as_str().expect("an offset").to_owned()
    }

    pub async fn until_acked(&self, name: &str, offset: &str) {
        eventually("it is acknowledged", async || (self.acked(name).await == offset).then_some(()))
            .await;
    }

    /// The names of the webhooks that they see.
    pub async fn hooks(&self) -> Vec<String> {
        let hooks = self.get("/conversations/team/webhooks").await;
        let hooks = hooks.as_array().expect("an array").clone();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let name = |hook: Value| format!("{}/{}", text(&hook["owner"]), text(&hook["id"]));
        hooks.into_iter().map(name).collect()
    }

    /// What a wake tells of, as a bot reads it: texts of messages, and types of other events.
    pub async fn news(&self, wake: &Value) -> Vec<String> {
        let conversation = wake["conversation"].as_str().expect("a name");
        let from = wake["streams"][0]["acked_offset"].as_str().expect("an offset");
        let events = self.get(&format!("/conversations/{conversation}/events?offset={from}")).await;
        let events = events.as_array().expect("an array").clone();
        let word = |event: Value| event["text"].as_str().or(event["type"].as_str()).map(Into::into);
        events.into_iter().filter_map(word).collect()
    }
}

/// What a bot says that has processed everything of its wake.
pub fn all_done(wake: &Value) -> Value {
    let stream = &wake["streams"][0];
    let ack = json!({ "stream": stream["path"], "offset": stream["tail_offset"] });
    json!({ "wake_id": wake["wake_id"], "generation": wake["generation"], "acks": [ack], "done": true })
}

/// The path of the callback of a wake.
pub fn callback(wake: &Value) -> &str {
    let url = wake["callback_url"].as_str().expect("a URL");
    url.strip_prefix("http://localhost").expect("the host of the request")
}

/// Reports to the server with this token, as it stands.
pub async fn report(server: &TestServer, path: &str, body: &Value, token: &str) -> Answer {
    User { server, token: token.into() }.ask(Method::POST, path, body).await
}

/// Says that everything of a wake is processed.
pub async fn acknowledge(server: &TestServer, wake: &Value) -> Answer {
    let token = wake["callback_token"].as_str().expect("a token");
    report(server, callback(wake), &all_done(wake), token).await
}

/// How many subscriptions the database of a server has.
pub async fn stored(setup: &Setup) -> i64 {
    let (url, sql) = (setup.url(), "SELECT count(*) FROM subscriptions");
    if url.starts_with("postgres") {
        let mut on = PgConnection::connect(&url).await.expect("the database");
        return sqlx::query_scalar(sql).fetch_one(&mut on).await.expect("a row");
    }
    let mut on = SqliteConnection::connect(&url).await.expect("the database");
    sqlx::query_scalar(sql).fetch_one(&mut on).await.expect("a row")
}
