//! The server program.

use anyhow::Context;
use messages::{
    cli::{self, Cli, Command},
    config::{Config, LogFormat},
    fetch::causes,
    server::Server,
};
use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            // The causes on one line, and never a backtrace: this is for operators.
            eprintln!("error: {}", causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<ExitCode> {
    // It sets variables, which is only sound before there are threads.
    match dotenvy::dotenv() {
        // What is in it are secrets.
        Err(dotenvy::Error::LineParse(_, byte)) => {
            anyhow::bail!("cannot read .env: byte {} of a line is not as in NAME=VALUE", byte + 1)
        }
        Err(error) if !error.not_found() => anyhow::bail!("cannot read .env: {error}"),
        _ => {}
    }
    let config = match Cli::from_environment().command() {
        Command::Serve(config) => config,
        command => return Ok(cli::run(command)),
    };
    let filter = EnvFilter::try_new(&config.log).context("--log")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR")));
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    // Every connection is a file. Where it cannot be raised, connections fail one by one.
    if let Err(error) = rlimit::increase_nofile_limit(config.connections_max as u64 + 1024) {
        tracing::warn!(%error, "cannot raise the limit on open files");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&config))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(config: &Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // It may wait for a database or for Redis, and nobody should have to kill it then.
    let server = tokio::select! {
        server = Server::start(config) => server?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let url = format!("{}://{}", config.tls.scheme(), server.address());
    let header = if config.auth.is_open() { "" } else { " -H \"Authorization: Bearer $TOKEN\"" };
    let token = if config.auth.keys.is_set() {
        "Make a token with the secret of this server:\n  \
         TOKEN=$(messages token --sub me --read '**' --write '**' --manage '**')\n"
    } else {
        ""
    };
    // Nobody may be there to read it.
    let _ = writeln!(
        std::io::stdout(),
        "messages is listening on {url} ({}, durability {})\n\n\
         {token}Start something that is produced piece by piece:\n  curl -N{header} -d hello {url}\n\
         and read it in another terminal, from the beginning and live:\n  curl -N{header} '{url}/?id=hello'\n\
         or open {url} in a browser.\n",
        config.database_kind(),
        config.kept_by(),
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::select! {
        stopped = server.stop() => stopped,
        // Supervisors repeat SIGTERM; only a person who insists presses Ctrl-C again.
        _ = interrupt.recv() => {
            anyhow::bail!("interrupted again; the next start brings into the database what is missing")
        }
    }
}

/// Whether lines of log have colours: for people, who may not want them (no-color.org).
fn is_coloured(is_terminal: bool, no_color: Option<std::ffi::OsString>) -> bool {
    is_terminal && no_color.is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::is_coloured;

    #[test]
    fn colours_are_for_people_who_want_them() {
        assert!(is_coloured(true, None) && is_coloured(true, Some("".into())));
        assert!(!is_coloured(true, Some("1".into())) && !is_coloured(false, None));
    }
}
