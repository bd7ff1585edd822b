//! The kills: when they come, and how long the server takes to be back.

use std::time::Duration;

use tokio::time::sleep;

use super::phase::{Announcer, Phase};
use super::{Context, bar};
use crate::load::histogram;
use crate::random::Random;
use crate::sample::{Better, Sample};
use crate::server::Server;

/// The longest life of a server that is killed while it starts.
const EARLY: Duration = Duration::from_millis(40);

/// What became of the kills.
#[derive(Default)]
pub struct Kills {
    /// Under load.
    pub done: u64,
    /// Of servers that had not come up yet.
    pub early: u64,
    /// How long each start took, the first one on an empty directory.
    pub starts: Vec<Duration>,
}

impl Kills {
    /// Kills the server so many `times`, with a pause of up to `pause` before each. `audit` looks at
    /// it after each restart, before anybody else does.
    pub async fn inflict(
        &mut self,
        ctx: &Context,
        (times, pause): (u64, Duration),
        server: &mut Server,
        announcer: &Announcer,
        mut audit: impl AsyncFnMut(u64),
    ) -> anyhow::Result<()> {
        let mut random = Random::new(ctx.seed, 0xDEAD);
        let progress = bar("crash".to_owned(), times);
        announcer.announce(Phase::Up(0));
        for kill in 1..=times {
            sleep(random.up_to(pause)).await;
            announcer.announce(Phase::Down);
            announcer.begin(0);
            server.kill().await?;
            self.done += 1;
            // Now and then it dies while it is still putting its data in order.
            while random.one_in(4) {
                server.spawn()?;
                sleep(random.up_to(EARLY)).await;
                server.kill().await?;
                self.early += 1;
            }
            self.starts.push(server.start().await?);
            audit(kill).await;
            announcer.end(0);
            announcer.announce(Phase::Up(kill));
            progress.inc(1);
        }
        progress.finish_and_clear();
        sleep(random.up_to(pause)).await;
        Ok(())
    }

    /// The numbers of the kills.
    pub fn report(&self, sample: &mut Sample) {
        sample.count("kills under load", self.done);
        sample.count("kills while starting", self.early);
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let Some((first, restarts)) = self.starts.split_first() else {
            return;
        };
        sample.figure("first start", "ms", millis(*first), Better::Lower);
        let mut sorted = restarts.to_vec();
        sorted.sort();
        let shown =
            [("restart median", sorted.len() / 2), ("restart max", sorted.len().max(1) - 1)];
        for (name, at) in shown {
            if let Some(time) = sorted.get(at) {
                sample.figure(name, "ms", millis(*time), Better::Lower);
            }
        }
        let mut latency = histogram();
        for time in restarts {
            latency.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
        sample.latency = Some(latency);
    }
}
