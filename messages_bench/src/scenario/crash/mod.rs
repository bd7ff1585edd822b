//! Kills the server again and again in the middle of load. What it acknowledged, and what any
//! reader has seen, must be there afterwards, in the same place, with the same bytes.

mod phase;
mod readers;
mod writers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::phase::{Announcer, Phase};
use self::writers::{LongWritten, SmallWritten};
use super::{Context, bar};
use crate::check::{Ledger, Ledgers, RecordCheck, Truth};
use crate::dialect::{Session, Target};
use crate::load::histogram;
use crate::random::Random;
use crate::sample::{Better, Sample};
use crate::server::{Server, ServerArgs};

/// Bytes of a record in this scenario.
const RECORD_BYTES: usize = 256;

/// What to load and how often to kill.
#[derive(Clone, Debug, Args)]
pub struct CrashArgs {
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,

    /// How often it is killed.
    #[arg(long, default_value_t = 20)]
    pub kills: u64,

    /// The longest time between two kills, in seconds.
    #[arg(long, default_value_t = 1.5)]
    pub pause: f64,

    /// Streams of small appends.
    #[arg(long, default_value_t = 4)]
    pub streams: usize,

    /// Writers of small appends to each of them.
    #[arg(long, default_value_t = 2)]
    pub writers: usize,

    /// Small appends a second by each writer; 0 writes as fast as it can.
    #[arg(long, default_value_t = 300.0)]
    pub rate: f64,

    /// Streams that are written in long bodies, resumed after each crash.
    #[arg(long, default_value_t = 4)]
    pub long: usize,

    /// Readers of each stream.
    #[arg(long, default_value_t = 2)]
    pub readers: usize,
}

/// A stream and what is known of it.
struct Stream {
    id: String,
    truth: Truth,
}

/// Everything that the parts of a run share.
struct Run {
    target: Target,
    streams: Vec<Arc<Stream>>,
    kills: u64,
    early: u64,
}

/// Runs the scenario.
pub async fn run(ctx: &Context, args: &CrashArgs) -> anyhow::Result<Sample> {
    let temporary = tempfile::Builder::new().prefix("messages-crash-").tempdir()?;
    let dir = args.server.data_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut server = Server::new(&args.server, &dir)?;
    let mut sample = Sample::default();
    let outcome = load(ctx, args, &mut server, &mut sample).await;
    if let Err(error) = &outcome {
        sample.faults.add(format!("the run broke off: {error:#}"));
    }
    let _ = server.kill().await;
    if sample.faults.total > 0 && args.server.data_dir.is_none() {
        let kept: PathBuf = temporary.keep();
        eprintln!("the server's data and log are kept in {}", kept.display());
    }
    Ok(sample)
}

/// Starts everything, crashes, and judges.
async fn load(
    ctx: &Context,
    args: &CrashArgs,
    server: &mut Server,
    sample: &mut Sample,
) -> anyhow::Result<()> {
    let target = Target::new("messages", &server.url(), None)?;
    let stream = |number| {
        let kind = if number < args.streams { "small" } else { "long" };
        Arc::new(Stream { id: ctx.stream(kind, "crash", number), truth: Truth::default() })
    };
    let streams: Vec<_> = (0..args.streams + args.long).map(stream).collect();
    let mut run = Run { target, streams, kills: 0, early: 0 };
    let first = server.start().await?;
    let (announcer, phase) = Announcer::new();

    let Workers { small, long, readers } = spawn(ctx, args, &run, &phase);
    let progress = bar("crash".to_owned(), args.kills);
    let restarts = crash(ctx, args, server, &mut run, &announcer, sample, &progress).await;
    progress.finish_and_clear();
    // Whatever happened, the workers must come to their end.
    announcer.announce(Phase::Finish);
    let restarts = restarts?;
    let (small, long) = (small.join_all().await, long.join_all().await);
    let read = finish(server, &run, &announcer, readers, sample).await?;
    figures(sample, &run, first, &restarts, read);
    judge(ctx, &run, args.streams, small, long, sample);
    Ok(())
}

/// Everybody who uses the server.
#[derive(Default)]
struct Workers {
    small: JoinSet<SmallWritten>,
    long: JoinSet<LongWritten>,
    readers: JoinSet<readers::Read>,
}

/// Sends the workers; they wait until the server is said to be there.
fn spawn(ctx: &Context, args: &CrashArgs, run: &Run, phase: &phase::Listener) -> Workers {
    let mut workers = Workers::default();
    for (number, stream) in run.streams.iter().enumerate() {
        let of = || (run.target.clone(), Arc::clone(stream), phase.clone());
        if number < args.streams {
            for writer in 0..args.writers {
                let (target, stream, phase) = of();
                let who = (number * args.writers + writer) as u32;
                workers.small.spawn(writers::small(
                    ctx.clone(),
                    target,
                    stream,
                    phase,
                    who,
                    args.rate,
                ));
            }
        } else {
            let (target, stream, phase) = of();
            workers.long.spawn(writers::long(ctx.clone(), target, stream, phase, number as u32));
        }
        for reader in 0..args.readers {
            let (target, stream, phase) = of();
            let random = Random::new(ctx.seed, 1 << 32 | (number << 16 | reader) as u64);
            workers.readers.spawn(readers::reader(target, stream, phase, random));
        }
    }
    workers
}

