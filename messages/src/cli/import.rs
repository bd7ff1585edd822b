//! `messages import`: streams back from a file.

use super::{
    appender::{Appender, look},
    client::{Ask, Client, ServerOptions, stream_path},
    exit::{Exit, Failure},
    export::Outcome,
    retry::RetryOptions,
    transfer::{End, Head, Line, Tally, VERSION, decode, progress},
};
use crate::{
    limits::{EXPORT_LINE_BYTES_MAX, PUSH_BYTES_MAX, PUSH_MESSAGES_MAX},
    model::{holds_messages, same_type},
};
use bytes::BytesMut;
use clap::Args;
use http::Method;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::PathBuf,
};

/// What to bring back.
#[derive(Clone, Debug, Args)]
pub struct ImportOptions {
    /// The file. [default: standard input]
    file: Option<PathBuf>,

    /// Go on with an import that was broken off: streams that are there already get what they lack.
    #[arg(long)]
    resume: bool,

    /// Print how much it was, as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerOptions,

    #[command(flatten)]
    retry: RetryOptions,
}

impl ImportOptions {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.server.client(self.retry.most())?;
        let input: Box<dyn BufRead> = match &self.file {
            None => Box::new(BufReader::new(io::stdin())),
            Some(path) => {
                let file = File::open(path);
                let file = file.map_err(|error| Failure::from(error).of(path.display()))?;
                Box::new(BufReader::new(file))
            }
        };
        let mut lines = Lines { input, number: 0 };
        let bar = progress("importing");
        match lines.next()? {
            Line::MessagesExport(VERSION) => {}
            Line::MessagesExport(other) => return Err(lines.wrong(&format!("has layout {other}"))),
            _ => return Err(lines.wrong("is not the beginning of an export")),
        }
        let mut outcome = Outcome::default();
        loop {
            match lines.next()? {
                Line::Stream(head) => {
                    bar.set_message(head.name.clone());
                    let mut stream = Stream::begin(&client, &head, self.resume).await?;
                    let mut count = |bytes| {
                        outcome.bytes += bytes;
                        bar.inc(bytes);
                    };
                    let end = stream.fill(&mut lines, &mut count).await?;
                    stream.end(&lines, end).await?;
                    outcome.streams += 1;
                }
                Line::Streams(count) if count == outcome.streams => break,
                _ => return Err(lines.wrong("is not what must come here")),
            }
        }
        bar.finish_and_clear();
        if self.json { outcome.print() } else { Ok(()) }
    }
}

/// The lines of a file.
struct Lines {
    input: Box<dyn BufRead>,
    number: u64,
}

impl Lines {
    fn next(&mut self) -> Result<Line, Failure> {
        let mut text = Vec::new();
        self.number += 1;
        (&mut self.input).take(EXPORT_LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
        match text.last() {
            Some(b'\n') => {}
            Some(_) if text.len() as u64 == EXPORT_LINE_BYTES_MAX => {
                return Err(self.wrong("is too long"));
            }
            _ => return Err(self.wrong("is missing: the file was cut off")),
        }
        serde_json::from_slice(&text).map_err(|error| self.wrong(&format!("is damaged: {error}")))
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::new(Exit::Failed, format!("line {} {what}", self.number))
    }
}

/// A stream on its way in.
struct Stream<'a> {
    appender: Appender<'a>,
    messages: bool,
    /// Bytes or messages that are there already.
    skip: u64,
    closed: bool,
    batch: BytesMut,
    units: u64,
    tally: Tally,
}

impl<'a> Stream<'a> {
    async fn begin(client: &'a Client, head: &Head, resume: bool) -> Result<Self, Failure> {
        let Head { name, content_type, ttl, expires_at } = head;
        let messages = holds_messages(content_type);
        let (mut skip, mut closed) = (0, false);
        if let Some(found) = look(client, name).await? {
            if !resume || !same_type(&found.content_type, content_type) {
                let text = format!("{name} is there already; --resume goes on with an import");
                return Err(Failure::new(Exit::Conflict, text));
            }
            skip = if messages { found.tail.records } else { found.tail.bytes };
            closed = found.closed;
        } else {
            let ttl = ttl.map(|ttl| ttl.to_string());
            let mut headers = vec![("content-type", content_type.as_str())];
            headers.extend(ttl.as_deref().map(|ttl| ("stream-ttl", ttl)));
            headers.extend(expires_at.as_deref().map(|at| ("stream-expires-at", at)));
            let target = stream_path(name);
            let ask = Ask { headers: &headers, ..Ask::new(Method::PUT, &target) };
            client.insist(&ask).await.map_err(|failure| failure.of(name))?;
        }
        let appender = Appender::new(client, name, content_type).placed(skip);
        let (batch, tally) = (BytesMut::new(), Tally::new());
        Ok(Self { appender, messages, skip, closed, batch, units: 0, tally })
    }

    /// Appends what stands in the lines, up to the end of the stream.
    async fn fill(
        &mut self,
        lines: &mut Lines,
        count: &mut dyn FnMut(u64),
    ) -> Result<End, Failure> {
        loop {
            match lines.next()? {
                Line::Message(message) if self.messages => {
                    let text = message.get().as_bytes();
                    count(text.len() as u64 + 1);
                    self.tally.message(text);
                    if self.skip > 0 {
                        self.skip -= 1;
                        continue;
                    }
                    self.batch.extend_from_slice(if self.units == 0 { b"[" } else { b"," });
                    self.batch.extend_from_slice(text);
                    self.units += 1;
                }
                Line::Bytes(text) if !self.messages => {
                    let bytes = decode(&text).ok_or_else(|| lines.wrong("is no base64"))?;
                    count(bytes.len() as u64);
                    self.tally.bytes(&bytes);
                    let skipped = self.skip.min(bytes.len() as u64);
                    self.skip -= skipped;
                    self.batch.extend_from_slice(&bytes[skipped as usize..]);
                    self.units += bytes.len() as u64 - skipped;
                }
                Line::End(end) => return Ok(end),
                _ => return Err(lines.wrong("is not what must come here")),
            }
            let many = self.messages && self.units >= PUSH_MESSAGES_MAX as u64;
            if many || self.batch.len() >= PUSH_BYTES_MAX {
                self.flush().await?;
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        if self.messages && self.units > 0 {
            self.batch.extend_from_slice(b"]");
        }
        let (body, units) = (self.batch.split().freeze(), std::mem::take(&mut self.units));
        if !body.is_empty() {
            self.appender.append(body, units, false).await?;
        }
        Ok(())
    }

    /// Only what is as it was written is closed.
    async fn end(mut self, lines: &Lines, end: End) -> Result<(), Failure> {
        if self.skip > 0 {
            return Err(lines.wrong("ends a stream that has more than that"));
        }
        self.flush().await?;
        if self.tally.end(end.closed) != end {
            return Err(lines.wrong("does not fit what comes before it: the file is damaged"));
        }
        if end.closed && !self.closed {
            self.appender.append(Default::default(), 0, true).await?;
        }
        Ok(())
    }
}
