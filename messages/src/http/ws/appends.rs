//! The appends of a socket. Each takes its place in the order of its stream when those before it
//! have taken theirs, and none waits until another one is durable. The answers come in the order of
//! the appends.

use super::{answer, label::Label, request::Append, wait_for};
use crate::{
    auth::{Access, Principal},
    http::problem::Problem,
    limits::{RECORD_OVERHEAD_BYTES, SOCKET_APPENDS_BYTES_MAX, SOCKET_APPENDS_MAX},
    model::{CloseReason, media_type},
    stream::{Addition, Appended, PendingAppend, Streams},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use std::{collections::VecDeque, sync::Arc};

/// See the module.
pub(super) struct Appends {
    streams: Arc<Streams>,
    waiting: VecDeque<(Append, Arc<Principal>)>,
    beginning: Option<BoxFuture<'static, Begun>>,
    begun: FuturesOrdered<BoxFuture<'static, Done>>,
    /// What all of them hold.
    bytes: usize,
}

struct Begun {
    id: Option<Label>,
    bytes: usize,
    pending: Result<PendingAppend, Problem>,
}

struct Done {
    id: Option<Label>,
    bytes: usize,
    outcome: Result<Appended, Problem>,
}

impl Append {
    fn cost(&self) -> usize {
        self.records.len() + RECORD_OVERHEAD_BYTES
    }
}

impl Appends {
    /// None yet.
    pub fn new(streams: Arc<Streams>) -> Self {
        let (waiting, begun) = (VecDeque::new(), FuturesOrdered::new());
        Self { streams, waiting, beginning: None, begun, bytes: 0 }
    }

    /// Takes one that `principal` sends.
    pub fn push(&mut self, append: Append, principal: Arc<Principal>) {
        self.bytes += append.cost();
        self.waiting.push_back((append, principal));
        self.begin_next();
    }

    /// Whether none is on its way.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.beginning.is_none() && self.begun.is_empty()
    }

    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        let count = self.waiting.len() + usize::from(self.beginning.is_some()) + self.begun.len();
        count < SOCKET_APPENDS_MAX && self.bytes < SOCKET_APPENDS_BYTES_MAX
    }

    fn begin_next(&mut self) {
        if self.beginning.is_none()
            && let Some((append, principal)) = self.waiting.pop_front()
        {
            self.beginning = Some(begin(self.streams.clone(), append, principal).boxed());
        }
    }

    /// Waits for the next answer, or `None` for something that only this here has to know. Cancel
    /// safe: whatever is on its way goes on.
    pub async fn progress(&mut self) -> Option<String> {
        let Self { beginning, begun, .. } = self;
        tokio::select! {
            began = wait_for(beginning), if beginning.is_some() => {
                self.began(began);
                None
            }
            Some(done) = begun.next(), if !begun.is_empty() => {
                let Done { id, bytes, outcome } = done;
                self.bytes -= bytes;
                Some(match outcome {
                    Ok(appended) => answer::appended(id.as_ref(), &appended),
                    Err(problem) => answer::error(id.as_ref(), None, &problem),
                })
            }
            else => std::future::pending().await,
        }
    }

    fn began(&mut self, Begun { id, bytes, pending }: Begun) {
        self.beginning = None;
        let streams = self.streams.clone();
        let done = async move {
            let outcome = match pending {
                Ok(pending) => streams.appended(pending).await.map_err(Problem::from),
                Err(problem) => Err(problem),
            };
            Done { id, bytes, outcome }
        };
        self.begun.push_back(done.boxed());
        self.begin_next();
    }
}

async fn begin(streams: Arc<Streams>, append: Append, principal: Arc<Principal>) -> Begun {
    let bytes = append.cost();
    let Append { id, stream, records, content_type, writer, close } = append;
    let pending = async {
        principal.check(Access::Write, &stream)?;
        let channel = streams.find(&stream).await?;
        let own = media_type(channel.content_type());
        let differs = |other: String| !media_type(&other).eq_ignore_ascii_case(own);
        let wrong_type = !records.is_empty() && content_type.is_some_and(differs);
        let close = close.then_some(CloseReason::Finished);
        let addition = Addition { records, close, writer, wrong_type, ..Addition::default() };
        Ok(streams.begin_append(&channel, addition).await?)
    };
    let pending = pending.await;
    Begun { id, bytes, pending }
}
