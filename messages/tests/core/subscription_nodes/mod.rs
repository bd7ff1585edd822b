//! Subscriptions on several nodes: one works, another takes over, and clients ask any.

mod asking;
mod node;
mod store;
mod takeover;
mod watching;

use serde_json::{Value, json};

fn webhook(pattern: &str) -> Value {
    json!({
        "type": "webhook",
        "pattern": pattern,
        "webhook": {"url": "https://hook.test/"},
        "lease_ttl_ms": 60_000,
    })
}
