//! `PUT`: producers of all kinds, and what their readers see.

mod common;

use bytes::Bytes;
use common::{End, Setup, TestServer, noise, raw::Raw, request, soon};
use http::Method;
use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

/// The tail of a stream as its head tells it: records, bytes.
async fn tail(server: &TestServer, id: &str) -> (u64, u64) {
    let head = server.head(&format!("/?id={id}")).await;
    let offset = head.header("stream-next-offset").to_owned();
    let (records, bytes) = offset.split_once('_').expect("an offset");
    (records.parse().expect("records"), bytes.parse().expect("bytes"))
}

/// Why a stream is closed; empty while it is open.
async fn reason(server: &TestServer, id: &str) -> String {
    let head = server.head(&format!("/?id={id}")).await;
    head.header("stream-closed-reason").to_owned()
}

async fn pieces_reach_a_reader_while_the_body_goes_on(setup: Setup) {
    let server = setup.start().await;
    let mut producer = server.produce("/?id=live");
    producer.send("one ").await;
    common::eventually("the stream exists", async || {
        (server.head("/?id=live").await.status == 200).then_some(())
    })
    .await;
    let mut reader = server.read("/?id=live").await;
    reader.expect("one ").await;
    for piece in ["two ", "three ", "four"] {
        producer.send(piece).await;
        reader.expect(piece).await;
    }
    let answer = producer.finish().await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), "/?id=live");
    assert_eq!(answer.header("stream-closed"), "true");
    let summary = answer.json();
    assert_eq!(
        (&summary["id"], &summary["bytes"], &summary["records"]),
        (&"live".into(), &18.into(), &4.into())
    );
    assert_eq!(summary["offset"], answer.header("stream-next-offset"));
    assert_eq!(summary["closed"], true);
    assert_eq!(reader.rest().await, (Bytes::new(), End::Clean));
    assert_eq!(reason(&server, "live").await, "finished");
}

async fn a_stream_that_is_not_closed_stays_open_for_more(setup: Setup) {
    let server = setup.start().await;
    let answer = server.put("/?id=log&close=false", "a").await;
    assert_eq!((answer.status.as_u16(), answer.header("stream-closed")), (201, ""));
    assert_eq!(answer.json()["closed"], false);
    let mut reader = server.read("/?id=log").await;
    reader.expect("a").await;
    for piece in ["b", "c"] {
        assert_eq!(server.put("/?id=log&close=false", piece).await.status, 200);
        reader.expect(piece).await;
    }
    assert_eq!(server.put("/?id=log", "d").await.status, 200);
    assert_eq!(reader.rest().await, ("d".into(), End::Clean));
}

async fn a_broken_off_producer_leaves_what_arrived_and_goes_on_later(setup: Setup) {
    let server = setup.start().await;
    let content = noise(1, 300_000);
    let mut producer = server.produce("/?id=upload");
    producer.send(content[..70_000].to_vec()).await;
    common::eventually("the piece has arrived", async || {
        let head = server.head("/?id=upload").await;
        head.header("stream-next-offset").ends_with("_0000000000070000").then_some(())
    })
    .await;
    producer.break_off().await;
    let mut reader = server.read("/?id=upload").await;
    assert_eq!(reader.bytes(70_000).await, content[..70_000]);
    assert_eq!(reason(&server, "upload").await, "", "it stays open");

    let (_, at) = tail(&server, "upload").await;
    let part = content[at as usize..200_000].to_vec();
    let answer = server.put(&format!("/?id=upload&close=false&offset={at}"), part).await;
    assert_eq!(answer.status, 200);
    let full = answer.header("stream-next-offset").to_owned();
    let rest = content[200_000..].to_vec();
    assert_eq!(server.put(&format!("/?id=upload&offset={full}"), rest).await.status, 200);
    assert_eq!(reader.rest().await, (content[70_000..].to_vec().into(), End::Clean));
    assert_eq!(server.get("/?id=upload").await.body, content);
}

