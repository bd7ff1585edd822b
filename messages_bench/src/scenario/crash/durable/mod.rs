//! The Durable Streams protocol: idempotent producers, forks and forks of forks, closing, deletion,
//! readers of all kinds. Every reader must see everything that was acknowledged exactly once and in
//! order, and nothing that was not sent.

mod audit;
mod check;
mod gardener;
mod payload;
mod producer;
mod reader;
mod run;
mod stream;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Mutex;

use self::gardener::Gardener;
use self::run::{Counts, Run};
use self::stream::Progress;
use super::CrashArgs;
use crate::dialect::Target;
use crate::random::Random;
use crate::sample::{Better, Sample};
use crate::scenario::Context;
use crate::scenario::kills::Kills;
use crate::scenario::phase::{Announcer, Phase};
use crate::server::Server;

/// Starts everything, crashes, and judges.
pub async fn load(
    ctx: &Context,
    args: &CrashArgs,
    server: &mut Server,
    sample: &mut Sample,
) -> anyhow::Result<()> {
    let target = Target::new("messages", &format!("{}/v1/stream", server.url()), None)?;
    let run = Arc::new(Run::new(target, ctx.filler, ctx.seed));
    let mut kills = Kills { starts: vec![server.start().await?], ..Kills::default() };
    let (announcer, phase) = Announcer::new();
    let gardener = tokio::spawn(Gardener::new(ctx, args, &run, &phase).work());
    let random = Mutex::new(Random::new(ctx.seed, 0xA0D1));
    let audit = async |_| audit::all(&run, &mut *random.lock().await).await;
    let killed = kills.inflict(ctx, args.kills(), server, &announcer, audit).await;
    // Whatever happened, everybody must come to an end.
    announcer.announce(Phase::Finish);
    killed?;
    let mut gardener = gardener.await?;
    while let Some(done) = gardener.producers.join_next().await {
        done?;
    }
    gardener.close_all().await;
    while let Some(done) = gardener.readers.join_next().await {
        done?;
    }
    announcer.announce(Phase::Down);
    server.kill().await?;
    server.start().await?;
    audit::all(&run, &mut *random.lock().await).await;
    kills.report(sample);
    judge(&run, sample);
    Ok(())
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
        ("requests repeated after a kill", &c.repeated),
        ("readers resumed", &c.resumed),
        ("whole reads after restarts", &c.audits),
    ];
    for (name, counter) in counted {
        sample.count(name, counter.load(Ordering::Relaxed));
    }
    sample.count("in doubt and stored", doubtful);
    run.faults().into_iter().for_each(|fault| sample.faults.add(fault));
}

/// How many forks lie between a stream and its root.
fn depth(stream: &stream::Stream) -> u64 {
    stream.origin.as_ref().map_or(0, |origin| 1 + depth(&origin.source))
}
