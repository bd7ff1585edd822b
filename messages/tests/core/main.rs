//! The core without its edges: no sockets, no real crashes, no waiting.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod architecture;
mod chat_corrupt;
mod chat_erasure;
mod chat_log;
mod chat_plans;
mod chat_search;
mod chat_store;
mod chat_unread;
mod clock;
mod configuration;
mod crash;
mod crowd;
mod cursor;
mod disk;
mod journal;
mod ledger;
mod licenses;
mod lifetimes;
mod memory_store;
mod memory_subscriptions;
mod migrations;
mod nodes;
mod nodes_play;
#[path = "../common/postgres.rs"]
mod postgres;
mod random;
#[path = "../common/redis.rs"]
mod redis_servers;
mod service;
mod service_model;
mod shared_log;
mod store_columns;
mod store_contract;
mod stream_list;
mod subscription_hooks;
mod subscription_machine;
mod subscription_nodes;
mod subscription_play;
mod subscription_run;
mod subscription_service;
mod subscription_store;
mod version;
mod world;
