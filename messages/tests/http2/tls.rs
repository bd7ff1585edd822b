//! Connections that are secret.

use crate::{
    client::{Client, certificate, message, pem, rest, take, tls},
    common::{Setup, TestServer, eventually, raw::Raw},
};
use futures::SinkExt;
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{client_async, tungstenite::Message};

async fn with(certificate: &Path, key: &Path) -> Setup {
    let path = |path: &Path| path.to_str().expect("text").to_owned();
    Setup::new().await.with(&["--tls-cert", &path(certificate), "--tls-key", &path(key)])
}

async fn secret() -> Setup {
    with(&pem("certificate.pem"), &pem("key.pem")).await
}

/// What curl gets, with the version it was spoken in.
fn curl(args: &[&str], url: &str) -> (String, bool) {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-w", "[%{http_version} %{http_code}]", "--cacert"]);
    curl.arg(pem("certificate.pem")).args(args).arg(url).stderr(Stdio::inherit());
    let output = curl.output().expect("curl");
    (String::from_utf8(output.stdout).expect("text"), output.status.success())
}

#[tokio::test]
async fn curl_speaks_either_version() {
    let server = secret().await.start().await;
    let base = format!("https://localhost:{}", server.address().port());
    let url = format!("{base}/?id=a");
    let (answer, good) = curl(&["--http2", "-X", "PUT", "-d", "hello"], &url);
    assert!(good && answer.ends_with("[2 201]"), "{answer}");
    for (version, end) in [("--http2", "hello[2 200]"), ("--http1.1", "hello[1.1 200]")] {
        assert_eq!(curl(&[version], &url), (end.into(), true));
    }
    let (head, _) = curl(&["-X", "PUT", "-D", "-"], &format!("{base}/v1/stream/x"));
    assert!(head.contains(&format!("location: {base}/v1/stream/x")), "{head}");
    assert!(!head.contains("strict-transport-security"), "{head}");
}

#[tokio::test]
async fn pages_of_its_own_have_come_over_tls() {
    let server = secret().await.with(&["--cors-origins", "none"]).start().await;
    let authority = format!("localhost:{}", server.address().port());
    let url = format!("https://{authority}/healthz");
    for (scheme, end) in [("https", "200]"), ("http", "403]")] {
        let origin = format!("Origin: {scheme}://{authority}");
        let (answer, _) = curl(&["-H", &origin], &url);
        assert!(answer.ends_with(end), "{answer}");
    }
}

