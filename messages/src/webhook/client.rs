//! One request over one connection to an address that was checked.

use super::{
    Letter, Post, PostError, RejectedUrl, Reply,
    target::{Target, ip},
};
use crate::limits::WEBHOOK_ANSWER_BYTES_MAX;
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::TlsConnector;
use url::Host;

const AGENT: &str = concat!("messages/", env!("CARGO_PKG_VERSION"));

/// Finds addresses.
pub trait Resolve: Send + Sync {
    /// All addresses of a name.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// As the system does it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            // Without the port no address is left out.
            let found = lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Posts letters.
pub struct Client {
    loopback: bool,
    resolver: Box<dyn Resolve>,
    tls: TlsConnector,
}

impl Client {
    /// A client that posts to this machine only where `loopback` is allowed.
    ///
    /// # Errors
    /// The cryptography does not work.
    pub fn new(loopback: bool, resolver: Box<dyn Resolve>) -> Result<Self, rustls::Error> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Ok(Self { loopback, resolver, tls: connector(roots)? })
    }

    async fn send(&self, letter: Letter) -> Result<Reply, PostError> {
        let target = Target::parse(&letter.url, self.loopback)?;
        let stream = self.connect(&target).await?;
        self.send_over(stream, &target, letter).await
    }

    async fn send_over(
        &self,
        stream: TcpStream,
        target: &Target,
        letter: Letter,
    ) -> Result<Reply, PostError> {
        if !target.tls {
            return exchange(stream, target, letter).await;
        }
        let name = match &target.host {
            Host::Domain(name) => ServerName::try_from(name.clone()),
            Host::Ipv4(address) => Ok(IpAddr::from(*address).into()),
            Host::Ipv6(address) => Ok(IpAddr::from(*address).into()),
        };
        let name = name.map_err(|_| PostError::Request)?;
        let stream = self.tls.connect(name, stream).await?;
        exchange(stream, target, letter).await
    }

    /// A connection to one of the addresses of the host, all of which must be fine: a name that
    /// leads to two kinds of places is up to something.
    async fn connect(&self, target: &Target) -> Result<TcpStream, PostError> {
        let addresses = match (ip(&target.host), &target.host) {
            (Some(address), _) => vec![address],
            (None, Host::Domain(name)) => self.resolver.resolve(name).await?,
            (None, _) => Vec::new(),
        };
        if !addresses.iter().all(|address| target.allows(*address)) {
            return Err(PostError::Unsafe);
        }
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match TcpStream::connect(SocketAddr::new(address, target.port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed.into())
    }
}

impl Post for Client {
    fn check(&self, url: &str) -> Result<(), RejectedUrl> {
        Target::parse(url, self.loopback).map(drop)
    }

    fn post(&self, letter: Letter) -> BoxFuture<'_, Result<Reply, PostError>> {
        Box::pin(async move {
            let wait = letter.wait;
            let sent = tokio::time::timeout(wait, self.send(letter)).await;
            sent.unwrap_or(Err(PostError::Timeout))
        })
    }
}

