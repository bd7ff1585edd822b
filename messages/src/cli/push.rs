//! `messages push`: standard input into a stream, as it comes and exactly once.

use super::{
    appender::{Appender, BINARY, Found, look},
    client::{Ask, Client, ServerOptions, stream_path},
    exit::{Exit, Failure},
    retry::RetryOptions,
};
use crate::{
    limits::{
        APPEND_BYTES_MAX, PUSH_BYTES_MAX, PUSH_MESSAGES_MAX, PUSH_READ_BYTES, PUSH_READS_MAX,
        RECORD_BYTES_MAX,
    },
    model::{StreamName, holds_messages, same_type},
};
use bytes::{Bytes, BytesMut};
use clap::Args;
use http::Method;
use serde::{Serialize, de::IgnoredAny};
use std::io::{self, Read, Write};
use tokio::sync::mpsc;

/// What to push where.
#[derive(Clone, Debug, Args)]
pub struct PushOptions {
    /// The stream. Created where there is none.
    name: StreamName,

    /// Content type of the stream. For application/json every line is a message. [default: that of the
    /// stream; application/octet-stream for a new one]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,

    /// Append whole lines only.
    #[arg(long)]
    lines: bool,

    /// Close the stream at the end of the input.
    #[arg(long)]
    close: bool,

    /// Leave out as much of the input as the stream has: a run that was killed is gone on with by running
    /// it again on the same input. For streams that nobody else writes to.
    #[arg(long)]
    resume: bool,

    /// Print where the stream ends, as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: ServerOptions,

    #[command(flatten)]
    retry: RetryOptions,
}

#[derive(Serialize)]
struct Outcome<'a> {
    name: &'a str,
    offset: String,
    /// What was left out because it was there.
    skipped: u64,
    closed: bool,
}

impl PushOptions {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.server.client(self.retry.most())?;
        let name = self.name.as_str();
        let found = self.ensure(&client).await?;
        let messages = holds_messages(&found.content_type);
        let skip = match (self.resume, messages) {
            (false, _) => 0,
            (true, false) => found.tail.bytes,
            (true, true) => found.tail.records,
        };
        let mut appender = Appender::new(&client, name, &found.content_type);
        if self.resume {
            appender = appender.placed(skip);
        }
        let mut input = Input::new(messages, self.lines, skip);
        let mut offset = found.tail.to_string();
        let mut closed = found.closed;
        while let Some(batch) = input.next().await? {
            offset = appender.append(batch.body, batch.units, false).await?;
        }
        if self.close && !closed {
            offset = appender.append(Bytes::new(), 0, true).await?;
            closed = true;
        }
        if self.json {
            let outcome = Outcome { name, offset, skipped: skip, closed };
            let line = serde_json::to_string(&outcome).map_err(io::Error::from)?;
            writeln!(io::stdout(), "{line}")?;
        }
        Ok(())
    }

    /// The stream, which is created where there is none.
    async fn ensure(&self, client: &Client) -> Result<Found, Failure> {
        let name = self.name.as_str();
        let found = match look(client, name).await {
            Ok(found) => found,
            // Whoever may only write.
            Err(failure) if failure.exit() == Exit::Refused && !self.resume => None,
            Err(failure) => return Err(failure),
        };
        let Some(found) = found else {
            let content_type = self.content_type.as_deref().unwrap_or(BINARY);
            let headers = [("content-type", content_type)];
            let target = stream_path(name);
            let ask = Ask { headers: &headers, ..Ask::new(Method::PUT, &target) };
            client.insist(&ask).await.map_err(|failure| failure.of(name))?;
            let (content_type, tail) = (content_type.to_owned(), Default::default());
            return Ok(Found { content_type, tail, closed: false });
        };
        let conflict = |text: String| Err(Failure::new(Exit::Conflict, format!("{name}: {text}")));
        match &self.content_type {
            Some(asked) if !same_type(asked, &found.content_type) => {
                conflict(format!("the stream is {}, and not {asked}", found.content_type))
            }
            // One that has everything already is as it should be.
            _ if found.closed && !(self.resume && self.close) => {
                conflict("the stream is closed".into())
            }
            _ => Ok(found),
        }
    }
}

/// What is appended at once.
struct Batch {
    body: Bytes,
    /// Bytes or messages.
    units: u64,
}

