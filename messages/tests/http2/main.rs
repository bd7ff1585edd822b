//! Many requests on one connection, in the clear and over TLS, and what holds for each of them.

#[path = "../common/mod.rs"]
mod common;

mod attack;
mod client;
mod frames;
mod limits;
mod plain;
mod tls;
