//! What a subscription gives.

use crate::{
    BINARY, JSON, TEXT,
    client::{Got, Socket, content},
    close,
    common::{Setup, noise},
    create, delete, post, put,
};
use serde_json::json;

#[tokio::test]
async fn content_comes_from_the_beginning_then_live_then_the_end() {
    let server = Setup::new().await.start().await;
    create(&server, "a", TEXT, "  first\r\n").await;
    let mut socket = Socket::open(&server).await;
    let answer = socket.subscribe("x", "a", "-1").await;
    assert_eq!(answer["content_type"], TEXT);
    assert_eq!(answer["offset"], "0000000000000000_0000000000000000");
    assert_eq!(answer["tail"], "0000000000000001_0000000000000009");
    assert_eq!(answer["closed"], false);
    let frame = socket.expect("data").await;
    assert_eq!((&frame["sub"], &frame["text"]), (&"x".into(), &"  first\r\n".into()));
    assert_eq!(frame["offset"], "0000000000000001_0000000000000009");
    let frame = socket.expect("caught_up").await;
    assert_eq!(frame["offset"], "0000000000000001_0000000000000009");
    for text in ["\r", "\n\n", "{\"a\": \"\u{1}\\\"}", " é😀"] {
        post(&server, "a", TEXT, text).await;
        assert_eq!(socket.expect("data").await["text"], text);
    }
    close(&server, "a").await;
    let frame = socket.expect("closed").await;
    assert_eq!(frame["reason"], "finished");
    // The name is free again, and the stream has nothing more to say.
    let answer = socket.subscribe("x", "a", frame["offset"].as_str().expect("text")).await;
    assert_eq!(answer["closed"], true);
    assert_eq!(socket.expect("closed").await["offset"], frame["offset"]);
}

#[tokio::test]
async fn a_character_cut_by_appends_arrives_whole() {
    let server = Setup::new().await.start().await;
    create(&server, "a", TEXT, "").await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(1, "a", "-1").await;
    let mut got = Got::from("0000000000000000_0000000000000000");
    socket.read(&mut got, |got| got.caught_up).await;
    let text = "a😀é€b";
    for byte in text.as_bytes() {
        post(&server, "a", TEXT, vec![*byte]).await;
        // So that no two come together.
        let sent = socket.send(json!({"type": "ping"}));
        sent.await;
        loop {
            let frame = socket.next().await;
            if frame["type"] == "pong" {
                break;
            }
            assert!(frame["text"].is_string(), "{frame}");
            got.take(&frame);
        }
    }
    socket.read(&mut got, |got| got.bytes.len() == text.len()).await;
    assert_eq!(got.text(), text);

    // What will never be whole is not lost either.
    post(&server, "a", TEXT, &b"\xF0\x9F"[..]).await;
    close(&server, "a").await;
    let frame = socket.expect("data").await;
    assert_eq!(content(&frame), b"\xF0\x9F");
    got.take(&frame);
    got.take(&socket.expect("closed").await);
}

#[tokio::test]
async fn bytes_and_texts_that_are_none_come_as_base64() {
    let server = Setup::new().await.start().await;
    let bytes = noise(1, 100_000);
    create(&server, "binary", BINARY, bytes.clone()).await;
    create(&server, "broken", TEXT, bytes.clone()).await;
    for name in ["binary", "broken"] {
        let mut socket = Socket::open(&server).await;
        let answer = socket.subscribe(1, name, "-1").await;
        let mut got = Got::from(answer["offset"].as_str().expect("text"));
        socket.read(&mut got, |got| got.caught_up).await;
        assert!(got.bytes == bytes, "{name}");
        assert_eq!(got.offset, "0000000000000001_0000000000100000");
    }
}

