//! Runs a scenario against one server, or against several in turns.

use anyhow::{Context as _, bail, ensure};

use crate::cli::{Cli, Command, Common};
use crate::dialect::Target;
use crate::process::{Cpu, Processes};
use crate::sample::{Figure, Over, Sample};
use crate::scenario::{self, Context};

/// How often each server has its turn when several are compared.
const ROUNDS: usize = 3;

/// The server when none is said.
const URL: &str = "http://127.0.0.1:3000";

/// All runs against one server.
pub struct Outcome {
    /// The name of the server.
    pub name: String,
    /// Its runs.
    pub samples: Vec<Sample>,
}

impl Outcome {
    /// Each figure over all runs: its median, or the largest for memory.
    pub fn medians(&self) -> Vec<Figure> {
        let Some(first) = self.samples.first() else {
            return Vec::new();
        };
        let of_all = |figure: &Figure| {
            let same = |sample: &Sample| {
                sample.figures.iter().find(|f| f.name == figure.name).map(|f| f.value)
            };
            let values = self.samples.iter().filter_map(same);
            let value = match figure.over {
                Over::Median => median(values.collect()),
                Over::Largest => values.fold(f64::NEG_INFINITY, f64::max),
            };
            Figure { value, ..figure.clone() }
        };
        first.figures.iter().map(of_all).collect()
    }

    /// Faults in all runs.
    pub fn faults(&self) -> u64 {
        self.samples.iter().map(|sample| sample.faults.total).sum()
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length % 2 == 1 => values[middle],
        (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// The server under test and those it is compared with.
fn targets(common: &Common) -> anyhow::Result<Vec<Target>> {
    let urls: Vec<&str> = match &common.url[..] {
        [] => vec![URL],
        urls => urls.iter().map(String::as_str).collect(),
    };
    let processes = Processes { nodes: common.pid.clone(), beside: beside(&common.beside)? };
    let own = Target::new(&common.name, &urls, processes)?.read_from(&common.read_url)?;
    let mut targets = vec![own];
    for text in &common.compare {
        let (name, rest) = text.split_once('=').with_context(|| format!("{text}: NAME=URL"))?;
        let (url, nodes) = match rest.rsplit_once(',') {
            Some((url, pid)) => (url, vec![number(pid)?]),
            None => (rest, Vec::new()),
        };
        targets.push(Target::new(name, &[url], Processes { nodes, ..Processes::default() })?);
    }
    targets.iter().try_for_each(|target| check_processes(&target.processes))?;
    Ok(targets)
}

/// The processes beside the server, as NAME=PID.
fn beside(texts: &[String]) -> anyhow::Result<Vec<(String, u32)>> {
    let one = |text: &String| {
        let (name, pid) = text.split_once('=').with_context(|| format!("{text}: NAME=PID"))?;
        Ok((name.to_owned(), number(pid)?))
    };
    texts.iter().map(one).collect()
}

fn number(pid: &str) -> anyhow::Result<u32> {
    pid.parse().with_context(|| format!("pid {pid}"))
}

/// A process that is not there would look like one that needs nothing.
fn check_processes(processes: &Processes) -> anyhow::Result<()> {
    let beside = processes.beside.iter().map(|(_, pid)| pid);
    match processes.nodes.iter().chain(beside).find(|pid| Cpu::of(**pid).is_none()) {
        Some(pid) => bail!("there is no process {pid}"),
        None => Ok(()),
    }
}

/// Runs the scenario of the command line.
pub async fn run(ctx: &Context, cli: &Cli) -> anyhow::Result<Vec<Outcome>> {
    let targets = targets(&cli.common)?;
    let comparable = match cli.command {
        Command::Verify(_) | Command::Crash(_) | Command::Chat(_) => false,
        // Without a URL it is a server of its own.
        Command::ChatLoad(_) => !cli.common.url.is_empty(),
        _ => true,
    };
    ensure!(comparable || targets.len() == 1, "this scenario compares nothing");
    let rounds = cli.common.rounds.unwrap_or(if targets.len() > 1 { ROUNDS } else { 1 });
    let outcome = |target: &Target| Outcome { name: target.name.clone(), samples: Vec::new() };
    let mut outcomes: Vec<_> = targets.iter().map(outcome).collect();
    for round in 0..rounds.max(1) {
        // Nobody always goes first: what the first leaves behind would burden the others.
        for turn in 0..targets.len() {
            let at = (turn + round) % targets.len();
            let ctx = ctx.round(round);
            let sample = once(&ctx, cli, &targets[at]).await;
            let sample =
                sample.with_context(|| format!("round {round} of {}", targets[at].name))?;
            outcomes[at].samples.push(sample);
        }
    }
    Ok(outcomes)
}

async fn once(ctx: &Context, cli: &Cli, target: &Target) -> anyhow::Result<Sample> {
    let before = target.refusals();
    // Without a URL, the chat scenarios start a server of their own.
    let running = (!cli.common.url.is_empty()).then_some(target);
    let mut sample = match &cli.command {
        Command::Verify(args) => scenario::verify::run(ctx, args, target).await?,
        Command::Append(args) => scenario::append::run(ctx, args, target).await?,
        Command::Fanout(args) => scenario::fanout::run(ctx, args, target).await?,
        Command::Catchup(args) => scenario::catchup::run(ctx, args, target).await?,
        Command::Cardinality(args) => scenario::cardinality::run(ctx, args, target).await?,
        Command::Crash(args) => scenario::crash::run(ctx, args).await?,
        Command::Chat(args) => scenario::chat::run(ctx, args, running).await?,
        Command::ChatLoad(args) => scenario::chat::load::run(ctx, args, running).await?,
    };
    let patience = target.refusals() - before;
    if patience > 0 {
        sample.count("asked for patience (503)", patience);
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }
}