async fn a_wrong_offset_is_refused_with_the_right_one(setup: Setup) {
    let server = setup.start().await;
    server.put("/?id=s&close=false", "12345").await;
    let right = "0000000000000001_0000000000000005";
    for wrong in ["0", "4", "6", "0000000000000002_0000000000000005"] {
        let answer = server.put(&format!("/?id=s&offset={wrong}"), "67").await;
        let detail = answer.problem(409, "offset_mismatch");
        assert!(detail.contains("byte 5"), "{detail}");
        assert_eq!(answer.header("stream-next-offset"), right);
        assert_eq!((&answer.json()["offset"], &answer.json()["bytes"]), (&right.into(), &5.into()));
    }
    assert_eq!(server.put(&format!("/?id=s&offset={right}"), "67").await.status, 200);
    assert_eq!(server.get("/?id=s").await.text(), "1234567");
}

async fn a_wrong_offset_creates_nothing(setup: Setup) {
    let server = setup.start().await;
    let answer = server.put("/?id=lost&offset=7&close=always", "x").await;
    answer.problem(409, "offset_mismatch");
    assert_eq!(answer.json()["bytes"], 0);
    server.get("/?id=lost").await.problem(404, "stream_not_found");
    assert_eq!(server.put("/?id=lost&offset=0", "x").await.status, 201);
}

async fn a_repeated_piece_is_refused_and_the_content_stays_right(setup: Setup) {
    let server = setup.start().await;
    server.put("/?id=once&close=false&offset=0", "abc").await;
    server.put("/?id=once&close=false&offset=0", "abc").await.problem(409, "offset_mismatch");
    server.put("/?id=once&offset=3", "def").await;
    assert_eq!(server.get("/?id=once").await.text(), "abcdef");
}

async fn a_producer_that_asked_for_it_takes_its_stream_along(setup: Setup) {
    let server = setup.start().await;
    let mut producer = server.produce("/?id=tied&close=always");
    producer.send("some").await;
    common::eventually("the piece has arrived", async || {
        let head = server.head("/?id=tied").await;
        head.header("stream-next-offset").ends_with("4").then_some(())
    })
    .await;
    let mut reader = server.read("/?id=tied").await;
    reader.expect("some").await;
    producer.break_off().await;
    assert_eq!(reader.rest().await, (Bytes::new(), End::Clean));
    assert_eq!(reason(&server, "tied").await, "broken-off");
    assert_eq!(server.put("/?id=whole&close=always", "all").await.header("stream-closed"), "true");
    assert_eq!(reason(&server, "whole").await, "finished");
}

async fn a_closed_stream_takes_nothing_more(setup: Setup) {
    let server = setup.start().await;
    server.put("/?id=done", "all").await;
    for target in ["/?id=done", "/?id=done&close=false", "/?id=done&offset=3"] {
        let answer = server.put(target, "more").await;
        answer.problem(409, "stream_closed");
        assert_eq!(answer.header("stream-closed"), "true");
        assert_eq!(answer.header("stream-closed-reason"), "finished");
        assert_eq!(answer.header("stream-next-offset"), "0000000000000001_0000000000000003");
    }
    assert_eq!(server.put("/?id=done", "").await.status, 200, "to close it again changes nothing");
    assert_eq!(server.get("/?id=done").await.text(), "all");
}

async fn an_empty_body_makes_an_empty_stream(setup: Setup) {
    let server = setup.start().await;
    let answer = server.put("/?id=empty", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("stream-closed")), (201, "true"));
    let empty = server.get("/?id=empty").await;
    assert_eq!((empty.status.as_u16(), empty.body.len()), (200, 0));
    assert_eq!(server.put("/?id=open&close=false", "").await.status, 201);
    assert_eq!(reason(&server, "open").await, "");
    let server = server.restart().await;
    assert_eq!(server.get("/?id=empty").await.header("stream-closed"), "true");
    assert_eq!(server.put("/?id=open", "x").await.status, 200);
    assert_eq!(server.get("/?id=open").await.text(), "x");
}

