//! Readers that follow a stream at `/`: one answer that goes on, with nothing but the content.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use tokio::time::{Instant, sleep};

use super::run::{Run, count, longest};
use super::stream::{Progress, Stream};
use crate::client::Failure;
use crate::dialect::Session;
use crate::limits;
use crate::scenario::phase::Listener;

/// How one answer ended.
enum End {
    /// Properly: the stream is closed.
    Closed,
    /// Not properly.
    Broken(Failure),
    /// The content is wrong.
    Wrong(String),
}

/// Reads from the first byte until the stream is closed, or deleted.
pub async fn follow(run: Arc<Run>, stream: Arc<Stream>, mut phase: Listener) {
    let (mut position, mut node, mut lost) = (0, run.some_node().node, None);
    loop {
        phase.up().await;
        let mark = phase.mark(node);
        let before = position;
        let mut session = Session::new(&run.plain[node]);
        let end = read(&run, &mut session, &stream, &mut position, &mut lost).await;
        // Whoever has missed nothing has nothing to wait for.
        if position > before || position >= stream.len() {
            lost = None;
        }
        let since = lost.get_or_insert_with(Instant::now).elapsed();
        let fault = match end {
            End::Closed => match stream.closed() {
                Progress::No => Some("ended, though nobody closed it".to_owned()),
                _ if position == stream.len() => return,
                _ => Some(format!("ended, but {} bytes were seen", stream.len())),
            },
            End::Wrong(fault) => Some(fault),
            End::Broken(Failure::Refused(_, StatusCode::NOT_FOUND | StatusCode::GONE, _))
                if stream.deleted() > Progress::No =>
            {
                return;
            }
            End::Broken(Failure::Refused(_, StatusCode::SERVICE_UNAVAILABLE, _)) => None,
            End::Broken(failure) => {
                let silent = matches!(failure, Failure::Silent(..)) && stream.len() <= position;
                let explained = phase.excuses(mark) || stream.deleted() > Progress::No;
                (!silent && !explained).then(|| failure.to_string())
            }
        };
        let is_late = phase.finishing() > limits::CALM * 3 || since > limits::OUTAGE;
        let late = || "does not come to its end in time".to_owned();
        if let Some(fault) = fault.or_else(|| is_late.then(late)) {
            let place = format!("reader at / at byte {position}, on node {node}: {fault}");
            return run.fault(&stream, place);
        }
        count(&run.counts.resumed);
        node = run.other_node(node).node;
        sleep(limits::RECONNECT_PAUSE).await;
    }
}

async fn read(
    run: &Run,
    session: &mut Session,
    stream: &Stream,
    position: &mut u64,
    lost: &mut Option<Instant>,
) -> End {
    let mut follow = match session.follow_from(&stream.id, *position).await {
        Ok(follow) => follow,
        Err(failure) => return End::Broken(failure),
    };
    let mut wrong = None;
    loop {
        let more = session.next(&mut follow, |piece| {
            wrong = stream.saw(*position, piece);
            *position += piece.len() as u64;
            run.counts.read.fetch_add(piece.len() as u64, Ordering::Relaxed);
            count(&run.counts.deliveries);
        });
        let more = more.await;
        if let Some(lost) = lost.take_if(|_| matches!(more, Ok(true))) {
            longest(&run.counts.longest_read, lost.elapsed());
        }
        match (wrong.take(), more) {
            (Some(wrong), _) => return End::Wrong(wrong),
            (None, Ok(true)) => (),
            (None, Ok(false)) => return End::Closed,
            (None, Err(failure)) => return End::Broken(failure),
        }
    }
}
