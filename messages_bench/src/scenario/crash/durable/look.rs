//! What was acknowledged by one node is there on all the others, at once.

use http::{Method, StatusCode};

use super::run::{Run, count};
use super::stream::{Progress, Stream};
use crate::dialect::call::{Answer, Call, Caller, name};
use crate::random::mix;

/// One in so many acknowledgements is looked at.
const LOOKS: u64 = 8;

/// Asks another node, now and then, for what this one has just acknowledged.
pub async fn look(run: &Run, stream: &Stream, writer: &Caller, told: &Answer, closes: bool) {
    let (nodes, Ok(end)) = (run.nodes.len(), told.offset()) else {
        return;
    };
    // The offset is as good as dice.
    let dice = mix(end.bytes().fold(run.seed, |dice, byte| mix(dice ^ u64::from(byte))));
    if nodes == 1 || !dice.is_multiple_of(LOOKS) {
        return;
    }
    let mut caller = Caller::new(run.other_node(writer.node()));
    let (call, what) = match (dice / LOOKS).is_multiple_of(2) {
        true => (Call::new(Method::HEAD), "HEAD"),
        false => (Call::new(Method::GET).query(format!("?offset={end}")), "GET"),
    };
    // With a node that is not there nothing is learned.
    let Ok(answer) = caller.call(&stream.id, &call).await else {
        return;
    };
    count(&run.counts.looks);
    let right = match answer.status {
        StatusCode::OK => {
            answer.header(name::NEXT_OFFSET).is_some_and(|offset| *offset >= *end)
                && (!closes || answer.says(name::CLOSED))
        }
        StatusCode::SERVICE_UNAVAILABLE => true,
        StatusCode::NOT_FOUND | StatusCode::GONE => stream.deleted() > Progress::No,
        _ => false,
    };
    if !right {
        let (at, by) = (caller.node(), writer.node());
        let place = format!("of node {at} to {what}, after node {by} acknowledged {end}");
        run.fault(stream, answer.wrong(&place));
    }
}
