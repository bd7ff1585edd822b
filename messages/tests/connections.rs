//! Very many connections that do nothing. A program of its own, so that nothing else runs beside it.

mod common;

use common::{Setup, raw::Raw};
use std::time::Duration;
use tokio::time::Instant;

/// Fewer would not show much.
const LEAST: u64 = 5_000;

/// Connections that are waiting, half of them for content and half without a word.
async fn idle_connections(address: std::net::SocketAddr, count: u64) -> (Vec<Raw>, Vec<Raw>) {
    let (mut readers, mut silent) = (Vec::new(), Vec::new());
    for i in 0..count {
        if i % 2 == 0 {
            readers.push(
                Raw::send(address, "GET /?id=wide HTTP/1.1\r\nHost: localhost\r\n\r\n").await,
            );
        } else {
            silent.push(Raw::send(address, "").await);
        }
    }
    for reader in &mut readers {
        reader.until("first").await;
    }
    (readers, silent)
}

#[tokio::test]
async fn idle_connections_are_cheap_and_hold_nobody_up() {
    let files = rlimit::increase_nofile_limit(20_000).expect("the limit on open files");
    let count = 10_000.min(files.saturating_sub(500));
    assert!(count >= LEAST, "{files} open files are too few for this test: raise `ulimit -n`");
    let setup = Setup::new().await.with(&["--head-wait-secs", "300", "--log", "warn"]);
    let server = setup.start().await;
    server.put("/?id=wide&close=false", "first").await;
    let before = server.resident_bytes();
    let (mut readers, silent) = idle_connections(server.address(), count).await;
    let each = server.resident_bytes().saturating_sub(before) / count;
    assert!(each < 40 << 10, "{each} bytes of memory for every idle connection");

    let began = Instant::now();
    assert_eq!(server.put("/?id=other", "content").await.status, 201);
    assert_eq!(server.get("/?id=other").await.text(), "content");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "two requests took {took:?}");

    server.put("/?id=wide", "second").await;
    for reader in &mut readers {
        reader.until("second").await;
    }
    drop(silent);
    assert_eq!(server.get("/healthz").await.text(), "ok\n");
    eprintln!("{count} idle connections, {each} bytes of memory each");
}
