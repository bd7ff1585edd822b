//! The commands of the program beside serving, and the list of streams that they use.

#[path = "../common/mod.rs"]
mod common;

mod backup;
mod check;
mod example;
mod list;
mod push;
mod refused;
mod tls;
mod tool;
mod transfer;
