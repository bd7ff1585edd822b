//! One HTTP/1.1 connection that belongs to one task.
//!
//! The task that uses the connection also drives it: no second task, no channel between threads,
//! no pool. The bench shares its cores with the server, so every wake-up it saves counts.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::limits;

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody accepted the connection.
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    /// The server stayed silent.
    #[error("{0} took longer than {limit} s", limit = .1.as_secs())]
    Silent(&'static str, Duration),
    /// The connection broke off.
    #[error("the connection broke off: {}", chain(.0))]
    Broken(#[from] hyper::Error),
    /// The connection was given up before.
    #[error("the connection has been given up")]
    Gone,
    /// The server refused.
    #[error("{0}: {1} {2}")]
    Refused(String, StatusCode, String),
    /// The answer is not one that the protocol allows.
    #[error("wrong answer: {0}")]
    Wrong(String),
}

/// `error` with everything that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub struct Endpoint {
    address: SocketAddr,
    host: HeaderValue,
    /// What goes with every request, where the server wants a token.
    bearer: Option<HeaderValue>,
    /// The path of the URL without a slash at its end.
    pub path: String,
}

impl Endpoint {
    /// Takes `http://host:port/path` apart, or `http://TOKEN@host:port/path`.
    pub fn parse(url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        let authority = uri.authority().with_context(|| format!("{url} names no host"))?;
        anyhow::ensure!(uri.scheme_str() == Some("http"), "{url}: only http is spoken");
        let target = (authority.host(), authority.port_u16().unwrap_or(80));
        let mut addresses = target.to_socket_addrs().with_context(|| format!("resolve {url}"))?;
        let (token, host) = match authority.as_str().rsplit_once('@') {
            Some((token, host)) => (Some(format!("Bearer {token}")), host),
            None => (None, authority.as_str()),
        };
        let bearer = token.map(|bearer| HeaderValue::from_str(&bearer)).transpose()?;
        Ok(Self {
            address: addresses.next().with_context(|| format!("{url} has no address"))?,
            host: HeaderValue::from_str(host)?,
            bearer,
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl Endpoint {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same with a token.
    pub fn with_bearer(self, token: &str) -> anyhow::Result<Self> {
        Ok(Self { bearer: Some(HeaderValue::from_str(&format!("Bearer {token}"))?), ..self })
    }
}

/// The body of a request.
pub enum Outgoing {
    /// Known as a whole: sent with `Content-Length`.
    Whole(Bytes),
    /// Known as a whole, yet sent chunked in pieces of this many bytes.
    Pieces(Bytes, usize),
    /// Live: sent chunked, as it comes.
    Live(mpsc::Receiver<Bytes>),
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Self::Whole(bytes) => Some(std::mem::take(bytes)),
            Self::Pieces(bytes, size) => Some(bytes.split_to(bytes.len().min(*size))),
            Self::Live(pieces) => match pieces.poll_recv(cx) {
                Poll::Ready(piece) => piece,
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(piece.filter(|piece| !piece.is_empty()).map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Pieces(..) | Self::Live(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces(..) | Self::Live(_) => SizeHint::default(),
        }
    }
}

/// A response whose body is still to be read.
pub struct Reply {
    /// Status and headers.
    pub head: response::Parts,
    body: Incoming,
}

impl Reply {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }
}

/// The half of a connection that moves its bytes.
type Wire = Pin<Box<http1::Connection<TokioIo<TcpStream>, Outgoing>>>;

/// An open connection.
struct Link {
    sender: http1::SendRequest<Outgoing>,
    /// `None` when the connection has ended: only its dropping tells whoever waits for it.
    wire: Option<Wire>,
}

impl Link {
    async fn open(endpoint: &Endpoint) -> Result<Self, Failure> {
        let connect = timeout(limits::CONNECT, TcpStream::connect(endpoint.address)).await;
        let stream = connect
            .map_err(|_| Failure::Silent("connecting", limits::CONNECT))?
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|error| Failure::Connect(endpoint.address, error))?;
        let (sender, wire) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, wire: Some(Box::pin(wire)) })
    }

    /// Whether a request can still be sent; the other side may have closed in the meantime.
    async fn is_open(&mut self) -> bool {
        drive(&mut self.wire, async {}).await;
        self.wire.is_some() && !self.sender.is_closed()
    }
}

/// Waits for `work` while moving the bytes of its connection.
async fn drive<T>(wire: &mut Option<Wire>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| {
        // How the connection ended is told to `work` by hyper, through the request or its body.
        if wire.as_mut().is_some_and(|wire| wire.as_mut().poll(cx).is_ready()) {
            *wire = None;
        }
        work.as_mut().poll(cx)
    })
    .await
}

