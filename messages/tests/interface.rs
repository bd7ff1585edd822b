//! The interface at `/`, as a client sees it.

mod common;

use bytes::Bytes;
use common::{End, Setup, lines, raw::Raw, request};
use http::Method;

async fn a_production_comes_back_line_by_line(setup: Setup) {
    let server = setup.start().await;
    let answer = server.post("/?freq=1000&max=30", "hello").await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.text(), lines("hello", 30));
    assert_eq!(server.get("/?id=hello").await.text(), lines("hello", 30));
}

async fn a_reader_gets_everything_from_the_beginning_while_it_is_produced(setup: Setup) {
    let server = setup.start().await;
    let mut first = server.start("/?freq=50&max=40", "live").await;
    first.expect(&lines("live", 5)).await;
    let reader = server.read("/?id=live").await;
    assert!(!reader.headers.contains_key("stream-closed"), "it is still open");
    assert_eq!(reader.rest().await, (lines("live", 40).into(), End::Clean));
    assert_eq!(first.rest().await.1, End::Clean);
}

async fn a_production_goes_on_after_its_caller_has_left(setup: Setup) {
    let server = setup.start().await;
    let mut caller = server.start("/?freq=100&max=50", "alone").await;
    caller.expect(&lines("alone", 2)).await;
    drop(caller);
    assert_eq!(server.get("/?id=alone").await.text(), lines("alone", 50));
}

async fn a_finished_production_starts_anew_under_its_name(setup: Setup) {
    let server = setup.start().await;
    server.post("/?freq=1000&max=20", "again").await;
    let answer = server.post("/?freq=1000&max=3", "again").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (201, &*lines("again", 3)));
    assert_eq!(server.get("/?id=again").await.text(), lines("again", 3));
    let server = server.restart().await;
    assert_eq!(server.get("/?id=again").await.text(), lines("again", 3));
    server.post("/?freq=1000&max=4", "again").await;
    let server = server.crash().await;
    assert_eq!(server.get("/?id=again").await.text(), lines("again", 4));
}

on_both_databases!(
    a_production_comes_back_line_by_line,
    a_reader_gets_everything_from_the_beginning_while_it_is_produced,
    a_production_goes_on_after_its_caller_has_left,
    a_finished_production_starts_anew_under_its_name,
);

#[tokio::test]
async fn a_production_has_twenty_lines_a_second_unless_told_otherwise() {
    let server = Setup::new().await.start().await;
    let began = tokio::time::Instant::now();
    let mut caller = server.start("/", "slow").await;
    caller.expect(&lines("slow", 11)).await;
    let took = began.elapsed().as_millis();
    assert!((450..5_000).contains(&took), "ten intervals of 50 ms took {took} ms");
    let mut quick = server.start("/?freq=1000", "fifty").await;
    quick.expect(&lines("fifty", 50)).await;
    assert_eq!(quick.rest().await, (Bytes::new(), End::Clean));
}

#[tokio::test]
async fn a_second_production_of_an_open_stream_is_refused() {
    let server = Setup::new().await.start().await;
    let first = server.start("/?freq=100&max=1000", "busy").await;
    server.post("/?freq=1000&max=1", "busy").await.problem(409, "stream_open");
    drop(first);
    server.put("/?id=uploaded&close=false", "x").await;
    server.post("/?freq=1000&max=1", "uploaded").await.problem(409, "stream_open");
}

#[tokio::test]
async fn an_empty_body_gets_a_new_id_in_the_first_header() {
    let server = Setup::new().await.start().await;
    let post = "POST /?freq=1000&max=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut raw = Raw::send(server.address(), post).await;
    raw.closed().await;
    let text = raw.text();
    let head: Vec<&str> = text.lines().collect();
    assert_eq!(head[0], "HTTP/1.1 201 Created");
    let location = head[1].strip_prefix("location: ").expect("the location comes first");
    let answer = server.get(location).await;
    let id = answer.text().lines().next().and_then(|line| line.strip_prefix("0: ")).expect("an id");
    assert_eq!(answer.text(), lines(id, 2));
    assert_eq!(id.len(), 36, "a UUID");
    let other = server.post("/?freq=1000&max=1", "").await;
    assert_ne!(other.header("location"), location);
}

#[tokio::test]
async fn the_location_of_any_id_leads_to_its_stream() {
    let server = Setup::new().await.start().await;
    for id in ["a b", "grüße", "100%", "a+b&c=d#e/f?g", "日本", "..", "'\"<>"] {
        let started = server.post("/?freq=1000&max=2", id).await;
        assert_eq!(started.status, 201, "{id}");
        let read = server.get(started.header("location")).await;
        assert_eq!(read.text(), lines(id, 2));
    }
}

