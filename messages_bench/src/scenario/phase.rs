//! What the nodes are meant to do, and what is being done to them. A failure that nothing of that
//! explains is a fault.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What the server is meant to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It serves, for the so-manieth time; with several nodes, some of them do.
    Up(u64),
    /// It is being killed, or not yet back.
    Down,
    /// It serves, and no more is to be written.
    Finish,
}

/// What has been done to one node so far.
#[derive(Clone, Copy, Default)]
struct Trouble {
    /// How often something was done to it, or to what it needs.
    times: u64,
    /// How much is being done to it now.
    under_way: u32,
    /// Until when the last of it excuses failures.
    excused: Option<Instant>,
}

#[derive(Clone)]
struct Stage {
    phase: Phase,
    troubles: Vec<Trouble>,
    finish: Option<Instant>,
}

/// Tells everybody the phase.
pub struct Announcer {
    stage: watch::Sender<Stage>,
    grace: Duration,
}

/// Hears of the phase.
#[derive(Clone)]
pub struct Listener(watch::Receiver<Stage>);

/// A moment in the life of one node.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    node: usize,
    times: u64,
}

impl Announcer {
    /// An announcer for so many nodes and its first listener; nobody is there yet. For `grace` after
    /// something was done to a node, failures there are excused.
    pub fn new(nodes: usize, grace: Duration) -> (Self, Listener) {
        let troubles = vec![Trouble::default(); nodes];
        let (stage, receiver) =
            watch::channel(Stage { phase: Phase::Down, troubles, finish: None });
        (Self { stage, grace }, Listener(receiver))
    }

    /// Tells the phase.
    pub fn announce(&self, phase: Phase) {
        self.stage.send_modify(|stage| {
            stage.phase = phase;
            if phase == Phase::Finish {
                stage.finish.get_or_insert_with(Instant::now);
            }
        });
    }

    /// Something is about to be done to a node. It is told before it is done, so that no failure that
    /// follows from it can be mistaken for a fault.
    pub fn begin(&self, node: usize) {
        self.stage.send_modify(|stage| {
            let trouble = &mut stage.troubles[node];
            trouble.times += 1;
            trouble.under_way += 1;
        });
    }

    /// The node should be as good as before.
    pub fn end(&self, node: usize) {
        self.stage.send_modify(|stage| {
            let trouble = &mut stage.troubles[node];
            trouble.under_way = trouble.under_way.saturating_sub(1);
            trouble.excused = Some(Instant::now() + self.grace);
        });
    }
}

impl Listener {
    /// The phase now.
    pub fn now(&self) -> Phase {
        self.0.borrow().phase
    }

    /// How long everybody has been coming to an end.
    pub fn finishing(&self) -> Duration {
        self.0.borrow().finish.map_or(Duration::ZERO, |finish| finish.elapsed())
    }

    /// Waits for news.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until somebody is meant to be there. It is bounded by the limits on restarts.
    pub async fn up(&mut self) -> Phase {
        match self.0.wait_for(|stage| stage.phase != Phase::Down).await {
            Ok(stage) => stage.phase,
            Err(_) => Phase::Finish,
        }
    }

    /// A moment to ask [`Self::excuses`] about.
    pub fn mark(&self, node: usize) -> Mark {
        Mark { node, times: self.0.borrow().troubles[node].times }
    }

    /// Whether something that was done since `mark` explains a failure of its node now.
    pub fn excuses(&self, mark: Mark) -> bool {
        let trouble = self.0.borrow().troubles[mark.node];
        let excused = trouble.excused.is_some_and(|until| Instant::now() < until);
        trouble.times != mark.times || trouble.under_way > 0 || excused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_was_done_to_a_node_excuses_it() {
        let (announcer, listener) = Announcer::new(2, Duration::from_millis(50));
        let before = [0, 1].map(|node| listener.mark(node));
        assert!(!listener.excuses(before[0]));
        announcer.begin(0);
        assert!(listener.excuses(before[0]) && !listener.excuses(before[1]));
        let during = listener.mark(0);
        assert!(listener.excuses(during));
        announcer.end(0);
        assert!(listener.excuses(during), "for a while");
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert!(!listener.excuses(during) && listener.excuses(before[0]));
    }

    #[tokio::test]
    async fn troubles_may_overlap() {
        let (announcer, listener) = Announcer::new(1, Duration::ZERO);
        announcer.begin(0);
        announcer.begin(0);
        announcer.end(0);
        assert!(listener.excuses(listener.mark(0)));
        announcer.end(0);
        assert!(!listener.excuses(listener.mark(0)));
    }
}
