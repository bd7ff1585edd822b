//! `check`: what is healthy, what a crash leaves, and every kind of damage.

use crate::{
    common::{Database, Setup, eventually, noise, request},
    tool::{Said, Tool},
};
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use std::{fs, path::PathBuf};

/// A data directory without a server, with all kinds of things in it.
struct Data {
    setup: Setup,
    tool: Tool,
}

impl Data {
    /// After a stop, which leaves everything in the database, or after a crash.
    async fn new(crash: bool) -> Self {
        let setup = Setup::on(Database::Sqlite).await.env("AUTH_SECRET", SECRET);
        let server = setup.start().await;
        let args = ["token", "--sub", "me", "--read", "**", "--write", "**", "--manage", "**"];
        let token = String::from_utf8(setup.run(&args).stdout).expect("text");
        let tool = Tool::new(&server).env("MESSAGES_TOKEN", token.trim());
        // Each too large to lie in one row with another.
        for part in 0..3 {
            tool.run_with(&["push", "a"], noise(part, 300_000)).await;
        }
        tool.run_with(&["push", "a", "--close"], "").await;
        let lines: String = (0..5_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        tool.run_with(&["push", "j", "--content-type", "application/json"], lines).await;
        let bearer = format!("Bearer {}", token.trim());
        let send = async |method, target: &str, body: &str| {
            let headers = [("authorization", &*bearer)];
            let request = request(method, target, &headers, Bytes::from(body.to_owned()));
            assert!(server.send(request).await.status.is_success(), "{target}");
        };
        send(Method::POST, "/conversations", r#"{"name":"team","participants":["you"]}"#).await;
        for number in 0..20 {
            let target = format!("/conversations/team/messages/t{number}");
            send(Method::PUT, &target, r#"{"text":"hello"}"#).await;
        }
        if crash {
            server.kill().await;
        } else {
            server.stop().await;
        }
        Self { setup, tool }
    }

    async fn check(&self, args: &[&str]) -> Said {
        self.tool.run(&[&["check"], args].concat()).await
    }

    /// The only damage there is.
    async fn finding(&self) -> Value {
        let said = self.check(&["--json"]).await;
        assert_eq!(said.code(), Some(6), "{said:?}");
        let report: Value = serde_json::from_slice(&said.stdout).expect("JSON");
        let damage = report["damage"].as_array().expect("a list");
        assert_eq!(damage.len(), 1, "{report}");
        assert_eq!(damage[0]["repaired"], false);
        damage[0].clone()
    }

    /// Somebody else changes the database.
    async fn sql(&self, text: &'static str) {
        let mut database = SqliteConnection::connect(&self.setup.url()).await.expect("a database");
        sqlx::raw_sql(text).execute(&mut database).await.expect("a change");
        database.close().await.expect("closed");
    }

    fn aside(&self) -> PathBuf {
        self.setup.data().join("journal.damaged.1")
    }
}

const SECRET: &str = "a secret of these tests, and of nothing else";

#[tokio::test]
async fn what_is_healthy_is_called_so() {
    for crash in [false, true] {
        let data = Data::new(crash).await;
        let said = data.check(&[]).await;
        assert!(said.text().contains(" streams with "), "{said:?}");
        let report: Value =
            serde_json::from_str(data.check(&["--json"]).await.text()).expect("JSON");
        assert_eq!(report["damage"], serde_json::json!([]), "{report}");
        // It has changed nothing, and neither does a repair of nothing.
        assert_eq!(data.check(&["--repair"]).await.code(), Some(0));
        let server = data.setup.start().await;
        data.check(&[]).await.fails(5, "another server");
        drop(server);
    }
    let nothing = Setup::new().await;
    let tool = Tool::at(&nothing, "http://127.0.0.1:1");
    tool.run(&["check"]).await.fails(3, "there is no database");
}

#[tokio::test]
async fn a_torn_end_is_no_damage() {
    let data = Data::new(true).await;
    let file = data.setup.journal_files().pop().expect("a journal");
    let bytes = fs::read(&file).expect("a file");
    // Zeros follow what was written last; a part of that is taken away.
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("content");
    let mut torn = bytes.clone();
    torn[end - 3..=end].fill(0);
    fs::write(&file, torn).expect("a file");
    let said = data.check(&[]).await;
    assert!(said.text().contains("a crash has cut a write short"), "{said:?}");
    let server = data.setup.start().await;
    assert!(server.output().contains("cut short"));
}

#[tokio::test]
async fn damage_of_the_journal_is_named_and_set_aside() {
    let data = Data::new(true).await;
    let file = data.setup.journal_files().pop().expect("a journal");
    let bytes = fs::read(&file).expect("a file");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("content");
    let mut damaged = bytes.clone();
    damaged[end / 2] ^= 1;
    fs::write(&file, &damaged).expect("a file");
    let finding = data.finding().await;
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    assert_eq!(finding["place"], format!("journal {name}"));
    assert!(finding["what"].as_str().expect("text").contains("it is damaged"), "{finding}");
    assert!(finding["repair"].as_str().expect("text").contains("journal.damaged.1"), "{finding}");
    assert_eq!(fs::read(&file).expect("a file"), damaged, "a check changes nothing");
    assert!(!data.setup.start_in_vain().await.status.success());
    let said = data.check(&["--repair"]).await;
    assert!(said.text().contains("repaired: moves it and all later ones"), "{said:?}");
    assert_eq!(
        fs::read(data.aside().join(name)).expect("a file"),
        damaged,
        "nothing is thrown away"
    );
    let kept = fs::read(&file).expect("a file");
    assert!(kept.len() < bytes.len() && bytes.starts_with(&kept));
    assert_eq!(data.check(&[]).await.code(), Some(0));
    data.setup.start().await;
}

#[tokio::test]
async fn a_file_of_the_journal_that_is_missing_is_named() {
    let setup = Setup::new().await.with(&["--journal-segment-bytes", "16777216"]);
    // The database is held up, so that files stay.
    let server = setup.clone().with(&["--flush-interval-ms", "600000"]).start().await;
    server.create("s", "text/plain", "").await;
    let record = noise(8, 4_000_000);
    for _ in 0..9 {
        server.append("s", "text/plain", record.clone()).await;
    }
    eventually("there are files", async || (setup.journal_files().len() >= 3).then_some(())).await;
    let data = Data { tool: Tool::new(&server), setup: server.kill().await };
    let files = data.setup.journal_files();
    fs::remove_file(&files[1]).expect("removed");
    let finding = data.finding().await;
    let name = files[1].file_name().and_then(|name| name.to_str()).expect("a name");
    assert_eq!(finding["place"], format!("journal {name}"));
    assert_eq!(finding["what"], "it is missing, and there are later ones");
    assert_eq!(data.check(&["--repair"]).await.code(), Some(0));
    assert_eq!(data.setup.journal_files(), files[..1]);
    assert_eq!(data.check(&[]).await.code(), Some(0));
    let server = data.setup.start().await;
    let got = server.fetch("s").await.body;
    assert!(!got.is_empty() && got[..] == record.repeat(9)[..got.len()]);
}

#[tokio::test]
async fn damage_of_the_database_is_named() {
    for (change, place, what, repairable) in [
        (
            "DELETE FROM chunks WHERE rowid = (SELECT MAX(rowid) FROM chunks WHERE stream = (SELECT id FROM streams WHERE name = 'a'))",
            "a",
            "its rows end at",
            false,
        ),
        (
            "DELETE FROM chunks WHERE rowid = (SELECT MIN(rowid) FROM chunks WHERE stream = (SELECT id FROM streams WHERE name = 'a'))",
            "a",
            "should be at",
            false,
        ),
        (
            "UPDATE chunks SET body = x'00' WHERE rowid = (SELECT MIN(rowid) FROM chunks WHERE stream = (SELECT id FROM streams WHERE name = 'j'))",
            "j",
            "the lengths in the row",
            false,
        ),
        ("UPDATE streams SET bytes = bytes + 1 WHERE name = 'j'", "j", "it says", false),
        ("UPDATE streams SET closed = 'perhaps' WHERE name = 'a'", "a", "closed", false),
        (
            "INSERT INTO chunks (stream, at_bytes, at_records, lengths, body) VALUES (7, 0, 0, x'', x'00')",
            "table chunks",
            "1 rows of streams that are not there",
            true,
        ),
        (
            "INSERT INTO producers (stream, producer, epoch, seq, closed, results) VALUES (7, 'p', 0, 0, 0, x'')",
            "table producers",
            "1 rows of streams",
            true,
        ),
        (
            "UPDATE streams SET source = 77, source_name = 'x', fork_at = '0000000000000000_0000000000000000', fork_asked = '+0' WHERE name = 'a'",
            "a",
            "branches off",
            false,
        ),
        (
            "UPDATE conversations SET position = position - 1 WHERE name = 'team'; DELETE FROM messages WHERE position > (SELECT position FROM conversations WHERE name = 'team')",
            "team",
            "the tables of chat end at event",
            false,
        ),
        (
            "UPDATE messages SET at_bytes = at_bytes + 1 WHERE position = 5",
            "team",
            "message 5 is not at byte",
            false,
        ),
        (
            "UPDATE messages SET position = 99 WHERE position = 21",
            "team",
            "has messages behind its end",
            false,
        ),
        (
            "INSERT INTO messages (conversation, position, id, source, text, created, n, counted, streaming, imported, at_bytes, bytes) VALUES ('nobody', 1, 'x', 'y', '', 0, 0, 0, 0, 0, 0, 0)",
            "nobody",
            "is no conversation",
            false,
        ),
    ] {
        let data = Data::new(false).await;
        data.sql(change).await;
        let said = data.check(&["--json"]).await;
        assert_eq!(said.code(), Some(6), "{change}: {said:?}");
        let report: Value = serde_json::from_slice(&said.stdout).expect("JSON");
        let found = report["damage"].as_array().expect("a list");
        let named = found.iter().find(|finding| {
            finding["place"] == place
                && finding["what"].as_str().is_some_and(|text| text.contains(what))
        });
        let named = named.unwrap_or_else(|| panic!("{change}: {report}"));
        assert_eq!(named["repair"].is_string(), repairable, "{named}");
        assert_eq!(data.check(&[]).await.code(), Some(6), "a check changes nothing");
        let repaired = data.check(&["--repair"]).await;
        assert_eq!(repaired.code(), Some(if repairable { 0 } else { 6 }), "{repaired:?}");
        let again = data.check(&[]).await;
        assert_eq!(again.code(), Some(if repairable { 0 } else { 6 }), "{again:?}");
    }
}

#[tokio::test]
async fn a_file_of_the_database_that_is_damaged_is_named() {
    let data = Data::new(false).await;
    let file = data.setup.data().join("messages.db");
    let mut bytes = fs::read(&file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xa5);
    fs::write(&file, bytes).expect("a file");
    let said = data.check(&[]).await;
    assert!(matches!(said.code(), Some(6 | 1)), "{said:?}");
    let told = format!("{}{}", String::from_utf8_lossy(&said.stdout), said.stderr);
    assert!(told.contains("SQLite") || told.contains("malformed"), "{told}");
}

#[tokio::test]
async fn a_journal_and_a_database_that_do_not_fit_are_told() {
    let data = Data::new(false).await;
    // As if the database were an old one.
    data.sql("UPDATE streams SET records = 1, bytes = 10 WHERE name = 'a'").await;
    let said = data.check(&["--json"]).await;
    assert_eq!(said.code(), Some(6), "{said:?}");
    let report: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    let damage = report["damage"].as_array().expect("a list");
    let misfit = damage.iter().find(|finding| {
        finding["what"].as_str().is_some_and(|what| what.starts_with("the journal goes on at"))
    });
    let place = misfit.unwrap_or_else(|| panic!("{report}"))["place"].as_str().expect("text");
    assert!(place.starts_with("stream number "), "{place}");
    assert!(!data.setup.start_in_vain().await.status.success(), "the server does not believe it");
}

#[tokio::test]
async fn postgres_is_looked_at_too() {
    let setup = Setup::on(Database::Postgres).await;
    let server = setup.start().await;
    let tool = Tool::new(&server);
    tool.run_with(&["push", "a", "--close"], noise(9, 300_000)).await;
    let setup = server.stop().await;
    let args = ["check", "--database-url", &setup.url()];
    let said = tool.run(&args).await;
    assert!(said.text().starts_with("1 streams with 300000 bytes"), "{said:?}");
}
