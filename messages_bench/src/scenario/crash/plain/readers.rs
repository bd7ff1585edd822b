//! Readers that follow a stream through the crashes.

use std::sync::Arc;

use http::StatusCode;
use tokio::time::sleep;

use super::Stream;
use crate::client::Failure;
use crate::dialect::{Session, Target};
use crate::limits;
use crate::random::Random;
use crate::scenario::phase::{Listener, Phase};

/// What readers have to tell.
#[derive(Default)]
pub struct Read {
    /// Bytes received.
    pub bytes: u64,
    /// How often a reader went on where it had been.
    pub resumed: u64,
    /// How often a reader began at the first byte again.
    pub again: u64,
    /// What was wrong.
    pub faults: Vec<String>,
}

impl Read {
    /// Adds another reader's report.
    pub fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.resumed += other.resumed;
        self.again += other.again;
        self.faults.extend(other.faults);
    }
}

/// How one response ended.
enum End {
    /// Properly: the stream is closed.
    Closed,
    /// Not properly.
    Broken(Failure),
    /// The content is wrong; there is no point in reading on.
    Wrong(String),
}

/// One reader: follows the stream until it is closed.
pub async fn reader(
    target: Target,
    stream: Arc<Stream>,
    mut phase: Listener,
    mut random: Random,
) -> Read {
    let mut read = Read::default();
    let mut session = Session::new(&target);
    let mut position = 0;
    loop {
        phase.up().await;
        let mark = phase.mark(0);
        let end = follow(&mut session, &stream, &mut position, &mut read).await;
        let fault = match end {
            End::Closed if phase.now() == Phase::Finish => {
                let seen = stream.truth.len();
                let id = &stream.id;
                let short = format!("{id}: ended at byte {position} of {seen}");
                read.faults.extend((position != seen).then_some(short));
                return read;
            }
            End::Closed => "the response ended while the stream was open".to_owned(),
            End::Wrong(fault) => fault,
            // The writers have not come to this stream yet.
            End::Broken(Failure::Refused(_, StatusCode::NOT_FOUND, _))
                if stream.truth.len() == 0 =>
            {
                sleep(limits::RECONNECT_PAUSE).await;
                continue;
            }
            End::Broken(failure) => {
                session.disconnect();
                if phase.excuses(mark) && !matches!(failure, Failure::Refused(..)) {
                    if random.one_in(4) {
                        position = 0;
                        read.again += 1;
                    } else {
                        read.resumed += 1;
                    }
                    continue;
                }
                format!("while the server was up: {failure}")
            }
        };
        read.faults.push(format!("{} at byte {position}: {fault}", stream.id));
        return read;
    }
}

async fn follow(
    session: &mut Session,
    stream: &Stream,
    position: &mut u64,
    read: &mut Read,
) -> End {
    let mut follow = match session.follow_from(&stream.id, *position).await {
        Ok(follow) => follow,
        Err(failure) => return End::Broken(failure),
    };
    let mut wrong = None;
    loop {
        let more = session.next(&mut follow, |piece| {
            wrong = stream.truth.saw(*position, piece);
            *position += piece.len() as u64;
            read.bytes += piece.len() as u64;
        });
        match more.await {
            Ok(true) => (),
            Ok(false) => return End::Closed,
            Err(failure) => return End::Broken(failure),
        }
        if let Some(wrong) = wrong.take() {
            return End::Wrong(wrong);
        }
    }
}

/// Reads everything there is and compares it with what has been seen; `seen` bytes must be there.
pub async fn whole(
    session: &mut Session,
    stream: &Stream,
    seen: u64,
    closed: bool,
) -> Result<(), String> {
    let tail = session.tail(&stream.id).await.map_err(|failure| failure.to_string())?;
    let (stored, is_closed) = tail.map_or((0, false), |tail| (tail.bytes, tail.closed));
    if stored < seen {
        return Err(format!("{stored} bytes are left of {seen} that readers had seen"));
    }
    if is_closed != closed {
        return Err(format!("closed: {is_closed}, expected {closed}"));
    }
    if stored == 0 {
        return Ok(());
    }
    let mut follow = session.follow(&stream.id).await.map_err(|failure| failure.to_string())?;
    let (mut position, mut wrong) = (0, None);
    while position < stored || closed {
        let more = session.next(&mut follow, |piece| {
            wrong = wrong.take().or_else(|| stream.truth.saw(position, piece));
            position += piece.len() as u64;
        });
        if !more.await.map_err(|failure| format!("at byte {position}: {failure}"))? {
            break;
        }
    }
    // An open stream goes on: the rest of the response is given up.
    session.disconnect();
    match wrong {
        Some(wrong) => Err(wrong),
        None if position < stored => Err(format!("the response ends at {position} of {stored}")),
        None if closed && position > seen => Err(format!("grew from {seen} to {position} bytes")),
        None => Ok(()),
    }
}
