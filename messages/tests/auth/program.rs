//! The program around it: how it starts, how it refuses to, and `messages token`.

use crate::{
    As, SECRET,
    common::{Setup, TestServer},
    guarded,
};

#[tokio::test]
async fn an_open_server_stays_on_this_machine() {
    let setup = Setup::new().await;
    for address in ["0.0.0.0:0", "[::]:0"] {
        let exit = setup.clone().listen(address).start_in_vain().await;
        assert!(!exit.status.success());
        for words in ["no keys", "AUTH_SECRET", "AUTH_JWKS", "--listen", "--allow-open"] {
            assert!(exit.output.contains(words), "{} does not say {words}", exit.output);
        }
    }
    // A variable that is set to nothing is not set.
    let empty = setup.clone().env("AUTH_SECRET", "").env("AUTH_JWKS", "");
    let exit = empty.listen("0.0.0.0:0").start_in_vain().await;
    assert!(exit.output.contains("no keys"), "{}", exit.output);
    let server = setup.clone().listen("0.0.0.0:0").with(&["--allow-open"]).start().await;
    assert!(server.output().contains("everybody who reaches this address"));
    server.stop().await;
    let server = setup.clone().listen("0.0.0.0:0").env("ALLOW_OPEN", "true").start().await;
    server.stop().await;
    let no = setup.clone().env("ALLOW_OPEN", "false").listen("0.0.0.0:0");
    assert!(!no.start_in_vain().await.status.success());
    setup.env("AUTH_SECRET", SECRET).listen("0.0.0.0:0").start().await;
}

#[tokio::test]
async fn keys_of_no_use_are_said_before_anything_begins() {
    let setup = Setup::new().await;
    let path = setup.home().join("file");
    std::fs::write(&path, r#"{"keys": []}"#).expect("written");
    let file = path.to_str().expect("text");
    for (name, value, words) in [
        ("AUTH_SECRET", "short", "5 bytes"),
        ("AUTH_SECRET_FILE", "/nowhere/secret", "/nowhere/secret"),
        ("AUTH_SECRET_FILE", file, "12 bytes"),
        ("AUTH_JWKS", "/nowhere/keys", "cannot read the file"),
        ("AUTH_JWKS", file, "no key for"),
        ("AUTH_JWKS", "http://example.org/keys", "not an https URL"),
        ("AUTH_JWKS", "ftp://127.0.0.1/keys", "not an https URL"),
        ("AUTH_JWKS", "http://127.0.0.1:1/keys?key=hidden", "127.0.0.1 cannot be reached"),
    ] {
        let exit = setup.clone().env(name, value).start_in_vain().await;
        assert!(exit.output.contains(words), "{name}={value}: {}", exit.output);
        assert!(!exit.output.contains("hidden") && !exit.output.contains("panicked"));
    }
    let both = setup.env("AUTH_SECRET", SECRET).env("AUTH_SECRET_FILE", file);
    assert!(both.start_in_vain().await.output.contains("not both"));
}

/// The token that the program prints.
fn token(setup: &Setup, args: &[&str]) -> String {
    let output = setup.run(&[&["token"], args].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

async fn with_a_stream(setup: &Setup) -> TestServer {
    let server = setup.start().await;
    let all = token(setup, &["--sub", "me", "--read", "**", "--write", "**", "--manage", "**"]);
    assert_eq!(As::new(&server, &all).put("/?id=docs/a", "content").await.status, 201);
    server
}

#[tokio::test]
async fn what_the_program_prints_the_server_takes() {
    let setup = guarded().await.env("AUTH_AUDIENCE", "here").env("AUTH_ISSUER", "me");
    let server = with_a_stream(&setup).await;
    let reader = token(&setup, &["--sub", "a", "--read", "b", "--read", "docs/*", "--ttl", "5m"]);
    assert_eq!(As::new(&server, &reader).get("/?id=docs/a").await.text(), "content");
    As::new(&server, &reader).put("/?id=docs/a", "x").await.problem(403, "forbidden");
    let url = format!("http://{}/?id=docs%2Fa&offset=3", server.address());
    let signed = token(&setup, &["--url", &url]);
    let target = signed.strip_prefix(&format!("http://{}", server.address())).expect("that URL");
    assert_eq!(server.get(target).await.text(), "tent");
}

#[tokio::test]
async fn the_secret_may_be_in_a_file() {
    let setup = Setup::new().await;
    let path = setup.home().join("secret");
    std::fs::write(&path, format!("{SECRET}\n")).expect("written");
    let setup = setup.env("AUTH_SECRET_FILE", path.to_str().expect("text"));
    with_a_stream(&setup).await;
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused() {
    let setup = guarded().await;
    for (args, words) in [
        (&["--sub", ""][..], "sub"),
        (&[][..], "--sub"),
        (&["--sub", "a", "--read", "a*"][..], "a*"),
        (&["--sub", "a", "--ttl", "5"][..], "15m"),
        (&["--url", "http://host/"][..], "url"),
        (&["--url", "/?id=a", "--write", "a"][..], "--write"),
    ] {
        let output = setup.run(&[&["token"], args].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty(), "{args:?}");
        assert!(text.contains(words) && !text.contains(SECRET), "{text}");
    }
    let open = Setup::new().await.run(&["token", "--sub", "a"]);
    assert!(String::from_utf8_lossy(&open.stderr).contains("AUTH_SECRET"));
}
