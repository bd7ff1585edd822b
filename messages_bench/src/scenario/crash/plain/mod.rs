//! The plain interface: small appends, and long bodies resumed at an offset.

mod readers;
mod writers;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use self::writers::{LongWritten, SmallWritten};
use super::CrashArgs;
use crate::check::{Ledger, Ledgers, RecordCheck, Truth};
use crate::dialect::{Session, Target};
use crate::process::Processes;
use crate::random::Random;
use crate::sample::{Better, Sample};
use crate::scenario::Context;
use crate::scenario::kills::Kills;
use crate::scenario::phase::{Announcer, Listener, Phase};
use crate::server::Server;

/// Bytes of a record in this scenario.
const RECORD_BYTES: usize = 256;

/// A stream and what is known of it.
struct Stream {
    id: String,
    truth: Truth,
}

/// Everything that the parts of a run share.
struct Run {
    target: Target,
    streams: Vec<Arc<Stream>>,
}

/// Starts everything, crashes, and judges.
pub async fn load(
    ctx: &Context,
    args: &CrashArgs,
    server: &mut Server,
    sample: &mut Sample,
) -> anyhow::Result<()> {
    let target = Target::new("messages", &[&server.url()], Processes::default())?;
    let stream = |number| {
        let kind = if number < args.streams { "small" } else { "long" };
        Arc::new(Stream { id: ctx.stream(kind, "crash", number), truth: Truth::default() })
    };
    let streams: Vec<_> = (0..args.streams + args.long).map(stream).collect();
    let run = Run { target, streams };
    let mut kills = Kills { starts: vec![server.start().await?], ..Kills::default() };
    let (announcer, phase) = Announcer::new(1, Duration::ZERO);

    let Workers { small, long, readers } = spawn(ctx, args, &run, &phase);
    let audit = async |kill| {
        audit(&run, &format!("after restart {kill}"), false, sample).await;
    };
    let killed = kills.inflict(ctx, (args.kills, args.pause()), server, &announcer, audit).await;
    // Whatever happened, the workers must come to their end.
    announcer.announce(Phase::Finish);
    killed?;
    let (small, long) = (small.join_all().await, long.join_all().await);
    let read = finish(server, &run, &announcer, readers, sample).await?;
    kills.report(sample);
    figures(sample, &run, read);
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
fn spawn(ctx: &Context, args: &CrashArgs, run: &Run, phase: &Listener) -> Workers {
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

/// Reads every stream whole: what was seen before must be there.
async fn audit(run: &Run, when: &str, closed: bool, sample: &mut Sample) {
    let mut session = Session::new(&run.target);
    for stream in &run.streams {
        let seen = stream.truth.len();
        let checked = readers::whole(&mut session, stream, seen, closed).await;
        if let Err(fault) = checked {
            sample.faults.add(format!("{}: {when}: {fault}", stream.id));
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
    audit(run, "at the end", true, sample).await;
    Ok(all)
}

/// The numbers of the run.
fn figures(sample: &mut Sample, run: &Run, read: readers::Read) {
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
