//! The Durable Streams protocol: idempotent producers, forks and forks of forks, closing, deletion,
//! readers of all kinds. Every reader must see everything that was acknowledged exactly once and in
//! order, and nothing that was not sent.

mod audit;
mod check;
mod gardener;
mod look;
mod payload;
mod producer;
mod reader;
mod run;
mod stream;
mod streamer;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};

use self::gardener::Gardener;
use self::run::{Counts, Run};
use self::stream::Progress;
use super::CrashArgs;
use crate::dialect::{Patience, Target};
use crate::limits;
use crate::nodes::{Faults, Nodes};
use crate::random::Random;
use crate::sample::{Better, Sample};
use crate::scenario::Context;
use crate::scenario::kills::Kills;
use crate::scenario::phase::{Announcer, Phase};

/// Starts everything, crashes, and judges.
pub async fn load(
    ctx: &Context,
    args: &CrashArgs,
    nodes: &mut Nodes,
    sample: &mut Sample,
) -> anyhow::Result<()> {
    let run = Arc::new(new_run(ctx, args, nodes)?);
    let mut kills = Kills { starts: nodes.start().await?, ..Kills::default() };
    let mut faults = Faults::new(&args.nodes, ctx.seed);
    let grace = if args.has_faults() { limits::GRACE } else { Duration::ZERO };
    let (announcer, phase) = Announcer::new(nodes.len(), grace);
    let gardener = tokio::spawn(Gardener::new(ctx, args, &run, &phase).work());
    let random = Mutex::new(Random::new(ctx.seed, 0xA0D1));
    let disturbed = if args.has_faults() {
        let until = Instant::now() + args.time();
        let patrol = audit::patrol(Arc::clone(&run), phase, Random::new(ctx.seed, 0x9A70));
        let patrol = tokio::spawn(patrol);
        let disturbed = faults.inflict(nodes, &announcer, until, args.pause()).await;
        announcer.announce(Phase::Finish);
        patrol.await?;
        disturbed
    } else {
        let audit = async |_| audit::all(&run, &run.nodes[0], &mut *random.lock().await).await;
        kills.inflict(ctx, (args.kills, args.pause()), nodes.first(), &announcer, audit).await
    };
    // Whatever happened, everybody must come to an end.
    announcer.announce(Phase::Finish);
    disturbed?;
    finish(gardener.await?).await?;
    let mut random = random.into_inner();
    if nodes.len() > 1 {
        look_everywhere(&run, &mut random).await;
    }
    // What follows comes from what is stored.
    nodes.kill().await?;
    nodes.start().await?;
    look_everywhere(&run, &mut random).await;
    match args.has_faults() {
        true => faults.report(sample),
        false => kills.report(sample),
    }
    judge(&run, sample);
    Ok(())
}

/// A run on these nodes.
fn new_run(ctx: &Context, args: &CrashArgs, nodes: &Nodes) -> anyhow::Result<Run> {
    let patience = match args.has_faults() {
        true => Patience { answer: limits::PATIENCE, silence: limits::SIGN_OF_LIFE },
        false => Patience::default(),
    };
    let of = |path| Target::nodes(&nodes.urls(), path, patience);
    Ok(Run::new(of("/v1/stream")?, of("")?, ctx.filler, ctx.seed))
}

/// Waits for writers, closes everything, and waits for readers.
async fn finish(mut gardener: Gardener) -> anyhow::Result<()> {
    while let Some(done) = gardener.producers.join_next().await {
        done?;
    }
    gardener.close_all().await;
    while let Some(done) = gardener.readers.join_next().await {
        done?;
    }
    Ok(())
}

/// Reads every stream from every node.
async fn look_everywhere(run: &Run, random: &mut Random) {
    for node in &run.nodes {
        audit::all(run, node, random).await;
    }
}

/// The numbers of the run, and what was wrong.
fn judge(run: &Run, sample: &mut Sample) {
    let streams = run.streams();
    let doubtful: u64 = streams
        .iter()
        .map(|stream| audit::judge(run, stream, stream.deleted() == Progress::No))
        .sum();
    let stored: u64 = streams.iter().map(|stream| stream.len() - stream.base()).sum();
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let Counts { read, .. } = &run.counts;
    sample.figure("content written", "MiB", mebibytes(stored), Better::Neither);
    let read = mebibytes(read.load(Ordering::Relaxed));
    sample.figure("content read by followers", "MiB", read, Better::Neither);
    let forks = streams.iter().filter(|stream| stream.origin.is_some()).count();
    let depth = streams.iter().map(|stream| depth(stream)).max().unwrap_or(0);
    sample.count("streams", streams.len() as u64);
    sample.count("of these forks", forks as u64);
    sample.count("deepest fork", depth);
    let c = &run.counts;
    let counted = [
        ("streams deleted", &c.deletions),
        ("streams closed", &c.closings),
        ("appends acknowledged", &c.appends),
        ("of these by a repetition", &c.found),
        ("appends that overtook others", &c.gaps),
        ("late duplicates, answered as at first", &c.late),
        ("sessions taken over", &c.epochs),
        ("appends of old sessions refused", &c.fenced),
        ("requests repeated after a fault", &c.repeated),
        ("requests given up as silent", &c.silent),
        ("acknowledgements looked at elsewhere", &c.looks),
        ("deliveries", &c.deliveries),
        ("readers resumed", &c.resumed),
        ("whole reads by auditors", &c.audits),
    ];
    for (name, counter) in counted {
        sample.count(name, counter.load(Ordering::Relaxed));
    }
    sample.count("in doubt and stored", doubtful);
    let longest = [
        ("longest time of an append", &c.longest_append),
        ("longest outage of a reader", &c.longest_read),
    ];
    for (name, millis) in longest {
        let millis = millis.load(Ordering::Relaxed) as f64;
        sample.figure(name, "ms", millis, Better::Neither);
    }
    run.faults().into_iter().for_each(|fault| sample.faults.add(fault));
}

/// How many forks lie between a stream and its root.
fn depth(stream: &stream::Stream) -> u64 {
    stream.origin.as_ref().map_or(0, |origin| 1 + depth(&origin.source))
}
