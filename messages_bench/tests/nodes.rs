//! Three nodes through everything that may happen to them, for a while: nothing that was acknowledged
//! is lost, nothing comes twice, and every client is whole in the end, wherever it went meanwhile. To go
//! on for longer, run the same with `--seconds`; see `docs/benchmarks.md`.

use std::process::{Command, Stdio};

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set; run the tests with `make test`"))
}

/// The URL of an empty database. One belongs to one Redis, and every run has a Redis of its own.
fn database(name: &str) -> String {
    let server = variable("TEST_POSTGRES_URL");
    let name = format!("bench_{name}_{}", std::process::id());
    let create = format!("CREATE DATABASE {name}");
    let made = Command::new("psql").args([&*server, "-qc", &*create]).status().expect("psql");
    assert!(made.success(), "{create}");
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{base}/{name}")
}

/// Runs the client with the server beside it. What it says is shown where it has found something wrong.
fn run(scenario: &str, arguments: &[&str]) {
    let (database, ctl) = (database(scenario), variable("TEST_POSTGRES_CTL"));
    let mut client = Command::new(env!("CARGO_BIN_EXE_messages_bench"));
    client.args([scenario, "--nodes", "3", "--database-url", &database, "--postgres-ctl", &ctl]);
    let output = client.args(arguments).stdin(Stdio::null()).output().expect("the client");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{scenario}\n{}", String::from_utf8_lossy(&said));
}

// One after the other: they restart the one Postgres.
#[test]
fn nodes_lose_nothing() {
    run("chat", &["--secs", "15"]);
    run("crash", &["--seconds", "15"]);
}
