//! Where servers of this protocol are easily a little wrong: each of these was seen somewhere, or
//! would be noticed only after a crash or under unlucky timing.

#[path = "../common/mod.rs"]
mod common;

mod browsers;
mod caching;
mod forks;
mod lifetimes;
mod live;
mod pages;
mod producers;
mod text;
