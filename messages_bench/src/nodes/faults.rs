//! Everything that happens to nodes, in any order: they are killed, told to stop, held for a while, and
//! so is what they stand on.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep, sleep_until};

use super::args::{Kind, NodesArgs};
use super::{Nodes, postgres};
use crate::load::histogram;
use crate::random::Random;
use crate::report::time_of_day;
use crate::sample::{Better, Sample};
use crate::scenario::bar;
use crate::scenario::phase::{Announcer, Phase};
use crate::server::Signal;

/// The longest life of a node that is killed while it starts.
const EARLY: Duration = Duration::from_millis(40);

/// How long a node, Redis or Postgres is away at most before it is started again.
const AWAY: Duration = Duration::from_secs(3);

/// How long a node is held at most, and how much longer those are held that are held for long.
const HELD: Duration = Duration::from_secs(8);
const HELD_LONG: Duration = Duration::from_secs(32);

/// Faults, what became of them, and what may still come.
pub struct Faults {
    kinds: Vec<Kind>,
    long_pauses: bool,
    random: Random,
    /// Nodes that are held, and until when.
    held: Vec<(usize, Instant)>,
    announced: u64,
    counts: [u64; Kind::ALL.len()],
    early: u64,
    long: u64,
    starts: Vec<Duration>,
    stops: Vec<Duration>,
    away: Duration,
}

impl Faults {
    /// Faults that have not happened yet.
    pub fn new(args: &NodesArgs, seed: u64) -> Self {
        let all = args.faults.is_empty();
        let kinds = Kind::ALL.into_iter().filter(|kind| all || args.faults.contains(kind));
        Self {
            kinds: kinds.collect(),
            long_pauses: args.long_pauses,
            random: Random::new(seed, 0xFA17),
            held: Vec::new(),
            announced: 0,
            counts: [0; Kind::ALL.len()],
            early: 0,
            long: 0,
            starts: Vec::new(),
            stops: Vec::new(),
            away: Duration::ZERO,
        }
    }

    /// Lets things happen until then, with a pause of up to `pause` before each. In the end everybody is
    /// there.
    pub async fn inflict(
        &mut self,
        nodes: &mut Nodes,
        announcer: &Announcer,
        until: Instant,
        pause: Duration,
    ) -> anyhow::Result<()> {
        let lasts = until.saturating_duration_since(Instant::now());
        let progress = bar("faults".to_owned(), lasts.as_secs());
        announcer.announce(Phase::Up(0));
        while Instant::now() < until {
            sleep(self.random.up_to(pause)).await;
            self.release(nodes, announcer, false).await?;
            if let Some(kind) = self.choose(nodes) {
                self.counts[kind as usize] += 1;
                self.announced += 1;
                announcer.announce(Phase::Up(self.announced));
                let done = self.inflict_one(kind, nodes, announcer).await;
                done.with_context(|| format!("fault {} ({kind:?})", self.announced))?;
            }
            let left = until.saturating_duration_since(Instant::now());
            progress.set_position(lasts.saturating_sub(left).as_secs());
        }
        self.release(nodes, announcer, true).await?;
        progress.finish_and_clear();
        Ok(())
    }

    /// What can happen next.
    fn choose(&mut self, nodes: &Nodes) -> Option<Kind> {
        let is_free = self.held.len() < nodes.len();
        let possible = |kind: &&Kind| match kind {
            Kind::Kill | Kind::Term => is_free,
            // One node is left to do the work, where there are several.
            Kind::Pause => is_free && (self.held.len() + 1 < nodes.len() || nodes.len() == 1),
            Kind::RedisTerm | Kind::RedisKill => nodes.redis.is_some(),
            Kind::Postgres => nodes.postgres.is_some(),
        };
        let possible: Vec<Kind> = self.kinds.iter().filter(possible).copied().collect();
        possible.get(self.random.below(possible.len() as u64) as usize).copied()
    }

    /// A node that is not held.
    fn some_node(&mut self, nodes: &Nodes) -> usize {
        let is_free = |node: &usize| self.held.iter().all(|(held, _)| held != node);
        let free: Vec<usize> = (0..nodes.len()).filter(is_free).collect();
        free[self.random.below(free.len() as u64) as usize]
    }

    /// Writes down what happens, and when, beside the logs of the nodes.
    fn log(&self, nodes: &Nodes, what: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
        let mut log = OpenOptions::new().create(true).append(true).open(&nodes.log)?;
        Ok(writeln!(log, "{} {what}", time_of_day())?)
    }

