//! Nothing secret is written down anywhere.

use crate::{
    As, SECRET,
    common::{Setup, request},
    guarded,
    jwt::everything,
};
use bytes::Bytes;
use http::Method;
use serde_json::json;

#[tokio::test]
async fn logs_hold_no_secrets_whatever_is_logged() {
    let setup = guarded().await.with(&["--log", "trace"]);
    let server = setup.start().await;
    let token = everything();
    let alice = As::new(&server, &token);
    alice.put("/?id=a", "content").await;
    let ticket = alice.post("/v1/auth/ticket", "").await.json();
    let ticket = ticket["ticket"].as_str().expect("a ticket").to_owned();
    server.get(&format!("/?id=a&ticket={ticket}")).await;
    server.get(&format!("/?id=a&ticket={ticket}")).await;
    let body = json!({"url": "/?id=a"}).to_string();
    let url = alice.post("/v1/auth/sign", body).await.json();
    let url = url["url"].as_str().expect("a URL").to_owned();
    assert_eq!(server.get(&url).await.text(), "content");
    server.get(&format!("/?id=a&token={token}")).await;
    let broken = format!("Bearer {token}x");
    let headers = [("authorization", &*broken)];
    server.send(request(Method::GET, "/?id=a", &headers, Bytes::new())).await;
    let signature = token.rsplit('.').next().expect("three parts").to_owned();
    let signed = url.rsplit('.').next().expect("two parts").to_owned();
    let mut server = server;
    server.terminate();
    let output = server.exit().await.output;
    assert!(output.contains("TRACE") || output.contains("DEBUG"), "it logs everything: {output}");
    for secret in [SECRET, &token, &signature, &ticket, &signed] {
        assert!(!output.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn help_and_refusals_do_not_repeat_the_secret() {
    let setup = guarded().await;
    for args in [&["--help"][..], &["token", "--help"], &["serve", "--help"], &["--nonsense"]] {
        let output = setup.run(args);
        let text = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&text).contains(SECRET), "{args:?}");
    }
    let short = Setup::new().await.env("AUTH_SECRET", "a short one");
    assert!(!short.start_in_vain().await.output.contains("a short one"));
}
