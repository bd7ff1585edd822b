//! What only the server can say nobody else can, whatever they may do with streams.

use crate::{
    common::{Setup, request, webhook::Webhook},
    team::{callback, start},
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::Method;
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

const STREAM: &str = "__chat/c/team";
const ROOT: &str = "/v1/stream/__ds/subscriptions";
const EVERYTHING: &[&str] = &["--read", "**", "--write", "**", "--manage", "**"];

#[tokio::test]
async fn subscriptions_of_others_neither_name_nor_match_conversations() {
    let server = start(Setup::new().await).await;
    let root = server.user_with("root", EVERYTHING);
    let (mut hook, other) = (Webhook::start().await, Webhook::start().await);
    server.user("alice").hook("bot", &hook).await;
    let url = json!({ "url": other.url() });
    for bad in [
        json!({ "type": "webhook", "streams": [STREAM], "webhook": url }),
        json!({ "type": "pull-wake", "pattern": "**", "wake_stream": STREAM }),
    ] {
        let refused = root.ask(Method::PUT, &format!("{ROOT}/s"), &bad).await;
        assert_eq!(refused.status, 400, "{refused:?}");
    }
    for (id, pattern) in [("all", "**"), ("chat", "__chat/**"), ("team", STREAM)] {
        let asked = json!({ "type": "webhook", "pattern": pattern, "webhook": url });
        let answer = root.ask(Method::PUT, &format!("{ROOT}/{id}"), &asked).await;
        assert!(answer.status != 201 || answer.json()["streams"] == json!([]), "{answer:?}");
    }
    let linked = json!({ "streams": [STREAM] });
    assert_eq!(root.ask(Method::POST, &format!("{ROOT}/all/streams"), &linked).await.status, 400);
    server.user("alice").say("one").await;
    let wake = hook.call().await.json();
    // The path of what is there, and everything that can be done with it but to report.
    let path = callback(&wake).strip_suffix("/callback").expect("a callback").to_owned();
    assert!(path.starts_with(&format!("{ROOT}/__chat%2Fh%2Fteam%2F1%2Falice%2Fbot")), "{path}");
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::PUT, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::POST, format!("{path}/claim")),
        (Method::POST, format!("{path}/ack")),
        (Method::POST, format!("{path}/release")),
        (Method::POST, format!("{path}/streams")),
        (Method::DELETE, format!("{path}/streams/__chat%2Fc%2Fteam")),
    ] {
        let body = json!({ "type": "webhook", "pattern": "a", "webhook": url, "worker": "w" });
        let refused = root.ask(method, &path, &body).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["error"]["code"]),
            (404, &json!("NOT_FOUND"))
        );
    }
    assert_eq!(server.user("alice").hooks().await, ["alice/bot"]);
    assert!(!other.was_called());
}

#[tokio::test]
async fn no_way_to_streams_leads_to_a_conversation() {
    let server = start(Setup::new().await).await;
    let root = server.user_with("root", EVERYTHING);
    let nothing = Value::Null;
    for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::HEAD] {
        for path in [format!("/?id={STREAM}"), format!("/v1/stream/{STREAM}")] {
            let refused = root.ask(method.clone(), &path, &nothing).await;
            assert!(
                matches!(refused.status.as_u16(), 400 | 404 | 405),
                "{method} {path}: {refused:?}"
            );
        }
    }
    let sign = json!({ "url": format!("/?id={STREAM}") });
    let refused = root.ask(Method::POST, "/v1/auth/sign", &sign).await;
    assert!(matches!(refused.status.as_u16(), 400 | 404), "{refused:?}");
    let bearer = format!("Bearer {}", root.token);
    let source = format!("/v1/stream/{STREAM}");
    let headers = [("authorization", &*bearer), ("stream-forked-from", &source)];
    let fork = request(Method::PUT, "/v1/stream/fork", &headers, Bytes::new());
    let refused = server.send(fork).await;
    assert!(matches!(refused.status.as_u16(), 400 | 404), "{refused:?}");

    let url = format!("ws://{}/ws", server.address());
    let mut asked = url.into_client_request().expect("a request");
    asked.headers_mut().insert("authorization", bearer.parse().expect("a value"));
    asked.headers_mut().insert("sec-websocket-protocol", "messages".parse().expect("a value"));
    let (mut socket, _) = connect_async(asked).await.expect("a socket");
    let frame = json!({ "type": "subscribe", "sub": "s", "stream": STREAM, "offset": "-1" });
    socket.send(Message::text(frame.to_string())).await.expect("a frame");
    loop {
        let frame = crate::common::soon("an answer", socket.next()).await.expect("a frame");
        let Ok(Message::Text(text)) = frame else { continue };
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        assert!(frame["type"] != "subscribed" && frame["type"] != "data", "{frame}");
        if frame["type"] == "error" {
            break;
        }
    }
}
