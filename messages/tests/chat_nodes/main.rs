//! Chat on several nodes: whatever is done on one of them counts on all.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../core/clock.rs"]
mod clock;
#[path = "../common/postgres.rs"]
mod postgres;
#[path = "../core/random.rs"]
mod random;
#[allow(dead_code, reason = "the other tests need more of it")]
#[path = "../common/redis.rs"]
mod redis_servers;

mod access;
mod ephemeral;
mod growing;
mod play;
mod sending;
mod world;
