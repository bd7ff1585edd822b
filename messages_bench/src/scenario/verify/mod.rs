//! Thousands of channels at once, each read by several clients that join at random moments. Every
//! client's whole content is compared with what must have been produced: by the server itself over
//! the plain interface, by the bench over the Durable Streams protocol.

mod durable;
mod plain;

use std::sync::Arc;

use clap::Args;
use indicatif::ProgressBar;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Context, bar, connections};
use crate::check::LineCheck;
use crate::client::Failure;
use crate::dialect::{Dialect, Target};
use crate::load::Recorder;
use crate::process::Snapshot;
use crate::sample::{Better, Sample};

/// What to produce and who reads it.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Channels, all produced at the same time.
    #[arg(long, default_value_t = 2000)]
    pub channels: usize,

    /// Clients that read each channel, besides the one that started it.
    #[arg(long, default_value_t = 5)]
    pub clients: usize,

    /// Lines a second in each channel.
    #[arg(long, default_value_t = 20)]
    pub freq: u32,

    /// Lines in each channel.
    #[arg(long, default_value_t = 50)]
    pub max: u64,

    /// Seconds over which the productions are started.
    #[arg(long, default_value_t = 1.0)]
    pub ramp: f64,
}

/// What all clients share.
struct Verify {
    args: VerifyArgs,
    target: Target,
    permits: Semaphore,
    joins: Recorder,
    bar: ProgressBar,
    seed: u64,
}

/// What one client has to tell.
#[derive(Default)]
struct Told {
    bytes: u64,
    resumed: bool,
    fault: Option<String>,
}

/// Runs the scenario.
pub async fn run(ctx: &Context, args: &VerifyArgs, target: &Target) -> anyhow::Result<Sample> {
    // The caller of a production is a reader as well.
    let callers = usize::from(target.dialect == Dialect::Plain);
    let clients = args.channels * (args.clients + callers);
    let verify = Arc::new(Verify {
        args: args.clone(),
        target: target.clone(),
        permits: Semaphore::new(connections()?),
        joins: Recorder::new(Instant::now()),
        bar: bar("verify".to_owned(), clients as u64),
        seed: ctx.seed,
    });
    let before = Snapshot::take(&target.processes);
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut channels = JoinSet::new();
    for channel in 0..args.channels {
        let id = ctx.stream("verify", "channel", channel);
        let (verify, tell) = (Arc::clone(&verify), tell.clone());
        match target.dialect {
            Dialect::Plain => channels.spawn(plain::produce(verify, channel, id, tell)),
            Dialect::Durable => channels.spawn(durable::produce(verify, channel, id, tell)),
        };
    }
    drop(tell);
    let (mut sample, mut bytes, mut resumed, mut heard) = (Sample::default(), 0, 0, 0u64);
    while let Some(client) = told.recv().await {
        let client: Told = client;
        verify.bar.inc(1);
        bytes += client.bytes;
        resumed += u64::from(client.resumed);
        heard += 1;
        if let Some(fault) = client.fault {
            sample.faults.add(fault);
        }
    }
    channels.join_all().await;
    verify.bar.finish_and_clear();
    if heard != clients as u64 {
        sample.faults.add(format!("only {heard} of {clients} clients came to an end"));
    }
    let used = Snapshot::take(&target.processes).since(before);
    report(&verify, &mut sample, heard, bytes, resumed, used);
    Ok(sample)
}

fn report(
    verify: &Verify,
    sample: &mut Sample,
    clients: u64,
    bytes: u64,
    resumed: u64,
    used: Snapshot,
) {
    let lasted = verify.joins.start.elapsed();
    sample.count("channels", verify.args.channels as u64);
    sample.count("clients", clients);
    sample.count("clients that broke off and resumed", resumed);
    sample.figure("content checked", "MiB", bytes as f64 / f64::from(1 << 20), Better::Neither);
    sample.figure("took", "s", lasted.as_secs_f64(), Better::Lower);
    sample.recorded(&verify.joins, "responses begun", lasted);
    let lines = clients * verify.args.max;
    sample.cpu(&used, lines, "µs/line delivered");
    if let Some(memory) = verify.target.processes.memory() {
        let peak = memory.peak as f64 / f64::from(1 << 20);
        sample.figure("server peak memory", "MiB", peak, Better::Lower);
    }
}

/// What is wrong with one client's content.
fn verdict(id: &str, client: usize, check: &LineCheck, failure: Option<Failure>) -> Option<String> {
    let difference = check.finish();
    let at = check.position();
    let text = match (failure, difference) {
        (None, None) => return None,
        (None, Some(difference)) => difference,
        (Some(failure), None) => format!("at byte {at}: {failure}"),
        (Some(failure), Some(difference)) => format!("at byte {at}: {failure}; {difference}"),
    };
    Some(format!("channel {id}, client {client}: {text}"))
}