/// The kills; tells how long each restart took.
async fn crash(
    ctx: &Context,
    args: &CrashArgs,
    server: &mut Server,
    run: &mut Run,
    announcer: &Announcer,
    sample: &mut Sample,
    progress: &ProgressBar,
) -> anyhow::Result<Vec<Duration>> {
    let mut random = Random::new(ctx.seed, 0xDEAD);
    let mut restarts = Vec::new();
    announcer.announce(Phase::Up(0));
    for kill in 1..=args.kills {
        sleep(random.up_to(Duration::from_secs_f64(args.pause))).await;
        announcer.announce(Phase::Down);
        server.kill().await?;
        run.kills += 1;
        // Now and then it dies while it is still putting its data in order.
        while random.one_in(4) {
            server.spawn()?;
            sleep(random.up_to(Duration::from_millis(40))).await;
            server.kill().await?;
            run.early += 1;
        }
        restarts.push(server.start().await?);
        audit(run, false, sample).await;
        announcer.announce(Phase::Up(kill));
        progress.inc(1);
    }
    sleep(random.up_to(Duration::from_secs_f64(args.pause))).await;
    Ok(restarts)
}

/// Reads every stream whole: what was seen before must be there.
async fn audit(run: &Run, closed: bool, sample: &mut Sample) {
    let mut session = Session::new(&run.target);
    for stream in &run.streams {
        let seen = stream.truth.len();
        let checked = readers::whole(&mut session, stream, seen, closed).await;
        if let Err(fault) = checked {
            sample.faults.add(format!("{}: after restart {}: {fault}", stream.id, run.kills));
            session.disconnect();
        }
    }
}

/// Closes the streams, waits for the readers, and looks at everything once more after a crash.
async fn finish(
    server: &mut Server,
    run: &Run,
    announcer: &Announcer,
    readers: JoinSet<readers::Read>,
    sample: &mut Sample,
) -> anyhow::Result<readers::Read> {
    let mut session = Session::new(&run.target);
    for stream in &run.streams {
        if let Err(failure) = session.seal(&stream.id).await {
            sample.faults.add(format!("{}: closing: {failure}", stream.id));
        }
    }
    let mut all = readers::Read::default();
    for read in readers.join_all().await {
        all.add(read);
    }
    let faults = std::mem::take(&mut all.faults);
    sample.faults.add_all("reader", faults);
    announcer.announce(Phase::Down);
    server.kill().await?;
    server.start().await?;
    audit(run, true, sample).await;
    Ok(all)
}

/// The numbers of the run.
fn figures(
    sample: &mut Sample,
    run: &Run,
    first: Duration,
    restarts: &[Duration],
    read: readers::Read,
) {
    sample.count("kills under load", run.kills);
    sample.count("kills while starting", run.early);
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    sample.figure("first start", "ms", millis(first), Better::Lower);
    let mut sorted = restarts.to_vec();
    sorted.sort();
    let shown = [("restart median", sorted.len() / 2), ("restart max", sorted.len().max(1) - 1)];
    for (name, at) in shown {
        if let Some(time) = sorted.get(at) {
            sample.figure(name, "ms", millis(*time), Better::Lower);
        }
    }
    let mut latency = histogram();
    for time in restarts {
        latency.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
    sample.latency = Some(latency);
    let stored: u64 = run.streams.iter().map(|stream| stream.truth.len()).sum();
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    sample.figure("content stored", "MiB", mebibytes(stored), Better::Neither);
    sample.figure("content read by followers", "MiB", mebibytes(read.bytes), Better::Neither);
    sample.count("readers resumed", read.resumed);
    sample.count("readers began again", read.again);
}

/// Compares what is stored with what the writers know.
fn judge(
    ctx: &Context,
    run: &Run,
    small_streams: usize,
    small: Vec<SmallWritten>,
    long: Vec<LongWritten>,
    sample: &mut Sample,
) {
    let mut ledgers = std::collections::HashMap::<String, Ledgers>::new();
    let (mut acknowledged, mut doubtful) = (0, 0);
    for written in small {
        let Ledger { issued, doubtful: doubts } = &written.ledger;
        acknowledged += u64::from(*issued) - doubts.len() as u64;
        doubtful += doubts.len() as u64;
        sample.faults.add_all(&written.stream, written.faults);
        ledgers.entry(written.stream).or_default().insert(written.writer, written.ledger);
    }
    let (mut stored, mut torn) = (0, 0);
    for stream in &run.streams[..small_streams] {
        let mut check = RecordCheck::new(RECORD_BYTES);
        check.feed(ctx.filler, &stream.truth.content(), |_| ());
        let known = ledgers.remove(&stream.id).unwrap_or_default();
        let verdict = check.finish(ctx.filler, &known);
        stored += verdict.doubtful_stored;
        torn += verdict.torn;
        sample.faults.add_all(&stream.id, verdict.faults);
    }
    sample.count("small appends acknowledged", acknowledged);
    sample.count("small appends in doubt", doubtful);
    sample.count("in doubt and stored", stored);
    sample.count("in doubt and stored in part", torn);
    let (mut bodies, mut resumed) = (0, 0);
    for (stream, written) in run.streams[small_streams..].iter().zip(sorted(long)) {
        bodies += written.bodies;
        resumed += written.resumed;
        let wrong = writers::wrong(ctx.filler, &written, &stream.truth.content());
        sample.faults.add_all(&stream.id, written.faults.into_iter().chain(wrong));
    }
    sample.count("long bodies acknowledged", bodies);
    sample.count("long bodies resumed", resumed);
}

/// The writers of long bodies in the order of their streams.
fn sorted(mut written: Vec<LongWritten>) -> Vec<LongWritten> {
    written.sort_by_key(|written| written.writer);
    written
}
