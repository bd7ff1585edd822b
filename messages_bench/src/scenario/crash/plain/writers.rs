//! Writers that go on after each crash: small appends, and long bodies resumed at an offset.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::select;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{RECORD_BYTES, Stream};
use crate::check::Ledger;
use crate::client::{Failure, Outgoing};
use crate::dialect::{Session, Tail, Target};
use crate::limits;
use crate::load::Pace;
use crate::random::Random;
use crate::record::{Filler, Record, first_difference};
use crate::scenario::Context;
use crate::scenario::phase::{Listener, Mark, Phase};

/// The longest piece of a long body, in bytes.
const PIECE_BYTES: u64 = 6_000;

/// The longest body, in bytes.
const BODY_BYTES: u64 = 400_000;

/// The longest pause between two pieces.
const PIECE_PAUSE: Duration = Duration::from_millis(20);

/// What a writer of small appends knows.
pub struct SmallWritten {
    /// The stream.
    pub stream: String,
    /// The writer.
    pub writer: u32,
    /// Its appends.
    pub ledger: Ledger,
    /// Failures that no kill explains.
    pub faults: Vec<String>,
}

/// Writes small appends until the end.
pub async fn small(
    ctx: Context,
    target: Target,
    stream: Arc<Stream>,
    mut phase: Listener,
    writer: u32,
    rate: f64,
) -> SmallWritten {
    let mut session = Session::new(&target);
    let append = session.prepare(&stream.id);
    let (mut ledger, mut faults) = (Ledger::default(), Vec::new());
    let mut pace = Pace::new(rate);
    loop {
        let began = phase.up().await;
        let mark = phase.mark(0);
        if began == Phase::Finish {
            return SmallWritten { stream: stream.id.clone(), writer, ledger, faults };
        }
        let due = pace.next().await;
        let record = Record { writer, sequence: ledger.issued, time: ctx.nanos(due) };
        let body = ctx.filler.encode(record, RECORD_BYTES);
        let Err(failure) = session.append(&append, &body).await else {
            ledger.issued += 1;
            continue;
        };
        session.disconnect();
        // Whatever nobody accepted was not written for sure, and may be tried again.
        if !matches!(failure, Failure::Connect(..)) {
            ledger.doubtful.push(record.sequence);
            ledger.issued += 1;
        }
        if unexplained(&failure, mark, &phase) {
            faults.push(format!("writer {writer}: while the server was up: {failure}"));
        }
        sleep(limits::RECONNECT_PAUSE).await;
        pace = Pace::new(rate);
    }
}

/// Whether no kill explains this failure.
fn unexplained(failure: &Failure, mark: Mark, phase: &Listener) -> bool {
    matches!(failure, Failure::Refused(..)) || !phase.excuses(mark)
}

/// What a writer of long bodies knows.
pub struct LongWritten {
    /// The writer.
    pub writer: u32,
    /// Bytes acknowledged.
    pub acknowledged: u64,
    /// Bytes ever sent.
    pub sent: u64,
    /// Bodies acknowledged.
    pub bodies: u64,
    /// Bodies that broke off and were resumed.
    pub resumed: u64,
    /// What was wrong.
    pub faults: Vec<String>,
}

/// Writes long bodies until the end.
pub async fn long(
    ctx: Context,
    target: Target,
    stream: Arc<Stream>,
    mut phase: Listener,
    writer: u32,
) -> LongWritten {
    let mut session = Session::new(&target);
    let mut random = Random::new(ctx.seed, 2 << 32 | u64::from(writer));
    let mut written =
        LongWritten { writer, acknowledged: 0, sent: 0, bodies: 0, resumed: 0, faults: Vec::new() };
    loop {
        let began = phase.up().await;
        let mark = phase.mark(0);
        if began == Phase::Finish {
            return written;
        }
        let body = body(&ctx, &mut session, &stream, &phase, &mut random, &mut written).await;
        match body {
            Ok(None) => (),
            Ok(Some(fault)) => {
                written.faults.push(fault);
                return written;
            }
            Err(failure) => {
                session.disconnect();
                written.resumed += 1;
                if unexplained(&failure, mark, &phase) {
                    written.faults.push(format!("while the server was up: {failure}"));
                }
                sleep(limits::RECONNECT_PAUSE).await;
            }
        }
    }
}

