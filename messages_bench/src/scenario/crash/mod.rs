//! Kills the server again and again in the middle of load. What it acknowledged, and what any
//! reader has seen, must be there afterwards, in the same place, with the same bytes.

mod durable;
mod plain;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Context;
use crate::sample::Sample;
use crate::server::{Server, ServerArgs};

/// What to load and how often to kill.
#[derive(Clone, Debug, Args)]
pub struct CrashArgs {
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,

    /// What is spoken with it.
    #[arg(long, value_enum, default_value = "plain")]
    pub dialect: Spoken,

    /// How often it is killed.
    #[arg(long, default_value_t = 20)]
    pub kills: u64,

    /// The longest time between two kills, in seconds.
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

impl CrashArgs {
    /// How often it is killed, and the longest pause before each.
    fn kills(&self) -> (u64, Duration) {
        (self.kills, Duration::from_secs_f64(self.pause))
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
    let mut server = Server::new(&args.server, &dir)?;
    let mut sample = Sample::default();
    let outcome = match args.dialect {
        Spoken::Plain => plain::load(ctx, args, &mut server, &mut sample).await,
        Spoken::Durable => durable::load(ctx, args, &mut server, &mut sample).await,
    };
    if let Err(error) = &outcome {
        sample.faults.add(format!("the run broke off: {error:#}"));
    }
    let _ = server.kill().await;
    if sample.faults.total > 0 && args.server.data_dir.is_none() {
        let kept: PathBuf = temporary.keep();
        eprintln!("the server's data and log are kept in {}", kept.display());
    }
    Ok(sample)
}
