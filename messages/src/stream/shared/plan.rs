//! What the flusher needs: what the store lacks of a name, as of a version of it.

use super::{
    Shared,
    ask::{Ask, News, Trial},
    line::Standing,
};
use crate::{
    channel::Channel,
    limits::MERGE_ROWS,
    model::{Flush, StoredStream, StreamId, StreamName},
    shared_log::Head,
    stream::StreamError,
};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What the store lacks of a name.
pub struct Planned {
    /// With these it has the changes up to this one,
    pub version: u64,
    /// and knows everything that it had to be told up to here.
    pub news: u64,
    /// What is to be written: earlier lives that go, and the present one.
    pub flushes: Vec<(Arc<Channel>, Flush)>,
}

struct Plan {
    row: Option<StoredStream>,
    keep: usize,
    answer: oneshot::Sender<Result<Option<Planned>, StreamError>>,
}

impl Ask for Plan {
    fn decide(&mut self, _: &mut Trial) {}

    fn answer(self: Box<Self>, result: Result<&Standing, StreamError>) {
        let Self { row, keep, answer } = *self;
        drop(answer.send(result.map(|standing| plan(standing, row.as_ref(), keep))));
    }

    fn wants_truth(&self) -> bool {
        false
    }
}

/// `None` where what is here and the row do not fit, because one of them is about to change.
fn plan(standing: &Standing, row: Option<&StoredStream>, keep: usize) -> Option<Planned> {
    if !standing.loaded || row.is_some_and(|row| row.version > standing.version) {
        return None;
    }
    let mut flushes = Vec::new();
    let mut lives: Vec<&Arc<Channel>> = standing.ended.iter().map(|(_, ended)| ended).collect();
    lives.extend(&standing.channel);
    lives.dedup_by_key(|channel| channel.id());
    let fits = row.is_none_or(|row| lives.iter().any(|channel| channel.id() == row.id));
    if !fits {
        return None;
    }
    for channel in lives {
        channel.take_row(row.filter(|row| row.id == channel.id()), keep);
        flushes.extend(channel.flush(usize::MAX).map(|flush| (channel.clone(), flush)));
    }
    Some(Planned { version: standing.version, news: standing.news, flushes })
}

impl Shared {
    /// What the store lacks of a name whose row is `row`. To be asked after [`Shared::look`], so that
    /// what is here is up to date. `None` where that has to be tried again.
    ///
    /// # Errors
    /// The server stops.
    pub async fn plan(
        self: &Arc<Self>,
        name: &StreamName,
        row: Option<StoredStream>,
    ) -> Result<Option<Planned>, StreamError> {
        let (answer, answered) = oneshot::channel();
        let keep = self.memory.keep_bytes();
        self.line(name).ask(self, Plan { row, keep, answer });
        answered.await.unwrap_or(Err(StreamError::Stopping))
    }

    /// The store has what was planned. Returns streams whose rows should be merged.
    pub fn flushed(&self, flushes: Vec<(Arc<Channel>, Flush)>) -> Vec<StreamId> {
        let mut merges = Vec::new();
        for (channel, flush) in flushes {
            let _ = channel.flushed(flush, self.memory.keep_bytes());
            if channel.take_merge(MERGE_ROWS) {
                merges.push(channel.id());
            }
        }
        merges
    }

    /// The log knows by now what the store has.
    pub fn hear_stored(self: &Arc<Self>, name: &StreamName, head: Head) {
        let line = self.lines.get(name).map(|line| line.clone());
        if let Some(line) = line {
            line.ask(self, News { head, changes: Vec::new() });
        }
    }
}
