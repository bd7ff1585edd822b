//! The scenarios: each takes a context and a server and gives a sample.

pub mod append;
pub mod cardinality;
pub mod catchup;
pub mod chat;
pub mod crash;
pub mod fanout;
mod kills;
pub mod phase;
pub mod verify;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::limits;
use crate::record::Filler;

/// What every run has.
#[derive(Clone)]
pub struct Context {
    /// The seed of all random choices.
    pub seed: u64,
    /// Part of every stream's name, so that runs against the same server do not meet.
    pub nonce: String,
    /// The zero of the times in records.
    pub epoch: Instant,
    /// Makes and checks records.
    pub filler: &'static Filler,
}

impl Context {
    /// The same for another round, whose streams have other names.
    pub fn round(&self, round: usize) -> Self {
        Self { nonce: format!("{}r{round}", self.nonce), ..*self }
    }

    /// Nanoseconds from the zero of the times to `at`.
    pub fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The name of a stream of this run.
    pub fn stream(&self, kind: &str, target: &str, number: usize) -> String {
        format!("{kind}-{}-{target}-{number}", self.nonce)
    }
}

/// A bar of `length` steps; invisible when nobody watches.
pub fn bar(label: String, length: u64) -> ProgressBar {
    let template = "{msg:24} {bar:40.cyan/blue} {human_pos}/{human_len} {per_sec} {elapsed}";
    let style = ProgressStyle::with_template(template).expect("the template is constant and right");
    ProgressBar::new(length).with_style(style).with_message(label)
}

/// A bar that runs for a time rather than for a number of steps.
pub async fn run_clock(label: String, until: Instant) {
    let start = Instant::now();
    let total = until.saturating_duration_since(start);
    let bar = bar(label, u64::try_from(total.as_millis()).unwrap_or(0));
    let style = ProgressStyle::with_template("{msg:24} {bar:40.cyan/blue} {elapsed}");
    bar.set_style(style.expect("the template is constant and right"));
    while Instant::now() < until {
        tokio::time::sleep_until(until.min(Instant::now() + Duration::from_millis(200))).await;
        bar.set_position(u64::try_from(start.elapsed().as_millis()).unwrap_or(0));
    }
    bar.finish_and_clear();
}

/// How many connections can be open at once, after asking the system for as many as it gives.
pub fn connections() -> anyhow::Result<usize> {
    let descriptors = rlimit::increase_nofile_limit(limits::CONNECTIONS * 2)?;
    let connections = descriptors.saturating_sub(limits::DESCRIPTORS_RESERVED);
    Ok(usize::try_from(connections.clamp(1, limits::CONNECTIONS))?)
}
