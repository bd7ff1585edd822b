//! The built-in producer: numbered lines at a steady pace, the first thing to try a server with.

use crate::{
    channel::Channel,
    limits::PRODUCTIONS_MAX,
    model::{CloseReason, StreamName},
    stream::{Addition, StreamError, Streams},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Starts productions and ends them with the server.
pub struct Productions {
    streams: Arc<Streams>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What is to be produced: the lines `"{i}: {id}\n"` with `i` from zero.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The stream, and what stands in every line.
    pub name: StreamName,
    /// Lines a second.
    pub freq: u32,
    /// Lines in all.
    pub lines: u64,
    /// Whether a closed stream of that name may go for it.
    pub anew: bool,
}

impl Productions {
    /// Productions into `streams` until `stop`.
    #[must_use]
    pub fn new(streams: Arc<Streams>, stop: CancellationToken) -> Self {
        Self { streams, tasks: TaskTracker::new(), stop }
    }

    /// Begins a stream and its production, which goes on by itself whoever comes and goes.
    ///
    /// # Errors
    /// The stream is still open, or cannot begin now.
    pub async fn start(&self, plan: Plan) -> Result<Arc<Channel>, StreamError> {
        if self.stop.is_cancelled() {
            return Err(StreamError::Stopping);
        }
        if self.tasks.len() >= PRODUCTIONS_MAX {
            return Err(StreamError::Overloaded);
        }
        // Tied: if the server dies, the next start closes what nobody produces any more.
        let channel = self.begin(&plan).await?;
        let (streams, stop) = (self.streams.clone(), self.stop.clone());
        let produced = channel.clone();
        self.tasks.spawn(async move {
            let reason = tokio::select! {
                result = produce(&streams, &produced, &plan) => match result {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(%error, stream = %plan.name, "production ended early");
                        CloseReason::Interrupted
                    }
                },
                () = stop.cancelled() => CloseReason::Interrupted,
            };
            let close = Addition { tied: true, ..Addition::close(reason) };
            if let Err(error) = streams.append_patiently(&produced, close).await {
                tracing::debug!(%error, stream = %plan.name, "left for the next start to close");
            }
        });
        Ok(channel)
    }

    async fn begin(&self, plan: &Plan) -> Result<Arc<Channel>, StreamError> {
        let content_type = "text/plain; charset=utf-8";
        if plan.anew {
            return self.streams.begin(&plan.name, content_type, true).await;
        }
        let (channel, created) =
            self.streams.find_or_create(&plan.name, content_type, true).await?;
        if created {
            return Ok(channel);
        }
        match channel.status().map(|status| (status.tail, status.closed)) {
            Some((tail, Some(reason))) => Err(StreamError::Closed { tail, reason }),
            _ => Err(StreamError::Open),
        }
    }

    /// Waits until all productions have ended, after `stop`.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn produce(
    streams: &Streams,
    channel: &Arc<Channel>,
    plan: &Plan,
) -> Result<(), StreamError> {
    let period = Duration::from_secs(1) / plan.freq;
    let mut ticks = tokio::time::interval_at(Instant::now(), period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for i in 0..plan.lines {
        ticks.tick().await;
        let close = (i + 1 == plan.lines).then_some(CloseReason::Finished);
        let line = format!("{i}: {}\n", plan.name);
        let addition = Addition { tied: true, close, ..Addition::bytes(line.into()) };
        streams.append_patiently(channel, addition).await?;
    }
    Ok(())
}