fn connector(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    target: &Target,
    letter: Letter,
) -> Result<Reply, PostError> {
    let request = Request::post(target.path.as_str())
        .header(HOST, &target.authority)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .header("webhook-signature", letter.signature)
        .body(Full::new(letter.body))
        .map_err(|_| PostError::Request)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with this future, also when that is dropped half way.
    let exchanging = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), WEBHOOK_ANSWER_BYTES_MAX).collect().await;
        let body = body.map_or(Bytes::new(), |body| body.to_bytes());
        Ok(Reply { status, body })
    };
    let mut exchanging = std::pin::pin!(exchanging);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        reply = &mut exchanging => return reply,
        ended = &mut connection => ended?,
    }
    exchanging.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    };
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    /// Answers as it is told, each time with the next of its answers.
    struct Scripted(Vec<Vec<IpAddr>>, Arc<AtomicUsize>);

    impl Resolve for Scripted {
        fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            let asked = self.1.fetch_add(1, Ordering::SeqCst);
            let answer = self.0.get(asked).cloned().unwrap_or_default();
            Box::pin(async { Ok(answer) })
        }
    }

    fn client(answers: &[&[&str]]) -> (Client, Arc<AtomicUsize>) {
        let parse = |list: &&[&str]| list.iter().map(|a| a.parse().expect("valid")).collect();
        let asked = Arc::new(AtomicUsize::new(0));
        let resolver = Scripted(answers.iter().map(parse).collect(), asked.clone());
        (Client::new(true, Box::new(resolver)).expect("a client"), asked)
    }

    fn letter(url: String) -> Letter {
        let (signature, body) = ("t=1".into(), Bytes::from_static(b"{}"));
        Letter { url, signature, body, wait: Duration::from_secs(5) }
    }

    /// A server that says the same to everybody; returns its port and what it was sent.
    async fn server(says: String) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
            while !heard.ends_with(b"{}") {
                let count = stream.read(&mut buffer).await.expect("a request");
                heard.extend_from_slice(&buffer[..count]);
            }
            // Whoever has heard enough may go.
            let _ = stream.write_all(says.as_bytes()).await;
            String::from_utf8(heard).expect("text")
        });
        (port, served)
    }

    #[tokio::test]
    async fn no_address_inside_is_connected_to_whatever_the_name_says() {
        for inside in [
            &["10.0.0.1"][..],
            &["1.1.1.1", "192.168.0.1"],
            &["2606:4700::1111", "::ffff:127.0.0.1"],
            &["127.0.0.1"],
            &["169.254.169.254"],
        ] {
            let (client, asked) = client(&[inside]);
            let refused = client.post(letter("https://hook.example/".into())).await;
            assert!(matches!(refused, Err(PostError::Unsafe)), "{inside:?}: {refused:?}");
            assert_eq!(asked.load(Ordering::SeqCst), 1);
        }
        // The other way round, too: what is this machine by name must be this machine.
        let (client, _) = client(&[&["10.0.0.1"]]);
        let refused = client.post(letter("http://localhost:1/".into())).await;
        assert!(matches!(refused, Err(PostError::Unsafe)), "{refused:?}");
    }

    /// A name that leads elsewhere from one moment to the next gains nothing: it is looked up once,
    /// and what was checked is what is connected to.
    #[tokio::test]
    async fn a_name_is_looked_up_once_for_every_delivery() {
        let (port, served) = server("HTTP/1.1 204 No Content\r\n\r\n".into()).await;
        let (client, asked) = client(&[&["127.0.0.1"], &["10.0.0.1"]]);
        let url = format!("http://localhost:{port}/hook?a=b");
        let reply = client.post(letter(url.clone())).await.expect("an answer");
        assert_eq!((reply.status, asked.load(Ordering::SeqCst)), (204, 1));
        let heard = served.await.expect("served");
        assert!(heard.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains(&format!("host: localhost:{port}\r\n")), "{heard}");
        assert!(heard.contains("webhook-signature: t=1\r\n"), "{heard}");
        let again = client.post(letter(url)).await;
        assert!(matches!(again, Err(PostError::Unsafe)), "it is checked each time: {again:?}");
    }

    /// A server that has a certificate of an authority of its own; see `testdata`.
    async fn tls_server() -> (TcpStream, tokio::task::JoinHandle<io::Result<String>>) {
        let pem = include_bytes!("testdata/certificate.pem");
        let certificate = CertificateDer::from_pem_slice(pem).expect("a certificate");
        let pem = include_bytes!("testdata/key.pem");
        let key = PrivateKeyDer::from_pem_slice(pem).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|c| c.with_no_client_auth().with_single_cert(vec![certificate], key));
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a key and its certificate")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            let mut stream = acceptor.accept(stream).await?;
            let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
            while !heard.ends_with(b"{}") {
                let count = stream.read(&mut buffer).await?;
                heard.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
            Ok(String::from_utf8_lossy(&heard).into_owned())
        });
        (TcpStream::connect(address).await.expect("a connection"), served)
    }

    #[tokio::test]
    async fn who_answers_must_prove_its_name() {
        let (mut client, _) = client(&[]);
        let hook = Target::parse("https://hook.example/x", false).expect("fine");
        let (stream, _served) = tls_server().await;
        let unknown = client.send_over(stream, &hook, letter(String::new())).await;
        assert!(matches!(unknown, Err(PostError::Io(_))), "nobody vouches for it: {unknown:?}");

        let mut roots = RootCertStore::empty();
        let pem = include_bytes!("testdata/authority.pem");
        roots.add(CertificateDer::from_pem_slice(pem).expect("a certificate")).expect("a root");
        client.tls = connector(roots).expect("a connector");
        let (stream, served) = tls_server().await;
        let reply = client.send_over(stream, &hook, letter(String::new())).await;
        assert_eq!(reply.expect("an answer").body, "ok");
        let heard = served.await.expect("served").expect("a request");
        assert!(heard.starts_with("POST /x HTTP/1.1\r\nhost: hook.example\r\n"), "{heard}");

        let other = Target::parse("https://other.example/x", false).expect("fine");
        let (stream, _served) = tls_server().await;
        let wrong = client.send_over(stream, &other, letter(String::new())).await;
        assert!(matches!(wrong, Err(PostError::Io(_))), "another name: {wrong:?}");
    }

    #[tokio::test]
    async fn redirects_are_answers_and_long_bodies_are_not_read() {
        let (port, _served) =
            server("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n".into()).await;
        let (client, _) = client(&[]);
        let reply = client.post(letter(format!("http://127.0.0.1:{port}/"))).await;
        assert_eq!(reply.expect("an answer").status, 302);
        let long = "x".repeat(WEBHOOK_ANSWER_BYTES_MAX + 1);
        let says = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{long}", long.len());
        let (port, _served) = server(says).await;
        let reply = client.post(letter(format!("http://127.0.0.1:{port}/"))).await;
        assert_eq!(reply.expect("an answer"), Reply { status: 200, body: Bytes::new() });
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_or_nonsense_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (client, _) = client(&[]);
        let wait = Duration::from_millis(50);
        let silent = Letter { wait, ..letter(format!("http://127.0.0.1:{port}/")) };
        let given_up = client.post(silent).await;
        assert!(matches!(given_up, Err(PostError::Timeout)), "{given_up:?}");
        let (port, _served) = server("SSH-2.0-x\r\n\r\n".into()).await;
        let nonsense = client.post(letter(format!("http://127.0.0.1:{port}/"))).await;
        assert!(matches!(nonsense, Err(PostError::Http(_))), "{nonsense:?}");
    }
}
