//! Live readers of a stream that one writer fills: how late each record comes to each reader, what
//! a delivery costs, and whether every reader sees every record once and in order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Context, bar, connections, run_clock};
use crate::check::{Ledger, Ledgers, RecordCheck};
use crate::dialect::{Dialect, Follow, Session, Target};
use crate::limits;
use crate::load::{Pace, Recorder};
use crate::process::{Memory, Snapshot};
use crate::record::{self, Record};
use crate::sample::{Better, Sample};

/// Readers that connect at the same time; more would overflow the queue of a listening socket.
const CONNECTING: usize = 64;

/// The writer of each stream.
const WRITER: u32 = 1;

/// How many readers, and what they get.
#[derive(Clone, Debug, Args)]
pub struct FanoutArgs {
    /// Readers in all; they all connect before the writer starts.
    #[arg(long, default_value_t = 500)]
    pub readers: usize,

    /// Streams, each with a writer and its share of the readers.
    #[arg(long, default_value_t = 1)]
    pub streams: usize,

    /// Records a second to each stream; 0 writes the next as soon as the last is acknowledged.
    #[arg(long, default_value_t = 50.0)]
    pub rate: f64,

    /// Bytes of one record.
    #[arg(long, default_value_t = 256)]
    pub size: usize,

    /// Seconds of writing.
    #[arg(long, default_value_t = 10.0)]
    pub duration: f64,

    /// Seconds for which the readers are connected and nothing is written.
    #[arg(long, default_value_t = 1.0)]
    pub idle: f64,
}

/// How far the run is, for the readers.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Writing,
    /// Everything has been written: so many records.
    Written(u64),
    /// Whoever is not through by now is late.
    Late,
}

/// What a reader has to tell.
struct Reader {
    number: usize,
    stream: usize,
    check: RecordCheck,
    problem: Option<String>,
}

/// A connected reader.
struct Connected {
    number: usize,
    stream: usize,
    session: Session,
    follow: Follow,
}

/// Runs the scenario once.
pub async fn run(ctx: &Context, args: &FanoutArgs, target: &Target) -> anyhow::Result<Sample> {
    record::check_size(args.size)?;
    connections()?;
    let count = args.streams.max(1);
    let streams: Vec<_> = (0..count).map(|i| ctx.stream("fanout", &target.name, i)).collect();
    let mut session = Session::new(target);
    for stream in &streams {
        session.create(stream, &Bytes::new()).await?;
    }
    let memory = || target.processes.memory();
    let without = memory();
    let connected = connect(args, target, &streams).await?;
    let idle_cpu = Snapshot::take(&target.processes);
    sleep(Duration::from_secs_f64(args.idle)).await;
    let idle_cpu = Snapshot::take(&target.processes).since(idle_cpu);
    let idle = memory();

    let recorder = Recorder::new(Instant::now());
    let before = Snapshot::take(&target.processes);
    let (stage, watch) = stages(count);
    let mut readers = JoinSet::new();
    for reader in connected {
        let watch = watch[reader.stream].clone();
        let (recorder, dialect) = (recorder.clone(), target.dialect);
        readers.spawn(read(ctx.epoch, ctx.filler, args.size, reader, watch, recorder, dialect));
    }
    let mut sample = Sample::default();
    let ledgers = write(ctx, args, target, &streams, &stage, &mut sample).await?;
    let loaded = memory();
    let readers = settle(readers, &stage).await?;
    let used = Snapshot::take(&target.processes).since(before);

    let (last, deliveries) = {
        let r = recorder.open();
        (r.last, r.operations)
    };
    sample.recorded(&recorder, "deliveries", last);
    let written: u32 = ledgers.iter().map(|ledger| ledger.issued).sum();
    let seconds = last.as_secs_f64().max(1e-9);
    sample.figure("appends", "/s", f64::from(written) / seconds, Better::Higher);
    sample.cpu(&used, deliveries, "µs/delivery");
    let each = |now: Option<Memory>| {
        let (now, without) = now.zip(without)?;
        let grown = now.resident.saturating_sub(without.resident);
        Some(grown as f64 / 1024.0 / args.readers.max(1) as f64)
    };
    if let Some((idle, loaded)) = each(idle).zip(each(loaded)) {
        sample.grown("memory per idle reader", "KiB", idle);
        sample.grown("memory per busy reader", "KiB", loaded);
    }
    if let Some(server) = idle_cpu.server() {
        let share = 100.0 * server.total().as_secs_f64() / args.idle.max(1e-9);
        sample.figure("server CPU while idle", "%", share, Better::Lower);
    }
    sample.count("readers", readers.len() as u64);
    sample.count("records written", u64::from(written));
    judge(ctx, &streams, readers, &ledgers, &mut sample);
    Ok(sample)
}

/// One announcement for each stream.
fn stages(count: usize) -> (Vec<watch::Sender<Stage>>, Vec<watch::Receiver<Stage>>) {
    (0..count).map(|_| watch::channel(Stage::Writing)).unzip()
}

/// Connects all readers: each has the head of its response when this returns.
async fn connect(
    args: &FanoutArgs,
    target: &Target,
    streams: &[String],
) -> anyhow::Result<Vec<Connected>> {
    let bar = bar(format!("connect to {}", target.name), args.readers as u64);
    let connect = |number: usize| {
        let (stream, bar) = (number % streams.len(), &bar);
        async move {
            let mut session = Session::new(&target.reading(number));
            session.expect_silence(Duration::from_secs_f64(args.idle + args.duration));
            let follow = session.follow(&streams[stream]).await?;
            bar.inc(1);
            anyhow::Ok(Connected { number, stream, session, follow })
        }
    };
    let connected = stream::iter((0..args.readers).map(connect)).buffer_unordered(CONNECTING);
    let connected = connected.try_collect().await;
    bar.finish_and_clear();
    connected
}