#[tokio::test]
async fn who_speaks_http_to_it_is_told() {
    let server = secret().await.with(&["--head-wait-secs", "1"]).start().await;
    let address = server.address();
    let (answer, _) = curl(&[], &format!("http://{address}/"));
    assert!(answer.contains("\"https_only\"") && answer.ends_with("[1.1 400]"), "{answer}");
    // Also while it sends a body.
    let args = ["-T", env!("CARGO_BIN_EXE_messages")];
    let (answer, _) = curl(&args, &format!("http://{address}/?id=a"));
    assert!(answer.contains("\"https_only\""), "{answer}");
    for begun in [&b""[..], b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0\r\n"]
    {
        let mut raw = Raw::send(address, "").await;
        raw.write(begun).await;
        raw.closed().await;
    }
    let mut client = Client::secret(address).await;
    assert_eq!(client.get("/healthz").await.text(), "ok\n");
}

/// The certificate that a new connection is shown.
async fn shown(server: &TestServer) -> Vec<u8> {
    let stream = tls(server.address(), &[]).await;
    let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
    chain[0].to_vec()
}

/// As Kubernetes does it: a link leads to a directory with both files, and is replaced by another.
#[tokio::test]
async fn certificates_are_renewed_under_live_connections() {
    let home = tempfile::tempdir().expect("a directory");
    for (dir, prefix) in [("old", ""), ("new", "other-")] {
        fs::create_dir(home.path().join(dir)).expect("a directory");
        for name in ["certificate.pem", "key.pem"] {
            let from = pem(&format!("{prefix}{name}"));
            fs::copy(from, home.path().join(dir).join(name)).expect("copied");
        }
    }
    let lead = |to: &str| {
        let [link, current] = ["link", "current"].map(|name| home.path().join(name));
        symlink(to, &link).expect("a link");
        fs::rename(link, current).expect("renamed");
    };
    lead("old");
    let current = home.path().join("current");
    let server = with(&current.join("certificate.pem"), &current.join("key.pem")).await;
    let server = server.start().await;
    let mut client = Client::secret(server.address()).await;
    assert_eq!(client.append("/?id=live&close=false", "first").await.status, 201);
    let mut reader = client.open("/?id=live").await;
    assert_eq!(take(&mut reader, 5).await, "first");

    let (old, new) = (certificate("certificate.pem"), certificate("other-certificate.pem"));
    assert_eq!(shown(&server).await, &*old);
    lead("new");
    eventually("the new one is shown", async || (shown(&server).await == *new).then_some(())).await;
    // A key that does not fit is no news.
    fs::write(home.path().join("new/key.pem"), fs::read(pem("key.pem")).expect("a key"))
        .expect("written");
    server.says("the new certificate and key cannot be used").await;
    assert_eq!(shown(&server).await, &*new);
    lead("old");
    eventually("the old one is shown", async || (shown(&server).await == *old).then_some(())).await;
    assert_eq!(client.append("/?id=live", "second").await.status, 200);
    assert_eq!(rest(reader).await, ("second".into(), true));
    server.stop().await;
}

#[tokio::test]
async fn files_that_are_no_pair_keep_it_from_starting() {
    let (certificate, key) = (pem("certificate.pem"), pem("key.pem"));
    for (setup, why) in [
        (
            Setup::new().await.env("TLS_CERT", "x").env("TLS_KEY", ""),
            "give both --tls-cert and --tls-key",
        ),
        (Setup::new().await.env("TLS_KEY", "x"), "give both --tls-cert and --tls-key"),
        (with(&certificate, Path::new("nowhere.pem")).await, "cannot read nowhere.pem"),
        (with(&key, &key).await, "--tls-cert holds no certificate"),
        (with(&certificate, &certificate).await, "--tls-key holds no private key"),
        (with(&certificate, &pem("other-key.pem")).await, "cannot be used"),
    ] {
        let exit = setup.start_in_vain().await;
        assert!(!exit.status.success() && exit.output.contains(why), "{why}: {}", exit.output);
    }
    let server = Setup::new().await.env("TLS_KEY", "").env("TLS_CERT", "").start().await;
    assert_eq!(server.get("/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn a_websocket_over_tls() {
    let server = secret().await.start().await;
    let stream = tls(server.address(), &["http/1.1"]).await;
    let (mut socket, _) = client_async("wss://localhost/ws", stream).await.expect("a socket");
    let hello = message(&mut socket).await;
    assert!(hello.into_text().expect("text").contains("\"hello\""));
    socket.send(Message::text(r#"{"type":"ping"}"#)).await.expect("sent");
    let pong = message(&mut socket).await;
    assert_eq!(pong.into_text().expect("text"), r#"{"type":"pong"}"#);
    server.terminate();
    let bye = message(&mut socket).await;
    assert!(matches!(&bye, Message::Close(Some(frame)) if frame.code == 1012.into()), "{bye:?}");
}

#[tokio::test]
async fn very_many_who_begin_and_say_no_more_hold_nobody_up() {
    let server = secret().await.start().await;
    let mut silent = Vec::new();
    for _ in 0..500 {
        let mut stream = TcpStream::connect(server.address()).await.expect("a connection");
        stream.write_all(b"\x16\x03\x01\x02\x00").await.expect("sent");
        silent.push(stream);
    }
    let mut client = Client::secret(server.address()).await;
    assert_eq!(client.get("/healthz").await.text(), "ok\n");
    server.stop().await;
}

#[tokio::test]
async fn a_server_can_be_asked_whether_it_is_well() {
    let plain = Setup::new().await.start().await;
    let secret = secret().await.start().await;
    let health = |args: &[&str]| {
        let output = plain.setup().run(&[&["health"], args].concat());
        (output.status.success(), String::from_utf8(output.stderr).expect("text"))
    };
    let listen = |server: &TestServer| format!("--listen=0.0.0.0:{}", server.address().port());
    let tls = ["--tls-cert=x", "--tls-key=y"];
    assert_eq!(health(&[&listen(&plain)]), (true, String::new()));
    assert_eq!(health(&[&listen(&secret), tls[0], tls[1]]), (true, String::new()));
    let url = format!("--url=https://{}/healthz", secret.address());
    assert_eq!(health(&[&url]), (true, String::new()));
    for (args, why) in [
        (vec![&*listen(&secret)], "400 Bad Request"),
        (vec![&*listen(&plain), tls[0], tls[1]], "there is no TLS"),
        (vec![&*format!("--url=http://{}/nowhere", plain.address())], "404 Not Found"),
        (vec!["--listen=127.0.0.1:1"], "nobody answers"),
    ] {
        let (well, error) = health(&args);
        assert!(!well && error.contains(why), "{why}: {error}");
    }
}