async fn every_byte_survives(setup: Setup) {
    let server = setup.start().await;
    let mut content: Vec<u8> = (0..=255).collect();
    content.extend_from_slice(&noise(2, 1_300_000));
    server.put("/?id=bytes", content.clone()).await;
    assert_eq!(server.get("/?id=bytes").await.body, content);
    let server = server.restart().await;
    assert_eq!(server.get("/?id=bytes").await.body, content, "after a stop");
    let server = server.crash().await;
    assert_eq!(server.get("/?id=bytes").await.body, content, "after a crash");
    assert_eq!(server.get("/?id=bytes&offset=1300001").await.body, content[1_300_001..]);
}

async fn the_creator_of_a_stream_says_what_it_is(setup: Setup) {
    let server = setup.start().await;
    let put = |id: &str, kind: &str| {
        request(
            Method::PUT,
            &format!("/?id={id}&close=false"),
            &[("content-type", kind)],
            "x".into(),
        )
    };
    server.send(put("lines", "application/x-ndjson; charset=utf-8")).await;
    server.send(put("lines", "text/html")).await;
    // Messages are no bytes.
    server.send(put("json", "application/json")).await.problem(409, "json_stream");
    server.get("/?id=json").await.problem(404, "stream_not_found");
    server.put("/?id=plain", "x").await;
    let kind = async |server: &TestServer, id: &str| {
        server.head(&format!("/?id={id}")).await.header("content-type").to_owned()
    };
    assert_eq!(kind(&server, "lines").await, "application/x-ndjson; charset=utf-8");
    let server = server.restart().await;
    assert_eq!(kind(&server, "lines").await, "application/x-ndjson; charset=utf-8");
    assert_eq!(kind(&server, "plain").await, "application/octet-stream");
    server.send(put("long", &"x".repeat(257))).await.problem(400, "bad_content_type");
    server.get("/?id=long").await.problem(404, "stream_not_found");
}

on_both_databases!(
    pieces_reach_a_reader_while_the_body_goes_on,
    a_stream_that_is_not_closed_stays_open_for_more,
    a_broken_off_producer_leaves_what_arrived_and_goes_on_later,
    a_wrong_offset_is_refused_with_the_right_one,
    a_wrong_offset_creates_nothing,
    a_repeated_piece_is_refused_and_the_content_stays_right,
    a_producer_that_asked_for_it_takes_its_stream_along,
    a_closed_stream_takes_nothing_more,
    an_empty_body_makes_an_empty_stream,
    every_byte_survives,
    the_creator_of_a_stream_says_what_it_is,
);

#[tokio::test]
async fn two_producers_that_close_cannot_interleave() {
    let server = Setup::new().await.start().await;
    server.put("/?id=one&close=false", "start ").await;
    let mut reader = server.read("/?id=one").await;
    reader.expect("start ").await;
    let (mut first, mut second) = (server.produce("/?id=one"), server.produce("/?id=one"));
    first.send("first ").await;
    reader.expect("first ").await;
    // Nothing tells the second one yet: it begins where the stream ends.
    second.send("second").await;
    reader.expect("second").await;
    first.send("first again").await;
    let refusal = first.refusal().await;
    refusal.problem(409, "offset_mismatch");
    assert_eq!(refusal.json()["bytes"], 18);
    assert_eq!(second.finish().await.status, 200);
    assert_eq!(reader.rest().await, (Bytes::new(), End::Clean));
}

