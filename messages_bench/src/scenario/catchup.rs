//! A large stream that readers read whole, again and again. Every byte is compared.

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Context, run_clock};
use crate::check::excerpt;
use crate::dialect::{Session, Target};
use crate::load::Recorder;
use crate::process::Snapshot;
use crate::random::Random;
use crate::record::first_difference;
use crate::sample::{Better, Sample};

/// What to read.
#[derive(Clone, Debug, Args)]
pub struct CatchupArgs {
    /// Bytes in the stream.
    #[arg(long, default_value_t = 32 << 20)]
    pub bytes: usize,

    /// Readers, each on its own connection.
    #[arg(long, default_value_t = 8)]
    pub readers: usize,

    /// Seconds of reading.
    #[arg(long, default_value_t = 10.0)]
    pub duration: f64,
}

/// What one reader did.
#[derive(Default)]
struct Read {
    bytes: u64,
    times: u64,
    fault: Option<String>,
}

/// Runs the scenario once.
pub async fn run(ctx: &Context, args: &CatchupArgs, target: &Target) -> anyhow::Result<Sample> {
    let content = content(ctx.seed, args.bytes);
    let stream = ctx.stream("catchup", &target.name, 0);
    let begun = Instant::now();
    Session::new(&target.writing(0)).write(&stream, &content).await?;
    let wrote = begun.elapsed().as_secs_f64().max(1e-9);

    let recorder = Recorder::new(Instant::now());
    let until = recorder.start + Duration::from_secs_f64(args.duration);
    let before = Snapshot::take(&target.processes);
    let mut readers = JoinSet::new();
    for number in 0..args.readers {
        let (session, stream) = (Session::new(&target.reading(number)), stream.clone());
        readers.spawn(read(session, stream, content.clone(), recorder.clone(), until));
    }
    run_clock(format!("catch up on {}", target.name), until).await;
    let reads = readers.join_all().await;
    let used = Snapshot::take(&target.processes).since(before);

    let mut sample = Sample::default();
    let bytes: u64 = reads.iter().map(|read| read.bytes).sum();
    let lasted = recorder.start.elapsed().as_secs_f64();
    let gibibytes = bytes as f64 / f64::from(1 << 30);
    sample.figure("throughput", "GiB/s", gibibytes / lasted, Better::Higher);
    sample.latencies(&recorder.open().latency);
    sample.timeline.clone_from(&recorder.open().timeline);
    sample.cpu(&used, bytes >> 20, "µs/MiB");
    let mebibytes = args.bytes as f64 / f64::from(1 << 20);
    sample.figure("writing it", "MiB/s", mebibytes / wrote, Better::Higher);
    if let Some(memory) = target.processes.memory() {
        let peak = memory.peak as f64 / f64::from(1 << 20);
        sample.figure("server peak memory", "MiB", peak, Better::Lower);
    }
    sample.count("whole reads", reads.iter().map(|read| read.times).sum());
    for (number, read) in reads.into_iter().enumerate() {
        sample.faults.add_all(&format!("{stream}, reader {number}"), read.fault);
    }
    Ok(sample)
}

/// Letters that never repeat as a whole, so that bytes from another place are noticed.
fn content(seed: u64, bytes: usize) -> Bytes {
    let mut random = Random::new(seed, 0xCA7C);
    let letters = |word: u64| word.to_le_bytes().map(|byte| b'0' + byte % 75);
    let words = std::iter::repeat_with(|| letters(random.next()));
    words.flatten().take(bytes).collect::<Vec<u8>>().into()
}

/// One reader: reads the stream from its beginning until the time is over.
async fn read(
    mut session: Session,
    stream: String,
    content: Bytes,
    recorder: Recorder,
    until: Instant,
) -> Read {
    let mut read = Read::default();
    while Instant::now() < until && read.fault.is_none() {
        let began = Instant::now();
        let (mut position, mut fault) = (0usize, None);
        let outcome = session.read(&stream, |piece| {
            let due = content.get(position..).unwrap_or_default();
            if fault.is_none() && !due.starts_with(piece) {
                fault = Some(difference(position, due, piece));
            }
            position += piece.len();
            let at = recorder.start.elapsed();
            recorder.open().count(at, piece.len() as u64);
        });
        let outcome = outcome.await.err().map(|failure| failure.to_string());
        let short = (position < content.len())
            .then(|| format!("{position} of {} bytes came", content.len()));
        read.fault = fault.or(outcome).or(short);
        read.bytes += position as u64;
        read.times += u64::from(read.fault.is_none());
        recorder.open().latency(began.elapsed());
    }
    read
}

fn difference(position: usize, due: &[u8], piece: &[u8]) -> String {
    let same = first_difference(due, piece).unwrap_or(due.len().min(piece.len()));
    let (want, got) = (excerpt(&due[same..]), excerpt(&piece[same..]));
    format!("wrong from byte {} on: expected {want}, got {got}", position + same)
}
