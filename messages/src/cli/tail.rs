//! `messages tail`: what a stream holds, byte for byte, and what follows, through any break.

use super::{
    client::{Ask, Client, ServerOptions, header, piece, stream_path},
    elements::Elements,
    exit::{Exit, Failure},
    retry::RetryOptions,
};
use crate::{
    limits::TAIL_MARK_BYTES,
    model::{Offset, StreamName, holds_messages},
};
use clap::Args;
use http::Method;
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

#[derive(Clone, Copy, Debug)]
enum From {
    Beginning,
    Now,
    At(Offset),
}

impl From {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "beginning" => Ok(Self::Beginning),
            "now" => Ok(Self::Now),
            text => text.parse().map(Self::At).map_err(|_| {
                "must be beginning, now, or an offset: sixteen digits, an underscore and sixteen digits"
                    .into()
            }),
        }
    }

    /// As a position. Nothing comes of what begins at the present end but its position.
    fn offset(self) -> Offset {
        match self {
            Self::At(offset) => offset,
            Self::Beginning | Self::Now => Offset::ZERO,
        }
    }

    fn text(self) -> String {
        match self {
            Self::Beginning => "-1".into(),
            Self::Now => "now".into(),
            Self::At(offset) => offset.to_string(),
        }
    }
}

impl TailOptions {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.server.client(self.retry.most())?;
        let from = match (self.from, &self.offset_file) {
            (Some(from), _) => from,
            (None, Some(file)) => remembered(file)?,
            (None, None) => From::Beginning,
        };
        let mut reading = Reading {
            client: &client,
            name: self.name.as_str(),
            path: stream_path(self.name.as_str()),
            from,
            live: false,
            print: Print::Unknown,
            offset_file: self.offset_file.as_deref(),
        };
        let mut outage = client.outage();
        loop {
            match reading.step().await {
                Ok(Step { ended: true, .. }) => return Ok(()),
                Ok(Step { up_to_date: true, .. }) if !self.follow => return Ok(()),
                Ok(step) => {
                    outage.over();
                    reading.live = step.up_to_date;
                }
                Err(Broken { failure, passing: false }) => return Err(failure.of(self.name)),
                Err(Broken { failure, .. }) => outage.wait(failure, None).await?,
            }
        }
    }
}

struct Step {
    up_to_date: bool,
    ended: bool,
}

struct Broken {
    failure: Failure,
    passing: bool,
}

impl<T: Into<Failure>> std::convert::From<T> for Broken {
    fn from(failure: T) -> Self {
        Self { failure: failure.into(), passing: false }
    }
}

/// How content becomes output.
enum Print {
    Unknown,
    Bytes,
    /// A line for each.
    Messages(Elements),
}

struct Reading<'a> {
    client: &'a Client,
    name: &'a str,
    path: String,
    /// Where the next request begins.
    from: From,
    live: bool,
    print: Print,
    offset_file: Option<&'a Path>,
}

impl Reading<'_> {
    /// One request.
    async fn step(&mut self) -> Result<Step, Broken> {
        let live = if self.live { "&live=long-poll" } else { "" };
        let target = format!("{}?offset={}{live}", self.path, self.from.text());
        let response = self.client.insist(&Ask::new(Method::GET, &target)).await?;
        let headers = response.headers();
        let next: Offset = header(headers, "stream-next-offset").parse().map_err(|_| {
            Failure::new(Exit::Failed, "the server does not say where it is: is it one of these?")
        })?;
        let up_to_date = header(headers, "stream-up-to-date") == "true";
        let ended = up_to_date && header(headers, "stream-closed") == "true";
        if matches!(self.print, Print::Unknown) && response.status() == 200 {
            self.print = match holds_messages(header(headers, "content-type")) {
                true => Print::Messages(Elements::new()),
                false => Print::Bytes,
            };
        }
        let mut body = response.into_body();
        let mut marked = 0;
        loop {
            match piece(&mut body).await {
                Ok(None) => break,
                Ok(Some(bytes)) => {
                    self.show(&bytes)?;
                    marked += bytes.len() as u64;
                    if marked > TAIL_MARK_BYTES && matches!(self.print, Print::Bytes) {
                        marked = 0;
                        self.mark()?;
                    }
                }
                Err(failure) => {
                    self.go_back();
                    return Err(Broken { failure, passing: true });
                }
            }
        }
        if let Print::Messages(elements) = &mut self.print {
            elements.next_array();
        }
        self.from = From::At(next);
        self.mark()?;
        Ok(Step { up_to_date, ended })
    }

    /// After an answer that broke off: to behind what was printed of it.
    fn go_back(&mut self) {
        if let Print::Messages(elements) = &mut self.print {
            let (records, bytes) = elements.passed();
            self.from = From::At(self.from.offset().advance(records, bytes));
            elements.next_array();
        }
    }

    fn show(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let mut out = io::stdout().lock();
        match &mut self.print {
            Print::Messages(elements) => elements.print(bytes, &mut out)?,
            Print::Bytes | Print::Unknown => {
                out.write_all(bytes)?;
                // Only the bytes of an offset are looked at, so one inside of a record is as good.
                self.from = From::At(self.from.offset().advance(0, bytes.len() as u64));
            }
        }
        Ok(out.flush()?)
    }

    /// Writes down where it is: whole or not at all.
    fn mark(&self) -> Result<(), Failure> {
        let (Some(file), From::At(offset)) = (self.offset_file, self.from) else { return Ok(()) };
        let mut fresh = file.as_os_str().to_owned();
        fresh.push(".new");
        let written =
            fs::write(&fresh, format!("{offset}\n")).and_then(|()| fs::rename(&fresh, file));
        written.map_err(|error| {
            Failure::new(Exit::Failed, format!("{}: {}: {error}", self.name, file.display()))
        })
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
