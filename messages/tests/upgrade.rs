//! Data that earlier versions have left: everything is there, and goes on. `scripts/make-fixture` writes
//! what the next version will have to open.

mod common;

use bytes::Bytes;
use common::{Answer, Setup, TestServer, request};
use http::Method;
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// That of the fixtures.
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn fixtures(prefix: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = std::fs::read_dir(dir).expect("fixtures").map(|entry| entry.expect("one").path());
    let named = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    let mut found: Vec<_> = files.filter(named).collect();
    found.sort();
    assert!(!found.is_empty(), "no fixture begins with {prefix}");
    found
}

#[tokio::test]
async fn a_data_directory_of_an_earlier_version_opens_with_all_that_is_in_its_journal() {
    for fixture in fixtures("data-") {
        let setup = Setup::new().await.env("AUTH_SECRET", SECRET);
        let mut tar = Command::new("tar");
        let unpacked = tar.arg("-xzf").arg(&fixture).arg("-C").arg(setup.home()).status();
        assert!(unpacked.expect("tar").success(), "{}", fixture.display());
        let server = setup.start().await;
        let log = server.output();
        assert!(log.contains("unstored=") && !log.contains("unstored=0"), "no journal: {log}");
        has_everything(&server).await;
        // And after a crash, as after a stop.
        let server = server.crash().await;
        has_everything(&server).await;
        goes_on(&server).await;
        let server = server.restart().await;
        assert_eq!(
            alice(&server, Method::GET, "/v1/stream/list", &[], "").await.text(),
            "[1,2,3,4]"
        );
    }
}

#[tokio::test]
async fn a_postgres_of_an_earlier_version_opens() {
    for fixture in fixtures("postgres-") {
        let url = common::postgres::database().await;
        let mut psql = Command::new("psql");
        let restored = psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f"]);
        let restored = restored.arg(&fixture).arg(&url).status();
        assert!(restored.expect("psql").success(), "{}", fixture.display());
        let setup = Setup::new().await.database_url(url).env("AUTH_SECRET", SECRET);
        let server = setup.start().await;
        has_everything(&server).await;
        goes_on(&server).await;
        let server = server.restart().await;
        assert_eq!(
            alice(&server, Method::GET, "/v1/stream/list", &[], "").await.text(),
            "[1,2,3,4]"
        );
    }
}

/// A database of a later version is left alone.
#[tokio::test]
async fn a_database_of_a_later_version_is_refused() {
    let setup = Setup::new().await.start().await.stop().await;
    let database = setup.data().join("messages.db");
    let write = format!("sqlite:{}", database.display());
    let mut connection =
        <sqlx::SqliteConnection as sqlx::Connection>::connect(&write).await.expect("the database");
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'later', 1, x'00', 0)";
    sqlx::raw_sql(later).execute(&mut connection).await.expect("a row");
    sqlx::Connection::close(connection).await.expect("closed");
    let exit = setup.start_in_vain().await;
    assert!(
        exit.output.contains("a newer version of this program has used this database"),
        "{exit:?}"
    );
    assert!(exit.output.contains("schema 9999"), "{exit:?}");
}

fn token(server: &TestServer, who: &[&str]) -> String {
    let args = [&["token", "--auth-secret", SECRET, "--sub"], who].concat();
    let output = server.setup().run(&args);
    assert!(output.status.success(), "{output:?}");
    format!("Bearer {}", String::from_utf8(output.stdout).expect("text").trim_end())
}

async fn alice(
    server: &TestServer,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Answer {
    let token = token(server, &["alice", "--read", "**", "--write", "**", "--manage", "**"]);
    let headers = [&[("authorization", &*token)], headers].concat();
    server.send(request(method, target, &headers, body.into())).await
}

async fn bob(server: &TestServer, target: &str) -> Answer {
    let token = token(server, &["bob"]);
    server.send(request(Method::GET, target, &[("authorization", &*token)], Bytes::new())).await
}

async fn has_everything(server: &TestServer) {
    let text = alice(server, Method::GET, "/?id=text", &[], "").await;
    assert_eq!((text.text(), text.header("stream-closed-reason")), ("hello world", "finished"));
    for (stream, content) in [("list", "[1,2,3]"), ("branch", "[1,2,9]")] {
        let target = format!("/v1/stream/{stream}");
        assert_eq!(alice(server, Method::GET, &target, &[], "").await.text(), content);
    }
    let messages = bob(server, "/conversations/team/messages").await.json();
    let texts: Vec<_> = messages.as_array().expect("messages").iter().map(|m| &m["text"]).collect();
    assert_eq!(texts, ["the first", "an answer", "the second"]);
    let found = bob(server, "/search?q=second").await;
    assert!(found.text().contains("the second"), "{found:?}");
    let team = bob(server, "/conversations/team").await.json();
    assert_eq!(
        (&team["title"], &team["admin"], &team["n"]),
        (&json!("The team"), &json!("alice"), &json!(3))
    );
}

/// What was done before is known, and what is done now follows it.
async fn goes_on(server: &TestServer) {
    let json = ("content-type", "application/json");
    for (seq, body, status) in [("1", "[3]", 204), ("2", "[4]", 200), ("2", "[4]", 204)] {
        let producer = [json, ("producer-id", "p"), ("producer-epoch", "0"), ("producer-seq", seq)];
        let answer = alice(server, Method::POST, "/v1/stream/list", &producer, body).await;
        assert_eq!(answer.status, status, "{seq}: {answer:?}");
    }
    let target = "/conversations/team/messages/t2";
    let again = alice(server, Method::PUT, target, &[json], r#"{"text":"the second"}"#).await;
    assert_eq!(again.json()["id"], "team:5", "{again:?}");
    let target = "/conversations/team/messages/t3";
    let new = alice(server, Method::PUT, target, &[json], r#"{"text":"the third"}"#).await;
    assert_eq!(new.json()["id"], "team:6", "{new:?}");
}
