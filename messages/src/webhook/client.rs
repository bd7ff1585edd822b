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
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { loopback, resolver, tls: TlsConnector::from(Arc::new(tls)) })
    }

    async fn send(&self, letter: Letter) -> Result<Reply, PostError> {
        let target = Target::parse(&letter.url, self.loopback)?;
        let stream = self.connect(&target).await?;
        if !target.tls {
            return exchange(stream, &target, letter).await;
        }
        let name = match &target.host {
            Host::Domain(name) => ServerName::try_from(name.clone()),
            Host::Ipv4(address) => Ok(IpAddr::from(*address).into()),
            Host::Ipv6(address) => Ok(IpAddr::from(*address).into()),
        };
        let name = name.map_err(|_| PostError::Request)?;
        let stream = self.tls.connect(name, stream).await?;
        exchange(stream, &target, letter).await
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