/// Writes to all streams and tells their readers when that is over.
async fn write(
    ctx: &Context,
    args: &FanoutArgs,
    target: &Target,
    streams: &[String],
    stages: &[watch::Sender<Stage>],
    sample: &mut Sample,
) -> anyhow::Result<Vec<Ledger>> {
    let until = Instant::now() + Duration::from_secs_f64(args.duration);
    let clock = run_clock(format!("fan out on {}", target.name), until);
    let writers =
        streams.iter().zip(stages).enumerate().map(|(number, (stream, stage))| async move {
            let mut session = Session::new(&target.writing(number));
            let (ledger, failure) = writer(ctx, args, &mut session, stream, until).await;
            stage.send_replace(Stage::Written(u64::from(ledger.issued)));
            // Where a closed stream ends its readers' responses, they check that end as well.
            let sealed = session.seal(stream).await.err().map(|failure| failure.to_string());
            (ledger, failure.or(sealed))
        });
    let (written, ()) = tokio::join!(futures::future::join_all(writers), clock);
    let mut ledgers = Vec::with_capacity(written.len());
    for ((ledger, failure), stream) in written.into_iter().zip(streams) {
        sample.faults.add_all(stream, failure.map(|failure| format!("writer: {failure}")));
        ledgers.push(ledger);
    }
    Ok(ledgers)
}

async fn writer(
    ctx: &Context,
    args: &FanoutArgs,
    session: &mut Session,
    stream: &str,
    until: Instant,
) -> (Ledger, Option<String>) {
    let append = session.prepare(stream);
    let mut pace = Pace::new(args.rate);
    let mut ledger = Ledger::default();
    loop {
        let due = pace.next().await;
        if due >= until {
            return (ledger, None);
        }
        let record = Record { writer: WRITER, sequence: ledger.issued, time: ctx.nanos(due) };
        ledger.issued += 1;
        if let Err(failure) = session.append(&append, &ctx.filler.encode(record, args.size)).await {
            ledger.doubtful.push(record.sequence);
            return (ledger, Some(failure.to_string()));
        }
    }
}

/// Reads one stream to its end.
async fn read(
    epoch: Instant,
    filler: &'static record::Filler,
    size: usize,
    reader: Connected,
    mut watch: watch::Receiver<Stage>,
    recorder: Recorder,
    dialect: Dialect,
) -> Reader {
    let Connected { number, stream, mut session, mut follow } = reader;
    let mut check = RecordCheck::new(size);
    let mut stage = *watch.borrow_and_update();
    let problem = loop {
        // A body that ends with its stream is read to that end, the others to the last record.
        let all = matches!(stage, Stage::Written(records) if check.records() >= records);
        if all && dialect == Dialect::Durable {
            break None;
        }
        let next = session.next(&mut follow, |piece| {
            let now = Instant::now();
            let nanos = u64::try_from(now.duration_since(epoch).as_nanos()).unwrap_or(u64::MAX);
            let (mut recorded, records) = (recorder.open(), check.records());
            check.feed(filler, piece, |record| {
                recorded.latency(Duration::from_nanos(nanos.saturating_sub(record.time)));
            });
            let at = now.saturating_duration_since(recorder.start);
            recorded.count(at, check.records() - records);
        });
        select! {
            biased;
            more = next => match more {
                Ok(true) => (),
                Ok(false) if matches!(stage, Stage::Writing) && *watch.borrow() == Stage::Writing => {
                    break Some("the response ended while the stream was open".to_owned());
                }
                Ok(false) => break None,
                Err(failure) => break Some(failure.to_string()),
            },
            _ = watch.changed() => stage = *watch.borrow_and_update(),
        }
        if stage == Stage::Late {
            break Some(format!("behind after {} s of waiting", limits::SETTLE.as_secs()));
        }
    };
    Reader { number, stream, check, problem }
}

/// Waits for the readers that are behind, within limits.
async fn settle(
    mut readers: JoinSet<Reader>,
    stages: &[watch::Sender<Stage>],
) -> anyhow::Result<Vec<Reader>> {
    let mut done = Vec::with_capacity(readers.len());
    let late = Instant::now() + limits::SETTLE;
    while !readers.is_empty() {
        let left = late.saturating_duration_since(Instant::now());
        match timeout(left, readers.join_next()).await {
            Ok(Some(reader)) => done.push(reader?),
            Ok(None) => break,
            Err(_) => {
                for stage in stages {
                    stage.send_replace(Stage::Late);
                }
                while let Some(reader) = readers.join_next().await {
                    done.push(reader?);
                }
            }
        }
    }
    Ok(done)
}

/// Adds what the readers saw to the sample.
fn judge(
    ctx: &Context,
    streams: &[String],
    readers: Vec<Reader>,
    ledgers: &[Ledger],
    sample: &mut Sample,
) {
    let ledgers: Arc<[_]> =
        ledgers.iter().map(|ledger| Ledgers::from([(WRITER, ledger.clone())])).collect();
    for reader in readers {
        let place = format!("{}, reader {}", streams[reader.stream], reader.number);
        sample.faults.add_all(&place, reader.problem);
        let verdict = reader.check.finish(ctx.filler, &ledgers[reader.stream]);
        sample.faults.add_all(&place, verdict.faults);
    }
}
