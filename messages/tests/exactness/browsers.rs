//! What web pages depend on, or must be protected from.

use super::common::{Setup, request};
use http::Method;

#[tokio::test]
async fn an_event_source_goes_on_where_it_was_and_stops_at_the_end() {
    let server = Setup::new().await.start().await;
    server.create("s", "text/plain", "").await;
    let mut first = server.events("s", "-1").await;
    let begun = first.next().await.expect("a control event");
    assert_eq!(begun.id, Some(begun.offset()), "a position has an id also without content");
    server.append("s", "text/plain", "one").await;
    let data = first.next().await.expect("data");
    let id = data.id.expect("every position has an id");
    let control = first.next().await.expect("a control event");
    assert_eq!(control.offset(), id);
    server.append("s", "text/plain", " two").await;
    // It comes back to the same URL, and the header outweighs the offset in it.
    let mut again = server.events_with("s", "-1", &[("last-event-id", &id)]).await;
    again.expect(" two").await;
    let strange = server.events_with("s", "-1", &[("last-event-id", "of another server")]).await;
    let mut strange = strange;
    strange.expect("one two").await;
    server.close("s").await;
    let (rest, last) = again.rest().await;
    assert_eq!((rest.as_str(), &last.control()["streamClosed"]), ("", &true.into()));
    let end = last.offset();
    let headers = [("last-event-id", end.as_str())];
    let stop = server.ask(Method::GET, "s?offset=-1&live=sse", &headers, "").await;
    assert_eq!(stop.status, 204, "this tells a browser not to come back");
    let mut behind = server.events_with("s", "-1", &[("last-event-id", &id)]).await;
    behind.expect(" two").await;
}

#[tokio::test]
async fn pages_of_other_origins_may_see_what_they_need() {
    let server = Setup::new().await.with(&["--cors-origins", "*"]).start().await;
    server.create("s", "text/plain", "x").await;
    let preflight = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "producer-id, if-none-match, authorization"),
    ];
    let answer = server.ask(Method::OPTIONS, "anything", &preflight, "").await;
    assert!(answer.status.is_success(), "{answer:?}");
    let allowed = answer.header("access-control-allow-headers").to_owned();
    for name in ["producer-id", "if-none-match", "authorization"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    let methods = answer.header("access-control-allow-methods").to_owned();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
        assert!(methods.contains(method), "{methods}");
    }
    assert!(!answer.header("access-control-max-age").is_empty());
    let origin = [("origin", "https://app.example"), ("content-type", "text/plain")];
    for (method, target) in
        [(Method::GET, "s"), (Method::POST, "s"), (Method::GET, "none"), (Method::HEAD, "s")]
    {
        let answer = server.ask(method.clone(), target, &origin, "").await;
        let allowed = answer.header("access-control-allow-origin");
        assert!(!allowed.is_empty(), "{method} {target}: {answer:?}");
        let exposed = answer.header("access-control-expose-headers").to_owned();
        for name in [
            "stream-next-offset",
            "stream-closed",
            "stream-cursor",
            "etag",
            "producer-expected-seq",
            "x-request-id",
        ] {
            assert!(exposed.contains(name), "{method} {target} {name}: {exposed}");
        }
    }
}

#[tokio::test]
async fn no_content_is_taken_for_a_program() {
    let server = Setup::new().await.with(&["--cors-origins", "*"]).start().await;
    server.create("s", "text/plain", "x").await;
    for (method, target) in [
        (Method::GET, "s"),
        (Method::GET, "none"),
        (Method::GET, "s?offset=x"),
        (Method::HEAD, "s"),
        (Method::POST, "none"),
        (Method::DELETE, "none"),
        (Method::PATCH, "s"),
    ] {
        let answer = server.ask(method.clone(), target, &[], "").await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{method} {target}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "cross-origin", "{target}");
    }
    let events = server.events("s", "-1").await;
    assert_eq!(events.reader.headers["x-content-type-options"], "nosniff");
    assert_eq!(events.reader.headers["cross-origin-resource-policy"], "cross-origin");
    for content_type in ["text/html", "TEXT/HTML; charset=utf-8", "image/svg+xml", "text/xml"] {
        let name = content_type.replace(['/', ';', ' '], "-");
        server.create(&name, content_type, "<script>alert(1)</script>").await;
        for target in [name.clone(), format!("{name}?offset=now")] {
            let answer = server.fetch(&target).await;
            assert_eq!(answer.header("content-type"), content_type);
            let policy = answer.header("content-security-policy");
            assert!(policy.contains("sandbox"), "{answer:?}");
        }
    }
    // The interface at `/` hands out the same streams, and may create them.
    let mut html = server.produce_with("/?id=page", &[("content-type", "text/html")]);
    html.send("<script>alert(1)</script>").await;
    html.finish().await;
    let html = server.get("/?id=page").await;
    assert_eq!(html.header("content-type"), "text/html");
    assert_eq!(html.header("content-security-policy"), "sandbox");
}

/// Without keys a page that somebody looks at on this machine must not have the whole server.
#[tokio::test]
async fn an_open_server_is_not_for_pages_of_others() {
    let server = Setup::new().await.start().await;
    server.create("s", "text/plain", "secret").await;
    for (method, target) in [(Method::GET, "s"), (Method::POST, "s"), (Method::DELETE, "s")] {
        let foreign = [("origin", "https://app.example"), ("content-type", "text/plain")];
        let refused = server.ask(method.clone(), target, &foreign, "x").await;
        refused.problem(403, "foreign_origin");
        let rebound = [("host", "app.example:3000"), ("content-type", "text/plain")];
        let request = request(method, "/v1/stream/s", &rebound, "x".into());
        let (mut parts, body) = request.into_parts();
        let last = parts.headers.get_all("host").iter().next_back().cloned().expect("a host");
        parts.headers.insert("host", last);
        let refused = server.send(http::Request::from_parts(parts, body)).await;
        refused.problem(421, "foreign_host");
    }
    let local = [("origin", "http://localhost:5173")];
    let read = server.ask(Method::GET, "s", &local, "").await;
    assert_eq!(read.text(), "secret");
    assert_eq!(read.header("access-control-allow-origin"), "http://localhost:5173");
    assert_eq!(read.header("cross-origin-resource-policy"), "same-origin");
}
