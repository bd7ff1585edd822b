//! Requests of one user, with JSON both ways.

use std::borrow::Cow;

use bytes::BytesMut;
use http::{HeaderValue, Method, StatusCode, Uri};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use crate::client::{Client, Endpoint, Failure, Outgoing};
use crate::limits;
use crate::scenario::phase::Listener;

/// A connection for requests of one user, to one node at a time.
pub struct Rest {
    client: Client,
    token: String,
    node: usize,
    limit: Duration,
}

/// What a server said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was asked.
    asked: String,
    /// Its status.
    pub status: StatusCode,
    /// All of its body.
    body: BytesMut,
    /// Whether an earlier attempt may have been heard.
    pub repeated: bool,
}

impl Answer {
    /// Its content, when the request succeeded.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if !self.status.is_success() {
            return Err(self.wrong("refused"));
        }
        serde_json::from_slice(&self.body).map_err(|error| self.wrong(&error.to_string()))
    }

    /// Its content as it is.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The failure that this answer is.
    pub fn wrong(&self, what: &str) -> Failure {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned();
        Failure::Wrong(format!("{}: {what}: {} {}", self.asked, self.status, body.trim_end()))
    }
}

impl Rest {
    /// For one user of a server.
    pub fn new(endpoint: &Endpoint, token: &str) -> anyhow::Result<Self> {
        let client = Client::new(endpoint.clone().with_bearer(token)?);
        Ok(Self { client, token: token.to_owned(), node: 0, limit: limits::RESPONSE })
    }

    /// The same, waiting no longer than this for answers.
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Gives up whatever is under way, and asks this one of the nodes from now on.
    pub fn visit(&mut self, nodes: &[Endpoint], node: usize) {
        self.client.disconnect();
        self.node = node % nodes.len();
        // The token has been a header before.
        if let Ok(endpoint) = nodes[self.node].clone().with_bearer(&self.token) {
            self.client = Client::new(endpoint);
        }
    }

    /// Asks once.
    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let wrong = |error| Failure::Wrong(format!("{path} is no path: {error}"));
        let uri: Uri = path.parse().map_err(wrong)?;
        let asked = format!("{method} {path}");
        let kind = body.map(|_| HeaderValue::from_static("application/json"));
        let text = body.map(Value::to_string).unwrap_or_default();
        let reply =
            self.client.exchange(method, uri, kind, Outgoing::Whole(text.into()), self.limit);
        let mut reply = reply.await?;
        let mut body = BytesMut::new();
        while let Some(piece) = self.client.piece(&mut reply).await? {
            body.extend_from_slice(&piece);
        }
        Ok(Answer { asked, status: reply.head.status, body, repeated: false })
    }

    /// What a path answers.
    pub async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, None).await?.json()
    }

    /// Repeats a request until a node that is there answers it. A failure that nothing explains is given
    /// back.
    pub async fn insist(
        &mut self,
        nodes: &[Endpoint],
        phase: &mut Listener,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let mut repeated = false;
        let mut refused = None;
        loop {
            phase.up().await;
            let mark = phase.mark(self.node);
            match self.ask(method.clone(), path, body).await {
                Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                    let since = *refused.get_or_insert_with(Instant::now);
                    if since.elapsed() > limits::REFUSED {
                        return Err(answer.wrong("for too long"));
                    }
                }
                Ok(answer) => return Ok(Answer { repeated, ..answer }),
                Err(failure) => {
                    if !phase.excuses(mark) {
                        return Err(failure);
                    }
                    repeated |= !matches!(failure, Failure::Connect(..));
                }
            }
            self.visit(nodes, self.node + 1);
            sleep(limits::RECONNECT_PAUSE).await;
        }
    }
}