#[tokio::test]
async fn numbers_out_of_range_are_refused_with_the_range() {
    let server = Setup::new().await.start().await;
    for (name, max) in [("freq", "1000"), ("max", "1000000")] {
        for bad in ["0", "-1", "1001001", "1.5", "many", "", "1e3", "99999999999999999999"] {
            let detail =
                server.post(&format!("/?{name}={bad}"), "x").await.problem(400, "bad_parameter");
            assert!(
                detail.contains(name) && detail.contains(&format!("from 1 to {max}")),
                "{detail}"
            );
        }
    }
    server.get("/?id=x").await.problem(404, "stream_not_found");
}

#[tokio::test]
async fn the_ends_of_the_ranges_are_in_them() {
    let server = Setup::new().await.start().await;
    assert_eq!(server.post("/?freq=1&max=1", "least").await.text(), lines("least", 1));
    let most = server.start("/?freq=1000&max=1000000", "most").await;
    assert_eq!(most.status, 201);
}

#[tokio::test]
async fn unknown_and_repeated_parameters_are_refused_by_name() {
    let server = Setup::new().await.start().await;
    for (method, target, name) in [
        (Method::GET, "/?id=a&ofset=1", "ofset"),
        (Method::GET, "/?id=a&id=b", "id"),
        (Method::GET, "/?id=a&freq=1", "freq"),
        (Method::PUT, "/?id=a&freq=1", "freq"),
        (Method::PUT, "/?id=a&close=true&close=false", "close"),
        (Method::POST, "/?id=a", "id"),
        (Method::POST, "/?max=1&max=2", "max"),
        (Method::POST, "/?Freq=1", "Freq"),
    ] {
        let answer = server.send(request(method.clone(), target, &[], "a".into())).await;
        let detail = answer.problem(400, "bad_parameter");
        assert!(detail.contains(&format!("parameter {name}: ")), "{method} {target}: {detail}");
    }
    let detail = server.put("/?id=a&close=no", "").await.problem(400, "bad_parameter");
    assert!(detail.contains("true, false or always"), "{detail}");
    server.get("/?id=a").await.problem(404, "stream_not_found");
}

#[tokio::test]
async fn a_read_needs_the_id_of_a_stream() {
    let server = Setup::new().await.start().await;
    server.get("/").await.problem(400, "missing_id");
    server.get("/?id=").await.problem(400, "bad_id");
    server.get("/?id=nothing").await.problem(404, "stream_not_found");
    server.put("/", "x").await.problem(400, "missing_id");
}

#[tokio::test]
async fn head_tells_what_get_would_without_waiting() {
    let server = Setup::new().await.start().await;
    server.put("/?id=open&close=false", "12345").await;
    let open = server.head("/?id=open").await;
    assert_eq!((open.status.as_u16(), open.body.len()), (200, 0));
    assert_eq!(open.header("stream-next-offset"), "0000000000000001_0000000000000005");
    assert_eq!(open.header("stream-closed"), "");
    server.put("/?id=open", "").await;
    let closed = server.head("/?id=open").await;
    assert_eq!(closed.header("stream-closed"), "true");
    assert_eq!(closed.header("stream-closed-reason"), "finished");
    let read = server.get("/?id=open").await;
    for name in ["content-type", "cache-control", "stream-next-offset", "stream-closed-reason"] {
        assert_eq!(closed.header(name), read.header(name), "{name}");
    }
    let missing = server.head("/?id=missing").await;
    assert_eq!((missing.status.as_u16(), missing.body.len()), (404, 0));
}

