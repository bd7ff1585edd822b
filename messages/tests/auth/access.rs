//! Tokens, and what they grant.

use crate::common::{Setup, lines, request};
use crate::{
    As, SECRET, guarded,
    jwt::{Key, claims, everything, granting, now},
};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn without_a_token_nothing_is_shown_and_health_is() {
    let server = guarded().await.start().await;
    for answer in [
        server.get("/?id=a").await,
        server.head("/?id=a").await,
        server.put("/?id=a", "x").await,
        server.post("/", "a").await,
        server.post("/v1/auth/ticket", "").await,
        server.post("/v1/auth/sign", r#"{"url": "/?id=a"}"#).await,
    ] {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="messages""#);
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let detail = server.get("/?id=a").await.problem(401, "missing_token");
    assert!(detail.contains("Authorization: Bearer"), "{detail}");
    assert_eq!(server.get("/healthz").await.text(), "ok\n");
    assert_eq!(server.get("/readyz").await.text(), "ready\n");
    assert_eq!(As::new(&server, &everything()).get("/?id=a").await.status, 404, "never written");
}

#[tokio::test]
async fn a_token_is_needed_that_is_right_in_every_part() {
    let setup = guarded().await.env("AUTH_AUDIENCE", "here").env("AUTH_ISSUER", "issuer");
    let server = setup.start().await;
    let key = Key::shared(SECRET.as_bytes());
    let with = |member: &str, value: Value| {
        let mut claims = claims("alice");
        claims["aud"] = "here".into();
        claims["iss"] = "issuer".into();
        claims[member] = value;
        key.token(&claims)
    };
    let read = async |token: &str| As::new(&server, token).get("/?id=a").await;
    let good = with("extra", "is for somebody else".into());
    read(&good).await.problem(404, "stream_not_found");
    read(&with("aud", json!(["there", "here"]))).await.problem(404, "stream_not_found");
    read(&with("nbf", (now() + 20).into())).await.problem(404, "stream_not_found");
    read(&with("exp", (now() - 20).into())).await.problem(404, "stream_not_found");
    read(&with("exp", (now() - 31).into())).await.problem(401, "token_expired");
    let changed = |at: usize| {
        let mut token = good.clone().into_bytes();
        token[at] = if token[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(token).expect("text")
    };
    let payload = good.find('.').expect("three parts") + 5;
    for (bad, word) in [
        (with("aud", "there".into()), "aud"),
        (with("aud", Value::Null), "aud"),
        (with("iss", "other".into()), "iss"),
        (with("nbf", (now() + 300).into()), "nbf"),
        (with("exp", Value::Null), "exp"),
        (with("exp", "soon".into()), "claims"),
        (with("sub", Value::Null), "sub"),
        (with("sub", "".into()), "sub"),
        (with("sub", 5.into()), "claims"),
        (with("streams", json!({"raed": ["a"]})), "raed"),
        (with("streams", json!({"read": ["a*"]})), "a*"),
        (with("streams", json!(["a"])), "claims"),
        (with("x", "y".repeat(9000).into()), "8192"),
        (changed(payload), "signature"),
        (changed(good.len() - 10), "signature"),
        ("a.b.c".into(), "JSON Web Token"),
        ("".into(), "JSON Web Token"),
    ] {
        let answer = read(&bad).await;
        let detail = answer.problem(401, "invalid_token");
        assert!(detail.contains(word), "{detail} does not say {word}");
        assert!(bad.is_empty() || !detail.contains(&bad), "a token is not repeated");
        assert!(answer.header("www-authenticate").contains(r#"error="invalid_token""#));
    }
    let basic = [("authorization", "Basic YTpi")];
    let answer = server.send(request(Method::GET, "/?id=a", &basic, Bytes::new())).await;
    answer.problem(401, "invalid_token");
}

#[tokio::test]
async fn the_key_says_the_algorithm_and_not_the_token() {
    let public = [Key::rsa().named("r"), Key::ec().named("e"), Key::ed().named("d")];
    let setup = guarded().await;
    let path = setup.home().join("keys.json");
    let set = crate::jwt::set(&[&public[0], &public[1], &public[2]]);
    std::fs::write(&path, set).expect("written");
    let server = setup.env("AUTH_JWKS", path.to_str().expect("text")).start().await;
    let read = async |token: &str| As::new(&server, token).get("/?id=a").await;
    let claims = claims("alice");
    for key in &public {
        read(&key.token(&claims)).await.problem(404, "stream_not_found");
    }
    read(&everything()).await.problem(404, "stream_not_found");
    let mut lies = vec![
        Key::shared(SECRET.as_bytes()).token_with(&json!({"alg": "HS512"}), &claims),
        Key::shared(SECRET.as_bytes()).token_with(&json!({"alg": "HS384"}), &claims),
        Key::shared(b"").token_with(&json!({"alg": "none"}), &claims),
        Key::shared(b"").token_with(&json!({"alg": "HS256"}), &claims),
        Key::shared(SECRET.as_bytes())
            .token_with(&json!({"alg": "HS256", "crit": ["exp"]}), &claims),
    ];
    let unsigned = Key::shared(b"").token_with(&json!({"alg": "none"}), &claims);
    lies.push(unsigned[..=unsigned.rfind('.').expect("three parts")].to_owned());
    for (at, key) in public.iter().enumerate() {
        // A public key is no secret to sign with.
        let forger = Key::shared(&key.public_bytes());
        let id = ["r", "e", "d"][at];
        lies.push(forger.token_with(&json!({"alg": "HS256", "kid": id}), &claims));
        lies.push(forger.token_with(&json!({"alg": key.alg(), "kid": id}), &claims));
        // Nor is one key another.
        let other = ["e", "d", "r"][at];
        lies.push(key.token_with(&json!({"alg": key.alg(), "kid": other}), &claims));
        lies.push(key.token_with(&json!({"alg": "HS256", "kid": id}), &claims));
        lies.push(key.token_with(&json!({"alg": "PS256", "kid": id}), &claims));
    }
    for lie in lies {
        read(&lie).await.problem(401, "invalid_token");
    }
}

#[tokio::test]
async fn grants_are_for_streams_and_one_does_not_imply_another() {
    let server = guarded().await.start().await;
    let all = everything();
    As::new(&server, &all).put("/?id=docs/a", "content").await;
    let reader = granting(&["docs/*"], &[], &[]);
    let writer = granting(&[], &["docs/**"], &[]);
    let manager = granting(&[], &[], &["docs/**"]);
    let (reader, writer, manager) =
        (As::new(&server, &reader), As::new(&server, &writer), As::new(&server, &manager));
    assert_eq!(reader.get("/?id=docs/a").await.text(), "content");
    let refused = reader.get("/?id=docs/a/b").await;
    let detail = refused.problem(403, "forbidden");
    assert!(detail.contains("read access") && detail.contains("docs/a/b"), "{detail}");
    assert!(refused.header("www-authenticate").contains("insufficient_scope"));
    reader.get("/?id=nowhere").await.problem(403, "forbidden");
    for other in [&writer, &manager] {
        other.get("/?id=docs/a").await.problem(403, "forbidden");
        let head = other.send(Method::HEAD, "/?id=docs/a", "").await;
        assert_eq!((head.status.as_u16(), &*head.body), (403, &b""[..]));
    }
    // To write is to create, append and close.
    assert_eq!(writer.put("/?id=docs/b/c&close=false", "1").await.status, 201);
    assert_eq!(writer.put("/?id=docs/b/c", "2").await.status, 200);
    for other in [&reader, &manager] {
        other.put("/?id=docs/b/d", "x").await.problem(403, "forbidden");
    }
    writer.put("/?id=other", "x").await.problem(403, "forbidden");
    As::new(&server, &all).get("/?id=other").await.problem(404, "stream_not_found");
}

#[tokio::test]
async fn to_begin_a_name_anew_is_to_manage_it() {
    let server = guarded().await.start().await;
    let start = async |token: &str| As::new(&server, token).post("/?freq=1000&max=3", "p").await;
    start(&granting(&["p"], &[], &["p"])).await.problem(403, "forbidden");
    start(&granting(&[], &["p"], &["p"])).await.problem(403, "forbidden");
    let plain = granting(&["p"], &["p"], &[]);
    assert_eq!(start(&plain).await.text(), lines("p", 3));
    start(&plain).await.problem(409, "stream_closed");
    assert_eq!(start(&everything()).await.text(), lines("p", 3));
    let token = granting(&["q"], &["q"], &[]);
    let alice = As::new(&server, &token);
    assert_eq!(alice.put("/?id=q&close=false", "x").await.status, 201);
    alice.post("/", "q").await.problem(409, "stream_open");
}

#[tokio::test]
async fn a_token_without_grants_is_somebody_and_may_touch_no_stream() {
    let server = guarded().await.start().await;
    let mut claims = claims("alice");
    claims.as_object_mut().expect("an object").remove("streams");
    let token = Key::shared(SECRET.as_bytes()).token(&claims);
    let alice = As::new(&server, &token);
    alice.get("/?id=a").await.problem(403, "forbidden");
    alice.put("/?id=a", "x").await.problem(403, "forbidden");
    assert_eq!(alice.post("/v1/auth/ticket", "").await.status, 200);
}

#[tokio::test]
async fn without_keys_everybody_may_do_everything_here() {
    let server = Setup::new().await.start().await;
    assert_eq!(server.put("/?id=a", "x").await.status, 201);
    let nonsense = As::new(&server, "not looked at");
    assert_eq!(nonsense.get("/?id=a").await.text(), "x");
    let ticket = server.post("/v1/auth/ticket", "").await.json();
    let ticket = ticket["ticket"].as_str().expect("a ticket").to_owned();
    assert_eq!(server.get(&format!("/?id=a&ticket={ticket}")).await.text(), "x");
    server.get("/?id=a&token=x").await.problem(400, "bad_parameter");
}
