//! The shared log in the memory of one process: the model that the others are compared with, and
//! what simulations of several nodes run on. Nothing here waits, so the same calls give the same
//! answers.

mod state;

use super::{
    Added, Addition, Answer, Claimed, Head, Known, LogError, LogStats, Logged, Memory, Node, Scope,
    SharedLog, Terms, Unstored, Wake, Work, check_kept,
};
use crate::{clock::Clock, model::StreamName};
use bytes::Bytes;
use futures::FutureExt;
use state::{State, Tell};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// What goes wrong in a simulation, decided for each call and each wake-up. By default nothing does.
pub trait Faults: Send + Sync {
    /// What becomes of a call of the method that is called `method`.
    fn call(&self, method: &'static str) -> CallFault {
        let _ = method;
        CallFault::None
    }

    /// What becomes of a wake-up on its way to a node.
    fn wake(&self, wake: &Wake) -> WakeFault {
        let _ = wake;
        WakeFault::None
    }
}

/// See [`Faults::call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// It goes well.
    None,
    /// It is [`LogError::Unavailable`] and has had no effect.
    Before,
    /// It is [`LogError::Unavailable`] but has had its effect.
    After,
    /// It is [`LogError::Full`].
    Full,
}

/// See [`Faults::wake`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeFault {
    /// It arrives.
    None,
    /// It arrives twice.
    Twice,
    /// It arrives at [`MemoryLog::deliver`], behind later ones.
    Late,
    /// It does not arrive. At [`MemoryLog::deliver`] its node learns that it has missed something.
    Never,
}

/// A log without faults.
struct NoFaults;

impl Faults for NoFaults {}

/// The log itself. Nodes have a handle each, see [`MemoryLog::node`].
#[derive(Clone)]
pub struct MemoryLog(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    faults: Box<dyn Faults>,
    lost: AtomicBool,
}

impl MemoryLog {
    /// An empty log that keeps to `terms` by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, terms: Terms) -> Self {
        Self::with_faults(clock, terms, NoFaults)
    }

    /// An empty log where something goes wrong.
    #[must_use]
    pub fn with_faults(clock: Arc<dyn Clock>, terms: Terms, faults: impl Faults + 'static) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State::new(terms)),
            clock,
            faults: Box::new(faults),
            lost: AtomicBool::new(false),
        }))
    }

    /// A handle for one more node, with wakes of its own.
    #[must_use]
    pub fn node(&self) -> MemoryNode {
        let (sender, wakes) = mpsc::unbounded_channel();
        let place = self.0.state().join(sender);
        MemoryNode { log: self.clone(), place, wakes: Mutex::new(Some(wakes)) }
    }

    /// Lets the wake-ups arrive that were held up, and tells of those that will not arrive.
    pub fn deliver(&self) {
        self.0.state().deliver_late();
    }

    /// As if all connections had broken for a moment: every node is told that it may have missed
    /// something.
    pub fn interrupt(&self) {
        self.0.state().tell_all_lost();
    }

    /// The log loses everything. All that is asked of it from now on is [`LogError::Lost`].
    pub fn lose(&self) {
        self.0.lost.store(true, Ordering::SeqCst);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that is ever done: as one step, with what goes wrong around it.
    fn step<T>(
        &self,
        method: &'static str,
        step: impl FnOnce(&mut State, u64) -> T,
    ) -> Result<T, LogError> {
        if self.lost.load(Ordering::SeqCst) {
            return Err(LogError::Lost);
        }
        let unavailable = || LogError::Unavailable(format!("{method} fails in this simulation"));
        let fault = self.faults.call(method);
        match fault {
            CallFault::Before => return Err(unavailable()),
            CallFault::Full => return Err(LogError::Full(format!("{method} finds no room"))),
            CallFault::None | CallFault::After => {}
        }
        let mut state = self.state();
        let answer = step(&mut state, self.clock.now_ms());
        state.send_told(&*self.faults);
        if fault == CallFault::After { Err(unavailable()) } else { Ok(answer) }
    }
}

/// One node's handle of a [`MemoryLog`]. When it is dropped, the node is told nothing more.
pub struct MemoryNode {
    log: MemoryLog,
    place: usize,
    wakes: Mutex<Option<mpsc::UnboundedReceiver<Wake>>>,
}

impl Drop for MemoryNode {
    fn drop(&mut self) {
        self.log.0.state().leave(self.place);
    }
}