#[tokio::test]
async fn producers_that_leave_a_stream_open_share_it() {
    let server = Setup::new().await.start().await;
    let mut reader = {
        server.put("/?id=shared&close=false", "begin ").await;
        server.read("/?id=shared").await
    };
    reader.expect("begin ").await;
    let (mut a, mut b) =
        (server.produce("/?id=shared&close=false"), server.produce("/?id=shared&close=false"));
    for _ in 0..3 {
        a.send("a").await;
        reader.expect("a").await;
        b.send("b").await;
        reader.expect("b").await;
    }
    assert_eq!(
        (a.finish().await.status, b.finish().await.status),
        (200.try_into().expect("OK"), 200.try_into().expect("OK"))
    );
    server.put("/?id=shared", "").await;
    assert_eq!(server.get("/?id=shared").await.text(), "begin ababab");
}

#[tokio::test]
async fn many_producers_at_once_lose_nothing() {
    let server = Setup::new().await.start().await;
    let puts = (0..32).map(|i| {
        let server = &server;
        async move {
            for j in 0..8 {
                let line = format!("{i:02} {j}\n");
                assert!(server.put("/?id=all&close=false", line).await.status.is_success());
            }
        }
    });
    futures::future::join_all(puts).await;
    server.put("/?id=all", "").await;
    let all = server.get("/?id=all").await;
    for i in 0..32 {
        let of_one: Vec<&str> =
            all.text().lines().filter(|l| l.starts_with(&format!("{i:02} "))).collect();
        let expected: Vec<String> = (0..8).map(|j| format!("{i:02} {j}")).collect();
        assert_eq!(of_one, expected);
    }
    assert_eq!(all.body.len(), 32 * 8 * 5);
}

#[tokio::test]
async fn many_readers_see_the_same() {
    let server = Setup::new().await.start().await;
    let mut producer = server.produce("/?id=wide");
    producer.send(noise(0, 1000)).await;
    common::eventually("the stream exists", async || {
        (server.head("/?id=wide").await.status == 200).then_some(())
    })
    .await;
    let mut readers = Vec::new();
    for _ in 0..50 {
        readers.push(server.read("/?id=wide").await);
    }
    let mut content = noise(0, 1000);
    for i in 1..40 {
        content.extend_from_slice(&noise(i, 5_000));
        producer.send(noise(i, 5_000)).await;
    }
    producer.finish().await;
    for read in futures::future::join_all(readers.into_iter().map(common::Reader::rest)).await {
        assert_eq!(read.1, End::Clean);
        assert!(read.0 == content, "a reader saw something else");
    }
}

#[tokio::test]
async fn a_producer_that_asks_before_it_sends_is_told_to_go_on() {
    let server = Setup::new().await.start().await;
    let head = "PUT /?id=asked HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let mut raw = Raw::send(server.address(), head).await;
    raw.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    raw.write(b"hello").await;
    raw.until("HTTP/1.1 201 Created\r\n").await;
    assert_eq!(server.get("/?id=asked").await.text(), "hello");
}

