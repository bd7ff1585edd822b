//! How the work on subscriptions begins with a server: at once where it is the only one, else when it is
//! its turn.

use super::{Answerer, Forward, Pace, Worker};
use crate::{
    model::StreamId,
    store::WorkerStore,
    subscription::{Desk, Parts, Subscriptions},
};
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Subscriptions that do nothing yet.
pub enum Waking {
    /// Those of the only server.
    Alone(Arc<Subscriptions>),
    /// Those of one of several nodes, and the word that it stops.
    InTurn(Box<Worker>, CancellationToken),
}

impl Waking {
    /// Of the node of this start, where there are several. From here on changes are noted, so this comes
    /// before anything changes.
    #[must_use]
    pub fn new(
        parts: Parts,
        store: Arc<dyn WorkerStore>,
        start: u32,
        stop: CancellationToken,
    ) -> Self {
        let Some(shared) = parts.streams.shared().cloned() else {
            return Self::Alone(Subscriptions::new(parts, stop));
        };
        let (desk, forward) = (Arc::default(), Forward::new(shared, start));
        Self::InTurn(Box::new(Worker { parts, store, desk, forward, pace: Pace::default() }), stop)
    }

    /// Where they are found.
    #[must_use]
    pub fn desk(&self) -> Arc<Desk> {
        match self {
            Self::Alone(subscriptions) => Desk::with(subscriptions.clone()),
            Self::InTurn(worker, _) => worker.desk.clone(),
        }
    }

    /// Who passes on what another node has to answer.
    #[must_use]
    pub fn forward(&self) -> Option<Arc<Forward>> {
        match self {
            Self::Alone(_) => None,
            Self::InTurn(worker, _) => Some(worker.forward.clone()),
        }
    }

    /// Begins. `first` is the first id of streams that begin in this run; other nodes are heard until
    /// `stop_nodes`. Returns those of the only server, or what ends after its turn.
    #[must_use]
    pub fn begin(
        self,
        first: StreamId,
        answerer: Answerer,
        stop_nodes: &CancellationToken,
    ) -> (Option<Arc<Subscriptions>>, Option<JoinHandle<()>>) {
        match self {
            Self::Alone(subscriptions) => {
                // What it loads is no part of the start: requests about subscriptions wait for it.
                tokio::spawn(subscriptions.clone().run(first));
                (Some(subscriptions), None)
            }
            Self::InTurn(worker, stop) => {
                tokio::spawn(worker.forward.clone().run(answerer, stop_nodes.clone()));
                (None, Some(tokio::spawn(worker.run(stop))))
            }
        }
    }
}
