//! Kills the server again and again in the middle of load. What it acknowledged, and what any
//! reader has seen, must be there afterwards, in the same place, with the same bytes.

mod durable;
mod plain;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::{Args, ValueEnum};

use super::Context;
use crate::nodes::{Nodes, NodesArgs};
use crate::sample::Sample;
use crate::server::ServerArgs;

/// What to load and how often to kill.
#[derive(Clone, Debug, Args)]
pub struct CrashArgs {
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,

    /// Several nodes, and faults of all kinds instead of kills.
    #[command(flatten)]
    pub nodes: NodesArgs,

    /// What is spoken with it; plain when not said, durable with faults of all kinds.
    #[arg(long, value_enum)]
    pub dialect: Option<Spoken>,

    /// How often it is killed.
    #[arg(long, default_value_t = 20)]
    pub kills: u64,

    /// How long faults of all kinds happen, in seconds, instead of kills; 60 with several nodes.
    #[arg(long)]
    pub seconds: Option<f64>,

    /// The longest time between two kills or faults, in seconds.
    #[arg(long, default_value_t = 1.5)]
    pub pause: f64,

    /// Streams of small appends; with the durable dialect, streams at the beginning.
    #[arg(long, default_value_t = 4)]
    pub streams: usize,

    /// Writers of small appends to each of them.
    #[arg(long, default_value_t = 2)]
    pub writers: usize,

    /// Small appends a second by each writer; 0 writes as fast as it can.
    #[arg(long, default_value_t = 300.0)]
    pub rate: f64,

    /// Streams that are written in long bodies, resumed after each crash; plain dialect only.
    #[arg(long, default_value_t = 4)]
    pub long: usize,

    /// Readers of each stream.
    #[arg(long, default_value_t = 2)]
    pub readers: usize,

    /// Streams that live at the same time, with forks; durable dialect only.
    #[arg(long, default_value_t = 16)]
    pub alive: usize,
}

/// How long faults of all kinds happen when that is not said.
const TIME: Duration = Duration::from_secs(60);

impl CrashArgs {
    /// Whether faults of all kinds happen, rather than kills alone.
    fn has_faults(&self) -> bool {
        self.nodes.has_faults() || self.seconds.is_some()
    }

    /// How long they happen.
    fn time(&self) -> Duration {
        self.seconds.map_or(TIME, Duration::from_secs_f64)
    }

    /// The longest pause before each kill or fault.
    fn pause(&self) -> Duration {
        Duration::from_secs_f64(self.pause)
    }
}

/// The two languages of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Spoken {
    /// Bodies at `/`: small appends, and long bodies resumed at an offset.
    Plain,
    /// The Durable Streams protocol: idempotent producers, forks, closing, deletion.
    Durable,
}

/// Runs the scenario.
pub async fn run(ctx: &Context, args: &CrashArgs) -> anyhow::Result<Sample> {
    let temporary = tempfile::Builder::new().prefix("messages-crash-").tempdir()?;
    let dir = args.server.data_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let spoken = if args.has_faults() { Spoken::Durable } else { Spoken::Plain };
    let spoken = args.dialect.unwrap_or(spoken);
    ensure!(
        !args.has_faults() || spoken == Spoken::Durable,
        "what is sent again after a pause must be known by its number: use --dialect durable"
    );
    let mut nodes = Nodes::new(&args.server, &args.nodes, &dir, args.has_faults(), &[])?;
    let mut sample = Sample::default();
    let outcome = match spoken {
        Spoken::Plain => plain::load(ctx, args, nodes.first(), &mut sample).await,
        Spoken::Durable => durable::load(ctx, args, &mut nodes, &mut sample).await,
    };
    if let Err(error) = &outcome {
        sample.faults.add(format!("the run broke off: {error:#}"));
    }
    let _ = nodes.kill().await;
    if sample.faults.total > 0 && args.server.data_dir.is_none() {
        let kept: PathBuf = temporary.keep();
        eprintln!("data and logs are kept in {}", kept.display());
    }
    Ok(sample)
}
