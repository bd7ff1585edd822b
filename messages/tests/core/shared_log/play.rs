//! Whatever is done, in whatever order: the model and Redis give the same answers.

use super::{LIFE, TERMS, World};
use crate::redis_servers;
use bytes::Bytes;
use messages::{
    model::{StreamId, StreamName},
    shared_log::{Added, Addition, Claimed, Head, Known, Logged, Scope, SharedLog, Terms, Work},
};
use proptest::prelude::*;

/// Time does not pass here, so nothing ends by itself.
const LONG: Terms = Terms { claim_ms: 600_000, hot_ms: 600_000, work_claim_ms: 600_000, ..TERMS };

#[derive(Clone, Debug)]
enum Step {
    Claim {
        name: usize,
        claim: u64,
    },
    AddClaimed {
        name: usize,
        claim: u64,
        addition: Addition,
    },
    /// To a head that is as many versions from the right one.
    Add {
        name: usize,
        off: u64,
        addition: Addition,
    },
    Read {
        name: usize,
        after: u64,
        bytes_max: usize,
    },
    Take {
        scope: Scope,
    },
    /// One of the pieces that were ever taken, with so much less than is known.
    Done {
        piece: prop::sample::Index,
        stored_less: u64,
        news_less: u64,
    },
    Barrier {
        scope: Scope,
    },
}

fn names() -> Vec<StreamName> {
    vec!["a".parse().unwrap(), "b/c".parse().unwrap(), StreamName::of_chat("a").unwrap()]
}

fn addition() -> impl Strategy<Value = Addition> {
    let change = prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    let life = prop_oneof![4 => Just(LIFE), 1 => Just(StreamId(3))];
    let expires = prop::option::of(prop_oneof![Just(0), 1..5_000_000_000_000_u64]);
    (prop::collection::vec(change, 0..4), life, expires)
        .prop_map(|(changes, life, expires_ms)| Addition { changes, skip: 0, life, expires_ms })
}

fn step() -> impl Strategy<Value = Step> {
    let (name, claim) = (0..3_usize, 0..3_u64);
    let scope = || prop_oneof![Just(Scope::Streams), Just(Scope::Chat)];
    let piece = any::<prop::sample::Index>();
    prop_oneof![
        2 => (name.clone(), claim.clone()).prop_map(|(name, claim)| Step::Claim { name, claim }),
        2 => (name.clone(), claim, addition())
            .prop_map(|(name, claim, addition)| Step::AddClaimed { name, claim, addition }),
        6 => (name.clone(), prop_oneof![9 => Just(0), 1 => 1..3_u64], addition())
            .prop_map(|(name, off, addition)| Step::Add { name, off, addition }),
        2 => (name, 0..20_u64, 0..60_usize)
            .prop_map(|(name, after, bytes_max)| Step::Read { name, after, bytes_max }),
        2 => scope().prop_map(|scope| Step::Take { scope }),
        3 => (piece, 0..2_u64, 0..2_u64).prop_map(|(piece, stored_less, news_less)| Step::Done {
            piece, stored_less, news_less
        }),
        1 => scope().prop_map(|scope| Step::Barrier { scope }),
    ]
}

/// What can be seen of a step. Pieces of work have other ids in each log.
#[derive(Debug, PartialEq)]
enum Seen {
    Claimed(Claimed),
    Head(Option<Head>),
    Added(Added),
    Read(Vec<Logged>),
    Taken(Vec<StreamName>),
    Stored(Vec<bool>, Vec<StreamName>),
}

/// A log, and what was taken from it.
struct Player {
    log: Box<dyn SharedLog>,
    names: Vec<StreamName>,
    taken: Vec<Work>,
    barriers: Vec<messages::shared_log::Unstored>,
}

impl Player {
    async fn new(world: &World) -> Self {
        let log = world.node_on(LONG).await;
        Self { log, names: names(), taken: Vec::new(), barriers: Vec::new() }
    }

    async fn play(&mut self, step: &Step) -> Seen {
        let log = &self.log;
        match step.clone() {
            Step::Claim { name, claim } => {
                Seen::Claimed(log.claim(&self.names[name], claim).await.unwrap())
            }
            Step::AddClaimed { name, claim, addition } => {
                let known = Known::Claimed { claim, life: LIFE, version: 5 };
                Seen::Added(log.add(&self.names[name], known, addition).await.unwrap())
            }
            Step::Add { name, off, addition } => {
                let head = log.head(&self.names[name]).await.unwrap().unwrap_or_default();
                let known = Known::Last { life: head.life, version: head.version + off };
                Seen::Added(log.add(&self.names[name], known, addition).await.unwrap())
            }
            Step::Read { name, after, bytes_max } => {
                Seen::Read(log.read(&self.names[name], after, bytes_max).await.unwrap())
            }
            Step::Take { scope } => {
                let mut work = log.take_work(scope, 1000).await.unwrap();
                work.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
                self.taken.extend(work.iter().cloned());
                Seen::Taken(work.into_iter().map(|work| work.name).collect())
            }
            Step::Done { piece, stored_less, news_less } => {
                if self.taken.is_empty() {
                    return Seen::Head(None);
                }
                let work = &self.taken[piece.index(self.taken.len())];
                let head = log.head(&work.name).await.unwrap().unwrap_or_default();
                let stored = head.version.saturating_sub(stored_less);
                let news = head.news.saturating_sub(news_less);
                Seen::Head(log.done(work, stored, news).await.unwrap())
            }
            Step::Barrier { scope } => {
                self.barriers.push(log.unstored(scope).await.unwrap());
                let mut stored = Vec::new();
                for barrier in &self.barriers {
                    stored.push(log.is_stored(barrier).await.unwrap());
                }
                let mut names = log.unstored_names(scope).await.unwrap();
                names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
                Seen::Stored(stored, names)
            }
        }
    }
}

async fn compare(url: String, steps: &[Step]) {
    let (model, real) = (World::in_memory(LONG), World::in_redis(url));
    let (mut model, mut player) = (Player::new(&model).await, Player::new(&real).await);
    for (number, step) in steps.iter().enumerate() {
        let (expected, seen) = (model.play(step).await, player.play(step).await);
        assert_eq!(seen, expected, "step {number}: {step:?}");
    }
}

fn play(url: &str, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..60))| {
        runtime.block_on(compare(url.to_owned(), &steps));
    });
}

#[test]
fn one_server_does_as_the_model() {
    play(&redis_servers::single(), 150);
}

#[test]
fn a_cluster_does_as_the_model() {
    play(&redis_servers::cluster(), 50);
}
