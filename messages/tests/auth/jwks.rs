//! Public keys of somebody else, who changes them.

use crate::{
    As,
    common::{Setup, TestServer, eventually},
    jwt::{Key, claims, set},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Whoever has the keys: a server that answers everything with the same.
struct Provider {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    status: u16,
    body: String,
    asked: usize,
}

impl Provider {
    async fn start(body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State { status: 200, body, asked: 0 }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let answer = {
                    let mut state = shared.lock().expect("no panic");
                    state.asked += 1;
                    let State { status, body, .. } = &*state;
                    let length = body.len();
                    format!(
                        "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                    )
                };
                // Whoever does not want all of it may go.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, state }
    }

    fn now(&self, status: u16, body: &str) {
        let mut state = self.state.lock().expect("no panic");
        (state.status, state.body) = (status, body.to_owned());
    }

    fn asked(&self) -> usize {
        self.state.lock().expect("no panic").asked
    }

    async fn setup(&self) -> Setup {
        let url = format!("http://{}/keys", self.address);
        Setup::new().await.env("AUTH_JWKS", &url)
    }
}

/// What a reader with a token of `key` gets for a stream that is not there.
async fn status(server: &TestServer, key: &Key) -> u16 {
    As::new(server, &key.token(&claims("alice"))).get("/?id=a").await.status.as_u16()
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_is_seen_and_not_again_and_again() {
    let keys = [Key::ed().named("1"), Key::ec().named("2"), Key::rsa().named("3")];
    let provider = Provider::start(set(&[&keys[0]])).await;
    let server = provider.setup().await.start().await;
    assert_eq!(provider.asked(), 1);
    assert_eq!(status(&server, &keys[0]).await, 404);
    provider.now(200, &set(&[&keys[1]]));
    // Many come with the new key at once.
    let (token, many) = (keys[1].token(&claims("alice")), 0..20);
    let bearer = As::new(&server, &token);
    let answers = futures::future::join_all(many.map(|_| bearer.get("/?id=a"))).await;
    assert!(answers.iter().all(|answer| answer.status == 404));
    assert_eq!(provider.asked(), 2);
    assert_eq!(status(&server, &keys[0]).await, 401, "an old key is good for nothing");
    // The next one within a minute is not looked for.
    provider.now(200, &set(&[&keys[2]]));
    assert_eq!(status(&server, &keys[2]).await, 401);
    assert_eq!(status(&server, &keys[1]).await, 404);
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn keys_are_looked_at_from_time_to_time_and_good_ones_stay() {
    let keys = [Key::ed().named("1"), Key::ec().named("2")];
    let provider = Provider::start(set(&[&keys[0]])).await;
    let setup = provider.setup().await.with(&["--auth-jwks-refresh-secs", "1"]);
    let server = setup.start().await;
    // Without a name it is tried, and looked for in vain once.
    let unnamed = Key::ec();
    assert_eq!(status(&server, &unnamed).await, 401);
    let long = " ".repeat(300 << 10);
    for (code, body) in [(500, "error"), (200, "{"), (200, r#"{"keys": []}"#), (200, &*long)] {
        provider.now(code, body);
        let before = provider.asked();
        let more = async || (provider.asked() > before + 1).then_some(());
        eventually("it is asked again", more).await;
        assert_eq!(status(&server, &keys[0]).await, 404, "the old keys stay");
    }
    server.says("the old ones stay").await;
    provider.now(200, &set(&[&keys[1]]));
    let new = async || (status(&server, &keys[1]).await == 404).then_some(());
    eventually("the new key is there", new).await;
    assert_eq!(status(&server, &keys[0]).await, 401, "what was remembered is forgotten");
}

#[tokio::test]
async fn without_its_keys_a_server_does_not_start() {
    let key = Key::ed();
    let provider = Provider::start(set(&[&key])).await;
    provider.now(503, "later");
    let setup = provider.setup().await;
    let exit = setup.start_in_vain().await;
    assert!(exit.output.contains("status 503"), "{}", exit.output);
    provider.now(302, "elsewhere");
    let exit = setup.start_in_vain().await;
    assert!(exit.output.contains("status 302"), "no redirect is followed: {}", exit.output);
    provider.now(200, &set(&[&key]));
    assert_eq!(status(&setup.start().await, &key).await, 404);
}

#[tokio::test]
async fn a_set_may_hold_keys_for_others() {
    let (key, secret) = (Key::ed().named("ed"), Key::shared(b"known to everybody who reads it"));
    let mut mixed: serde_json::Value = serde_json::from_str(&set(&[&key, &secret])).expect("JSON");
    let others = mixed["keys"].as_array_mut().expect("a list");
    let mut encrypts = Key::ec().named("enc").jwk();
    encrypts["use"] = "enc".into();
    let mut other = Key::rsa().named("other").jwk();
    other["alg"] = "RS512".into();
    others.extend([
        encrypts,
        other,
        serde_json::json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
        serde_json::json!({"kty": "new", "kid": "new"}),
        serde_json::json!("nonsense"),
    ]);
    let provider = Provider::start(mixed.to_string()).await;
    let server = provider.setup().await.start().await;
    assert_eq!(status(&server, &key).await, 404);
    assert_eq!(status(&server, &secret).await, 401, "a published secret is none");
    assert_eq!(status(&server, &Key::rsa().named("other")).await, 401);
}
