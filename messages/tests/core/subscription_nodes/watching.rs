//! A node is told of everything that happens to the names that it watches, and to no others.

use super::node::{Together, until};
use messages::{limits::CHANNEL_IDLE_MS, shared_log::Scope};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_name_stays_known_and_another_is_forgotten() {
    let all = Together::new().await;
    let (a, b) = (all.node(0).await, all.node(1).await);
    let shared = a.streams.shared().expect("a log");
    let name = "s/x".parse().expect("a name");
    b.append("s/x", "one").await;
    for round in 1..4 {
        let watched = shared.watch(&name).await.expect("an answer");
        let channel = Arc::downgrade(&watched.expect("a stream"));
        let sweep = async || {
            shared.all_stored(Scope::Streams, true).await;
            all.pass(CHANNEL_IDLE_MS + 1);
            a.streams.sweep();
            // What it ends in the background is ended.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        for _ in 0..3 {
            sweep().await;
        }
        let tail = b.append("s/x", "more").await;
        let known = async || {
            let known = channel.upgrade().and_then(|channel| channel.status());
            known.is_some_and(|status| status.tail == tail)
        };
        until(known).await;
        shared.unwatch(&name);
        for _ in 0..3 {
            sweep().await;
        }
        assert!(channel.upgrade().is_none(), "round {round}");
        b.append("s/x", "unseen").await;
        assert!(channel.upgrade().is_none(), "round {round}");
    }
}
