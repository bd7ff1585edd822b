//! What the scenarios want from a server, in the words of the server at hand.

pub mod call;
mod durable;
pub mod live;
mod plain;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri};
use tokio::time::{Instant, sleep};

use crate::client::{Client, Endpoint, Failure, Outgoing, Reply};
use crate::limits;
use crate::process::Processes;
use crate::sse::{Piece, Sse};

pub use plain::Tail;

/// The language a server speaks; its URL tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Bodies are bytes; a stream ends with its response.
    Plain,
    /// The Durable Streams protocol: catch-up pages and Server-Sent Events.
    Durable,
}

/// How long a client waits until it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the head of an answer.
    pub answer: Duration,
    /// For the next piece of a body.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { answer: limits::RESPONSE, silence: limits::SILENCE }
    }
}

/// A server to be measured.
#[derive(Clone, Debug)]
pub struct Target {
    /// The name it has in the report.
    pub name: String,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What it speaks.
    pub dialect: Dialect,
    /// Its processes, for CPU and memory.
    pub processes: Processes,
    /// Which of several nodes it is.
    pub node: usize,
    /// How long its clients wait.
    pub patience: Patience,
    /// Where writers write, and readers read, in turns.
    writing: Vec<Endpoint>,
    reading: Vec<Endpoint>,
    /// How often it asked for patience with 503.
    refusals: Arc<AtomicU64>,
}

impl Target {
    /// A target from its URL, or from the URLs of its nodes.
    pub fn new(name: &str, urls: &[&str], processes: Processes) -> anyhow::Result<Self> {
        let nodes = urls.iter().map(|url| Endpoint::parse(url));
        let nodes = nodes.collect::<anyhow::Result<Vec<_>>>()?;
        let endpoint = nodes.first().context("a target has a URL")?.clone();
        let durable = endpoint.path.contains("/v1/stream");
        let same = nodes.iter().all(|node| node.path == endpoint.path);
        anyhow::ensure!(same, "the nodes of {name} have different paths");
        Ok(Self {
            name: name.to_owned(),
            dialect: if durable { Dialect::Durable } else { Dialect::Plain },
            endpoint,
            processes,
            node: 0,
            patience: Patience::default(),
            writing: nodes.clone(),
            reading: nodes,
            refusals: Arc::default(),
        })
    }

    /// The same, read from these nodes only.
    pub fn read_from(self, urls: &[String]) -> anyhow::Result<Self> {
        let reading = urls.iter().map(|url| Endpoint::parse(url));
        let reading = reading.collect::<anyhow::Result<Vec<_>>>()?;
        let same = reading.iter().all(|node| node.path == self.endpoint.path);
        anyhow::ensure!(same, "the nodes of {} have different paths", self.name);
        Ok(if reading.is_empty() { self } else { Self { reading, ..self } })
    }

    /// Where its nodes listen.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.writing
    }

    /// For the writer of this number: writers take the nodes in turns.
    pub fn writing(&self, number: usize) -> Self {
        let endpoint = self.writing[number % self.writing.len()].clone();
        Self { endpoint, ..self.clone() }
    }

    /// For the reader of this number: readers take the nodes in turns.
    pub fn reading(&self, number: usize) -> Self {
        let endpoint = self.reading[number % self.reading.len()].clone();
        Self { endpoint, ..self.clone() }
    }

    /// The nodes of a cluster of the bench's own, each as a target whose URL has `path`.
    pub fn nodes(urls: &[String], path: &str, patience: Patience) -> anyhow::Result<Vec<Self>> {
        let node = |(node, url): (usize, &String)| {
            let target = Self::new("messages", &[&format!("{url}{path}")], Processes::default())?;
            Ok(Self { node, patience, ..target })
        };
        urls.iter().enumerate().map(node).collect()
    }

    /// How often it has asked for patience so far.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }
}

/// An append to one stream, prepared once and sent often.
#[derive(Clone, Debug)]
pub struct Append {
    method: Method,
    uri: Uri,
    content_type: Option<HeaderValue>,
}

/// A live read: a reply and, where needed, its events.
pub struct Follow {
    reply: Reply,
    events: Option<Events>,
}

/// The events of a stream: their parser, and what is needed to come back for more.
struct Events {
    id: String,
    parser: Sse,
    /// The last control event.
    control: Vec<u8>,
}

impl Events {
    /// Where to go on; `None` when the stream is closed.
    fn next_offset(&self) -> Option<String> {
        let control: serde_json::Value = serde_json::from_slice(&self.control).ok()?;
        let closed = control["streamClosed"] == true;
        control["streamNextOffset"].as_str().filter(|_| !closed).map(str::to_owned)
    }
}

