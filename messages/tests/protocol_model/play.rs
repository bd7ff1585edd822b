//! Plays operations against the program and the model, and compares.

use super::common::{Answer, Setup, TestServer, eventually};
use super::model::{Asked, At, Model, Stream};
use super::operation::{Append, Body, Kind, NAMES, Operation, Place, TYPES};
use http::Method;

/// Texts for `Stream-Seq`, not in the order of numbers.
const SEQS: [&str; 6] = ["1", "10", "2", "A", "a", "b"];

/// What a comparison says; the error tells what differs.
pub type Outcome = Result<(), String>;

/// A server and its model.
pub struct Play {
    pub server: Option<TestServer>,
    pub model: Model,
    /// Counts bodies, so that no two are the same.
    bodies: usize,
}

/// What the model wants of an answer: the status, and headers with their values; empty for none.
#[derive(Debug, Default)]
pub struct Want {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Vec<u8>>,
}

impl Want {
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Where the stream ends, and whether it is closed.
    pub fn position(self, at: At, closed: bool) -> Self {
        let closed = if closed { "true" } else { "" };
        self.header("stream-next-offset", at.text()).header("stream-closed", closed)
    }

    pub fn compare(&self, answer: &Answer) -> Outcome {
        let differs = |what: String| Err(format!("{what}: wanted {self:?}, got {answer:?}"));
        if answer.status != self.status {
            return differs("status".into());
        }
        for (name, value) in &self.headers {
            if answer.header(name) != value {
                return differs(format!("header {name}"));
            }
        }
        if self.body.as_ref().is_some_and(|body| answer.body != body[..]) {
            return differs("body".into());
        }
        Ok(())
    }
}

impl Play {
    pub async fn begin(setup: Setup) -> Self {
        let server = Some(setup.start().await);
        Self { server, model: Model::default(), bodies: 0 }
    }

    /// Plays all of it, looks at everything, and once more after a crash.
    pub async fn run(mut self, operations: Vec<Operation>) -> Outcome {
        for (number, operation) in operations.into_iter().enumerate() {
            let played = self.play(operation.clone()).await;
            played.map_err(|what| format!("operation {number}, {operation:?}: {what}"))?;
        }
        self.look().await?;
        self.play(Operation::Crash).await?;
        self.look().await.map_err(|what| format!("after the last crash: {what}"))
    }

    pub fn server(&self) -> &TestServer {
        self.server.as_ref().expect("a server")
    }

