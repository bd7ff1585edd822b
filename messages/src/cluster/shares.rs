//! Lets the nodes count together what one principal takes. It costs no request any time: what was
//! counted is said now and then, all of it at once.

use crate::{limits::SHARES_TOLD_MS, quota::Quotas, stream::Shared};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// What it is said under.
const TOPIC: &str = "shares";

/// See the module.
pub struct Shares {
    /// What this node counts.
    pub quotas: Arc<Quotas>,
    /// How it speaks to others.
    pub shared: Arc<Shared>,
    /// The number of its start.
    pub node: u32,
}

impl Shares {
    /// Tells others what is counted here, and takes up what they tell, until `stop`. While the log is
    /// away each counts for itself.
    pub async fn run(self, stop: CancellationToken) {
        if self.quotas.count_anything() {
            tokio::select! {
                () = self.tell() => {}
                () = self.hear() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn tell(&self) {
        let (log, mut listens) = (self.shared.log(), false);
        let mut ticks = interval(Duration::from_millis(SHARES_TOLD_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            listens = listens || log.listen(TOPIC).await.is_ok();
            for news in self.quotas.news(self.node) {
                if let Err(error) = log.say(TOPIC, news.into()).await {
                    tracing::debug!(%error, "other nodes do not hear what principals have taken here");
                }
            }
        }
    }

    async fn hear(&self) {
        let mut said = self.shared.said();
        loop {
            match said.recv().await {
                Ok(said) if &*said.topic == TOPIC => {
                    self.quotas.hear(self.node, said.words.as_deref().unwrap_or_default());
                }
                // What was missed is not counted here.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}
