//! Readers that follow a stream through the crashes, in all ways there are.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use tokio::time::{Duration, Instant, sleep};

use super::run::{Run, count, longest};
use super::stream::{Progress, Stream};
use crate::client::Failure;
use crate::dialect::live::{Got, Mode, Reader};
use crate::limits;
use crate::random::Random;
use crate::scenario::phase::{Listener, Mark};

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
    /// When it last went to its node.
    mark: Mark,
    position: u64,
    /// Since when it has been waiting to go on.
    lost: Option<Instant>,
}

impl Follower {
    fn new(run: Arc<Run>, stream: Arc<Stream>, phase: Listener, mut random: Random) -> Self {
        let mode = mode(&mut random);
        let reader = Reader::new(run.some_node(), &stream.id, stream.kind, mode, "-1");
        let mark = phase.mark(reader.node());
        Self { run, stream, phase, random, reader, mark, position: 0, lost: None }
    }

    async fn work(mut self) {
        let mut known = None;
        loop {
            let began = self.phase.up().await;
            let moved = known.replace(began).is_some_and(|known| known != began);
            if moved && self.run.nodes.len() == 1 {
                // Its connection was to a server that is gone.
                self.reconnect();
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
                Err(failure) => self.recover(failure).await,
            };
            if let Some(fault) = fault {
                let (position, offset) = (self.position, self.reader.offset());
                let node = self.reader.node();
                let place = format!("reader at byte {position}, {offset}, on node {node}: {fault}");
                return self.run.fault(&self.stream, place);
            }
        }
    }

    fn take(&mut self, content: &[u8]) -> Option<String> {
        let wrong = self.stream.saw(self.position, content);
        self.position += content.len() as u64;
        self.run.counts.read.fetch_add(content.len() as u64, Ordering::Relaxed);
        count(&self.run.counts.deliveries);
        if let Some(lost) = self.lost.take() {
            longest(&self.run.counts.longest_read, lost.elapsed());
        }
        let wrong = wrong.or_else(|| match self.reader.offset() {
            // An answer that ended before it told anything.
            "-1" => None,
            offset => self.stream.told(offset, self.position),
        });
        if self.random.one_in(WHIM) {
            self.reconnect();
        }
        wrong
    }

    /// Goes on in any way, on any node.
    fn reconnect(&mut self) {
        let mode = mode(&mut self.random);
        self.reader.reconnect(self.run.some_node(), mode);
        self.mark = self.phase.mark(self.reader.node());
    }

    fn end(&self) -> Option<String> {
        if self.stream.closed() == Progress::No {
            return Some("is said to be closed, which nobody asked for".into());
        }
        let (position, seen) = (self.position, self.stream.len());
        let short = format!("is said to be over, but {seen} bytes were seen");
        (position != seen).then_some(short)
    }

    /// Goes on after a failure, where something explains it.
    async fn recover(&mut self, failure: Failure) -> Option<String> {
        let explained = match &failure {
            Failure::Wrong(_) => false,
            Failure::Refused(_, status, _) => *status == StatusCode::SERVICE_UNAVAILABLE,
            // On a node that is held everybody is silent; whoever has missed nothing may wait as well.
            Failure::Silent(..) if self.run.is_impatient() => {
                count(&self.run.counts.silent);
                self.phase.excuses(self.mark) || self.stream.len() <= self.position
            }
            _ => self.phase.excuses(self.mark) || self.stream.deleted() > Progress::No,
        };
        let lost = self.lost.get_or_insert_with(Instant::now).elapsed();
        let is_late = self.is_late(lost);
        if !explained || is_late && self.stream.deleted() == Progress::No {
            return Some(failure.to_string());
        }
        let other = self.run.other_node(self.reader.node());
        let mode = mode(&mut self.random);
        self.reader.reconnect(other, mode);
        if self.random.one_in(4) {
            self.move_elsewhere(mode);
        } else {
            count(&self.run.counts.resumed);
        }
        self.mark = self.phase.mark(self.reader.node());
        sleep(limits::RECONNECT_PAUSE).await;
        None
    }

    /// Whether it should have gone on by now, or be at its end.
    fn is_late(&self, lost: Duration) -> bool {
        // The writers have to come to their end first.
        self.phase.finishing() > limits::CALM * 3 || lost > limits::OUTAGE
    }

    /// Begins anew at any offset that has been told.
    fn move_elsewhere(&mut self, mode: Mode) {
        let mut places = self.stream.places();
        places.push(("-1".into(), 0));
        let at = self.random.below(places.len() as u64) as usize;
        let (offset, position) = places.swap_remove(at);
        let node = &self.run.nodes[self.reader.node()];
        self.reader = Reader::new(node, &self.stream.id, self.stream.kind, mode, &offset);
        self.position = position;
    }
}

fn mode(random: &mut Random) -> Mode {
    Mode::ALL[random.below(Mode::ALL.len() as u64) as usize]
}