/// One worker's connection to a target.
pub struct Session {
    client: Client,
    dialect: Dialect,
    path: String,
    refusals: Arc<AtomicU64>,
    patience: Patience,
}

impl Session {
    /// A session that has not connected yet.
    pub fn new(target: &Target) -> Self {
        Self {
            client: Client::new(target.endpoint.clone()),
            dialect: target.dialect,
            path: target.endpoint.path.clone(),
            refusals: Arc::clone(&target.refusals),
            patience: target.patience,
        }
    }

    /// Lets a followed stream be silent for `silence` on top of the usual limit.
    pub fn expect_silence(&mut self, silence: Duration) {
        self.patience.silence = limits::SILENCE + silence;
    }

    /// Gives up whatever is under way.
    pub fn disconnect(&mut self) {
        self.client.disconnect();
    }

    /// Sends a request that can be repeated; a server that asks for patience gets it.
    async fn ask(
        &mut self,
        method: &Method,
        uri: &Uri,
        content_type: Option<&HeaderValue>,
        body: &Bytes,
    ) -> Result<Reply, Failure> {
        let give_up = Instant::now() + limits::REFUSED;
        loop {
            let body = Outgoing::Whole(body.clone());
            let content_type = content_type.cloned();
            let (method_, uri_, limit) = (method.clone(), uri.clone(), self.patience.answer);
            let sent = self.client.exchange(method_, uri_, content_type, body, limit).await;
            let mut reply = sent?;
            if reply.head.status.is_success() {
                return Ok(reply);
            }
            let pause = patience(&reply);
            let failure = self.client.refusal(format!("{method} {uri}"), &mut reply).await;
            match pause {
                Some(pause) if Instant::now() + pause < give_up => {
                    self.refusals.fetch_add(1, Ordering::Relaxed);
                    sleep(pause).await;
                }
                _ => return Err(failure),
            }
        }
    }

    /// The same for requests whose answer is the status alone.
    async fn tell(&mut self, append: &Append, body: &Bytes) -> Result<(), Failure> {
        let content_type = append.content_type.as_ref();
        let mut reply = self.ask(&append.method, &append.uri, content_type, body).await?;
        self.client.drain(&mut reply).await
    }

    /// Creates a stream whose first content is `body`, which may be empty; it stays open.
    pub async fn create(&mut self, id: &str, body: &Bytes) -> Result<(), Failure> {
        let request = match self.dialect {
            Dialect::Plain => plain::append(&self.path, id),
            Dialect::Durable => durable::create(&self.path, id),
        };
        self.tell(&request, body).await
    }

    /// Prepares appends to a stream.
    pub fn prepare(&self, id: &str) -> Append {
        match self.dialect {
            Dialect::Plain => plain::append(&self.path, id),
            Dialect::Durable => durable::append(&self.path, id),
        }
    }

    /// Appends `body`, which is acknowledged when this returns.
    pub async fn append(&mut self, append: &Append, body: &Bytes) -> Result<(), Failure> {
        self.tell(append, body).await
    }

    /// Writes a large content: one chunked body, or as many appends as pieces.
    pub async fn write(&mut self, id: &str, content: &Bytes) -> Result<(), Failure> {
        match self.dialect {
            Dialect::Plain => {
                let (method, uri) = (Method::PUT, plain::write(&self.path, id, None, "true"));
                let body = Outgoing::Pieces(content.clone(), limits::PIECE_BYTES);
                let mut reply = self.client.send(method, uri, None, body).await?;
                if !reply.head.status.is_success() {
                    return Err(self.client.refusal(format!("PUT {id}"), &mut reply).await);
                }
                self.client.drain(&mut reply).await
            }
            Dialect::Durable => {
                self.create(id, &Bytes::new()).await?;
                let append = self.prepare(id);
                let mut rest = content.clone();
                while !rest.is_empty() {
                    let piece = rest.split_to(rest.len().min(limits::PIECE_BYTES));
                    self.append(&append, &piece).await?;
                }
                Ok(())
            }
        }
    }

    /// Ends a stream where the protocol's readers wait for that.
    pub async fn seal(&mut self, id: &str) -> Result<(), Failure> {
        match self.dialect {
            Dialect::Plain => self.tell(&plain::close(&self.path, id), &Bytes::new()).await,
            Dialect::Durable => Ok(()),
        }
    }

