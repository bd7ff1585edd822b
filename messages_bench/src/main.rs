//! Loads a streaming server over HTTP and sockets, and checks everything it hands out.

mod check;
mod cli;
mod client;
mod compare;
mod dialect;
mod limits;
mod load;
mod nodes;
mod process;
mod random;
mod record;
mod report;
mod sample;
mod scenario;
mod server;
mod sse;

use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use crate::cli::Cli;
use crate::record::Filler;
use crate::scenario::Context;

fn main() -> ExitCode {
    let cli = Cli::read();
    match start(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("messages_bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for; false if the server did something wrong.
fn start(cli: &Cli) -> anyhow::Result<bool> {
    let now = report::since_epoch();
    let seed = cli.common.seed.unwrap_or(u64::from(now.subsec_nanos()));
    let filler: &'static Filler = Box::leak(Box::new(Filler::new()));
    let nonce = format!("{:x}", now.as_millis());
    runtime(cli.common.threads)?.block_on(async {
        let ctx = Context { seed, nonce, epoch: Instant::now(), filler };
        let outcomes = compare::run(&ctx, cli).await?;
        report::publish(cli, &ctx, &outcomes)
    })
}

/// One thread is enough for most loads, and leaves the rest of the machine to the server.
fn runtime(threads: usize) -> std::io::Result<Runtime> {
    match threads {
        0 | 1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    }
}
