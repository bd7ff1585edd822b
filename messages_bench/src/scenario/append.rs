//! Small appends: each connection has one under way, and sends the next when it is acknowledged.
//! Afterwards every stream is read, and every acknowledged append must be there exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{Context, bar, run_clock};
use crate::check::{Ledger, Ledgers, RecordCheck};
use crate::dialect::{Session, Target};
use crate::load::Recorder;
use crate::process::Snapshot;
use crate::record::{self, Record};
use crate::sample::{Faults, Sample};

/// How much to append.
#[derive(Clone, Debug, Args)]
pub struct AppendArgs {
    /// Connections, each with one append under way.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,

    /// Streams that are appended to; as many as connections when not said.
    #[arg(long)]
    pub streams: Option<usize>,

    /// Bytes of one append.
    #[arg(long, default_value_t = 256)]
    pub size: usize,

    /// Seconds of measured load.
    #[arg(long, default_value_t = 10.0)]
    pub duration: f64,

    /// Seconds of load before the measurement.
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,

    /// Appends in all, instead of a duration.
    #[arg(long)]
    pub count: Option<u64>,
}

/// What the workers of a run share.
struct Load {
    args: AppendArgs,
    streams: Vec<String>,
    recorder: Recorder,
    until: Option<Instant>,
    budget: AtomicU64,
}

/// What a worker did: its ledger for each stream it wrote to.
struct Written {
    worker: u32,
    ledgers: Vec<(usize, Ledger)>,
    failure: Option<String>,
}

/// Runs the scenario once.
pub async fn run(ctx: &Context, args: &AppendArgs, target: &Target) -> anyhow::Result<Sample> {
    record::check_size(args.size)?;
    ensure!(args.connections > 0, "--connections must be 1 or more");
    let count = args.streams.unwrap_or(args.connections).max(1);
    let streams: Vec<_> = (0..count).map(|i| ctx.stream("append", &target.name, i)).collect();
    let mut session = Session::new(target);
    for stream in &streams {
        session.create(stream, &bytes::Bytes::new()).await?;
    }
    let memory = target.processes.memory();
    let warmup = if args.count.is_some() { 0.0 } else { args.warmup };
    let start = Instant::now() + Duration::from_secs_f64(warmup);
    let load = Arc::new(Load {
        args: args.clone(),
        streams,
        recorder: Recorder::new(start),
        until: args.count.is_none().then(|| start + Duration::from_secs_f64(args.duration)),
        budget: AtomicU64::new(args.count.unwrap_or(u64::MAX)),
    });
    let (used, written) = drive(ctx, &load, target).await?;
    let mut sample = Sample::default();
    let lasted = load.recorder.open().last;
    sample.recorded(&load.recorder, "appends", lasted);
    let appends = load.recorder.open().operations;
    sample.cpu(&used, appends, "µs/append");
    if let Some((before, after)) = memory.zip(target.processes.memory()) {
        let grown = after.resident.saturating_sub(before.resident) as f64;
        sample.grown("server memory grown", "MiB", grown / f64::from(1 << 20));
    }
    verify(ctx, &load, target, &written, &mut sample).await;
    Ok(sample)
}

/// Runs the workers; the CPU time is that of the measured part.
async fn drive(
    ctx: &Context,
    load: &Arc<Load>,
    target: &Target,
) -> anyhow::Result<(Snapshot, Vec<Written>)> {
    let mut workers = JoinSet::new();
    for number in 0..load.args.connections {
        let (load, session) = (Arc::clone(load), Session::new(&target.writing(number)));
        let (epoch, filler) = (ctx.epoch, ctx.filler);
        workers.spawn(async move { worker(number, load, session, epoch, filler).await });
    }
    let server = &target.processes;
    sleep_until(load.recorder.start).await;
    let before = Snapshot::take(server);
    let mut used = None;
    if let Some(until) = load.until {
        run_clock(format!("append to {}", target.name), until).await;
        used = Some(Snapshot::take(server));
    }
    let mut written = Vec::new();
    while let Some(worker) = workers.join_next().await {
        written.push(worker?);
    }
    let used = used.unwrap_or_else(|| Snapshot::take(server)).since(before);
    Ok((used, written))
}

/// One connection: writes to its own streams in turns.
async fn worker(
    number: usize,
    load: Arc<Load>,
    mut session: Session,
    epoch: Instant,
    filler: &'static record::Filler,
) -> Written {
    let (count, connections) = (load.streams.len(), load.args.connections);
    let own: Vec<usize> = (number % count..count).step_by(connections.max(1)).collect();
    let appends: Vec<_> = own.iter().map(|at| session.prepare(&load.streams[*at])).collect();
    let worker = number as u32;
    let mut ledgers: Vec<_> = own.iter().map(|at| (*at, Ledger::default())).collect();
    let mut failure = None;
    let mut turn = 0;
    while load.until.is_none_or(|until| Instant::now() < until) && load.take() {
        let ledger = &mut ledgers[turn].1;
        let began = Instant::now();
        let time = u64::try_from(began.duration_since(epoch).as_nanos()).unwrap_or(u64::MAX);
        let record = Record { writer: worker, sequence: ledger.issued, time };
        let body = filler.encode(record, load.args.size);
        ledger.issued += 1;
        if let Err(error) = session.append(&appends[turn], &body).await {
            ledger.doubtful.push(ledger.issued - 1);
            failure = Some(error.to_string());
            break;
        }
        if load.until.is_none_or(|until| Instant::now() < until) {
            load.recorder.note(began);
        }
        turn = (turn + 1) % own.len();
    }
    Written { worker, ledgers, failure }
}

impl Load {
    /// Takes one append out of the budget.
    fn take(&self) -> bool {
        let (order, less) = (Ordering::Relaxed, |left: u64| left.checked_sub(1));
        self.budget.fetch_update(order, order, less).is_ok()
    }
}

/// Reads every stream and compares it with what its writers know.
async fn verify(
    ctx: &Context,
    load: &Load,
    target: &Target,
    written: &[Written],
    sample: &mut Sample,
) {
    let mut ledgers = vec![Ledgers::new(); load.streams.len()];
    for worker in written {
        if let Some(failure) = &worker.failure {
            sample.faults.add(format!("writer {}: {failure}", worker.worker));
        }
        for (stream, ledger) in &worker.ledgers {
            ledgers[*stream].insert(worker.worker, ledger.clone());
        }
    }
    let bar = bar(format!("check {}", target.name), load.streams.len() as u64);
    let mut records = 0;
    for (number, (stream, ledgers)) in load.streams.iter().zip(&ledgers).enumerate() {
        let mut session = Session::new(&target.reading(number));
        records +=
            read_back(ctx, &mut session, stream, ledgers, load.args.size, &mut sample.faults).await;
        bar.inc(1);
    }
    bar.finish_and_clear();
    sample.count("records verified", records);
}

/// Reads one stream whole and checks it; tells how many records are right.
pub async fn read_back(
    ctx: &Context,
    session: &mut Session,
    stream: &str,
    ledgers: &Ledgers,
    size: usize,
    faults: &mut Faults,
) -> u64 {
    let mut check = RecordCheck::new(size);
    let mut read = session.seal(stream).await;
    if read.is_ok() {
        read = session.read(stream, |piece| check.feed(ctx.filler, piece, |_| ())).await;
    }
    if let Err(failure) = read {
        faults.add(format!("{stream}: reading back: {failure}"));
        session.disconnect();
    }
    let verdict = check.finish(ctx.filler, ledgers);
    faults.add_all(stream, verdict.faults);
    verdict.records
}
