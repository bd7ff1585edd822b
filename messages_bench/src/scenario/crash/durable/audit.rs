//! Looks at every stream after a restart, before anybody else does.

use http::{Method, StatusCode};
use tokio::time::{Instant, sleep};

use super::check::{Verdict, check};
use super::payload::Label;
use super::producer::{call, judge_repetition};
use super::run::{Run, count};
use super::stream::{Progress, Stream};
use crate::client::Failure;
use crate::dialect::call::{Answer, Call, Caller, name};
use crate::limits;
use crate::random::Random;

/// Offsets of each stream from which it is read.
const PLACES: usize = 3;

/// Looks at every stream.
pub async fn all(run: &Run, random: &mut Random) {
    let mut caller = Caller::new(&run.target);
    for stream in run.streams() {
        let looked = match stream.deleted() {
            Progress::No => living(run, &stream, &mut caller, random).await,
            // Whether it happened will be known when it has been asked for again.
            Progress::Asked => Ok(()),
            Progress::Done => gone(run, &stream, &mut caller).await,
        };
        if let Err(failure) = looked {
            run.fault(&stream, format!("looked at: {failure}"));
            caller.disconnect();
        }
    }
}

/// A stream that lives is there as far as anybody knows.
async fn living(
    run: &Run,
    stream: &Stream,
    caller: &mut Caller,
    random: &mut Random,
) -> Result<(), Failure> {
    let head = caller.call(&stream.id, &Call::new(Method::HEAD)).await?;
    if head.status != StatusCode::OK {
        return Err(head.wrong("to HEAD"));
    }
    let closed = head.says(name::CLOSED);
    let agrees = match stream.closed() {
        Progress::No => !closed,
        Progress::Asked => true,
        Progress::Done => closed,
    };
    if !agrees || head.header("content-type") != Some(stream.kind.content_type()) {
        return Err(head.wrong("to HEAD"));
    }
    let (content, end) = read(stream, caller, "-1").await?;
    if head.offset()? != end {
        return Err(head.wrong(&format!("to HEAD, and a reader ends at {end}")));
    }
    count(&run.counts.audits);
    let faults = [stream.compare(0, &content), stream.saw(0, &content)];
    faults.into_iter().flatten().for_each(|fault| run.fault(stream, fault));
    judge(run, stream, true);
    if let Some(fault) = stream.told(&end, content.len() as u64) {
        run.fault(stream, fault);
    }
    from_places(run, stream, caller, random).await?;
    repeat(run, stream, caller, random).await
}

/// Compares what was seen of a stream with what its writers know; `all` of it was read. Tells how
/// many appends in doubt are there.
pub fn judge(run: &Run, stream: &Stream, all: bool) -> u64 {
    let ledgers = stream.ledgers();
    let own = stream.own();
    let Verdict { ends, doubtful, faults } =
        check(run.filler, stream.kind, &own, stream.base(), &ledgers, all);
    let told = ends.iter().filter_map(|(offset, position)| stream.told(offset, *position));
    told.chain(faults).for_each(|fault| run.fault(stream, fault));
    doubtful
}

/// All of a stream from an offset on, and the offset of its end.
async fn read(
    stream: &Stream,
    caller: &mut Caller,
    from: &str,
) -> Result<(Vec<u8>, String), Failure> {
    let (mut content, mut offset) = (Vec::new(), from.to_owned());
    for _ in 0..limits::PAGES {
        let get = Call::new(Method::GET).query(format!("?offset={offset}"));
        let answer = caller.call(&stream.id, &get).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.wrong(&format!("to a read from {offset}")));
        }
        content.extend(stream.kind.content(&answer.body)?);
        offset = answer.offset()?;
        if answer.says(name::UP_TO_DATE) {
            break;
        }
    }
    Ok((content, offset))
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
        let (content, _) = read(stream, caller, offset).await?;
        if let Some(fault) = stream.compare(*position, &content) {
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
