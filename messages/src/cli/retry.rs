//! Patience with a server that does not answer.

use super::exit::{Failure, note};
use crate::limits::{CLI_PAUSE_MS_MAX, CLI_PAUSE_MS_MIN};
use clap::Args;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long to go on trying.
#[derive(Clone, Debug, Args)]
pub struct RetryOptions {
    /// Seconds for which to try again while the server does not answer, or has no room. It begins anew
    /// with every answer.
    #[arg(long, default_value_t = 300, value_name = "SECS")]
    retry_secs: u64,
}

impl RetryOptions {
    pub(super) fn most(&self) -> Duration {
        Duration::from_secs(self.retry_secs)
    }
}

/// One outage, from the first failure until something has worked again.
pub(super) struct Outage {
    most: Duration,
    began: Option<Instant>,
    pause: Duration,
}

impl Outage {
    pub fn new(most: Duration) -> Self {
        Self { most, began: None, pause: Duration::ZERO }
    }

    /// It works.
    pub fn over(&mut self) {
        if let Some(began) = self.began.take() {
            note(format_args!("going on after {:.1} s", began.elapsed().as_secs_f64()));
        }
    }

    /// Waits before the next attempt, the longer the more have failed.
    ///
    /// # Errors
    /// It has taken too long.
    pub async fn wait(&mut self, failure: Failure, asked: Option<Duration>) -> Result<(), Failure> {
        let first = Duration::from_millis(CLI_PAUSE_MS_MIN);
        let longest = Duration::from_millis(CLI_PAUSE_MS_MAX);
        self.pause = if self.began.is_none() { first } else { longest.min(self.pause * 2) };
        let pause = asked.unwrap_or_default().max(self.pause).min(longest);
        let began = *self.began.get_or_insert_with(Instant::now);
        if began.elapsed() + pause > self.most {
            return Err(failure);
        }
        note(format_args!("{failure}; trying again in {:.1} s", pause.as_secs_f64()));
        sleep(pause).await;
        Ok(())
    }
}
