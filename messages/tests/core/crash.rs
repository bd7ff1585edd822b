//! A seeded simulation of crashes: random work, the power or the process goes at any operation of
//! the disk, and what comes back is held against everything that was promised. `CRASH_SEEDS=1000`
//! runs more seeds, `CRASH_SEED=7` runs one again.

use super::memory_store::{Fault, MemoryStore};
use super::random::Random;
use super::world::{Machine, World};
use messages::{
    model::CloseReason,
    store::StoreError,
    stream::{Addition, Appended, StreamError},
};
use std::{
    collections::BTreeMap,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

const BOOTS: usize = 6;
const STEPS: usize = 120;
const NAMES: usize = 4;

type Pending = Pin<Box<dyn Future<Output = Result<Appended, StreamError>>>>;

/// What is known about the present life of a stream.
#[derive(Default)]
struct Known {
    /// Everything that was admitted, in order: what is in the stream is a beginning of it.
    admitted: Vec<u8>,
    /// So much of it was acknowledged or seen, and can never go away.
    promised: usize,
    /// The stream was asked to close behind everything that is admitted.
    closing: bool,
    /// And that was acknowledged or seen.
    closed: bool,
    tied: bool,
    /// The life before, which comes back when the beginning of this one was not durable yet.
    before: Option<Box<Known>>,
}

/// An append on its way: its stream, where it ends, whether it closes.
struct InFlight {
    name: String,
    end: usize,
    closes: bool,
    future: Pending,
}

struct Simulation {
    random: Random,
    machine: Machine,
    store: Arc<MemoryStore>,
    known: BTreeMap<String, Known>,
    record: u64,
}

#[tokio::test]
async fn nothing_promised_is_ever_lost() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("CRASH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("CRASH_SEEDS").unwrap_or(200),
    };
    let count = seeds.end - seeds.start;
    for seed in seeds {
        eprintln!("CRASH_SEED={seed}");
        Simulation::new(seed).run().await;
    }
    println!("{count} seeds, {BOOTS} starts each");
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let barrier = !random.one_in(3);
        let store = Arc::<MemoryStore>::default();
        Self {
            random,
            machine: Machine { barrier, ..Machine::new(store.clone()) },
            store,
            known: BTreeMap::new(),
            record: 0,
        }
    }

    async fn run(&mut self) {
        for _ in 0..BOOTS {
            self.machine.window_bytes = self.random.below(3) * 300;
            let start = World::start(&self.machine);
            let mut world = start.await.expect("a crash never damages the journal");
            self.check_after_start(&world).await;
            let in_flight = self.work(&mut world).await;
            if self.random.one_in(4) {
                self.flush_all(&mut world).await;
            }
            // Nobody waits any more when the process is gone.
            drop((in_flight, world));
            if self.machine.barrier && self.random.one_in(2) {
                self.machine.disk.restart_after_power_cut(&mut self.random);
            } else {
                self.machine.disk.restart_after_kill();
            }
        }
    }

    /// Everything promised is there, everything that is there was admitted, and nothing is twice.
    async fn check_after_start(&mut self, world: &World) {
        for (name, known) in &mut self.known {
            let (content, ended) = match world.read(name, 0).await {
                Ok(read) => read,
                Err(StreamError::NotFound) if known.promised == 0 && !known.closed => {
                    *known = Known::default();
                    continue;
                }
                Err(error) => panic!("{name}: {error}"),
            };
            if let Some(before) = known.before.take()
                && known.promised == 0
                && ended
                && content == before.admitted
            {
                *known = *before;
            }
            assert!(known.admitted.starts_with(&content), "{name} holds what was never admitted");
            assert!(content.len() >= known.promised, "{name} has lost what was promised");
            assert!(ended || !known.closed, "{name} was closed and is open");
            assert!(!ended || known.closing || known.tied, "{name} was open and is closed");
            assert!(ended || !known.tied, "{name} has lost its producer and is open");
            let complete = content.len() == known.admitted.len();
            assert!(!known.closed || complete || known.tied, "{name} was closed at another place");
            known.promised = content.len();
            known.admitted = content;
            (known.closing, known.closed) = (ended, ended);
        }
    }

    async fn work(&mut self, world: &mut World) -> Vec<InFlight> {
        let mut in_flight = Vec::new();
        if self.random.one_in(2) {
            self.machine.disk.cut_power_after(self.random.below(60));
        }
        for _ in 0..self.random.below(STEPS) {
            match self.random.below(10) {
                0..=3 => self.append(world, &mut in_flight).await,
                4..=5 => {
                    if world.committer.step().is_err() {
                        break;
                    }
                }
                6 => self.flush(world).await,
                7..=8 => self.read(world).await,
                _ => {
                    if !in_flight.is_empty() && self.random.one_in(3) {
                        // A client goes away: its append happens or not, as a whole.
                        in_flight.swap_remove(self.random.below(in_flight.len()));
                    }
                }
            }
            self.collect(&mut in_flight).await;
        }
        in_flight
    }

    async fn append(&mut self, world: &mut World, in_flight: &mut Vec<InFlight>) {
        let name = format!("s{}", self.random.below(NAMES));
        let id = name.parse().expect("valid");
        let tied = self.random.one_in(3);
        let known = self.known.entry(name.clone()).or_default();
        let channel = if known.closing {
            if !known.closed || !self.random.one_in(2) {
                return;
            }
            let Ok(channel) = world.streams.begin(&id, "text/plain", tied).await else {
                return;
            };
            let before = Some(Box::new(std::mem::take(known)));
            *known = Known { tied, before, ..Known::default() };
            channel
        } else {
            match world.streams.find_or_create(&id, "text/plain", tied).await {
                Ok((channel, true)) => {
                    known.tied = tied;
                    channel
                }
                Ok((channel, false)) => channel,
                Err(_) => return,
            }
        };
        self.record += 1;
        let size_max = if self.random.one_in(8) { 1500 } else { 60 };
        let size = self.random.below(size_max);
        let record = format!("{}:{};", self.record, "x".repeat(size));
        let close = self.random.one_in(12).then_some(CloseReason::Finished);
        let addition =
            Addition { tied: known.tied, close, ..Addition::bytes(record.clone().into()) };
        let streams = world.streams.clone();
        let mut future: Pending = Box::pin(async move { streams.append(&channel, addition).await });
        match futures::poll!(future.as_mut()) {
            Poll::Ready(Err(_)) => return,
            Poll::Ready(Ok(_)) => panic!("acknowledged before it was durable"),
            Poll::Pending => {}
        }
        known.admitted.extend_from_slice(record.as_bytes());
        known.closing = close.is_some();
        let end = known.admitted.len();
        in_flight.push(InFlight { name, end, closes: close.is_some(), future });
    }

    async fn collect(&mut self, in_flight: &mut Vec<InFlight>) {
        let mut waiting = Vec::new();
        for mut append in in_flight.drain(..) {
            match futures::poll!(append.future.as_mut()) {
                Poll::Pending => waiting.push(append),
                Poll::Ready(Err(_)) => {}
                Poll::Ready(Ok(appended)) => {
                    assert_eq!(
                        appended.tail.bytes as usize, append.end,
                        "acknowledged another position"
                    );
                    let known = self.known.entry(append.name).or_default();
                    known.promised = known.promised.max(append.end);
                    known.closed |= append.closes;
                }
            }
        }
        *in_flight = waiting;
    }

    async fn flush(&mut self, world: &mut World) {
        match self.random.below(8) {
            0 => self.store.fail_next_flush(Fault::Refused),
            1 => self.store.fail_next_flush(Fault::AnswerLost),
            _ => {}
        }
        // Whether it succeeds or not, nothing may change for readers and nothing may be lost.
        let _ = self.flush_beside_commits(world).await;
    }

    async fn flush_beside_commits(&mut self, world: &mut World) -> Result<(), StoreError> {
        let mut flush = pin!(world.flusher.flush());
        loop {
            if let Poll::Ready(result) = futures::poll!(flush.as_mut()) {
                return result;
            }
            // A journal that fails here is noticed by the next step.
            let _ = world.committer.step();
        }
    }

    /// A store that is well again takes everything, whatever went wrong before.
    async fn flush_all(&mut self, world: &mut World) {
        let first = self.flush_beside_commits(world).await;
        let second = self.flush_beside_commits(world).await;
        assert!(second.is_ok(), "the store refuses for ever: {first:?}, {second:?}");
    }

    async fn read(&mut self, world: &World) {
        let name = format!("s{}", self.random.below(NAMES));
        let Some(known) = self.known.get_mut(&name) else {
            return;
        };
        let position = self.random.below(known.promised + 1);
        match world.read(&name, position as u64).await {
            Ok((bytes, ended)) => {
                let seen = position + bytes.len();
                assert!(known.admitted.get(position..seen) == Some(&bytes), "{name}: wrong bytes");
                assert!(seen >= known.promised, "{name}: an acknowledged byte is not visible");
                known.promised = seen;
                known.closed |= ended;
            }
            Err(
                StreamError::NotFound | StreamError::BeyondTail { .. } | StreamError::JournalFailed,
            ) => {
                assert_eq!(known.promised, 0, "{name}: nothing of what was promised is visible");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}
