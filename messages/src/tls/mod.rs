//! TLS of the server's own: which certificate it shows, and how a connection begins.

mod keeper;
mod local;
mod options;

pub use keeper::Keeper;
pub use local::connect;
pub use options::{BadFiles, Files, TlsOptions};

use options::Pem;
use rustls::{
    ServerConfig,
    crypto::ring as crypto,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, watch},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What is chosen for a connection whose client does not know better (RFC 7301).
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Every TLS connection begins with a record of this type (RFC 8446, 5.1).
pub const FIRST_BYTE: u8 = 22;

/// What makes connections secret, with the certificate that is good now.
#[derive(Clone)]
pub struct Tls {
    acceptor: watch::Receiver<TlsAcceptor>,
    /// For those that begin.
    handshakes: Arc<Semaphore>,
}

/// A connection that has begun.
pub struct Begun<S> {
    /// What goes over it.
    pub stream: TlsStream<S>,
    /// Whether both sides have agreed on HTTP/2.
    pub is_http2: bool,
}

impl Tls {
    /// Begins a connection with a client. It waits for its turn where very many do so.
    ///
    /// # Errors
    /// The client wants something else, or has gone.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<Begun<S>> {
        let turn = self.handshakes.acquire().await;
        let acceptor = self.acceptor.borrow().clone();
        let stream = acceptor.accept(stream).await?;
        drop(turn);
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok(Begun { stream, is_http2 })
    }
}

/// A certificate with those that vouch for it, and its key.
fn acceptor(pem: &Pem) -> Result<TlsAcceptor, BadFiles> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(BadFiles::NoCertificate)?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| BadFiles::NoKey)?;
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| BadFiles::Unusable(error.to_string()))?;
    config.alpn_protocols = vec![HTTP2.into(), HTTP1.into()];
    // Who comes back, as all do after a restart of something between, is spared a signature.
    config.ticketer =
        crypto::Ticketer::new().map_err(|error| BadFiles::Unusable(error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
