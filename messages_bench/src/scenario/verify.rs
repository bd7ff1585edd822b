//! Thousands of channels at once, each produced by the server and read by several clients that
//! join at random moments. Every client's whole content is compared with what must have been
//! produced.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Context, bar, connections};
use crate::check::{LineCheck, lines_len};
use crate::client::Failure;
use crate::dialect::{Session, Target};
use crate::load::Recorder;
use crate::process::{Memory, Snapshot};
use crate::random::Random;
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
    let clients = args.channels * (args.clients + 1);
    let verify = Arc::new(Verify {
        args: args.clone(),
        target: target.clone(),
        permits: Semaphore::new(connections()?),
        joins: Recorder::new(Instant::now()),
        bar: bar("verify".to_owned(), clients as u64),
        seed: ctx.seed,
    });
    let before = Snapshot::take(target.pid);
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut channels = JoinSet::new();
    for channel in 0..args.channels {
        let id = ctx.stream("verify", "channel", channel);
        channels.spawn(produce(Arc::clone(&verify), channel, id, tell.clone()));
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
    let used = Snapshot::take(target.pid).since(before);
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
    sample.cpu(used, lines, "µs/line delivered");
    if let Some(memory) = verify.target.pid.and_then(Memory::of) {
        let peak = memory.peak as f64 / f64::from(1 << 20);
        sample.figure("server peak memory", "MiB", peak, Better::Lower);
    }
}

/// Starts one channel, reads it as its first client, and sends the others.
async fn produce(
    verify: Arc<Verify>,
    channel: usize,
    id: String,
    tell: mpsc::UnboundedSender<Told>,
) {
    let mut random = Random::new(verify.seed, channel as u64);
    sleep(random.up_to(Duration::from_secs_f64(verify.args.ramp))).await;
    let mut session = Session::new(&verify.target);
    let permit = verify.permits.acquire().await;
    let began = Instant::now();
    let started = session.produce(&id, verify.args.freq, verify.args.max).await;
    let mut follow = match started {
        Ok(follow) => follow,
        Err(failure) => {
            let fault = format!("channel {id}: not started: {failure}");
            let told = |fault| Told { fault, ..Told::default() };
            // Its clients have nothing to read: they count as heard, with one fault for them all.
            (0..verify.args.clients).for_each(|_| drop(tell.send(told(None))));
            return drop(tell.send(told(Some(fault))));
        }
    };
    verify.joins.note(began);
    for client in 1..=verify.args.clients {
        let random = Random::new(random.next(), client as u64);
        tokio::spawn(join(Arc::clone(&verify), client, id.clone(), random, tell.clone()));
    }
    let mut check = LineCheck::new(&id, verify.args.max);
    // Every fourth caller leaves early: the production must go on without it.
    let leaves = random.one_in(4).then(|| random.below(lines_len(&id, verify.args.max)));
    let read = read_to(&mut session, &mut follow, &mut check, leaves.unwrap_or(u64::MAX)).await;
    drop(permit);
    let left = matches!(read, Ok(false));
    let fault = if left { None } else { verdict(&id, 0, &check, read.err()) };
    let _ = tell.send(Told { bytes: check.position(), resumed: false, fault });
}

/// One client: joins at a random moment, perhaps breaks off and comes back, and reads to the end.
async fn join(
    verify: Arc<Verify>,
    client: usize,
    id: String,
    mut random: Random,
    tell: mpsc::UnboundedSender<Told>,
) {
    let length = verify.args.max as f64 / f64::from(verify.args.freq.max(1));
    // Some join only when everything is over.
    sleep(random.up_to(Duration::from_secs_f64(length * 1.2))).await;
    let permit = verify.permits.acquire().await;
    let mut session = Session::new(&verify.target);
    let mut check = LineCheck::new(&id, verify.args.max);
    let breaks = random.one_in(5).then(|| random.below(lines_len(&id, verify.args.max)));
    let mut read =
        attempt(&verify, &mut session, &id, &mut check, breaks.unwrap_or(u64::MAX)).await;
    let resumed = matches!(read, Ok(false));
    if resumed {
        session.disconnect();
        read = attempt(&verify, &mut session, &id, &mut check, u64::MAX).await;
    }
    drop(permit);
    let fault = verdict(&id, client, &check, read.err());
    let _ = tell.send(Told { bytes: check.position(), resumed, fault });
}

/// Reads from where `check` is, up to `stop` bytes; false if stopped there.
async fn attempt(
    verify: &Verify,
    session: &mut Session,
    id: &str,
    check: &mut LineCheck,
    stop: u64,
) -> Result<bool, Failure> {
    let began = Instant::now();
    let mut follow = session.follow_from(id, check.position()).await?;
    verify.joins.note(began);
    read_to(session, &mut follow, check, stop).await
}

async fn read_to(
    session: &mut Session,
    follow: &mut crate::dialect::Follow,
    check: &mut LineCheck,
    stop: u64,
) -> Result<bool, Failure> {
    while session.next(follow, |piece| check.feed(piece)).await? {
        if check.position() >= stop {
            return Ok(false);
        }
        if check.is_broken() {
            return Ok(true);
        }
    }
    Ok(true)
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
