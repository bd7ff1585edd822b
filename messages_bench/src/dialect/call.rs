//! One request of the Durable Streams protocol, and its whole answer.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};

use super::{Patience, Target, durable};
use crate::client::{Client, Failure, Outgoing, Reply};

/// The headers of the protocol that are sent.
pub mod name {
    /// Closes the stream.
    pub const CLOSED: &str = "stream-closed";
    /// Where a stream ends, or a read has come to.
    pub const NEXT_OFFSET: &str = "stream-next-offset";
    /// The read has come to the end.
    pub const UP_TO_DATE: &str = "stream-up-to-date";
    /// Echoed by long polls.
    pub const CURSOR: &str = "stream-cursor";
    /// Who produces.
    pub const PRODUCER_ID: &str = "producer-id";
    /// The session of a producer.
    pub const PRODUCER_EPOCH: &str = "producer-epoch";
    /// The number of an append in its session.
    pub const PRODUCER_SEQ: &str = "producer-seq";
    /// The number that must come next.
    pub const PRODUCER_EXPECTED: &str = "producer-expected-seq";
    /// The source of a fork.
    pub const FORKED_FROM: &str = "stream-forked-from";
    /// Where a fork begins.
    pub const FORK_OFFSET: &str = "stream-fork-offset";
    /// How far behind that.
    pub const FORK_SUB_OFFSET: &str = "stream-fork-sub-offset";
}

/// A request to one stream.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// A request without a body.
    pub fn new(method: Method) -> Self {
        Self { method, query: String::new(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// With this behind the path.
    pub fn query(mut self, query: impl Into<String>) -> Self {
        self.query = query.into();
        self
    }

    /// With another header.
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        let value = HeaderValue::from_str(&value.to_string()).expect("headers here are printable");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// With a body of a type.
    pub fn body(self, content_type: &str, body: Bytes) -> Self {
        Self { body, ..self }.header("content-type", content_type)
    }

    /// With a header that closes the stream, or without.
    pub fn closing(self, closes: bool) -> Self {
        if closes { self.header(name::CLOSED, "true") } else { self }
    }
}

/// What a server said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
}

impl Answer {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether a header says `true`.
    pub fn says(&self, name: &str) -> bool {
        self.header(name) == Some("true")
    }

    /// Where the stream ends or a read goes on.
    pub fn offset(&self) -> Result<String, Failure> {
        let offset = self.header(name::NEXT_OFFSET);
        offset.map(str::to_owned).ok_or_else(|| self.wrong("has no Stream-Next-Offset"))
    }

    /// The failure that this answer is.
    pub fn wrong(&self, what: &str) -> Failure {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned();
        let own = |name: &str| ["stream-", "producer-"].iter().any(|own| name.starts_with(own));
        let headers = self.headers.iter().filter(|(name, _)| own(name.as_str()));
        let headers: Vec<_> = headers.collect();
        Failure::Wrong(format!("{} {what}: {headers:?} {}", self.status, body.trim_end()))
    }
}

/// A connection for requests of the protocol, to one node at a time.
pub struct Caller {
    client: Client,
    path: String,
    node: usize,
    patience: Patience,
}

impl Caller {
    /// A caller that has not connected yet.
    pub fn new(target: &Target) -> Self {
        Self {
            client: Client::new(target.endpoint.clone()),
            path: target.endpoint.path.clone(),
            node: target.node,
            patience: target.patience,
        }
    }

    /// The same, with all the time in the world: what it asks for is never still on its way when it
    /// asks again elsewhere.
    pub fn patient(target: &Target) -> Self {
        Self { patience: Patience::default(), ..Self::new(target) }
    }

    /// The node that it asks.
    pub fn node(&self) -> usize {
        self.node
    }

    /// Asks another node from now on.
    pub fn visit(&mut self, target: &Target) {
        if self.node != target.node {
            self.client = Client::new(target.endpoint.clone());
            self.node = target.node;
        }
    }

    /// Whether it is normal that an answer takes longer than it waits.
    pub fn is_impatient(&self) -> bool {
        self.patience != Patience::default()
    }

    /// The path of a stream, as `Stream-Forked-From` names it.
    pub fn path_of(&self, id: &str) -> String {
        durable::uri(&self.path, id, "").to_string()
    }

    /// Gives up whatever is under way.
    pub fn disconnect(&mut self) {
        self.client.disconnect();
    }

    /// Sends a request and takes the head of its answer, whatever its status.
    pub async fn open(&mut self, id: &str, call: &Call) -> Result<Reply, Failure> {
        let uri: Uri = durable::uri(&self.path, id, &call.query);
        let mut request = Request::new(Outgoing::Whole(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri;
        request.headers_mut().clone_from(&call.headers);
        self.client.request(request, self.patience.answer).await
    }

    /// Sends a request and takes all of its answer, whatever its status.
    pub async fn call(&mut self, id: &str, call: &Call) -> Result<Answer, Failure> {
        let reply = self.open(id, call).await?;
        self.whole(reply).await
    }

    /// All of an answer.
    pub async fn whole(&mut self, mut reply: Reply) -> Result<Answer, Failure> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece(&mut reply).await? {
            body.extend_from_slice(&piece);
        }
        let (status, headers) = (reply.head.status, reply.head.headers);
        Ok(Answer { status, headers, body: body.freeze() })
    }

    /// The next piece of an answer that comes in pieces; `None` at its proper end.
    pub async fn piece(&mut self, reply: &mut Reply) -> Result<Option<Bytes>, Failure> {
        self.client.piece_within(reply, self.patience.silence).await
    }
}
