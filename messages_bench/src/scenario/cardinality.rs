//! New streams, each with a first append, as fast as they can be created. A sample of them is
//! read back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::append::read_back;
use super::{Context, bar};
use crate::check::{Ledger, Ledgers};
use crate::dialect::{Session, Target};
use crate::limits;
use crate::load::Recorder;
use crate::process::Snapshot;
use crate::random::Random;
use crate::record::{self, Record};
use crate::sample::Sample;

/// How many streams to create.
#[derive(Clone, Debug, Args)]
pub struct CardinalityArgs {
    /// Connections, each with one creation under way.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,

    /// Streams to create.
    #[arg(long, default_value_t = 20_000)]
    pub count: u64,

    /// Bytes of the first append.
    #[arg(long, default_value_t = 256)]
    pub size: usize,
}

/// Runs the scenario once.
pub async fn run(ctx: &Context, args: &CardinalityArgs, target: &Target) -> anyhow::Result<Sample> {
    record::check_size(args.size)?;
    let memory = || target.processes.memory();
    let without = memory();
    let before = Snapshot::take(&target.processes);
    let recorder = Recorder::new(Instant::now());
    let bar = bar(format!("create on {}", target.name), args.count);
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for number in 0..args.connections {
        let (ctx, target, args) = (ctx.clone(), target.clone(), args.clone());
        let (recorder, next, bar) = (recorder.clone(), Arc::clone(&next), bar.clone());
        workers.spawn(async move {
            let mut session = Session::new(&target.writing(number));
            create(&ctx, &args, &target, &mut session, &recorder, &next, &bar).await
        });
    }
    let failures: Vec<String> = workers.join_all().await.into_iter().flatten().collect();
    let used = Snapshot::take(&target.processes).since(before);
    bar.finish_and_clear();

    let mut sample = Sample::default();
    let (last, created) = {
        let r = recorder.open();
        (r.last, r.operations)
    };
    sample.recorded(&recorder, "creates", last);
    sample.cpu(&used, created, "µs/create");
    if let Some((without, now)) = without.zip(memory()) {
        let grown = now.resident.saturating_sub(without.resident);
        let each = grown as f64 / created.max(1) as f64;
        sample.grown("memory per stream", "bytes", each);
    }
    sample.count("streams created", created);
    sample.faults.add_all("create", failures);
    if sample.faults.total == 0 {
        spot_check(ctx, args, target, &mut sample).await;
    }
    Ok(sample)
}

/// One connection: creates streams until there are enough; tells what went wrong.
async fn create(
    ctx: &Context,
    args: &CardinalityArgs,
    target: &Target,
    session: &mut Session,
    recorder: &Recorder,
    next: &AtomicU64,
    bar: &indicatif::ProgressBar,
) -> Option<String> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= args.count {
            return None;
        }
        let began = Instant::now();
        let record = Record { writer: number as u32, sequence: 0, time: ctx.nanos(began) };
        let body = ctx.filler.encode(record, args.size);
        let stream = ctx.stream("new", &target.name, number as usize);
        if let Err(failure) = session.create(&stream, &body).await {
            return Some(format!("{stream}: {failure}"));
        }
        recorder.note(began);
        bar.inc(1);
    }
}

/// Reads streams at random; each must hold its one record.
async fn spot_check(ctx: &Context, args: &CardinalityArgs, target: &Target, sample: &mut Sample) {
    let mut random = Random::new(ctx.seed, 0x5707);
    let mut session = Session::new(&target.reading(0));
    let mut records = 0;
    let checked = limits::SPOT_CHECKS.min(args.count);
    for turn in 0..checked {
        // One out of each equal part, so that none is read twice and all ages are looked at.
        let part = args.count / checked;
        let number = turn * part + random.below(part);
        let stream = ctx.stream("new", &target.name, number as usize);
        let ledger = Ledger { issued: 1, doubtful: Vec::new() };
        let ledgers = Ledgers::from([(number as u32, ledger)]);
        let faults = &mut sample.faults;
        records += read_back(ctx, &mut session, &stream, &ledgers, args.size, faults).await;
    }
    sample.count("streams read back", records);
}
