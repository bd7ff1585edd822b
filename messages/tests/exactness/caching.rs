//! Tags of content and what caches may do.

use super::common::{Answer, Setup, TestServer};
use http::Method;

async fn get(server: &TestServer, target: &str, tags: &str) -> Answer {
    server.ask(Method::GET, target, &[("if-none-match", tags)], "").await
}

#[tokio::test]
async fn whoever_has_it_is_told_so() {
    let server = Setup::new().await.start().await;
    server.create("s", "text/plain", "one").await;
    let first = server.fetch("s").await;
    let tag = first.header("etag").to_owned();
    let second = server.append("s", "text/plain", "two").await;
    server.ask(Method::DELETE, "s", &[], "").await;
    server.create("s", "text/plain", "one").await;
    assert_ne!(server.fetch("s").await.header("etag"), tag, "another life has other tags");
    let tag = server.fetch("s").await.header("etag").to_owned();
    let tags = [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"other\", {tag}"),
        format!("\"a,b\" ,W/\"x\",  W/{tag} , \"c\""),
        "*".into(),
    ];
    for tags in tags {
        let known = get(&server, "s", &tags).await;
        assert_eq!((known.status.as_u16(), known.text()), (304, ""), "{tags}");
        assert_eq!(known.header("etag"), tag);
        assert_eq!(known.header("stream-next-offset"), first.header("stream-next-offset"));
        assert_eq!(known.header("stream-up-to-date"), "true");
    }
    for tags in ["\"other\"", "", &tag[1..tag.len() - 1], &second] {
        assert_eq!(get(&server, "s", tags).await.status, 200, "{tags}");
    }
    for change in ["grow", "close"] {
        if change == "grow" {
            server.append("s", "text/plain", "!").await;
        } else {
            server.close("s").await;
        }
        let news = get(&server, "s", &tag).await;
        assert_eq!((news.status.as_u16(), news.text()), (200, "one!"), "{change}");
        assert_ne!(news.header("etag"), tag);
    }
    let closed = server.fetch("s").await.header("etag").to_owned();
    let server = server.crash().await;
    assert_eq!(get(&server, "s", &closed).await.status, 304, "it is the same after a crash");
}

#[tokio::test]
async fn the_end_is_never_cached() {
    let server = Setup::new().await.start().await;
    server.create("s", "text/plain", "one").await;
    let content = server.fetch("s").await;
    assert!(content.header("cache-control").contains("max-age="), "{content:?}");
    let end = format!("s?offset={}", content.header("stream-next-offset"));
    for target in [end.as_str(), "s?offset=now", "none", "s?offset=x"] {
        let answer = server.fetch(target).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{target}");
    }
    let expires = [("content-type", "text/plain"), ("stream-expires-at", "2050-01-01T00:00:00Z")];
    server.ask(Method::PUT, "e", &expires, "x").await;
    assert!(server.fetch("e").await.header("cache-control").contains("no-cache"));
}