    /// Reads everything there is of a sealed stream; `sink` gets the bytes as they come.
    pub async fn read(&mut self, id: &str, mut sink: impl FnMut(&[u8])) -> Result<(), Failure> {
        let mut offset = "-1".to_owned();
        for _ in 0..limits::PAGES {
            let uri = match self.dialect {
                Dialect::Plain => plain::read(&self.path, id, 0),
                Dialect::Durable => durable::read(&self.path, id, &offset, false),
            };
            let mut reply = self.ask(&Method::GET, &uri, None, &Bytes::new()).await?;
            while let Some(piece) = self.client.piece(&mut reply).await? {
                sink(&piece);
            }
            let up_to_date = reply.header("stream-up-to-date") == Some("true");
            match reply.header("stream-next-offset") {
                Some(next) if self.dialect == Dialect::Durable && !up_to_date && next != offset => {
                    offset = next.to_owned();
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Begins to follow a stream from its first byte.
    pub async fn follow(&mut self, id: &str) -> Result<Follow, Failure> {
        self.follow_from(id, 0).await
    }

    /// Begins to follow a stream from `offset` bytes; only the plain interface knows byte offsets.
    pub async fn follow_from(&mut self, id: &str, offset: u64) -> Result<Follow, Failure> {
        let events = || Events { id: id.to_owned(), parser: Sse::new(), control: Vec::new() };
        let (uri, events) = match self.dialect {
            Dialect::Plain => (plain::read(&self.path, id, offset), None),
            Dialect::Durable => (durable::read(&self.path, id, "-1", true), Some(events())),
        };
        let reply = self.ask(&Method::GET, &uri, None, &Bytes::new()).await?;
        Ok(Follow { reply, events })
    }

    /// Hands the next content on to `sink`; false at the proper end of the stream.
    pub async fn next(
        &mut self,
        follow: &mut Follow,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<bool, Failure> {
        let Some(bytes) =
            self.client.piece_within(&mut follow.reply, self.patience.silence).await?
        else {
            return self.come_back(follow).await;
        };
        match &mut follow.events {
            None => sink(&bytes),
            Some(Events { parser, control, .. }) => parser.feed(&bytes, |piece| match piece {
                Piece::Data(data) => sink(data),
                Piece::Control(json) => {
                    control.clear();
                    control.extend_from_slice(json);
                }
                Piece::Complete => (),
            }),
        }
        Ok(true)
    }

    /// Answers of events end now and then, and whoever follows comes back. False when there is
    /// nothing to come back for.
    async fn come_back(&mut self, follow: &mut Follow) -> Result<bool, Failure> {
        let Some(events) = &mut follow.events else {
            return Ok(false);
        };
        let Some(offset) = events.next_offset() else {
            return Ok(false);
        };
        let uri = durable::read(&self.path, &events.id, &offset, true);
        follow.reply = self.ask(&Method::GET, &uri, None, &Bytes::new()).await?;
        events.parser = Sse::new();
        Ok(true)
    }

    /// Starts a production on the server; the reply is its content.
    pub async fn produce(&mut self, id: &str, freq: u32, max: u64) -> Result<Follow, Failure> {
        let uri = plain::produce(&self.path, freq, max);
        let body = Bytes::copy_from_slice(id.as_bytes());
        let reply = self.ask(&Method::POST, &uri, None, &body).await?;
        Ok(Follow { reply, events: None })
    }

    /// The end of a stream on the plain interface; `None` when there is no such stream.
    pub async fn tail(&mut self, id: &str) -> Result<Option<Tail>, Failure> {
        let uri = plain::read(&self.path, id, 0);
        match self.ask(&Method::HEAD, &uri, None, &Bytes::new()).await {
            Ok(reply) => Ok(Tail::of(&reply)),
            Err(Failure::Refused(_, StatusCode::NOT_FOUND, _)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// One long body, written at an offset on the plain interface. The reply tells the tail.
    pub async fn write_at(
        &mut self,
        id: &str,
        offset: &str,
        body: Outgoing,
        limit: Duration,
    ) -> Result<Option<Tail>, Failure> {
        let uri = plain::write(&self.path, id, Some(offset), "false");
        let mut reply = self.client.exchange(Method::PUT, uri, None, body, limit).await?;
        let tail = Tail::of(&reply);
        if reply.head.status.is_success() || reply.head.status == StatusCode::CONFLICT {
            let conflict = reply.head.status == StatusCode::CONFLICT;
            self.client.drain(&mut reply).await?;
            return Ok(tail.map(|tail| Tail { conflict, ..tail }));
        }
        Err(self.client.refusal(format!("PUT {id} at {offset}"), &mut reply).await)
    }
}

/// How long a refusing server wants to be left alone.
fn patience(reply: &Reply) -> Option<Duration> {
    if reply.head.status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let seconds = reply.header("retry-after")?.parse().unwrap_or(1);
    Some(Duration::from_secs(seconds).clamp(limits::RECONNECT_PAUSE, limits::REFUSED_PAUSE))
}
