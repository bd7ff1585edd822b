//! Very many streams on one socket.

use crate::{
    BINARY, TEXT,
    client::{Got, Socket},
    common::{Setup, TestServer, noise},
    create, post,
};
use serde_json::json;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// What stream `n` holds in all.
fn whole(n: u64) -> Vec<u8> {
    noise(n + 1, 2_000 + (n as usize * 977) % 98_000)
}

async fn fill(server: &TestServer, n: u64, from: usize, to: usize) {
    let bytes = whole(n);
    for piece in bytes[from.min(bytes.len())..to.min(bytes.len())].chunks(8_000) {
        post(server, &format!("s{n}"), BINARY, piece.to_vec()).await;
    }
}

/// Subscribes to all of these, each from where it was.
async fn subscribe_all(socket: &mut Socket, all: &HashMap<u64, Got>) {
    for (n, got) in all {
        let stream = format!("s{n}");
        let frame = json!({"type": "subscribe", "sub": n, "stream": stream, "offset": got.offset});
        socket.feed(frame).await;
    }
    socket.send(json!({"type": "ping", "id": 0})).await;
}

/// Reads frames for a while, or until `enough`.
async fn read(
    socket: &mut Socket,
    all: &mut HashMap<u64, Got>,
    most: usize,
    enough: impl Fn(&HashMap<u64, Got>) -> bool,
) {
    for _ in 0..most {
        if enough(all) {
            return;
        }
        let frame = socket.next().await;
        if let Some(sub) = frame["sub"].as_u64() {
            all.get_mut(&sub).expect("one that was asked for").take(&frame);
        }
    }
}

/// Two hundred streams, from random offsets, live and from the store, through a server that is killed
/// again and again: every byte comes once.
#[tokio::test]
async fn every_stream_goes_on_exactly_where_it_was() {
    const COUNT: u64 = 200;
    let setup = Setup::new().await.with(&["--window-bytes-max", "1000000"]);
    let mut server = setup.start().await;
    let mut all = HashMap::new();
    for n in 0..COUNT {
        create(&server, &format!("s{n}"), BINARY, "").await;
        fill(&server, n, 0, 40_000).await;
        let bytes = (n * 7_919) as usize % (whole(n).len().min(40_000) + 1);
        let start = if n % 3 == 0 { "-1".into() } else { format!("{:016}_{bytes:016}", 1) };
        let skipped = if n % 3 == 0 { 0 } else { bytes };
        let got = Got { bytes: whole(n)[..skipped].to_vec(), ..Got::from(&start) };
        all.insert(n, got);
    }
    let has = |level: usize| {
        move |all: &HashMap<u64, Got>| {
            all.iter().all(|(n, got)| got.bytes.len() == whole(*n).len().min(level))
        }
    };
    for level in [40_000, 60_000, 80_000] {
        let mut socket = Socket::open(&server).await;
        subscribe_all(&mut socket, &all).await;
        // The first time in the middle of what there is, then at its end.
        read(&mut socket, &mut all, 400 * (level / 20_000 - 1), has(level)).await;
        for n in 0..COUNT {
            fill(&server, n, level, level + 20_000).await;
        }
        read(&mut socket, &mut all, 150, has(level + 20_000)).await;
        server = server.crash().await;
        // What had arrived by then counts; the rest is lost with the connection.
    }
    let mut socket = Socket::open(&server).await;
    subscribe_all(&mut socket, &all).await;
    read(&mut socket, &mut all, usize::MAX, has(usize::MAX)).await;
    for (n, got) in &all {
        assert!(got.bytes == whole(*n), "stream {n}: {} bytes", got.bytes.len());
    }
}

/// A thousand subscriptions on one socket: cheap, and only those with something new are looked at.
#[tokio::test]
async fn a_thousand_streams_on_one_socket() {
    const COUNT: u64 = 1_000;
    let server = Setup::new().await.with(&["--log", "warn"]).start().await;
    for n in 0..COUNT {
        create(&server, &format!("s{n}"), TEXT, "x").await;
    }
    let mut socket = Socket::open(&server).await;
    let before = server.resident_bytes();
    let mut all: HashMap<u64, Got> = (0..COUNT).map(|n| (n, Got::from("-1"))).collect();
    let began = Instant::now();
    subscribe_all(&mut socket, &all).await;
    read(&mut socket, &mut all, usize::MAX, |all| all.values().all(|got| got.caught_up)).await;
    let took = began.elapsed();
    let each = server.resident_bytes().saturating_sub(before) / COUNT;
    eprintln!("{COUNT} subscriptions in {took:?}, {each} bytes of memory each");
    assert!(each < 8 << 10, "{each} bytes for each");
    for n in (0..COUNT).step_by(97) {
        post(&server, &format!("s{n}"), TEXT, "y").await;
        let frame = socket.expect("data").await;
        assert_eq!((&frame["sub"], &frame["text"]), (&n.into(), &"y".into()));
    }
}

#[tokio::test]
async fn there_is_a_most_of_subscriptions() {
    let server = Setup::new().await.start().await;
    create(&server, "a", TEXT, "").await;
    let mut socket = Socket::open(&server).await;
    let most = socket.hello["limits"]["subscriptions"].as_u64().expect("a number");
    let subscribe = |n: u64| json!({"type": "subscribe", "sub": n, "stream": "a", "offset": "now"});
    let mut told = 0;
    for first in (0..most).step_by(512) {
        for n in first..most.min(first + 512) {
            socket.feed(subscribe(n)).await;
        }
        socket.send(json!({"type": "ping"})).await;
        while told < 2 * most.min(first + 512) {
            let kind = socket.next().await["type"].clone();
            assert_ne!(kind, "error");
            told += u64::from(kind != "pong");
        }
    }
    socket.send(subscribe(most)).await;
    let mut frame = socket.next().await;
    while frame["type"] == "pong" {
        frame = socket.next().await;
    }
    assert_eq!(frame["code"], "too_many_subscriptions", "{frame}");
    socket.send(json!({"type": "unsubscribe", "sub": 0})).await;
    socket.expect("unsubscribed").await;
    socket.subscribe(most, "a", "now").await;
}

/// A stream with very much to send takes its turn like the others.
#[tokio::test]
async fn a_huge_stream_does_not_starve_the_others() {
    let server = Setup::new().await.start().await;
    create(&server, "huge", BINARY, "").await;
    let huge = noise(9, 48 << 20);
    for piece in huge.chunks(4 << 20) {
        post(&server, "huge", BINARY, piece.to_vec()).await;
    }
    create(&server, "small", TEXT, "").await;
    let mut socket = Socket::open(&server).await;
    socket.subscribe("small", "small", "now").await;
    socket.expect("caught_up").await;
    socket.subscribe("huge", "huge", "-1").await;
    let (mut got, mut heard, mut worst) = (Got::default(), 0, Duration::ZERO);
    let mut asked: Option<Instant> = None;
    while got.bytes.len() < huge.len() {
        if asked.is_none() && heard < 20 {
            post(&server, "small", TEXT, format!("{heard}")).await;
            asked = Some(Instant::now());
        }
        let frame = socket.next().await;
        if frame["sub"] == "small" {
            assert_eq!(frame["text"], heard.to_string());
            worst = worst.max(asked.take().expect("asked").elapsed());
            heard += 1;
        } else {
            got.take(&frame);
        }
    }
    assert!(got.bytes == huge);
    assert!(heard >= 5, "heard {heard} times of the small one beside {} bytes", huge.len());
    eprintln!("heard {heard} times of the small stream, the worst after {worst:?}");
}