    pub async fn ask(
        &self,
        method: Method,
        target: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Answer {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        self.server().ask(method, target, &headers, body).await
    }

    async fn play(&mut self, operation: Operation) -> Outcome {
        match operation {
            Operation::Create { name, content_type, body, closed, ttl } => {
                self.create(name, content_type, body, closed, ttl).await
            }
            Operation::Fork { name, source, place, content_type, body } => {
                self.fork(name, source, place, content_type, body).await
            }
            Operation::Append(append) => self.append(append).await,
            Operation::Delete { name } => self.delete(name).await,
            Operation::Head { name } => self.head(name).await,
            Operation::Read { name, from, live } => self.read(name, from, live).await,
            Operation::Crash => {
                let server = self.server.take().expect("a server");
                self.server = Some(server.crash().await);
                self.collected().await;
                Ok(())
            }
            Operation::Restart => {
                let server = self.server.take().expect("a server");
                self.server = Some(server.restart().await);
                self.collected().await;
                Ok(())
            }
        }
    }

    /// What only a deleted fork had needed goes a little later when a crash came in between.
    async fn collected(&self) {
        for name in (0..NAMES).filter(|name| !self.model.streams.contains_key(name)) {
            let target = format!("s{name}");
            eventually("it is gone", async || {
                let answer = self.ask(Method::HEAD, &target, &[], Vec::new()).await;
                (answer.status != 410).then_some(())
            })
            .await;
        }
    }

    /// A body, and the records that it makes in a stream of messages or of bytes; `None` for records
    /// when it is none.
    fn body(&mut self, body: &Body, json: bool) -> (Vec<u8>, Option<Vec<Vec<u8>>>) {
        self.bodies += 1;
        let number = self.bodies;
        match (body, json) {
            (Body::Empty, _) => (Vec::new(), Some(Vec::new())),
            (Body::Broken, true) => (b"[1,}".to_vec(), None),
            (Body::Hollow, true) => (b" [ ] ".to_vec(), Some(Vec::new())),
            (Body::Some(count), true) => {
                let one = |at| format!("{{\"n\":{number},\"a\": [\"{at},\"]}}");
                let messages: Vec<String> = (0..*count).map(one).collect();
                let records = messages.iter().map(|m| [m.as_bytes(), b","].concat()).collect();
                let alone = messages.len() == 1 && number.is_multiple_of(2);
                let text =
                    if alone { messages.concat() } else { format!("[{}]", messages.join(" ,\n")) };
                (text.into_bytes(), Some(records))
            }
            (body, false) => {
                let more = if let Body::Some(count) = body { usize::from(*count) * 3 } else { 1 };
                let text = format!(" {number}:\n{}", "x".repeat(more)).into_bytes();
                (text.clone(), Some(vec![text]))
            }
        }
    }

    async fn create(
        &mut self,
        name: usize,
        content_type: Option<usize>,
        body: Body,
        closed: bool,
        ttl: bool,
    ) -> Outcome {
        let mut headers = Vec::new();
        headers.extend(content_type.map(|at| ("content-type", TYPES[at].to_owned())));
        headers.extend(closed.then(|| ("stream-closed", "true".to_owned())));
        headers.extend(ttl.then(|| ("stream-ttl", "3600".to_owned())));
        let content_type = TYPES[content_type.unwrap_or(2)];
        let (text, records) = self.body(&body, content_type == TYPES[1]);
        let target = format!("s{name}");
        let answer = self.ask(Method::PUT, &target, &headers, text).await;
        let want = match self.model.streams.get(&name) {
            Some(stream) => {
                let same = stream.content_type.eq_ignore_ascii_case(content_type)
                    && stream.ttl == ttl
                    && stream.fork.is_none()
                    && stream.closed == closed
                    && !stream.hidden;
                if same { existing(stream) } else { Want::status(409) }
            }
            None => match records {
                None => Want::status(400),
                Some(records) => {
                    let mut stream = Stream::new(content_type.to_owned(), ttl);
                    stream.add(&records);
                    stream.closed = closed;
                    let want = created(&stream, &target);
                    self.model.streams.insert(name, stream);
                    want
                }
            },
        };
        want.compare(&answer)
    }

    async fn fork(
        &mut self,
        name: usize,
        source: usize,
        Place { anchor, beyond }: Place,
        kind: Kind,
        body: Body,
    ) -> Outcome {
        let parent = self.model.streams.get(&source).cloned();
        let own = parent.as_ref().map_or(TYPES[0].to_owned(), |parent| parent.content_type.clone());
        let content_type = named(&own, kind);
        let ends = parent.as_ref().map_or(vec![At::default()], |parent| parent.ends.clone());
        let anchor = anchor.map(|at| ends[usize::from(at) % ends.len()]);
        let mut headers = vec![("stream-forked-from", format!("/v1/stream/s{source}"))];
        headers.extend(anchor.map(|at| ("stream-fork-offset", at.text())));
        headers.extend(beyond.map(|beyond| ("stream-fork-sub-offset", beyond.to_string())));
        headers.extend(content_type.clone().map(|content_type| ("content-type", content_type)));
        let (text, records) = self.body(&body, own.eq_ignore_ascii_case(TYPES[1]));
        let target = format!("s{name}");
        let answer = self.ask(Method::PUT, &target, &headers, text).await;
        let beyond = usize::from(beyond.unwrap_or(0));
        let asked = Asked { source, anchor, beyond };
        let matches_type = |stream: &Stream| {
            content_type.as_ref().is_none_or(|t| stream.content_type.eq_ignore_ascii_case(t))
        };
        let want = match (self.model.streams.get(&name), parent) {
            (Some(stream), _) => {
                let same = matches_type(stream)
                    && stream.fork.as_ref() == Some(&asked)
                    && stream.ttl == stream.inherited_ttl
                    && !stream.closed
                    && !stream.hidden;
                if same { existing(stream) } else { Want::status(409) }
            }
            (None, None) => Want::status(404),
            (None, Some(parent)) if parent.hidden => Want::status(409),
            (None, Some(parent)) => match (parent.up_to(anchor, beyond), records) {
                (None, _) => Want::status(400),
                _ if !matches_type(&parent) => Want::status(409),
                (_, None) => Want::status(400),
                (Some((content, ends)), Some(records)) => {
                    let mut stream = Stream::new(parent.content_type.clone(), parent.ttl);
                    (stream.content, stream.ends) = (content, ends);
                    stream.inherited_ttl = parent.ttl;
                    stream.fork = Some(asked);
                    stream.add(&records);
                    let want = created(&stream, &target);
                    self.model.streams.insert(name, stream);
                    self.model.streams.get_mut(&source).expect("the source").forks += 1;
                    want
                }
            },
        };
        want.compare(&answer)
    }

    async fn append(&mut self, append: Append) -> Outcome {
        let Append { name, content_type: kind, body, close, seq, stamp } = append;
        let stream = self.model.streams.get(&name).cloned();
        let own = stream.as_ref().map_or(TYPES[0].to_owned(), |stream| stream.content_type.clone());
        let content_type = named(&own, kind);
        let (text, records) = self.body(&body, own.eq_ignore_ascii_case(TYPES[1]));
        let mut headers = Vec::new();
        headers.extend(content_type.map(|content_type| ("content-type", content_type)));
        headers.extend(close.then(|| ("stream-closed", "true".to_owned())));
        headers.extend(seq.map(|seq| ("stream-seq", SEQS[seq].to_owned())));
        let stamp = stamp.map(|stamp| {
            let known = stream.as_ref().and_then(|stream| stream.producers.get(&stamp.producer));
            let (epoch, next) = known.map_or((1, 0), |known| (known.epoch, known.seq + 1));
            let epoch = epoch.saturating_add_signed(stamp.epoch.into());
            // A later session begins at 0, most of the time.
            let next = if known.is_some_and(|known| known.epoch < epoch) { 0 } else { next };
            (stamp.producer, epoch, next.saturating_add_signed(i64::from(stamp.seq.min(1)).min(1)))
        });
        if let Some((producer, epoch, seq)) = stamp {
            headers.push(("producer-id", format!("p{producer}")));
            headers.push(("producer-epoch", epoch.to_string()));
            headers.push(("producer-seq", seq.to_string()));
        }
        let empty = text.is_empty();
        let answer = self.ask(Method::POST, &format!("s{name}"), &headers, text).await;
        let malformed = (empty && !close)
            || (!empty && kind == Kind::None)
            || (kind != Kind::Wrong && !empty && records.as_ref().is_none_or(Vec::is_empty));
        // Of what is not there and a bad request, either may be said first.
        let absent = |status| Want::status(if answer.status == 400 { 400 } else { status });
        let Some(stream) = self.model.streams.get_mut(&name) else {
            return absent(404).compare(&answer);
        };
        if stream.hidden {
            return absent(410).compare(&answer);
        }
        if malformed {
            return Want::status(400).compare(&answer);
        }
        let wrong = kind == Kind::Wrong && !empty;
        let seq = seq.map(|seq| SEQS[seq]);
        let records = records.unwrap_or_default();
        let want = appended(stream, &records, wrong, close, seq, stamp);
        want.compare(&answer)
    }

    async fn delete(&mut self, name: usize) -> Outcome {
        let answer = self.ask(Method::DELETE, &format!("s{name}"), &[], Vec::new()).await;
        let status = match self.model.streams.get(&name) {
            None => 404,
            Some(stream) if stream.hidden => 410,
            Some(_) => {
                self.model.delete(name);
                204
            }
        };
        Want::status(status).compare(&answer)
    }
}

/// What an append does to a stream that is there, and how it is answered.
fn appended(
    stream: &mut Stream,
    records: &[Vec<u8>],
    wrong_type: bool,
    close: bool,
    seq: Option<&str>,
    stamp: Option<(usize, u64, u64)>,
) -> Want {
    let tail = stream.tail();
    let known = stamp.and_then(|(producer, ..)| stream.producers.get(&producer));
    if let (Some((_, epoch, seq)), Some(known)) = (stamp, known) {
        if epoch < known.epoch {
            return Want::status(403).header("producer-epoch", known.epoch);
        }
        if epoch == known.epoch && seq <= known.seq {
            return Want::status(204)
                .position(known.result(seq).unwrap_or(tail), stream.closed)
                .header("producer-epoch", epoch)
                .header("producer-seq", known.seq);
        }
    }
    if stream.closed {
        let again = records.is_empty() && close && stamp.is_none();
        return Want::status(if again { 204 } else { 409 }).position(tail, true);
    }
    if wrong_type {
        return Want::status(409);
    }
    let expected = match (stamp, known) {
        (Some((_, epoch, seq)), Some(known)) if epoch > known.epoch && seq > 0 => {
            return Want::status(400);
        }
        (Some((_, epoch, _)), Some(known)) if epoch > known.epoch => 0,
        (Some(_), Some(known)) => known.seq + 1,
        _ => 0,
    };
    if let Some((_, _, received)) = stamp.filter(|(_, _, seq)| *seq > expected) {
        return Want::status(409)
            .header("producer-expected-seq", expected)
            .header("producer-received-seq", received);
    }
    if seq.is_some_and(|seq| stream.seq.as_deref().is_some_and(|last| seq <= last)) {
        return Want::status(409);
    }
    stream.add(records);
    stream.closed = close;
    stream.seq = seq.map(str::to_owned).or(stream.seq.take());
    let told = stamp.is_some() && !records.is_empty();
    let want = Want::status(if told { 200 } else { 204 }).position(stream.tail(), close);
    let Some((producer, epoch, seq)) = stamp else {
        return want;
    };
    stream.remember(producer, epoch, seq);
    want.header("producer-epoch", epoch).header("producer-seq", seq)
}

/// The type that a request names.
fn named(own: &str, kind: Kind) -> Option<String> {
    match kind {
        Kind::Right(true) => Some(own.to_owned()),
        Kind::Right(false) => Some(own.to_uppercase()),
        Kind::Wrong => Some("application/x-other".to_owned()),
        Kind::None => None,
    }
}

fn created(stream: &Stream, target: &str) -> Want {
    Want { body: Some(Vec::new()), ..Want::status(201) }
        .position(stream.tail(), stream.closed)
        .header("content-type", &stream.content_type)
        .header("location", format!("http://localhost/v1/stream/{target}"))
}

fn existing(stream: &Stream) -> Want {
    Want { body: Some(Vec::new()), ..Want::status(200) }
        .position(stream.tail(), stream.closed)
        .header("content-type", &stream.content_type)
        .header("location", "")
}
