//! `messages export`: streams as a file.

use super::{
    client::{Client, ServerOptions},
    exit::{Exit, Failure, note},
    ls::{Listed, Pages},
    part::{Part, or_stopped},
    reader::{Broken, From, Reader, Sink},
    retry::RetryOptions,
    transfer::{Head, Line, Tally, VERSION, encode, progress},
};
use crate::{
    limits::EXPORT_PIECE_BYTES,
    model::{Offset, holds_messages},
};
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

/// What to write where.
#[derive(Clone, Debug, Args)]
pub struct ExportOptions {
    /// What the names begin with. [default: all]
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,

    /// The file. [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print how much it was, as JSON.
    #[arg(long, requires = "output")]
    json: bool,

    #[command(flatten)]
    server: ServerOptions,

    #[command(flatten)]
    retry: RetryOptions,
}

#[derive(Default, Serialize)]
pub(super) struct Outcome {
    pub streams: u64,
    pub bytes: u64,
}

impl Outcome {
    pub fn print(&self) -> Result<(), Failure> {
        let line = serde_json::to_string(self).map_err(io::Error::from)?;
        Ok(writeln!(io::stdout(), "{line}")?)
    }
}

impl ExportOptions {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.server.client(self.retry.most())?;
        let Some(path) = &self.output else {
            export(&client, &self.prefix, BufWriter::new(io::stdout())).await?;
            return Ok(());
        };
        // Nothing takes the place of a device or a pipe.
        let is_file = path.metadata().map_or(true, |found| found.is_file());
        // Of a link, that of what it leads to.
        let part = is_file.then(|| Part::of(path.canonicalize().unwrap_or(path.clone())));
        let path = part.as_ref().map_or(path.as_path(), Part::path);
        let file = File::create(path).map_err(|error| Failure::from(error).of(path.display()))?;
        let work = export(&client, &self.prefix, BufWriter::new(&file));
        let outcome = or_stopped(work).await?;
        if let Some(part) = part {
            file.sync_all()?;
            part.finish()?;
        }
        if self.json { outcome.print() } else { Ok(()) }
    }
}

async fn export(client: &Client, prefix: &str, out: impl Write) -> Result<Outcome, Failure> {
    let bar = progress("exporting");
    let mut writer = Writer { out, bar, outcome: Outcome::default() };
    writer.line(&Line::MessagesExport(VERSION))?;
    let mut pages = Pages::new(client, prefix);
    while let Some(page) = pages.next().await? {
        for listed in page {
            writer.stream(client, listed).await?;
        }
    }
    writer.line(&Line::Streams(writer.outcome.streams))?;
    writer.out.flush()?;
    writer.bar.finish_and_clear();
    Ok(writer.outcome)
}

struct Writer<W> {
    out: W,
    bar: ProgressBar,
    outcome: Outcome,
}

impl<W: Write> Writer<W> {
    fn line(&mut self, line: &Line) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, line).map_err(io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// Everything that there is of one stream now.
    async fn stream(&mut self, client: &Client, listed: Listed) -> Result<(), Failure> {
        let Listed { name, content_type, ttl, expires_at, .. } = listed;
        self.bar.set_message(name.clone());
        let messages = holds_messages(&content_type);
        let mut reader = Reader::new(client, &name, From::Beginning);
        let mut outage = client.outage();
        let mut content = Content {
            // Told before the first content, so that a stream that has gone leaves no trace.
            head: Some(Head { name: name.clone(), content_type, ttl, expires_at }),
            writer: self,
            messages,
            tally: Tally::new(),
        };
        let closed = loop {
            match reader.step(&mut content).await {
                Ok(step) if step.up_to_date => break step.ended,
                Ok(_) => outage.over(),
                Err(Broken { failure, passing: true }) => outage.wait(failure, None).await?,
                Err(Broken { failure, .. }) => {
                    let begun = content.head.is_none();
                    if failure.exit() == Exit::NotFound && !begun {
                        note(format_args!("{name} has gone meanwhile"));
                        return Ok(());
                    }
                    return Err(failure.of(name));
                }
            }
        };
        content.begin()?;
        let Content { writer, tally, .. } = content;
        writer.outcome.streams += 1;
        writer.line(&Line::End(tally.end(closed)))
    }
}

/// What comes of one stream.
struct Content<'a, W> {
    head: Option<Head>,
    writer: &'a mut Writer<W>,
    messages: bool,
    tally: Tally,
}

impl<W: Write> Content<'_, W> {
    fn begin(&mut self) -> Result<(), Failure> {
        self.head.take().map_or(Ok(()), |head| self.writer.line(&Line::Stream(head)))
    }
}

impl<W: Write> Sink for Content<'_, W> {
    fn take(&mut self, content: &[u8]) -> Result<(), Failure> {
        self.begin()?;
        self.writer.outcome.bytes += content.len() as u64;
        self.writer.bar.inc(content.len() as u64);
        if !self.messages {
            self.tally.bytes(content);
            let mut pieces = content.chunks(EXPORT_PIECE_BYTES);
            return pieces.try_for_each(|piece| self.writer.line(&Line::Bytes(encode(piece))));
        }
        let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for line in lines {
            self.tally.message(line);
            let message: Box<RawValue> = serde_json::from_slice(line).map_err(io::Error::from)?;
            self.writer.line(&Line::Message(message))?;
        }
        Ok(())
    }

    fn reached(&mut self, _: Offset) -> Result<(), Failure> {
        self.begin()
    }
}
