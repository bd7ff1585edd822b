//! `messages tail`: what a stream holds, byte for byte, and what follows, through any break.

use super::{
    client::ServerOptions,
    exit::{Exit, Failure},
    reader::{Broken, From, Reader, Sink, Step},
    retry::RetryOptions,
};
use crate::model::{Offset, StreamName};
use clap::Args;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// What to print.
#[derive(Clone, Debug, Args)]
pub struct TailOptions {
    /// The stream.
    name: StreamName,

    /// Where to begin: beginning, now, or an offset as the server and --offset-file tell it.
    #[arg(long, value_name = "WHERE", value_parser = From::parse)]
    from: Option<From>,

    /// Go on with what comes, until the stream is closed.
    #[arg(long, short)]
    follow: bool,

    /// File to keep the offset in behind what was printed. Without --from it is where to begin, if it is
    /// there.
    #[arg(long, value_name = "FILE")]
    offset_file: Option<PathBuf>,

    #[command(flatten)]
    server: ServerOptions,

    #[command(flatten)]
    retry: RetryOptions,
}

impl TailOptions {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.server.client(self.retry.most())?;
        let from = match (self.from, &self.offset_file) {
            (Some(from), _) => from,
            (None, Some(file)) => remembered(file)?,
            (None, None) => From::Beginning,
        };
        let name = self.name.as_str();
        let mut output = Output { offset_file: self.offset_file.as_deref() };
        let mut reader = Reader::new(&client, name, from);
        let mut outage = client.outage();
        loop {
            match reader.step(&mut output).await {
                Ok(Step { ended: true, .. }) => return Ok(()),
                Ok(Step { up_to_date: true, .. }) if !self.follow => return Ok(()),
                Ok(step) => {
                    outage.over();
                    reader.wait_for_more(step.up_to_date);
                }
                Err(Broken { failure, passing: false }) => return Err(failure.of(name)),
                Err(Broken { failure, .. }) => outage.wait(failure, None).await?,
            }
        }
    }
}

/// Standard output, and where it is.
struct Output<'a> {
    offset_file: Option<&'a Path>,
}

impl Sink for Output<'_> {
    fn take(&mut self, content: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(content)?;
        Ok(out.flush()?)
    }

    /// Writes down where it is: whole or not at all.
    fn reached(&mut self, offset: Offset) -> Result<(), Failure> {
        let Some(file) = self.offset_file else { return Ok(()) };
        let mut fresh = file.as_os_str().to_owned();
        fresh.push(".new");
        let written =
            fs::write(&fresh, format!("{offset}\n")).and_then(|()| fs::rename(&fresh, file));
        written.map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", file.display())))
    }
}

fn remembered(file: &Path) -> Result<From, Failure> {
    match fs::read_to_string(file) {
        Ok(text) => From::parse(text.trim())
            .map_err(|error| Failure::usage(format!("{}: {error}", file.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(From::Beginning),
        Err(error) => Err(Failure::from(error).of(file.display())),
    }
}
