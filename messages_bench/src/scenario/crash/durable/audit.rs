//! Looks at every stream: after a restart before anybody else does, on every node in the end, and on any
//! node in between.

use std::sync::Arc;

use http::{Method, StatusCode};
use tokio::time::{Duration, Instant, sleep};

use super::check::{Ledgers, Verdict, between, check};
use super::payload::Label;
use super::producer::{call, judge_repetition};
use super::run::{Run, count};
use super::stream::{Progress, Stream};
use crate::client::Failure;
use crate::dialect::Target;
use crate::dialect::call::{Answer, Call, Caller, name};
use crate::limits;
use crate::random::Random;
use crate::scenario::phase::{Listener, Phase};

/// Offsets of each stream from which it is read.
const PLACES: usize = 3;

/// The longest pause of whoever looks around in between.
const PAUSE: Duration = Duration::from_millis(400);

/// Looks at every stream on one node.
pub async fn all(run: &Run, node: &Target, random: &mut Random) {
    let mut caller = Caller::patient(node);
    for stream in run.streams() {
        let looked = match stream.deleted() {
            Progress::No => living(run, &stream, &mut caller, random).await,
            // Whether it happened will be known when it has been asked for again.
            Progress::Asked => Ok(()),
            Progress::Done => gone(run, &stream, &mut caller).await,
        };
        if let Err(failure) = looked {
            run.fault(&stream, format!("looked at on node {}: {failure}", node.node));
            caller.disconnect();
        }
    }
}

/// Looks at any stream on any node, again and again, while everybody else goes on.
pub async fn patrol(run: Arc<Run>, mut phase: Listener, mut random: Random) {
    while phase.up().await != Phase::Finish {
        sleep(random.up_to(PAUSE)).await;
        let streams = run.streams();
        let Some(stream) = streams.get(random.below(streams.len() as u64) as usize) else {
            continue;
        };
        let node = run.some_node();
        let mark = phase.mark(node.node);
        let mut caller = Caller::new(node);
        let looked = match stream.deleted() {
            Progress::No => living(&run, stream, &mut caller, &mut random).await,
            Progress::Asked => Ok(()),
            Progress::Done => still_gone(stream, &mut caller).await,
        };
        let Err(failure) = looked else {
            continue;
        };
        let explained = match &failure {
            Failure::Refused(_, status, _) => *status == StatusCode::SERVICE_UNAVAILABLE,
            // Somebody has deleted it meanwhile.
            Failure::Wrong(_) => false,
            Failure::Silent(..) => true,
            _ => phase.excuses(mark),
        };
        if !explained && stream.deleted() != Progress::Asked {
            run.fault(stream, format!("looked at on node {} in between: {failure}", node.node));
        }
    }
}

/// A stream that was deleted stays so, whatever grows from it.
async fn still_gone(stream: &Stream, caller: &mut Caller) -> Result<(), Failure> {
    let answer = caller.call(&stream.id, &Call::new(Method::GET)).await?;
    match answer.status {
        StatusCode::GONE | StatusCode::NOT_FOUND => Ok(()),
        _ => Err(not(&answer, "though it was deleted")),
    }
}

/// The failure that an answer is: a refusal for the moment is not a wrong one.
fn not(answer: &Answer, what: &str) -> Failure {
    match answer.status {
        StatusCode::SERVICE_UNAVAILABLE => {
            Failure::Refused(what.to_owned(), answer.status, String::new())
        }
        _ => answer.wrong(what),
    }
}

/// A stream that lives is there as far as anybody knows, and whoever writes and reads may go on.
async fn living(
    run: &Run,
    stream: &Stream,
    caller: &mut Caller,
    random: &mut Random,
) -> Result<(), Failure> {
    let (closed_before, seen, ledgers) = (stream.closed(), stream.len(), stream.ledgers());
    let head = caller.call(&stream.id, &Call::new(Method::HEAD)).await?;
    if is_deleted_meanwhile(stream, &head) {
        return Ok(());
    }
    if head.status != StatusCode::OK {
        return Err(not(&head, "to HEAD"));
    }
    let closed = head.says(name::CLOSED);
    let agrees = closed_before != Progress::Done || closed;
    let may_be = stream.closed() != Progress::No || !closed;
    if !agrees || !may_be || head.header("content-type") != Some(stream.kind.content_type()) {
        return Err(head.wrong("to HEAD"));
    }
    let Some((content, end)) = read(stream, caller, "-1").await? else {
        return Ok(());
    };
    let told = head.offset()?;
    if told > end || told < end && closed {
        return Err(head.wrong(&format!("to HEAD, and a reader ends at {end}")));
    }
    count(&run.counts.audits);
    let faults = [stream.compare(0, seen, &content), stream.saw(0, &content)];
    faults.into_iter().flatten().for_each(|fault| run.fault(stream, fault));
    judge_since(run, stream, &ledgers);
    if let Some(fault) = stream.told(&end, content.len() as u64) {
        run.fault(stream, fault);
    }
    from_places(run, stream, caller, random).await?;
    repeat(run, stream, caller, random).await
}

