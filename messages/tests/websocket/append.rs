//! Appends on a socket.

use crate::{
    BINARY, JSON, TEXT,
    client::{Got, Socket},
    common::{Setup, redis},
    create, delete,
};
use serde_json::json;

#[tokio::test]
async fn appends_of_every_kind_are_answered_and_shown() {
    let server = Setup::new().await.start().await;
    create(&server, "t", TEXT, "").await;
    create(&server, "j", JSON, "").await;
    create(&server, "b", BINARY, "").await;
    let mut socket = Socket::open(&server).await;
    socket.send(json!({"type": "append", "id": 1, "stream": "t", "text": " é\r\n"})).await;
    let frame = socket.expect("appended").await;
    assert_eq!((&frame["id"], &frame["duplicate"]), (&1.into(), &false.into()));
    assert_eq!(frame["offset"], "0000000000000001_0000000000000005");
    let raw = r#"{"type":"append","id":2,"stream":"j","messages":[{"b": 1.0,"a":[]}, 2]}"#;
    socket.send_message(raw.to_owned().into()).await;
    let frame = socket.expect("appended").await;
    assert_eq!(&frame["offset"].as_str().expect("text")[..16], "0000000000000002");
    socket.send(json!({"type": "append", "id": 3, "stream": "b", "base64": "AP8="})).await;
    socket.expect("appended").await;
    assert_eq!(server.get("/v1/stream/t").await.text(), " é\r\n");
    assert_eq!(server.get("/v1/stream/j").await.text(), r#"[{"b": 1.0,"a":[]},2]"#);
    assert_eq!(&server.get("/v1/stream/b").await.body[..], b"\x00\xFF");
}

#[tokio::test]
async fn what_cannot_be_appended_is_refused_with_the_codes_of_requests() {
    let server = Setup::new().await.start().await;
    create(&server, "t", TEXT, "").await;
    create(&server, "j", JSON, "").await;
    let mut socket = Socket::open(&server).await;
    let one = json!({"a": 1});
    for (frame, code) in [
        (json!({"stream": "none", "text": "x"}), "stream_not_found"),
        (json!({"stream": "j", "text": "1"}), "content_type_mismatch"),
        (json!({"stream": "t", "messages": [one]}), "content_type_mismatch"),
        (json!({"stream": "t", "text": "x", "content_type": JSON}), "content_type_mismatch"),
        (json!({"stream": "j", "messages": []}), "no_messages"),
        (json!({"stream": "t"}), "empty_body"),
        (json!({"stream": "t", "base64": "="}), "bad_base64"),
    ] {
        let mut frame = frame;
        (frame["type"], frame["id"]) = ("append".into(), code.into());
        socket.send(frame).await;
        assert_eq!(socket.refused(code).await["id"], code);
    }
    let text =
        json!({"type": "append", "stream": "t", "text": "x", "content_type": "Text/Plain; a=b"});
    socket.send(text).await;
    socket.expect("appended").await;
    socket.send(json!({"type": "append", "stream": "t", "text": "y", "close": true})).await;
    assert_eq!(socket.expect("appended").await["closed"], true);
    socket.send(json!({"type": "append", "stream": "t", "text": "z"})).await;
    let frame = socket.refused("stream_closed").await;
    assert_eq!((&frame["reason"], &frame["status"]), (&"finished".into(), &409.into()));
    assert_eq!(frame["offset"], "0000000000000002_0000000000000002");
    socket.send(json!({"type": "append", "stream": "t", "close": true})).await;
    assert_eq!(socket.expect("appended").await["duplicate"], true);
}

#[tokio::test]
async fn producers_are_told_news_from_repetitions() {
    let server = Setup::new().await.start().await;
    create(&server, "t", TEXT, "").await;
    let mut socket = Socket::open(&server).await;
    let append = |epoch: u64, seq: u64| {
        let producer = json!({"id": "p", "epoch": epoch, "seq": seq});
        json!({"type": "append", "stream": "t", "text": seq.to_string(), "producer": producer})
    };
    for seq in 0..3 {
        socket.send(append(1, seq)).await;
        let frame = socket.expect("appended").await;
        assert_eq!((&frame["duplicate"], &frame["producer_seq"]), (&false.into(), &seq.into()));
    }
    socket.send(append(1, 1)).await;
    let frame = socket.expect("appended").await;
    assert_eq!((&frame["duplicate"], &frame["producer_seq"]), (&true.into(), &2.into()));
    assert_eq!(frame["offset"], "0000000000000002_0000000000000002", "as the first time");
    socket.send(append(1, 5)).await;
    let frame = socket.refused("producer_gap").await;
    assert_eq!((&frame["expected"], &frame["received"]), (&3.into(), &5.into()));
    socket.send(append(0, 0)).await;
    assert_eq!(socket.refused("producer_fenced").await["epoch"], 1);
    let seq = |seq: &str| json!({"type": "append", "stream": "t", "text": "s", "stream_seq": seq});
    socket.send(seq("b")).await;
    socket.expect("appended").await;
    socket.send(seq("a")).await;
    socket.refused("sequence_not_greater").await;
    assert_eq!(server.get("/v1/stream/t").await.text(), "012s");
}

/// None waits for the one before it to be durable, and all keep their order, beyond what the server
/// takes at once.
#[tokio::test]
async fn appends_are_pipelined_in_order() {
    let server = Setup::new().await.start().await;
    let streams: Vec<String> = (0..4).map(|n| format!("s{n}")).collect();
    for name in &streams {
        create(&server, name, TEXT, "").await;
    }
    let mut socket = Socket::open(&server).await;
    const COUNT: usize = 2_000;
    for n in 0..COUNT {
        let stream = &streams[n % streams.len()];
        let frame = json!({"type": "append", "id": n, "stream": stream, "text": format!("{n} ")});
        socket.feed(frame).await;
    }
    socket.send(json!({"type": "ping", "id": "all"})).await;
    let mut next = 0;
    while next < COUNT {
        let frame = socket.next().await;
        if frame["type"] == "pong" {
            continue;
        }
        assert_eq!((&frame["type"], &frame["id"]), (&"appended".into(), &next.into()), "{frame}");
        next += 1;
    }
    for (first, name) in streams.iter().enumerate() {
        let want: String = (first..COUNT).step_by(streams.len()).map(|n| format!("{n} ")).collect();
        assert_eq!(server.get(&format!("/v1/stream/{name}")).await.text(), want);
    }
}

/// A client that says goodbye, or is gone, behind its appends: they were sent, so they count.
#[tokio::test]
async fn appends_before_a_goodbye_happen() {
    let server = Setup::new().await.start().await;
    create(&server, "t", TEXT, "").await;
    let mut reader = Socket::open(&server).await;
    let answer = reader.subscribe(1, "t", "-1").await;
    let mut got = Got::from(answer["offset"].as_str().expect("text"));
    let mut socket = Socket::open(&server).await;
    for _ in 0..100 {
        socket.feed(json!({"type": "append", "stream": "t", "text": "x"})).await;
    }
    socket.close().await;
    reader.read(&mut got, |got| got.bytes.len() == 100).await;
}

#[tokio::test]
async fn an_append_is_to_the_life_that_another_node_has_begun() {
    let nodes = Setup::nodes(&redis::single()).await;
    let (a, b) = (nodes.node("a"), nodes.node("b"));
    let (a, b) = tokio::join!(a.start(), b.start());
    create(&a, "s", TEXT, "").await;
    let mut socket = Socket::open(&a).await;
    socket.send(json!({"type": "append", "stream": "s", "text": "old"})).await;
    socket.expect("appended").await;
    delete(&b, "s").await;
    create(&b, "s", JSON, "1").await;
    socket.send(json!({"type": "append", "stream": "s", "messages": [2]})).await;
    socket.expect("appended").await;
    assert_eq!(b.get("/v1/stream/s").await.text(), "[1,2]");
    delete(&b, "s").await;
    socket.send(json!({"type": "append", "id": 1, "stream": "s", "messages": [3]})).await;
    assert_eq!(socket.refused("stream_not_found").await["id"], 1);
}