#[tokio::test]
async fn messages_keep_their_text_and_are_never_cut() {
    let server = Setup::new().await.start().await;
    let long = format!("\"{}\"", "x".repeat(100_000));
    create(&server, "j", JSON, format!(r#"[ {{"b": 1.0, "a":12345678901234567890}}, {long} ]"#))
        .await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe(1, "j", "-1").await;
    let first = socket.frame().await.expect("a frame");
    assert!(first.contains(r#""messages":[{"b": 1.0, "a":12345678901234567890}]"#), "{first}");
    let second = socket.expect("data").await;
    assert_eq!(second["messages"][0].as_str().map(str::len), Some(100_000));
    assert_eq!(second["offset"].as_str().map(|offset| &offset[..17]), Some("0000000000000002_"));
    socket.expect("caught_up").await;

    // An offset that somebody made up cannot break a frame.
    let inside = "0000000000000000_0000000000000003";
    socket.send(json!({"type": "subscribe", "sub": 2, "stream": "j", "offset": inside})).await;
    assert_eq!(socket.refused("bad_offset").await["sub"], 2);
    socket.subscribe(2, "j", "-1").await;
}

#[tokio::test]
async fn a_subscription_begins_where_it_is_asked_to() {
    let server = Setup::new().await.start().await;
    create(&server, "a", TEXT, "0123456789").await;
    let mut socket = Socket::open(&server).await;
    let answer = socket.subscribe(1, "a", "now").await;
    assert_eq!(answer["offset"], "0000000000000001_0000000000000010");
    socket.expect("caught_up").await;
    let middle = "0000000000000001_0000000000000004";
    socket.subscribe(2, "a", middle).await;
    assert_eq!(socket.expect("data").await["text"], "456789");
    socket.expect("caught_up").await;
    let beyond = "0000000000000001_0000000000000011";
    socket.send(json!({"type": "subscribe", "sub": 3, "stream": "a", "offset": beyond})).await;
    let frame = socket.refused("offset_beyond_end").await;
    assert_eq!((&frame["sub"], &frame["offset"]), (&3.into(), &answer["offset"]));
    socket.send(json!({"type": "subscribe", "id": 9, "sub": 3, "stream": "b"})).await;
    let frame = socket.refused("stream_not_found").await;
    assert_eq!((&frame["sub"], &frame["id"]), (&3.into(), &9.into()));
    socket.send(json!({"type": "subscribe", "sub": 1, "stream": "a"})).await;
    socket.refused("subscription_exists").await;

    socket.send(json!({"type": "unsubscribe", "id": 5, "sub": 2})).await;
    let frame = socket.expect("unsubscribed").await;
    assert_eq!((&frame["sub"], &frame["id"]), (&2.into(), &5.into()));
    post(&server, "a", TEXT, "more").await;
    let frame = socket.expect("data").await;
    assert_eq!((&frame["sub"], &frame["text"]), (&1.into(), &"more".into()));
    socket.send(json!({"type": "unsubscribe", "sub": 2})).await;
    socket.refused("no_such_subscription").await;
}

#[tokio::test]
async fn a_stream_that_goes_ends_only_its_own_subscription() {
    let server = Setup::new().await.start().await;
    create(&server, "a", TEXT, "gone").await;
    create(&server, "b", TEXT, "stays").await;
    let mut socket = Socket::open(&server).await;
    for name in ["a", "b"] {
        socket.subscribe(name, name, "-1").await;
        socket.expect("data").await;
        socket.expect("caught_up").await;
    }
    delete(&server, "a").await;
    let frame = socket.refused("stream_not_found").await;
    assert_eq!(frame["sub"], "a");
    assert_eq!(frame["offset"], "0000000000000001_0000000000000004");
    post(&server, "b", TEXT, ".").await;
    assert_eq!(socket.expect("data").await["text"], ".");

    // A new life of the name is another stream.
    put(&server, "a", TEXT, "new").await;
    socket.subscribe("a", "a", "-1").await;
    assert_eq!(socket.expect("data").await["text"], "new");
}

#[tokio::test]
async fn a_window_holds_the_server_back_until_its_client_follows() {
    let server = Setup::new().await.start().await;
    let bytes = noise(3, 1 << 20);
    create(&server, "a", BINARY, "").await;
    for piece in bytes.chunks(10_000) {
        post(&server, "a", BINARY, piece.to_vec()).await;
    }
    let mut socket = Socket::open(&server).await;
    let subscribe = json!({"type": "subscribe", "sub": 1, "stream": "a", "window": 50_000});
    socket.send(subscribe).await;
    let mut got = Got::default();
    got.take(&socket.expect("subscribed").await);
    while got.bytes.len() < bytes.len() {
        let before = got.bytes.len();
        loop {
            // The answer to this comes before content that waits for its turn, so ask twice.
            socket.send(json!({"type": "ping", "id": 1})).await;
            socket.send(json!({"type": "ping", "id": 2})).await;
            let had = got.bytes.len();
            loop {
                let frame = socket.next().await;
                match frame["id"].as_u64() {
                    Some(2) => break,
                    Some(_) => {}
                    None => got.take(&frame),
                }
            }
            if got.bytes.len() == had && had > before {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert!(got.bytes.len() - before <= 50_000 + (32 << 10), "{}", got.bytes.len() - before);
        socket.send(json!({"type": "ack", "sub": 1, "offset": got.offset})).await;
    }
    assert!(got.bytes == bytes);
}
