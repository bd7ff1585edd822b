//! `messages completions` and `messages man`: made from the commands themselves.

use super::{Cli, Failure};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::{
    io::{self, Write},
    path::PathBuf,
};

/// For which shell.
#[derive(Clone, Debug, Args)]
pub struct CompletionsOptions {
    /// The shell.
    shell: Shell,
}

/// Where to write manual pages.
#[derive(Clone, Debug, Args)]
pub struct ManOptions {
    /// Directory for the pages of the program and of all its commands. [default: only the first, to
    /// standard output]
    dir: Option<PathBuf>,
}

impl CompletionsOptions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut <Cli as CommandFactory>::command(),
            "messages",
            &mut script,
        );
        Ok(io::stdout().write_all(&script)?)
    }
}

impl ManOptions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let command = <Cli as CommandFactory>::command();
        if let Some(dir) = self.dir {
            std::fs::create_dir_all(&dir)?;
            return Ok(clap_mangen::generate_to(command, dir)?);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        Ok(io::stdout().write_all(&page)?)
    }
}