    async fn inflict_one(
        &mut self,
        kind: Kind,
        nodes: &mut Nodes,
        announcer: &Announcer,
    ) -> anyhow::Result<()> {
        match kind {
            Kind::Kill | Kind::Term => {
                let node = self.some_node(nodes);
                self.log(nodes, format_args!("{kind:?} node {node}"))?;
                announcer.begin(node);
                let done = self.restart(kind, node, nodes).await;
                announcer.end(node);
                self.log(nodes, format_args!("node {node} is ready"))?;
                done.with_context(|| format!("node {node}"))
            }
            Kind::Pause => {
                let node = self.some_node(nodes);
                announcer.begin(node);
                self.hold(node, nodes)
            }
            Kind::RedisTerm | Kind::RedisKill | Kind::Postgres => {
                self.log(nodes, format_args!("{kind:?}"))?;
                (0..nodes.len()).for_each(|node| announcer.begin(node));
                let done = self.restart_shared(kind, nodes).await;
                (0..nodes.len()).for_each(|node| announcer.end(node));
                self.log(nodes, format_args!("{kind:?} is over"))?;
                done
            }
        }
    }

    /// Ends a node, and starts it again.
    async fn restart(&mut self, kind: Kind, node: usize, nodes: &mut Nodes) -> anyhow::Result<()> {
        let server = &mut nodes.servers[node];
        if kind == Kind::Term {
            self.stops.push(server.terminate().await?);
        } else {
            server.kill().await?;
        }
        if self.random.one_in(2) {
            sleep(self.random.up_to(AWAY)).await;
        }
        // Now and then it dies while it is still putting its data in order.
        while kind == Kind::Kill && self.random.one_in(4) {
            server.spawn()?;
            sleep(self.random.up_to(EARLY)).await;
            server.kill().await?;
            self.early += 1;
        }
        self.starts.push(server.start().await?);
        Ok(())
    }

    /// Holds a node, and goes on with other things.
    fn hold(&mut self, node: usize, nodes: &Nodes) -> anyhow::Result<()> {
        nodes.servers[node].signal(Signal::STOP)?;
        let mut time = self.random.up_to(HELD);
        if self.long_pauses && self.random.one_in(3) {
            self.long += 1;
            time += HELD_LONG;
        }
        self.log(nodes, format_args!("hold node {node} for {} ms", time.as_millis()))?;
        self.away = self.away.max(time);
        self.held.push((node, Instant::now() + time));
        Ok(())
    }

    /// Lets those go on whose time is over, or waits for all.
    async fn release(
        &mut self,
        nodes: &Nodes,
        announcer: &Announcer,
        all: bool,
    ) -> anyhow::Result<()> {
        for (node, until) in std::mem::take(&mut self.held) {
            if all {
                sleep_until(until).await;
            }
            if Instant::now() < until {
                self.held.push((node, until));
                continue;
            }
            self.log(nodes, format_args!("node {node} goes on"))?;
            nodes.servers[node].signal(Signal::CONT)?;
            announcer.end(node);
        }
        Ok(())
    }

    /// Restarts what all nodes stand on.
    async fn restart_shared(&mut self, kind: Kind, nodes: &mut Nodes) -> anyhow::Result<()> {
        let away = self.random.up_to(AWAY);
        if let (Kind::Postgres, Some(ctl)) = (kind, &nodes.postgres) {
            postgres(ctl, "stop").await?;
            sleep(away).await;
            return postgres(ctl, "start").await;
        }
        if let Some(redis) = &mut nodes.redis {
            let how = if kind == Kind::RedisKill { Signal::KILL } else { Signal::TERM };
            redis.end(how).await?;
            sleep(away).await;
            redis.start().await?;
        }
        Ok(())
    }

    /// The numbers of the faults.
    pub fn report(&self, sample: &mut Sample) {
        let names = [
            "nodes killed",
            "nodes told to stop",
            "nodes held",
            "Redis told to stop",
            "Redis killed",
            "Postgres restarted",
        ];
        names.iter().zip(self.counts).for_each(|(name, count)| sample.count(name, count));
        sample.count("kills while starting", self.early);
        sample.count("nodes held for long", self.long);
        let longest = |times: &[Duration]| times.iter().max().copied().unwrap_or_default();
        let shown = [
            ("longest start of a node", longest(&self.starts)),
            ("longest stop of a node", longest(&self.stops)),
            ("longest time a node was held", self.away),
        ];
        for (name, time) in shown {
            sample.figure(name, "ms", time.as_secs_f64() * 1e3, Better::Neither);
        }
        let mut latency = histogram();
        for time in &self.starts {
            latency.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
        sample.latency = Some(latency);
    }
}
