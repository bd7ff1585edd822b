//! Webhooks of conversations, with the real program and real webhooks.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod crash;
mod deliver;
mod example;
mod names;
mod team;