/// Whether somebody has deleted a stream while it was looked at.
fn is_deleted_meanwhile(stream: &Stream, answer: &Answer) -> bool {
    let is_gone = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE);
    is_gone && stream.deleted() > Progress::No
}

/// Compares what was seen of a stream with what its writers know; `all` of it was read. Tells how
/// many appends in doubt are there.
pub fn judge(run: &Run, stream: &Stream, all: bool) -> u64 {
    compare(run, stream, &stream.own(), &stream.ledgers(), all)
}

/// Compares all of a stream with what its writers knew before it was read.
fn judge_since(run: &Run, stream: &Stream, before: &Ledgers) {
    let own = stream.own();
    compare(run, stream, &own, &between(before, stream.ledgers()), true);
}

fn compare(run: &Run, stream: &Stream, own: &[u8], ledgers: &Ledgers, all: bool) -> u64 {
    let Verdict { ends, doubtful, faults } =
        check(run.filler, stream.kind, own, stream.base(), ledgers, all);
    let told = ends.iter().filter_map(|(offset, position)| stream.told(offset, *position));
    told.chain(faults).for_each(|fault| run.fault(stream, fault));
    doubtful
}

/// All of a stream from an offset on, and the offset of its end; nothing when somebody has deleted it
/// meanwhile.
async fn read(
    stream: &Stream,
    caller: &mut Caller,
    from: &str,
) -> Result<Option<(Vec<u8>, String)>, Failure> {
    let (mut content, mut offset) = (Vec::new(), from.to_owned());
    for _ in 0..limits::PAGES {
        let get = Call::new(Method::GET).query(format!("?offset={offset}"));
        let answer = caller.call(&stream.id, &get).await?;
        if is_deleted_meanwhile(stream, &answer) {
            return Ok(None);
        }
        if answer.status != StatusCode::OK {
            return Err(not(&answer, &format!("to a read from {offset}")));
        }
        content.extend(stream.kind.content(&answer.body)?);
        offset = answer.offset()?;
        if answer.says(name::UP_TO_DATE) {
            break;
        }
    }
    Ok(Some((content, offset)))
}

/// Whoever comes back with an offset gets what stands behind it.
async fn from_places(
    run: &Run,
    stream: &Stream,
    caller: &mut Caller,
    random: &mut Random,
) -> Result<(), Failure> {
    let places = stream.places();
    for _ in 0..PLACES.min(places.len()) {
        let (offset, position) = &places[random.below(places.len() as u64) as usize];
        let seen = stream.len();
        let Some((content, _)) = read(stream, caller, offset).await? else {
            return Ok(());
        };
        if let Some(fault) = stream.compare(*position, seen, &content) {
            run.fault(stream, format!("from {offset}: {fault}"));
        }
    }
    Ok(())
}

/// Repeats an append of before the crash.
async fn repeat(
    run: &Run,
    stream: &Stream,
    caller: &mut Caller,
    random: &mut Random,
) -> Result<(), Failure> {
    for writer in stream.writers() {
        let recent = stream.recent(writer);
        let Some(sent) = recent.get(random.below(recent.len() as u64) as usize) else {
            continue;
        };
        let label = Label { writer, number: sent.number };
        let answer = caller.call(&stream.id, &call(run, stream, label, sent)).await?;
        judge_repetition(run, stream, sent, &answer);
    }
    Ok(())
}

/// A stream that was deleted stays so: 410 while others grow from it, 404 without.
async fn gone(run: &Run, stream: &Stream, caller: &mut Caller) -> Result<(), Failure> {
    let until = Instant::now() + limits::COLLECTED;
    loop {
        let answer: Answer = caller.call(&stream.id, &Call::new(Method::GET)).await?;
        let is_right = match needed(run, stream) {
            Some(true) => answer.status == StatusCode::GONE,
            Some(false) => answer.status == StatusCode::NOT_FOUND,
            None => matches!(answer.status, StatusCode::GONE | StatusCode::NOT_FOUND),
        };
        if is_right {
            return Ok(());
        }
        // What nobody needs any more may go a little later.
        if Instant::now() > until || answer.status != StatusCode::GONE {
            return Err(answer.wrong("though it was deleted"));
        }
        sleep(limits::RECONNECT_PAUSE).await;
    }
}

/// Whether another stream grows from this one; `None` where a deletion is under way.
fn needed(run: &Run, stream: &Stream) -> Option<bool> {
    let mut answer = Some(false);
    for fork in run.streams() {
        let grows = fork.origin.as_ref().is_some_and(|origin| origin.source.id == stream.id);
        let needs = grows.then(|| match fork.deleted() {
            Progress::No => Some(true),
            Progress::Asked => None,
            Progress::Done => needed(run, &fork),
        });
        match needs {
            Some(Some(true)) => return Some(true),
            Some(None) => answer = None,
            Some(Some(false)) | None => (),
        }
    }
    answer
}
