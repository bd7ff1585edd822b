//! Three nodes through everything that may happen to them, for a while: nothing that was acknowledged
//! is lost, nothing comes twice, and every client is whole in the end, wherever it went meanwhile. To go
//! on for longer, run the same with `--seconds`; see `docs/benchmarks.md`.

use std::process::{Command, Stdio};

/// Runs the client with the server beside it. What it says is shown where it has found something wrong.
fn run(arguments: &[&str]) {
    assert!(
        std::env::var_os("TEST_POSTGRES_URL").is_some(),
        "TEST_POSTGRES_URL is not set; run the tests with `make test`"
    );
    let mut client = Command::new(env!("CARGO_BIN_EXE_messages_bench"));
    let output = client.args(arguments).stdin(Stdio::null()).output().expect("the client");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&said));
}

// One after the other: they restart the one Postgres.
#[test]
fn nodes_lose_nothing() {
    run(&["chat", "--nodes", "3", "--secs", "15"]);
    run(&["crash", "--nodes", "3", "--seconds", "15"]);
}
