//! Chat over HTTP, against the real program.

#[path = "../common/mod.rs"]
mod common;

mod bad;
mod counting;
mod messages;
mod paging;
mod people;
mod routes;
mod sending;
mod users;