/// A client with at most one connection, opened when needed.
pub struct Client {
    endpoint: Endpoint,
    link: Option<Link>,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, link: None }
    }

    /// Opens the connection now rather than with the first request.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        if self.link.is_none() {
            self.link = Some(Link::open(&self.endpoint).await?);
        }
        Ok(())
    }

    /// Gives the connection up, with whatever is under way on it.
    pub fn disconnect(&mut self) {
        self.link = None;
    }

    /// Sends a request and waits for the head of its response, whatever its status.
    pub async fn send(
        &mut self,
        method: Method,
        uri: Uri,
        content_type: Option<HeaderValue>,
        body: Outgoing,
    ) -> Result<Reply, Failure> {
        self.exchange(method, uri, content_type, body, limits::RESPONSE).await
    }

    /// The same with a limit of its own, for bodies that take their time.
    pub async fn exchange(
        &mut self,
        method: Method,
        uri: Uri,
        content_type: Option<HeaderValue>,
        body: Outgoing,
        limit: Duration,
    ) -> Result<Reply, Failure> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        if let Some(value) = content_type {
            request.headers_mut().insert(http::header::CONTENT_TYPE, value);
        }
        self.request(request, limit).await
    }

    /// Sends a request with headers of its own and waits for the head of its response.
    pub async fn request(
        &mut self,
        mut request: Request<Outgoing>,
        limit: Duration,
    ) -> Result<Reply, Failure> {
        if let Some(link) = &mut self.link
            && !link.is_open().await
        {
            self.link = None;
        }
        request.headers_mut().insert(http::header::HOST, self.endpoint.host.clone());
        if let Some(bearer) = &self.endpoint.bearer {
            request.headers_mut().insert(http::header::AUTHORIZATION, bearer.clone());
        }
        self.connect().await?;
        let Some(Link { sender, wire }) = &mut self.link else {
            unreachable!("connect() leaves a link or fails");
        };
        let work = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        let reply = timeout(limit, drive(wire, work)).await;
        let failure = match reply {
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                return Ok(Reply { head, body });
            }
            Ok(Err(error)) => Failure::Broken(error),
            Err(_) => Failure::Silent("the response", limit),
        };
        self.link = None;
        Err(failure)
    }

    /// The next piece of a body; `None` at its proper end.
    pub async fn piece(&mut self, reply: &mut Reply) -> Result<Option<Bytes>, Failure> {
        self.piece_within(reply, limits::SILENCE).await
    }

    /// The next piece of a body, waited for no longer than `limit`.
    pub async fn piece_within(
        &mut self,
        reply: &mut Reply,
        limit: Duration,
    ) -> Result<Option<Bytes>, Failure> {
        let Some(link) = &mut self.link else {
            return Err(Failure::Gone);
        };
        loop {
            let frame = match timeout(limit, drive(&mut link.wire, reply.body.frame())).await {
                Ok(frame) => frame.transpose(),
                Err(_) => return Err(Failure::Silent("the next piece of a body", limit)),
            };
            match frame {
                Ok(None) => return Ok(None),
                // Trailers are no content.
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_) => continue,
                },
                Err(error) => {
                    self.link = None;
                    return Err(error.into());
                }
            }
        }
    }

    /// Reads a body that does not matter to its end, so that the connection can be used again.
    pub async fn drain(&mut self, reply: &mut Reply) -> Result<(), Failure> {
        while self.piece(reply).await?.is_some() {}
        Ok(())
    }

    /// The failure that a reply with an unwanted status is; takes the beginning of its body.
    pub async fn refusal(&mut self, what: String, reply: &mut Reply) -> Failure {
        let body = self.piece(reply).await.ok().flatten().unwrap_or_default();
        let problem = String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned();
        if self.drain(reply).await.is_err() {
            self.disconnect();
        }
        Failure::Refused(what, reply.head.status, problem)
    }
}
