//! Whether the server is meant to be there. A failure while it is meant to be there is a fault.

use tokio::sync::watch;

/// What the server is meant to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It serves, for the so-manieth time.
    Up(u64),
    /// It is being killed, or not yet back.
    Down,
    /// It serves, and no more is to be written.
    Finish,
}

/// Tells everybody the phase.
pub struct Announcer(watch::Sender<Phase>);

/// Hears of the phase.
#[derive(Clone)]
pub struct Listener(watch::Receiver<Phase>);

impl Announcer {
    /// An announcer and its first listener; the server is not there yet.
    pub fn new() -> (Self, Listener) {
        let (sender, receiver) = watch::channel(Phase::Down);
        (Self(sender), Listener(receiver))
    }

    /// Tells the phase. `Down` is told before the server is killed, so that no failure that
    /// follows from the kill can be mistaken for a fault.
    pub fn announce(&self, phase: Phase) {
        self.0.send_replace(phase);
    }
}

impl Listener {
    /// The phase now.
    pub fn now(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits for another phase.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until the server is meant to be there. It is bounded by the limits on its restart.
    pub async fn up(&mut self) -> Phase {
        match self.0.wait_for(|phase| *phase != Phase::Down).await {
            Ok(phase) => *phase,
            Err(_) => Phase::Finish,
        }
    }
}
