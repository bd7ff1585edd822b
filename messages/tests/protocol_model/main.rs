//! Random requests of the Durable Streams protocol to the real program, with crashes in between.
//! Every answer must be what a simple model says: status, offsets, headers, bodies.
//!
//! `PROTOCOL_CASES` runs more sequences than usual, `PROTOCOL_SEED` others or the same again.

#[path = "../common/mod.rs"]
mod common;

mod model;
mod operation;
mod play;
mod reads;

use common::{Database, Setup};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Sequences for each database and interval.
const CASES: u32 = 6;

/// How long a sequence is at most.
const OPERATIONS: usize = 100;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn run(database: Database, flush_interval_ms: &str) {
    let seed = number("PROTOCOL_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("PROTOCOL_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let cases = number("PROTOCOL_CASES").map_or(CASES, |cases| cases as u32);
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 150, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let operations = proptest::collection::vec(operation::any(), 1..OPERATIONS);
    let outcome = runner.run(&operations, |operations| {
        runtime.block_on(async {
            let setup = Setup::on(database).await;
            let setup = setup.with(&["--flush-interval-ms", flush_interval_ms]);
            let play = play::Play::begin(setup).await.run(operations).await;
            play.map_err(TestCaseError::fail)
        })
    });
    if let Err(error) = outcome {
        panic!("with PROTOCOL_SEED={seed}: {error}");
    }
}

#[test]
fn sqlite_that_is_flushed_at_once() {
    run(Database::Sqlite, "5");
}

#[test]
fn sqlite_that_is_flushed_never() {
    run(Database::Sqlite, "600000");
}

#[test]
fn postgres_that_is_flushed_at_once() {
    run(Database::Postgres, "5");
}

#[test]
fn postgres_that_is_flushed_never() {
    run(Database::Postgres, "600000");
}
