//! The command line: the server, and what people and scripts need beside it. Nothing of the server knows
//! of this; what a command does it does over HTTP, or with the files of a server.

mod appender;
mod backup;
mod check;
mod client;
mod data;
mod elements;
mod exit;
mod export;
mod import;
mod ls;
mod manual;
mod part;
mod push;
mod reader;
mod retry;
mod rm;
mod tail;
mod token;
mod transfer;

pub use token::TokenOptions;

use crate::{config::Config, health::HealthOptions};
use clap::{Parser, Subcommand};
use exit::Failure;
use std::process::ExitCode;

/// What stands behind the help of the program.
const AFTER_HELP: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused (401, 403), 5 in conflict with what \
is there (closed, exists, another type), 6 damage found.";

/// Hands out whatever is produced piece by piece to any number of readers, from the beginning and
/// live. Without a command it serves.
#[derive(Debug, Parser)]
#[command(version = crate::VERSION, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    config: Config,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve
    Serve(Box<Config>),
    /// Print a token, or a signed URL, made with the secret of the server
    Token(Box<TokenOptions>),
    /// Tell whether the server on this machine takes appends; exits with 1 where it does not
    Health(HealthOptions),
    /// Append what comes in on standard input to a stream
    Push(push::PushOptions),
    /// Print what a stream holds, and follow it
    Tail(tail::TailOptions),
    /// List streams
    Ls(ls::LsOptions),
    /// Delete streams
    Rm(rm::RmOptions),
    /// Write streams into a file
    Export(export::ExportOptions),
    /// Bring back streams from a file
    Import(import::ImportOptions),
    /// Copy the data of a server that may be running
    Backup(backup::BackupOptions),
    /// Look whether the data of a server that is not running is as it should be
    Check(check::CheckOptions),
    /// Print what completes commands in a shell
    Completions(manual::CompletionsOptions),
    /// Print the manual page, or write those of all commands
    Man(manual::ManOptions),
}

impl Cli {
    /// The command line and the environment. Ends the process with a message where they make no
    /// sense, and for `--help`.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::parse()
    }

    /// What is to be done.
    #[must_use]
    pub fn command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Serve(Box::new(self.config)))
    }
}

/// Does what is asked for, which is anything but to serve, and says how it ended.
#[must_use]
pub fn run(command: Command) -> ExitCode {
    match perform(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

fn perform(command: Command) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Serve(_) => Err(Failure::usage("serving is not done here")),
        Command::Token(options) => options.run(),
        Command::Health(options) => Ok(runtime.block_on(options.check())?),
        Command::Push(options) => runtime.block_on(options.run()),
        Command::Tail(options) => runtime.block_on(options.run()),
        Command::Ls(options) => runtime.block_on(options.run()),
        Command::Rm(options) => runtime.block_on(options.run()),
        Command::Export(options) => runtime.block_on(options.run()),
        Command::Import(options) => runtime.block_on(options.run()),
        Command::Backup(options) => runtime.block_on(options.run()),
        Command::Check(options) => runtime.block_on(options.run()),
        Command::Completions(options) => options.run(),
        Command::Man(options) => options.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn serving_needs_no_command() {
        for args in
            [&["messages", "--data-dir", "x"][..], &["messages", "serve", "--data-dir", "x"]]
        {
            match Cli::try_parse_from(args).expect("valid").command() {
                Command::Serve(config) => assert_eq!(config.data_dir, Path::new("x")),
                other => panic!("not asked for: {other:?}"),
            }
        }
        assert!(Cli::try_parse_from(["messages", "--data-dir", "x", "token"]).is_err());
        assert!(Cli::try_parse_from(["messages", "other"]).is_err());
    }

    #[test]
    fn a_token_is_not_shown() {
        let args = ["messages", "ls", "--token", "very-secret"];
        let command = Cli::try_parse_from(args).expect("valid").command();
        assert!(!format!("{command:?}").contains("very-secret"));
    }
}
