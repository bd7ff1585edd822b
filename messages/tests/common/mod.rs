//! What the tests over HTTP share: the real server program as a process, and a client that sees
//! pieces as they arrive and tells a clean end from one that broke off.

#![allow(dead_code, unused_imports, reason = "every test program takes a part of it")]

mod client;
pub mod outage;
pub mod postgres;
pub mod protocol;
pub mod raw;
pub mod redis;
mod server;
pub mod webhook;

pub use client::{Answer, End, Producer, Reader, request};
pub use server::{Exit, Setup, TestServer};

use std::{future::Future, time::Duration};
use tokio::time::{sleep, timeout};

/// Longer than anything here takes on a busy machine; whatever waits longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The outcome of `work`, which must not hang.
#[track_caller]
pub fn soon<T>(what: &str, work: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(PATIENCE, work).await {
            Ok(outcome) => outcome,
            Err(_) => panic!("{what} has not happened in {PATIENCE:?}, at {caller}"),
        }
    }
}

/// Asks again and again until there is an answer, for what no event tells of.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon(what, asking).await
}

/// The kind of database that a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// The file in the data directory.
    Sqlite,
    /// An empty database of the test Postgres.
    Postgres,
}

/// Runs each of these functions, which take a [`Setup`], as a test on either database.
#[macro_export]
macro_rules! on_both_databases {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::common::Setup::on($crate::common::Database::Sqlite).await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::common::Setup::on($crate::common::Database::Postgres).await).await;
            })*
        }
    };
}

/// The lines of a production.
pub fn lines(id: &str, count: usize) -> String {
    (0..count).map(|i| format!("{i}: {id}\n")).collect()
}

/// Bytes that look like noise and are the same every time: a gap, a repetition or a change of
/// order shows.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&next());
    }
    bytes.truncate(len);
    bytes
}
