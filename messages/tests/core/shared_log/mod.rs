//! What every shared log promises, asked of each: of the model in memory, of a Redis, and of a Redis
//! Cluster.

mod adding;
mod keeping;
mod listening;
mod lost;
mod own;
mod play;
mod working;

use crate::{clock::ManualClock, redis_servers};
use bytes::Bytes;
use futures::future::BoxFuture;
use messages::{
    model::{StreamId, StreamName},
    shared_log::{
        Added, Addition, Claimed, Head, Known, MemoryLog, RedisLog, RedisOptions, SharedLog, Terms,
        Wake,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc::UnboundedReceiver;

/// Times that a test can wait for.
const TERMS: Terms = Terms { claim_ms: 400, hot_ms: 400, work_claim_ms: 400, kept_changes: 4 };

/// Longer than any of them.
const PAST_ALL_TERMS: u64 = 500;

/// A log, of which a test may have several nodes.
enum Kind {
    Memory(MemoryLog, Arc<ManualClock>),
    Redis { url: String, prefix: String },
}

struct World {
    kind: Kind,
}

impl World {
    fn in_memory(terms: Terms) -> Self {
        let clock = ManualClock::new();
        Self { kind: Kind::Memory(MemoryLog::new(clock.clone(), terms), clock) }
    }

    fn in_redis(url: String) -> Self {
        Self { kind: Kind::Redis { url, prefix: redis_servers::prefix() } }
    }

    async fn node(&self) -> Box<dyn SharedLog> {
        self.node_on(TERMS).await
    }

    async fn node_on(&self, terms: Terms) -> Box<dyn SharedLog> {
        match &self.kind {
            Kind::Memory(log, _) => Box::new(log.node()),
            Kind::Redis { url, prefix } => {
                let mut options = RedisOptions::new(url, "this one");
                (options.prefix, options.fresh, options.terms) = (prefix.clone(), true, terms);
                Box::new(RedisLog::open(options).await.expect("a log"))
            }
        }
    }

    async fn pass_ms(&self, ms: u64) {
        match &self.kind {
            Kind::Memory(_, clock) => clock.advance_ms(ms),
            Kind::Redis { .. } => tokio::time::sleep(Duration::from_millis(ms)).await,
        }
    }

    /// All connections on which nodes are told something break for a moment.
    fn interrupt(&self) {
        match &self.kind {
            Kind::Memory(log, _) => log.interrupt(),
            Kind::Redis { url, prefix } => {
                assert!(redis_servers::kill(url, &format!("{prefix}:wakes")) > 0);
            }
        }
    }

    fn lose(&self) {
        match &self.kind {
            Kind::Memory(log, _) => log.lose(),
            Kind::Redis { url, prefix } => redis_servers::forget(url, prefix),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Kind::Redis { url, prefix } = &self.kind {
            redis_servers::forget(url, prefix);
        }
    }
}

/// Each test three times.
macro_rules! on_every_log {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::super::World::in_memory(super::super::TERMS)).await;
            })*
        }

        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::super::World::in_redis(crate::redis_servers::single())).await;
            })*
        }

        mod cluster {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(super::super::World::in_redis(crate::redis_servers::cluster())).await;
            })*
        }
    };
}
use on_every_log;

const LIFE: StreamId = StreamId(u64::MAX - 6);

fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

fn changes(texts: &[&str]) -> Addition {
    let changes = texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
    Addition { changes, skip: 0, life: LIFE, expires_ms: None }
}

fn last(head: Head) -> Known {
    Known::Last { life: head.life, version: head.version }
}

fn done(added: Added) -> Head {
    let Added::Done(head) = added else { panic!("not added: {added:?}") };
    head
}

/// Makes a name hot that the database has up to `version`, with one change more.
async fn heat(log: &dyn SharedLog, name: &StreamName, version: u64) -> Head {
    assert_eq!(log.claim(name, 1).await.unwrap(), Claimed::As(1));
    let known = Known::Claimed { claim: 1, life: LIFE, version };
    done(log.add(name, known, changes(&["first"])).await.unwrap())
}

/// The next that is told, but for what may be missed.
fn next(wakes: &mut UnboundedReceiver<Wake>) -> BoxFuture<'_, Wake> {
    Box::pin(async {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(10), wakes.recv());
            match next.await.expect("a wake-up in time").expect("a wake-up") {
                Wake::Lost => {}
                wake => return wake,
            }
        }
    })
}

async fn until_lost(wakes: &mut UnboundedReceiver<Wake>) {
    let lost = async { while wakes.recv().await.expect("a wake-up") != Wake::Lost {} };
    tokio::time::timeout(Duration::from_secs(10), lost).await.expect("told in time");
}