/// Writes one body from where the stream ends; tells what is wrong with that end.
async fn body(
    ctx: &Context,
    session: &mut Session,
    stream: &Stream,
    phase: &Listener,
    random: &mut Random,
    written: &mut LongWritten,
) -> Result<Option<String>, Failure> {
    // What has been seen is asked first: the stream may only grow in between.
    let floor = written.acknowledged.max(stream.truth.len());
    let tail = tail(session, stream, random).await?;
    let (bytes, offset) = tail.map_or((0, "0".to_owned()), |tail| (tail.bytes, tail.offset));
    if bytes < floor {
        return Ok(Some(format!("{bytes} bytes are left of {floor} acknowledged or read")));
    }
    if bytes > written.sent {
        let sent = written.sent;
        return Ok(Some(format!("{bytes} bytes are stored, but only {sent} were sent")));
    }
    // Both ways of saying where to go on must work: the bytes alone and the full offset.
    let offset = if random.one_in(2) { bytes.to_string() } else { offset };
    let (pieces, receiver) = mpsc::channel(1);
    let limit = limits::RESPONSE + PIECE_PAUSE * (BODY_BYTES as u32);
    let put = session.write_at(&stream.id, &offset, Outgoing::Live(receiver), limit);
    let mut reached = bytes;
    let feed = feed(ctx.filler, written.writer, &mut reached, pieces, phase, random);
    let reply = select! {
        reply = put => reply,
        () = feed => Ok(None),
    };
    // An earlier body may have been sent further than this one, and been lost behind `bytes`.
    written.sent = written.sent.max(reached);
    match reply? {
        Some(Tail { conflict: false, bytes, .. }) if bytes == reached => {
            written.acknowledged = bytes;
            written.bodies += 1;
            Ok(None)
        }
        reply => Ok(Some(format!("at {offset}, sent up to {reached}: answered {reply:?}"))),
    }
}

/// Where the stream ends: as HEAD tells, or as the refusal of a wrong offset does.
async fn tail(
    session: &mut Session,
    stream: &Stream,
    random: &mut Random,
) -> Result<Option<Tail>, Failure> {
    let told = session.tail(&stream.id).await?;
    if told.is_none() || !random.one_in(4) {
        return Ok(told);
    }
    let beyond = told.map_or(0, |tail| tail.bytes) + 1 + random.below(1000);
    let nothing = Outgoing::Whole(Bytes::new());
    session.write_at(&stream.id, &beyond.to_string(), nothing, limits::RESPONSE).await
}

/// Sends the pieces of a body from `reached` on and then waits for ever: the answer decides when it
/// is over.
async fn feed(
    filler: &Filler,
    writer: u32,
    reached: &mut u64,
    pieces: mpsc::Sender<Bytes>,
    phase: &Listener,
    random: &mut Random,
) {
    let end = *reached + 1 + random.below(BODY_BYTES);
    while *reached < end && phase.now() != Phase::Finish {
        let length = (1 + random.below(PIECE_BYTES)).min(end - *reached);
        let piece = content(filler, writer, *reached, length);
        // It counts as sent before it is: the server may have it although the send never returns.
        *reached += length;
        if pieces.send(piece).await.is_err() {
            break;
        }
        sleep(random.up_to(PIECE_PAUSE)).await;
    }
    drop(pieces);
    pending().await
}

/// The content of a long stream at any position: records, so that every position differs.
fn content(filler: &Filler, writer: u32, from: u64, length: u64) -> Bytes {
    let size = RECORD_BYTES as u64;
    let (first, last) = (from / size, (from + length).div_ceil(size));
    let mut out = BytesMut::with_capacity(((last - first) * size) as usize);
    for sequence in first..last {
        let record = Record { writer, sequence: sequence as u32, time: 0 };
        filler.encode_into(record, RECORD_BYTES, &mut out);
    }
    let start = (from - first * size) as usize;
    out.freeze().slice(start..start + length as usize)
}

/// What is wrong with the content of a long stream, if anything.
pub fn wrong(filler: &Filler, written: &LongWritten, got: &[u8]) -> Option<String> {
    let stored = got.len() as u64;
    let (acknowledged, sent) = (written.acknowledged, written.sent);
    if stored < acknowledged || stored > sent {
        return Some(format!("{stored} bytes; {acknowledged} were acknowledged, {sent} sent"));
    }
    let expected = content(filler, written.writer, 0, stored);
    let differs = first_difference(&expected, got)?;
    let (want, got) = (&expected[differs..], &got[differs..]);
    let (want, got) = (crate::check::excerpt(want), crate::check::excerpt(got));
    Some(format!("wrong from byte {differs} on: expected {want}, got {got}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_the_same_however_it_is_cut() {
        let filler = Filler::new();
        let whole = content(&filler, 1, 0, 2000);
        for (from, length) in [(0, 1), (255, 2), (256, 256), (300, 900), (1999, 1)] {
            let part = content(&filler, 1, from, length);
            assert_eq!(part, whole[from as usize..(from + length) as usize]);
        }
    }

    #[test]
    fn a_wrong_content_is_noticed() {
        let filler = Filler::new();
        let written = |acknowledged, sent| LongWritten {
            writer: 1,
            acknowledged,
            sent,
            bodies: 0,
            resumed: 0,
            faults: Vec::new(),
        };
        let mut got = content(&filler, 1, 0, 1000).to_vec();
        assert_eq!(wrong(&filler, &written(900, 1100), &got), None);
        assert!(wrong(&filler, &written(1001, 1100), &got).is_some());
        assert!(wrong(&filler, &written(900, 999), &got).is_some());
        got[700] ^= 1;
        assert!(wrong(&filler, &written(900, 1100), &got).is_some());
    }
}