#[tokio::test]
async fn nothing_on_the_way_may_hold_pieces_back() {
    let server = Setup::new().await.start().await;
    server.put("/?id=text&close=false", "some text that would compress, compress, compress").await;
    let headers = [("accept-encoding", "gzip, br, deflate, zstd")];
    let reader = server.open(request(Method::GET, "/?id=text", &headers, Bytes::new())).await;
    let header = |name: &str| reader.headers.get(name).map(|value| value.to_str().expect("text"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(header("cache-control"), Some("no-store, no-transform"));
    assert_eq!(header("x-content-type-options"), Some("nosniff"));
    assert_eq!(header("transfer-encoding"), Some("chunked"));
    assert_eq!(header("content-encoding"), None);
    assert_eq!(header("content-length"), None);
}

#[tokio::test]
async fn a_production_is_plain_text() {
    let server = Setup::new().await.start().await;
    let posted = server.post("/?freq=1000&max=1", "text").await;
    assert_eq!(posted.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(server.get("/?id=text").await.header("content-type"), "text/plain; charset=utf-8");
}

async fn a_reader_begins_where_it_asks_to(setup: Setup) {
    let server = setup.start().await;
    server.put("/?id=digits", "0123456789").await;
    let at = async |offset: &str| server.get(&format!("/?id=digits&offset={offset}")).await;
    assert_eq!(at("0").await.text(), "0123456789");
    assert_eq!(at("7").await.text(), "789");
    assert_eq!(at("10").await.text(), "");
    assert_eq!(at("0000000000000001_0000000000000010").await.text(), "");
    let beyond = at("11").await;
    beyond.problem(416, "offset_beyond_end");
    assert_eq!(beyond.header("stream-next-offset"), "0000000000000001_0000000000000010");
    for bad in ["-1", "ten", "1_2", "", "0x1"] {
        at(bad).await.problem(400, "bad_offset");
    }
}

async fn a_reader_at_the_end_of_an_open_stream_gets_only_what_is_new(setup: Setup) {
    let server = setup.start().await;
    server.put("/?id=tail&close=false", "old").await;
    let reader = server.read("/?id=tail&offset=3").await;
    server.put("/?id=tail&offset=3", "new").await;
    assert_eq!(reader.rest().await, ("new".into(), End::Clean));
}

mod at_an_offset {
    use super::*;
    on_both_databases!(
        a_reader_begins_where_it_asks_to,
        a_reader_at_the_end_of_an_open_stream_gets_only_what_is_new,
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_as_a_problem() {
    let server = Setup::new().await.start().await;
    server.get("/elsewhere").await.problem(404, "no_such_route");
    server.get("/index.html?id=a").await.problem(404, "no_such_route");
    for method in [Method::DELETE, Method::PATCH] {
        let answer = server.send(request(method, "/?id=a", &[], Bytes::new())).await;
        answer.problem(405, "method_not_allowed");
        let allowed = answer.header("allow");
        for method in ["GET", "HEAD", "POST", "PUT"] {
            assert!(allowed.contains(method), "Allow: {allowed}");
        }
    }
}

#[tokio::test]
async fn ids_that_make_no_sense_are_refused() {
    let server = Setup::new().await.start().await;
    let long = "x".repeat(513);
    let longest = "x".repeat(512);
    for target in ["/?id=%FF%FE", "/?id=a%C3", "/?id=a%", "/?id=a%2", "/?id=a%zz", "/?id=%+1"] {
        server.get(target).await.problem(400, "bad_parameter");
        server.put(target, "x").await.problem(400, "bad_parameter");
    }
    let refused = [&*format!("/?id={long}"), "/?id=%20a", "/?id=a%0A", "/?id=a%00b", "/?id=a%7Fb"];
    for target in refused {
        server.get(target).await.problem(400, "bad_id");
        server.put(target, "x").await.problem(400, "bad_id");
    }
    for body in [&*long, " a", "a\n", "a\0b", "a\u{7f}"] {
        server.post("/?freq=1000&max=1", body.to_owned()).await.problem(400, "bad_id");
    }
    server.post("/?freq=1000&max=1", vec![0xff, 0xfe]).await.problem(400, "bad_id");
    let answer = server.post("/?freq=1000&max=1", longest.clone()).await;
    assert_eq!(answer.text(), lines(&longest, 1));
    assert_eq!(server.get(&format!("/?id={longest}")).await.text(), lines(&longest, 1));
}

#[tokio::test]
async fn a_body_that_is_too_long_for_an_id_is_refused() {
    let server = Setup::new().await.start().await;
    for len in [4097, 100_000, 1_000_000] {
        server.post("/", vec![b'x'; len]).await.problem(413, "body_too_large");
    }
}

#[tokio::test]
async fn a_healthy_server_says_so() {
    let server = Setup::new().await.start().await;
    assert_eq!(server.get("/healthz").await.text(), "ok\n");
    assert_eq!(server.get("/readyz").await.text(), "ready\n");
}

#[tokio::test]
async fn a_reader_of_an_earlier_life_of_a_name_never_gets_a_mixture() {
    let server = Setup::new().await.start().await;
    let content = common::noise(1, 20 << 20);
    server.put("/?id=twice", content.clone()).await;
    let mut reader = server.read("/?id=twice").await;
    let mut read = reader.at_least(1).await.to_vec();
    assert_eq!(server.post("/?freq=1000&max=5", "twice").await.text(), lines("twice", 5));
    let (rest, end) = reader.rest().await;
    read.extend_from_slice(&rest);
    assert!(content.starts_with(&read), "something else got in");
    assert_eq!(end, if read.len() == content.len() { End::Clean } else { End::BrokenOff });
    assert_eq!(server.get("/?id=twice").await.text(), lines("twice", 5));
}

#[tokio::test]
async fn a_client_of_http_1_0_reads_live_until_the_connection_closes() {
    let server = Setup::new().await.start().await;
    server.put("/?id=old&close=false", "first").await;
    let mut raw = Raw::send(server.address(), "GET /?id=old HTTP/1.0\r\n\r\n").await;
    raw.until("first").await;
    server.put("/?id=old", "second").await;
    raw.closed().await;
    let text = raw.text();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(!head.contains("chunked"), "{head}");
    assert_eq!(body, "firstsecond");
}

#[tokio::test]
async fn an_id_may_be_sent_as_it_is_where_it_is_text() {
    let server = Setup::new().await.start().await;
    server.put("/?id=gr%C3%BC%C3%9Fe+aus", "x").await;
    let mut raw = Raw::send(server.address(), "GET /?id=grüße%20aus HTTP/1.0\r\n\r\n").await;
    raw.closed().await;
    assert!(raw.text().ends_with("\r\n\r\nx"), "{}", raw.text());
}