/// Standard input, cut into batches: all there is, and never more than fits into one.
struct Input {
    reads: mpsc::Receiver<io::Result<Bytes>>,
    buffer: BytesMut,
    ended: bool,
    messages: bool,
    lines: bool,
    /// Bytes or messages to leave out.
    skip: u64,
    /// For telling where something is wrong.
    line: u64,
}

impl Input {
    fn new(messages: bool, lines: bool, skip: u64) -> Self {
        let (sender, reads) = mpsc::channel(PUSH_READS_MAX);
        // It ends with the process: a read of standard input cannot be taken back.
        std::thread::spawn(move || read_all(&sender));
        let buffer = BytesMut::new();
        Self { reads, buffer, ended: false, messages, lines, skip, line: 0 }
    }

    async fn next(&mut self) -> Result<Option<Batch>, Failure> {
        loop {
            // What has come while the last batch was on its way goes with this one.
            while !self.ended && self.buffer.len() < PUSH_BYTES_MAX {
                match self.reads.try_recv() {
                    Ok(read) => self.take(Some(read))?,
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => self.ended = true,
                }
            }
            let batch = if self.messages { self.messages()? } else { self.bytes() };
            match batch {
                Some(batch) if !batch.body.is_empty() => return Ok(Some(batch)),
                Some(_) => {}
                None if self.ended => return Ok(None),
                None => {
                    let read = self.reads.recv().await;
                    self.take(read)?;
                }
            }
        }
    }

    fn take(&mut self, read: Option<io::Result<Bytes>>) -> Result<(), Failure> {
        match read {
            None => self.ended = true,
            Some(read) => {
                let bytes = read.map_err(|error| Failure::from(error).of("standard input"))?;
                self.buffer.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }

    fn bytes(&mut self) -> Option<Batch> {
        let skipped = self.skip.min(self.buffer.len() as u64);
        let _ = self.buffer.split_to(skipped as usize);
        self.skip -= skipped;
        let end = match memchr::memrchr(b'\n', &self.buffer) {
            Some(at) if self.lines => at + 1,
            // A line that is too long for a record is cut anyway.
            None if self.lines && !self.ended && self.buffer.len() < RECORD_BYTES_MAX / 2 => 0,
            _ => self.buffer.len(),
        };
        if end == 0 {
            return None;
        }
        let body = self.buffer.split_to(end).freeze();
        Some(Batch { units: body.len() as u64, body })
    }

    /// Lines as the elements of an array. An empty batch where all of it was left out.
    fn messages(&mut self) -> Result<Option<Batch>, Failure> {
        let (mut body, mut units) = (BytesMut::new(), 0);
        let mut taken = false;
        while units < PUSH_MESSAGES_MAX as u64 && body.len() < PUSH_BYTES_MAX {
            let Some(line) = self.next_line()? else { break };
            taken = true;
            if line.trim_ascii().is_empty() {
                continue;
            }
            serde_json::from_slice::<IgnoredAny>(&line).map_err(|error| {
                let text = format!("line {} is no JSON: {error}", self.line);
                Failure::new(Exit::Failed, text)
            })?;
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            body.extend_from_slice(if units == 0 { b"[" } else { b"," });
            body.extend_from_slice(line.trim_ascii());
            units += 1;
        }
        if units > 0 {
            body.extend_from_slice(b"]");
        }
        Ok(taken.then(|| Batch { body: body.freeze(), units }))
    }

    fn next_line(&mut self) -> Result<Option<Bytes>, Failure> {
        let end = match memchr::memchr(b'\n', &self.buffer) {
            Some(at) => at + 1,
            None if self.ended && !self.buffer.is_empty() => self.buffer.len(),
            None if self.buffer.len() > APPEND_BYTES_MAX => {
                let text = format!("line {} is longer than a message may be", self.line + 1);
                return Err(Failure::new(Exit::Failed, text));
            }
            None => return Ok(None),
        };
        self.line += 1;
        Ok(Some(self.buffer.split_to(end).freeze()))
    }
}

fn read_all(reads: &mpsc::Sender<io::Result<Bytes>>) {
    let mut buffer = vec![0; PUSH_READ_BYTES];
    loop {
        let read = match io::stdin().read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => Ok(Bytes::copy_from_slice(&buffer[..count])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = read.is_err();
        if reads.blocking_send(read).is_err() || failed {
            return;
        }
    }
}
