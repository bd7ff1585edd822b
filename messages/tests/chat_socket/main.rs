//! Conversations over sockets, against the real program.

#[path = "../common/mod.rs"]
mod common;

#[path = "../auth/jwt.rs"]
#[allow(dead_code, reason = "the tests of access control need all of it")]
mod jwt;

#[path = "../websocket/client.rs"]
#[allow(dead_code, reason = "the tests of streams need all of it")]
mod client;

mod access;
mod messages;
mod others;
mod person;
mod plain;
mod refused;
mod retention;

/// The shared secret of these tests.
const SECRET: &str = "a secret of these tests, and of nothing else";
