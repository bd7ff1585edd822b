//! Readers that follow a stream through the crashes, in all ways there are.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use tokio::time::sleep;

use super::run::{Run, count};
use super::stream::{Progress, Stream};
use crate::client::Failure;
use crate::dialect::live::{Got, Mode, Reader};
use crate::limits;
use crate::random::Random;
use crate::scenario::phase::Listener;

/// A reader without a reason changes its way of reading once in so many answers.
const WHIM: u64 = 300;

/// Reads until the stream is closed and read to its end, or deleted.
pub async fn follow(run: Arc<Run>, stream: Arc<Stream>, phase: Listener, random: Random) {
    let follower = Follower::new(run, stream, phase, random);
    follower.work().await;
}

struct Follower {
    run: Arc<Run>,
    stream: Arc<Stream>,
    phase: Listener,
    random: Random,
    reader: Reader,
    position: u64,
}

impl Follower {
    fn new(run: Arc<Run>, stream: Arc<Stream>, phase: Listener, mut random: Random) -> Self {
        let mode = mode(&mut random);
        let reader = Reader::new(&run.target, &stream.id, stream.kind, mode, "-1");
        Self { run, stream, phase, random, reader, position: 0 }
    }

    async fn work(mut self) {
        let mut known = None;
        loop {
            let began = self.phase.up().await;
            if known.replace(began).is_some_and(|known| known != began) {
                // Its connection was to a server that is gone.
                let mode = mode(&mut self.random);
                self.reader.reconnect(mode);
            }
            let fault = match self.reader.next().await {
                Ok(Got::Data(content)) => self.take(&content),
                Ok(Got::Closed) => match self.end() {
                    None => return,
                    fault => fault,
                },
                Err(Failure::Refused(_, StatusCode::NOT_FOUND | StatusCode::GONE, _))
                    if self.stream.deleted() > Progress::No =>
                {
                    return;
                }
                Err(failure) => {
                    let kill = self.phase.now() != began;
                    self.recover(failure, kill).await
                }
            };
            if let Some(fault) = fault {
                let (position, offset) = (self.position, self.reader.offset());
                let place = format!("reader at byte {position}, {offset}: {fault}");
                return self.run.fault(&self.stream, place);
            }
        }
    }

    fn take(&mut self, content: &[u8]) -> Option<String> {
        let wrong = self.stream.saw(self.position, content);
        self.position += content.len() as u64;
        self.run.counts.read.fetch_add(content.len() as u64, Ordering::Relaxed);
        let wrong = wrong.or_else(|| self.stream.told(self.reader.offset(), self.position));
        if self.random.one_in(WHIM) {
            let mode = mode(&mut self.random);
            self.reader.reconnect(mode);
        }
        wrong
    }

    fn end(&self) -> Option<String> {
        if self.stream.closed() == Progress::No {
            return Some("is said to be closed, which nobody asked for".into());
        }
        let (position, seen) = (self.position, self.stream.len());
        let short = format!("is said to be over, but {seen} bytes were seen");
        (position != seen).then_some(short)
    }

    /// Goes on after a failure, where a `kill` or a deletion explains it.
    async fn recover(&mut self, failure: Failure, kill: bool) -> Option<String> {
        let explained = match &failure {
            Failure::Wrong(_) => false,
            Failure::Refused(_, status, _) => *status == StatusCode::SERVICE_UNAVAILABLE,
            _ => kill || self.stream.deleted() > Progress::No,
        };
        if !explained {
            return Some(failure.to_string());
        }
        let mode = mode(&mut self.random);
        self.reader.reconnect(mode);
        if self.random.one_in(4) {
            self.move_elsewhere(mode);
        } else {
            count(&self.run.counts.resumed);
        }
        sleep(limits::RECONNECT_PAUSE).await;
        None
    }

    /// Begins anew at any offset that has been told.
    fn move_elsewhere(&mut self, mode: Mode) {
        let mut places = self.stream.places();
        places.push(("-1".into(), 0));
        let at = self.random.below(places.len() as u64) as usize;
        let (offset, position) = places.swap_remove(at);
        self.reader =
            Reader::new(&self.run.target, &self.stream.id, self.stream.kind, mode, &offset);
        self.position = position;
    }
}

fn mode(random: &mut Random) -> Mode {
    Mode::ALL[random.below(Mode::ALL.len() as u64) as usize]
}
