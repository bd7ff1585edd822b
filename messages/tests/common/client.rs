//! A client that sends and receives piece by piece.

use super::{TestServer, soon};
use bytes::{Bytes, BytesMut};
use futures::channel::mpsc;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{io, net::SocketAddr};
use tokio::{net::TcpStream, task::JoinHandle};

type Body = BoxBody<Bytes, io::Error>;

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// A header, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Checks that this is a problem document with this status and code, and returns its detail.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let document = self.json();
        assert_eq!(document["code"], code, "{document}");
        assert_eq!(document["status"], status, "{document}");
        assert_eq!(document["type"], "about:blank", "{document}");
        let member = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(member("request_id"), self.header("x-request-id"), "{self:?}");
        assert!(!member("title").is_empty(), "{document}");
        assert!(!member("detail").is_empty(), "{document}");
        member("detail")
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With its last chunk.
    Clean,
    /// Without: the connection was cut.
    BrokenOff,
}

/// A response whose body is read piece by piece.
pub struct Reader {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
    connection: JoinHandle<()>,
}

impl Reader {
    /// The next piece, or how the body ended.
    pub async fn piece(&mut self) -> Result<Bytes, End> {
        loop {
            match soon("a piece or the end arrives", self.body.frame()).await {
                None => return Err(End::Clean),
                Some(Err(_)) => return Err(End::BrokenOff),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => return Ok(bytes),
                    _ => {}
                },
            }
        }
    }

    /// Reads until `len` bytes have come, and whatever comes along with the last of them.
    pub async fn at_least(&mut self, len: usize) -> Bytes {
        let mut bytes = BytesMut::new();
        while bytes.len() < len {
            match self.piece().await {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(end) => panic!("{end:?} after {:?} of {len} bytes", bytes.len()),
            }
        }
        bytes.freeze()
    }

    /// Reads until `len` bytes have come, where no more may come.
    pub async fn bytes(&mut self, len: usize) -> Bytes {
        let bytes = self.at_least(len).await;
        assert_eq!(bytes.len(), len, "more has come than was asked for");
        bytes
    }

    /// Reads as much as `text` is long, and checks that this is what comes.
    pub async fn expect(&mut self, text: &str) {
        assert_eq!(self.bytes(text.len()).await, text.as_bytes());
    }

    /// Everything that is left, and how it ended.
    pub async fn rest(mut self) -> (Bytes, End) {
        let mut bytes = BytesMut::new();
        loop {
            match self.piece().await {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(end) => return (bytes.freeze(), end),
            }
        }
    }

    /// All of it as an [`Answer`], which must end well.
    pub async fn answer(self) -> Answer {
        let (status, headers) = (self.status, self.headers.clone());
        let (body, end) = self.rest().await;
        assert_eq!(end, End::Clean, "{status} {headers:?} {body:?}");
        Answer { status, headers, body }
    }
}

impl Drop for Reader {
    /// Leaves: the connection is closed whatever is still to come.
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A request whose body is sent piece by piece.
pub struct Producer {
    pieces: mpsc::Sender<io::Result<Frame<Bytes>>>,
    response: JoinHandle<hyper::Result<Reader>>,
}

impl Producer {
    /// Hands a piece to the connection.
    pub async fn send(&mut self, piece: impl Into<Bytes>) {
        use futures::SinkExt;
        let frame = Ok(Frame::data(piece.into()));
        soon("the piece is taken", self.pieces.send(frame)).await.expect("an open connection");
    }

    /// Hands over a piece for which there may be nobody any more.
    pub async fn try_send(&mut self, piece: impl Into<Bytes>) -> bool {
        use futures::SinkExt;
        let frame = Ok(Frame::data(piece.into()));
        soon("the piece is taken", self.pieces.send(frame)).await.is_ok()
    }

    /// Ends the body and takes the answer.
    pub async fn finish(self) -> Answer {
        let Self { pieces, response } = self;
        drop(pieces);
        soon("an answer", response).await.expect("no panic").expect("an answer").answer().await
    }

    /// Takes the answer that comes although the body has not ended.
    pub async fn refusal(self) -> Answer {
        let Self { pieces, response } = self;
        let answer =
            soon("an answer", response).await.expect("no panic").expect("an answer").answer().await;
        drop(pieces);
        answer
    }

    /// Goes away in the middle of the body.
    pub async fn break_off(mut self) {
        use futures::SinkExt;
        let broken = Err(io::Error::other("the producer breaks off"));
        let _ = self.pieces.send(broken).await;
        let _ = soon("the connection ends", self.response).await;
    }
}

/// Sends a request and takes the head of the response.
async fn send(address: SocketAddr, request: Request<Body>) -> hyper::Result<Reader> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    Ok(Reader { status: head.status, headers: head.headers, body, connection })
}

/// A request with a whole body.
pub fn request(
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Request<Body> {
    let body = http_body_util::Full::new(body).map_err(|never| match never {}).boxed();
    let mut request = Request::builder().method(method).uri(target).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).expect("a valid request")
}

impl TestServer {
    /// Sends a request and reads the response as it comes.
    pub async fn open(&self, request: Request<Body>) -> Reader {
        let response = soon("a response", send(self.address(), request)).await;
        response.expect("a response")
    }

    /// Sends a request and reads the whole response.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        self.open(request).await.answer().await
    }

    /// `GET`, whole.
    pub async fn get(&self, target: &str) -> Answer {
        self.send(request(Method::GET, target, &[], Bytes::new())).await
    }

    /// `GET`, as it comes.
    pub async fn read(&self, target: &str) -> Reader {
        self.open(request(Method::GET, target, &[], Bytes::new())).await
    }

    /// `HEAD`.
    pub async fn head(&self, target: &str) -> Answer {
        self.send(request(Method::HEAD, target, &[], Bytes::new())).await
    }

    /// `PUT` with a whole body.
    pub async fn put(&self, target: &str, body: impl Into<Bytes>) -> Answer {
        self.send(request(Method::PUT, target, &[], body.into())).await
    }

    /// `POST`, whole.
    pub async fn post(&self, target: &str, body: impl Into<Bytes>) -> Answer {
        self.send(request(Method::POST, target, &[], body.into())).await
    }

    /// `POST`, as it comes.
    pub async fn start(&self, target: &str, body: impl Into<Bytes>) -> Reader {
        self.open(request(Method::POST, target, &[], body.into())).await
    }

    /// `PUT` whose body comes piece by piece.
    pub fn produce(&self, target: &str) -> Producer {
        self.produce_with(target, &[])
    }

    /// As [`TestServer::produce`], with more headers.
    pub fn produce_with(&self, target: &str, headers: &[(&str, &str)]) -> Producer {
        let (pieces, body) = mpsc::channel(0);
        let body = BodyExt::boxed(StreamBody::new(body));
        let mut request = Request::put(target).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = send(self.address(), request.body(body).expect("a valid request"));
        Producer { pieces, response: tokio::spawn(response) }
    }
}
