//! A client with one connection, of which a test holds every end.

use crate::common::{Answer, soon};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, channel::mpsc};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

pub type Body = BoxBody<Bytes, io::Error>;

/// What a client lets come of one answer before it reads some of it.
pub const WINDOW_BYTES: u32 = 64 << 10;

/// A connection of HTTP/2.
pub struct Client {
    pub sender: SendRequest<Body>,
    pub connection: JoinHandle<hyper::Result<()>>,
    base: String,
}

/// The certificates that tests know, with their keys.
pub fn pem(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/tls/testdata").join(name)
}

pub fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(pem(name)).expect("a certificate")
}

/// Begins TLS with a server that shows one of the certificates of tests.
pub async fn tls(address: SocketAddr, alpn: &[&str]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    for name in ["certificate.pem", "other-certificate.pem"] {
        roots.add(certificate(name)).expect("a root");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().into()).collect();
    let stream = TcpStream::connect(address).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let begun = TlsConnector::from(Arc::new(config)).connect(name, stream);
    soon("a handshake", begun).await.expect("TLS")
}

impl Client {
    pub async fn plain(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self::over(stream, format!("http://{address}")).await
    }

    pub async fn secret(address: SocketAddr) -> Self {
        Self::over(tls(address, &["h2"]).await, format!("https://localhost:{}", address.port()))
            .await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        base: String,
    ) -> Self {
        let begun = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(16 << 20)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = soon("a connection", begun).await.expect("HTTP/2");
        Self { sender, connection: tokio::spawn(connection), base }
    }

    pub fn request(&self, method: Method, target: &str) -> http::request::Builder {
        let uri: Uri = format!("{}{target}", self.base).parse().expect("a URI");
        Request::builder().method(method).uri(uri)
    }

    /// Sends a request and takes the head of the answer.
    pub async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        soon("room for a request", self.sender.ready()).await?;
        soon("an answer", self.sender.send_request(request)).await
    }

    /// Begins to read.
    pub async fn open(&mut self, target: &str) -> Incoming {
        let request = self.request(Method::GET, target).body(empty()).expect("a request");
        let response = self.send(request).await.expect("an answer");
        assert_eq!(response.status(), 200, "{response:?}");
        response.into_body()
    }

    pub async fn ask(&mut self, request: Request<Body>) -> Answer {
        let (head, body) = self.send(request).await.expect("an answer").into_parts();
        let body = soon("the body", body.collect()).await.expect("all of it").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    pub async fn get(&mut self, target: &str) -> Answer {
        self.ask(self.request(Method::GET, target).body(empty()).expect("a request")).await
    }

    /// A request with a body that is sent piece by piece.
    pub fn put(&self, target: &str) -> (Pieces, Request<Body>) {
        let (pieces, body) = mpsc::unbounded();
        let body = BodyExt::boxed(StreamBody::new(body));
        let request = self.request(Method::PUT, target).body(body);
        (Pieces(pieces), request.expect("a request"))
    }

    /// Sends it as a whole.
    pub async fn append(&mut self, target: &str, content: &'static str) -> Answer {
        let (pieces, request) = self.put(target);
        pieces.send(content);
        drop(pieces);
        self.ask(request).await
    }
}

/// The body of a request. It ends when this is dropped.
pub struct Pieces(mpsc::UnboundedSender<io::Result<Frame<Bytes>>>);

impl Pieces {
    pub fn send(&self, piece: &'static str) {
        self.0.unbounded_send(Ok(Frame::data(piece.into()))).expect("an open body");
    }

    /// Takes the request back.
    pub fn break_off(self) {
        let broken = Err(io::Error::other("the producer breaks off"));
        self.0.unbounded_send(broken).expect("an open body");
    }
}

pub fn empty() -> Body {
    full("")
}

pub fn full(content: &'static str) -> Body {
    Full::from(content).map_err(|never| match never {}).boxed()
}

/// The next message of a socket; whether it still lives may be asked at any time.
pub async fn message<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
) -> Message {
    loop {
        let message = soon("a frame", socket.next()).await.expect("more").expect("a frame");
        if !message.is_ping() {
            return message;
        }
    }
}

/// Reads `len` bytes.
pub async fn take(body: &mut Incoming, len: usize) -> Bytes {
    let mut bytes = BytesMut::new();
    while bytes.len() < len {
        let frame = soon("a piece", body.frame()).await.expect("more").expect("no reset");
        bytes.extend_from_slice(frame.data_ref().expect("data"));
    }
    bytes.freeze()
}

/// Reads to the end; whether it is a good one.
pub async fn rest(mut body: Incoming) -> (Bytes, bool) {
    let mut bytes = BytesMut::new();
    loop {
        match soon("a piece or the end", body.frame()).await {
            None => return (bytes.freeze(), true),
            Some(Err(_)) => return (bytes.freeze(), false),
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().expect("data")),
        }
    }
}
