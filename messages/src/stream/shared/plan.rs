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
    /// A row that goes, of a life that the log knows nothing of: a fork that never began.
    pub stray: Option<Flush>,
}

struct Plan {
    row: Option<StoredStream>,
    /// What the log knows nothing of goes.
    removes_strays: bool,
    keep: usize,
    answer: oneshot::Sender<Result<Option<Planned>, StreamError>>,
}

impl Ask for Plan {
    fn decide(&mut self, _: &mut Trial) {}

    fn answer(self: Box<Self>, result: Result<&Standing, StreamError>) {
        let Self { row, removes_strays, keep, answer } = *self;
        let planned = |standing| plan(standing, row.as_ref(), removes_strays, keep);
        drop(answer.send(result.map(planned)));
    }

    fn wants_truth(&self) -> bool {
        false
    }
}

/// `None` where what is here and the row do not fit, because one of them is about to change.
fn plan(
    standing: &Standing,
    mut row: Option<&StoredStream>,
    removes_strays: bool,
    keep: usize,
) -> Option<Planned> {
    let is_stale = row.is_some_and(|row| row.id == standing.life && row.version < standing.stored);
    if !standing.loaded || is_stale {
        return None;
    }
    let mut flushes = Vec::new();
    let mut lives: Vec<&Arc<Channel>> = standing.ended.iter().map(|(_, ended)| ended).collect();
    lives.extend(&standing.channel);
    lives.dedup_by_key(|channel| channel.id());
    let is_stray = |row: &&StoredStream| {
        row.version > standing.version || lives.iter().all(|channel| channel.id() != row.id)
    };
    let stray = row.filter(is_stray).map(stray);
    if stray.is_some() {
        if !removes_strays {
            return None;
        }
        row = None;
    }
    for channel in lives {
        channel.take_row(row.filter(|row| row.id == channel.id()), keep);
        flushes.extend(channel.flush(usize::MAX).map(|flush| (channel.clone(), flush)));
    }
    Some(Planned { version: standing.version, news: standing.news, flushes, stray })
}

fn stray(row: &StoredStream) -> Flush {
    Flush {
        stream: row.clone(),
        from: Some(row.tail),
        from_version: row.version,
        chunks: Vec::new(),
        producers: Vec::new(),
        remove: true,
        writes: Vec::new(),
        transient: false,
        cost: 0,
    }
}

impl Shared {
    /// What the store lacks of a name whose row is `row`. To be asked after [`Shared::look`], so that
    /// what is here is up to date. `None` where that has to be tried again, because something is about
    /// to change; what has been so for long `removes_strays`.
    ///
    /// # Errors
    /// The server stops.
    pub async fn plan(
        self: &Arc<Self>,
        name: &StreamName,
        row: Option<StoredStream>,
        removes_strays: bool,
    ) -> Result<Option<Planned>, StreamError> {
        let (answer, answered) = oneshot::channel();
        let keep = self.memory.keep_bytes();
        self.line(name).ask(self, Plan { row, removes_strays, keep, answer });
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
