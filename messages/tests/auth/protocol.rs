//! Access at `/v1/stream`.

use crate::{
    As, SECRET,
    common::{End, TestServer, request},
    guarded,
    jwt::{Key, claims, everything, granting, now},
};
use bytes::Bytes;
use http::Method;

async fn send(
    server: &TestServer,
    token: &str,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> crate::common::Answer {
    let bearer = format!("Bearer {token}");
    let mut all = vec![("authorization", &*bearer), ("content-type", "text/plain")];
    all.extend_from_slice(headers);
    server.send(request(method, target, &all, Bytes::from_static(body.as_bytes()))).await
}

#[tokio::test]
async fn each_method_needs_its_grant() {
    let server = guarded().await.start().await;
    let all = everything();
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE] {
        let answer = server.send(request(method, "/v1/stream/a", &[], Bytes::new())).await;
        assert_eq!(answer.status, 401);
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    let tokens = [
        granting(&["docs/*"], &[], &[]),
        granting(&[], &["docs/*"], &[]),
        granting(&[], &[], &["docs/*"]),
        granting(&["other"], &["other"], &["other"]),
    ];
    // What comes where it is allowed, and for whom: read, write, manage.
    for (method, want, allowed) in [
        (Method::GET, 200, [true, false, false]),
        (Method::HEAD, 200, [true, false, false]),
        (Method::PUT, 200, [false, true, true]),
        (Method::POST, 204, [false, true, false]),
        (Method::DELETE, 204, [false, false, true]),
    ] {
        send(&server, &all, Method::PUT, "/v1/stream/docs/a", &[], "").await;
        let allowed = allowed.into_iter().chain([false]);
        for (token, allowed) in tokens.iter().zip(allowed) {
            let body = if method == Method::POST { "x" } else { "" };
            let target = "/v1/stream/docs/a";
            let answer = send(&server, token, method.clone(), target, &[], body).await;
            assert_eq!(answer.status, if allowed { want } else { 403 }, "{method} {answer:?}");
        }
    }
    for (at, token) in tokens[1..3].iter().enumerate() {
        let target = format!("/v1/stream/docs/new-{at}");
        let created = send(&server, token, Method::PUT, &target, &[], "").await;
        assert_eq!(created.status, 201, "who writes or manages may create");
        let filled = send(&server, token, Method::PUT, &format!("{target}b"), &[], "x").await;
        assert_eq!(filled.status, [201, 403][at], "only who writes may say what is in it");
    }
}

#[tokio::test]
async fn a_fork_shows_what_its_source_holds() {
    let server = guarded().await.start().await;
    let all = everything();
    send(&server, &all, Method::PUT, "/v1/stream/source", &[], "content").await;
    let fork = async |token: &str, name: &str| {
        let from = [("stream-forked-from", "/v1/stream/source")];
        send(&server, token, Method::PUT, &format!("/v1/stream/{name}"), &from, "").await
    };
    fork(&granting(&[], &["fork"], &["fork"]), "fork").await.problem(403, "forbidden");
    fork(&granting(&["source"], &["fork"], &[]), "fork").await.problem(403, "forbidden");
    let answer = send(&server, &all, Method::GET, "/v1/stream/fork", &[], "").await;
    answer.problem(404, "stream_not_found");
    let forked = fork(&granting(&["source"], &[], &["fork"]), "fork").await;
    assert_eq!(forked.status, 201, "{forked:?}");
    let answer = send(&server, &all, Method::GET, "/v1/stream/fork", &[], "").await;
    assert_eq!(answer.text(), "content");
}

#[tokio::test]
async fn live_reads_end_with_their_token() {
    let server = guarded().await.start().await;
    let all = everything();
    send(&server, &all, Method::PUT, "/v1/stream/s", &[], "first").await;
    let mut claims = claims("alice");
    // With the leeway it is good for one or two seconds more.
    claims["exp"] = (now() - 28).into();
    let short = Key::shared(SECRET.as_bytes()).token(&claims);
    let bearer = format!("Bearer {short}");
    let headers = [("authorization", &*bearer)];
    let sse = request(Method::GET, "/v1/stream/s?offset=-1&live=sse", &headers, Bytes::new());
    let mut events = server.open(sse).await;
    assert_eq!(events.status, 200);
    let begin = events.at_least(1).await;
    assert!(String::from_utf8_lossy(&begin).contains("first"));
    let poll = "/v1/stream/s?offset=now&live=long-poll";
    let poll = send(&server, &short, Method::GET, poll, &[], "");
    let (poll, (_, end)) = tokio::join!(poll, events.rest());
    poll.problem(401, "token_expired");
    assert_eq!(end, End::Clean, "a reader of events comes back, and is told then");
    let again = send(&server, &short, Method::GET, "/v1/stream/s?offset=-1&live=sse", &[], "");
    again.await.problem(401, "token_expired");
}

#[tokio::test]
async fn caches_are_told_what_is_private() {
    let target = "/v1/stream/s";
    let open = crate::common::Setup::new().await.start().await;
    send(&open, "", Method::PUT, target, &[], "content").await;
    assert!(open.get(target).await.header("cache-control").starts_with("public"));
    let server = guarded().await.start().await;
    let all = everything();
    send(&server, &all, Method::PUT, target, &[], "content").await;
    let answer = send(&server, &all, Method::GET, target, &[], "").await;
    assert!(answer.header("cache-control").starts_with("private"), "{answer:?}");
    let vary = answer.headers.get_all("vary").iter();
    let mut names = vary.flat_map(|value| value.to_str().expect("text").split(','));
    assert!(names.any(|name| name.trim().eq_ignore_ascii_case("authorization")), "{answer:?}");
    let known = [("if-none-match", answer.header("etag"))];
    let none = granting(&[], &[], &[]);
    let refused = send(&server, &none, Method::GET, target, &known, "").await;
    refused.problem(403, "forbidden");
}

#[tokio::test]
async fn browsers_follow_with_tickets_and_links() {
    let server = guarded().await.start().await;
    let all = everything();
    let alice = As::new(&server, &all);
    send(&server, &all, Method::PUT, "/v1/stream/docs/a", &[("stream-closed", "true")], "x").await;
    let ticket = alice.post("/v1/auth/ticket", "").await.json();
    let ticket = ticket["ticket"].as_str().expect("a ticket").to_owned();
    let target = format!("/v1/stream/docs/a?offset=-1&live=sse&ticket={ticket}");
    assert!(server.get(&target).await.text().contains("data:x"));
    server.get(&target).await.problem(401, "invalid_ticket");
    let body = r#"{"url": "/v1/stream/docs/a?offset=-1"}"#;
    let url = alice.post("/v1/auth/sign", body).await.json();
    let url = url["url"].as_str().expect("a URL");
    assert_eq!(server.get(url).await.text(), "x");
    server.get(&url.replace("docs/a", "docs/b")).await.problem(403, "forbidden");
    let delete = request(Method::DELETE, url, &[], Bytes::new());
    server.send(delete).await.problem(403, "forbidden");
    server.get(&format!("/v1/stream/docs/a?token={all}")).await.problem(400, "token_in_url");
}

#[tokio::test]
async fn creations_are_counted_here_too() {
    let server = guarded().await.with(&["--creations-per-min-max", "1"]).start().await;
    let all = everything();
    let put = async |name: &str| {
        send(&server, &all, Method::PUT, &format!("/v1/stream/{name}"), &[], "").await
    };
    assert_eq!(put("a").await.status, 201);
    assert_eq!(put("a").await.status, 200, "that was none");
    put("b").await.problem(429, "too_many_creations");
}

#[tokio::test]
async fn a_writer_is_asked_again_when_its_body_is_here() {
    let server = guarded().await.start().await;
    let all = everything();
    send(&server, &all, Method::PUT, "/v1/stream/s", &[], "first").await;
    let mut claims = claims("alice");
    claims["exp"] = (now() - 28).into();
    let short = Key::shared(SECRET.as_bytes()).token(&claims);
    let head = format!(
        "POST /v1/stream/s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
         Authorization: Bearer {short}\r\nContent-Length: 6\r\n\r\nsec"
    );
    let mut raw = crate::common::raw::Raw::send(server.address(), &head).await;
    crate::common::eventually("the token expires", async || {
        let answer = As::new(&server, &short).send(Method::HEAD, "/?id=s", "").await;
        (answer.status == 401).then_some(())
    })
    .await;
    raw.write(b"ond").await;
    raw.until("token_expired").await;
    let answer = send(&server, &all, Method::GET, "/v1/stream/s", &[], "").await;
    assert_eq!(answer.text(), "first");
}
