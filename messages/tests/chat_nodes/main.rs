//! Chat on several nodes: whatever is done on one of them counts on all.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

#[path = "../core/clock.rs"]
mod clock;
#[path = "../common/postgres.rs"]
mod postgres;
#[path = "../core/random.rs"]
mod random;

mod access;
mod ephemeral;
mod growing;
mod play;
mod sending;
mod world;
