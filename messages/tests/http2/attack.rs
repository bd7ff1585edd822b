//! Connections on which nothing good is meant.

use crate::{
    common::{Setup, raw::Raw},
    frames::{GOAWAY, PREFACE, RST_STREAM, SETTINGS, begin, frame, get},
};

/// The kinds of the frames that have come.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        kinds.push(bytes[3]);
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    kinds
}

#[tokio::test]
async fn who_begins_and_says_no_more_is_not_waited_for() {
    let setup = Setup::new().await.with(&["--head-wait-secs", "1", "--reader-stall-secs", "1"]);
    let server = setup.start().await;
    for begun in [&b"P"[..], b"PR", b"PRI", &PREFACE[..20], PREFACE, &begin()] {
        let mut raw = Raw::send(server.address(), "").await;
        raw.write(begun).await;
        raw.closed().await;
    }
}

/// CVE-2023-44487: a request that is taken back costs its sender nothing.
#[tokio::test]
async fn who_takes_back_what_it_asks_for_again_and_again_is_cut_off() {
    let server = Setup::new().await.start().await;
    let mut raw = Raw::send(server.address(), "").await;
    raw.write(&begin()).await;
    let mut stream = 1;
    // At some point it is not there any more.
    loop {
        assert!(stream < 2_000_000, "it may go on for ever");
        let mut burst = Vec::new();
        for _ in 0..500 {
            burst.extend(get(stream));
            burst.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            stream += 2;
        }
        if !raw.try_write(&burst).await {
            break;
        }
    }
    assert_eq!(server.get("/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn what_breaks_the_rules_ends_the_connection_and_is_told() {
    let server = Setup::new().await.start().await;
    // Nothing can be said on an even stream, nor on none.
    for bad in [get(2), get(0), frame(SETTINGS, 0, 1, &[])] {
        let mut raw = Raw::send(server.address(), "").await;
        raw.write(&[begin(), bad].concat()).await;
        raw.closed().await;
        assert!(kinds(&raw.received).contains(&GOAWAY), "{:?}", raw.received);
    }
    let mut raw = Raw::send(server.address(), "").await;
    raw.write(&[begin(), get(1)].concat()).await;
    raw.until("ok\n").await;
}

#[tokio::test]
async fn a_head_may_not_be_too_large() {
    use crate::client::{Client, empty};
    let server = Setup::new().await.start().await;
    let mut client = Client::plain(server.address()).await;
    for (len, status) in [(60 << 10, 200), (70 << 10, 431)] {
        let request = client.request(http::Method::GET, "/healthz").header("x", "y".repeat(len));
        let request = request.body(empty()).expect("a request");
        match client.send(request).await {
            Ok(response) => assert_eq!(response.status(), status, "{len}"),
            // Reset after its answer, which a client may not have seen then.
            Err(error) => assert_eq!(status, 431, "{len}: {error:?}"),
        }
    }
    assert_eq!(client.get("/healthz").await.text(), "ok\n");
}
