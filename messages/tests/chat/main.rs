//! Chat over HTTP, against the real program.

#[path = "../common/mod.rs"]
mod common;

mod bad;
mod counting;
mod crash;
mod direct;
mod events;
mod fuzz;
mod growing;
mod messages;
mod paging;
mod people;
mod retention;
mod routes;
mod sending;
mod since_join;
mod transfer;
mod users;