#[tokio::test]
async fn curl_uploads_what_comes_slowly() {
    let server = Setup::new().await.start().await;
    let url = format!("http://{}/?id=curl", server.address());
    let mut curl = Command::new("curl")
        .args(["-sS", "--no-buffer", "-T", "-", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl");
    let mut input = curl.stdin.take().expect("a pipe");
    input.write_all(b"line 0\n").expect("curl reads");
    common::eventually("the stream exists", async || {
        (server.head("/?id=curl").await.status == 200).then_some(())
    })
    .await;
    let mut reader = server.read("/?id=curl").await;
    reader.expect("line 0\n").await;
    for i in 1..5 {
        let line = format!("line {i}\n");
        input.write_all(line.as_bytes()).expect("curl reads");
        reader.expect(&line).await;
    }
    drop(input);
    assert_eq!(reader.rest().await, (Bytes::new(), End::Clean));
    let mut answer = String::new();
    curl.stdout.take().expect("a pipe").read_to_string(&mut answer).expect("text");
    assert!(curl.wait().expect("an end").success());
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((&answer["records"], &answer["bytes"]), (&5.into(), &35.into()));
}

#[tokio::test]
async fn curl_reads_to_the_end_and_notices_a_broken_one() {
    let server = Setup::new().await.start().await;
    server.put("/?id=whole", "whole").await;
    server.put("/?id=part&close=false", "part").await;
    let curl = |id: &str| {
        let url = format!("http://{}/?id={id}", server.address());
        let mut command = Command::new("curl");
        command.args(["-sSN", &url]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("curl")
    };
    let output = curl("whole").wait_with_output().expect("an end");
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"whole".to_vec()));
    let mut part = curl("part");
    let mut begun = [0; 4];
    let stdout = part.stdout.as_mut().expect("a pipe");
    stdout.read_exact(&mut begun).expect("the content");
    server.stop().await;
    let status = soon("curl ends", tokio::task::spawn_blocking(move || part.wait()));
    assert!(!status.await.expect("no panic").expect("an end").success(), "a part is not the whole");
}

#[tokio::test]
async fn a_refused_producer_gets_its_answer_however_much_it_sends() {
    let server = Setup::new().await.start().await;
    server.put("/?id=done", "all").await;
    for len in [1, 100_000, 900_000] {
        server.put("/?id=done", vec![b'x'; len]).await.problem(409, "stream_closed");
        server.put("/?id=done&close=never", vec![b'x'; len]).await.problem(400, "bad_parameter");
    }
    let mut endless = server.produce("/?id=done");
    while endless.try_send(vec![b'x'; 100_000]).await {}
}

#[tokio::test]
async fn a_body_shorter_than_it_said_is_broken_off() {
    let server = Setup::new().await.start().await;
    for close in ["true", "always"] {
        let head = format!(
            "PUT /?id={close}&close={close} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf"
        );
        drop(Raw::send(server.address(), &head).await);
    }
    let closed = common::eventually("the stream is closed", async || {
        let head = server.head("/?id=always").await;
        (head.header("stream-closed") == "true").then_some(head)
    });
    assert_eq!(closed.await.header("stream-closed-reason"), "broken-off");
    let mut reader = server.read("/?id=true").await;
    reader.expect("half").await;
    assert_eq!(server.put("/?id=true&offset=4", "whole").await.status, 200);
    assert_eq!(reader.rest().await, ("whole".into(), End::Clean));
}

#[tokio::test]
async fn trailers_are_no_content() {
    let server = Setup::new().await.start().await;
    let put = "PUT /?id=s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n\
        5\r\nhello\r\n0\r\nx: y\r\n\r\n";
    let mut raw = Raw::send(server.address(), put).await;
    raw.until("HTTP/1.1 201 ").await;
    assert_eq!(server.get("/?id=s").await.text(), "hello");
}

/// `close=always` ends what a producer has begun or gone on with, not what belongs to another.
#[tokio::test]
async fn a_producer_ends_only_its_own() {
    let server = Setup::new().await.start().await;
    let mut owner = server.produce("/?id=s&close=false");
    owner.send("mine ").await;
    common::eventually("the stream is there", async || {
        (server.head("/?id=s").await.status == 200).then_some(())
    })
    .await;
    let mut reader = server.read("/?id=s").await;
    reader.expect("mine ").await;
    // A stranger who is wrong about it.
    server.put("/?id=s&close=always&offset=999", "x").await.problem(409, "offset_mismatch");
    // One who went on with it, and somebody else after him.
    let mut first = server.produce("/?id=s&close=always&offset=5");
    first.send("first ").await;
    reader.expect("first ").await;
    owner.send("again ").await;
    reader.expect("again ").await;
    first.break_off().await;
    owner.send("end").await;
    reader.expect("end").await;
    assert_eq!(owner.finish().await.status, 201);
    assert_eq!(server.put("/?id=s", "").await.status, 200);
    assert_eq!(reader.rest().await, (Bytes::new(), End::Clean));
}