impl MemoryNode {
    /// A call: nothing happens before the answer is asked for.
    fn call<'a, T: Send + 'a>(
        &'a self,
        method: &'static str,
        step: impl FnOnce(&mut State, u64) -> T + Send + 'a,
    ) -> Answer<'a, T> {
        async move { self.log.0.step(method, step) }.boxed()
    }
}

impl SharedLog for MemoryNode {
    fn terms(&self) -> Terms {
        self.log.0.state().terms()
    }

    fn head<'a>(&'a self, name: &'a StreamName) -> Answer<'a, Option<Head>> {
        self.call("head", |state, now| state.head(name, now))
    }

    fn claim<'a>(&'a self, name: &'a StreamName, claim: u64) -> Answer<'a, Claimed> {
        self.call("claim", move |state, now| state.claim(name, claim, now))
    }

    fn add<'a>(
        &'a self,
        name: &'a StreamName,
        known: Known,
        addition: Addition,
    ) -> Answer<'a, Added> {
        self.call("add", move |state, now| state.add(name, known, addition, now))
    }

    fn read<'a>(
        &'a self,
        name: &'a StreamName,
        after: u64,
        bytes_max: usize,
    ) -> Answer<'a, Vec<Logged>> {
        self.call("read", move |state, now| state.read(name, after, bytes_max, now))
    }

    fn follow<'a>(&'a self, name: &'a StreamName) -> Answer<'a, ()> {
        self.call("follow", |state, _| state.follow(self.place, name))
    }

    fn unfollow<'a>(&'a self, name: &'a StreamName) -> Answer<'a, ()> {
        self.call("unfollow", |state, _| state.unfollow(self.place, name))
    }

    fn watch_all(&self, watch: bool) -> Answer<'_, ()> {
        self.call("watch_all", move |state, _| state.watch_all(self.place, watch))
    }

    fn wakes(&self) -> Option<mpsc::UnboundedReceiver<Wake>> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn say<'a>(&'a self, topic: &'a str, words: Bytes) -> Answer<'a, ()> {
        self.call("say", move |state, _| {
            state.tell(Tell::Listeners, Wake::Said { topic: topic.to_owned(), words });
        })
    }

    fn listen<'a>(&'a self, topic: &'a str) -> Answer<'a, ()> {
        self.call("listen", |state, _| state.listen(self.place, topic))
    }

    fn keep<'a>(&'a self, key: &'a str, value: Bytes, ttl: Duration) -> Answer<'a, ()> {
        let ms = (ttl.as_millis() as u64).max(1);
        async move {
            check_kept(&value)?;
            self.log.0.step("keep", |state, now| state.keep(key, value, now + ms, now))
        }
        .boxed()
    }

    fn take_kept<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Bytes>> {
        self.call("take_kept", move |state, now| state.take_kept(key, now))
    }

    fn take_work(&self, scope: Scope, limit: usize) -> Answer<'_, Vec<Work>> {
        self.call("take_work", move |state, now| state.take_work(scope, limit, now))
    }

    fn done<'a>(&'a self, work: &'a Work, stored: u64, news: u64) -> Answer<'a, Option<Head>> {
        self.call("done", move |state, now| state.done(work, stored, news, now))
    }

    fn unstored(&self, scope: Scope) -> Answer<'_, Unstored> {
        self.call("unstored", move |state, _| state.unstored(scope))
    }

    fn is_stored<'a>(&'a self, unstored: &'a Unstored) -> Answer<'a, bool> {
        self.call("is_stored", |state, _| state.is_stored(unstored))
    }

    fn unstored_names(&self, scope: Scope) -> Answer<'_, Vec<StreamName>> {
        self.call("unstored_names", move |state, _| state.unstored_names(scope))
    }

    fn stats(&self) -> Arc<LogStats> {
        // Nobody watches a model.
        Arc::default()
    }

    fn memory(&self) -> Answer<'_, Memory> {
        self.call("memory", |state, _| state.memory())
    }

    fn alive<'a>(&'a self, node: &'a Node, ttl: Duration) -> Answer<'a, ()> {
        self.call("alive", move |state, now| state.alive(node, now + ttl.as_millis() as u64))
    }

    fn gone(&self, start: u32) -> Answer<'_, ()> {
        self.call("gone", move |state, _| state.gone(start))
    }

    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        self.call("nodes", |state, now| state.nodes(now))
    }
}
