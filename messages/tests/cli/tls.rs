//! https, as behind a proxy with a certificate of its own.

use crate::{common::Setup, tool::Tool};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

/// Takes TLS off on the way to a server.
async fn proxy(server: SocketAddr) -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(format!("{DIR}/certificate.pem"));
    let key = PrivateKeyDer::from_pem_file(format!("{DIR}/key.pem")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.expect("a certificate")], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a key and its certificate")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust it goes away.
                let Ok(mut near) = acceptor.accept(near).await else { return };
                let mut far = TcpStream::connect(server).await.expect("the server");
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn only_who_proves_its_name_is_spoken_with() {
    let server = Setup::new().await.start().await;
    let url = format!("https://{}", proxy(server.address()).await);
    let tool = Tool::at(server.setup(), &url);
    tool.run(&["ls"]).await.fails(1, "invalid peer certificate");
    let trusting = tool.clone().env("MESSAGES_CA_FILE", &format!("{DIR}/authority.pem"));
    assert_eq!(trusting.run_with(&["push", "s", "--close"], "hello").await.code(), Some(0));
    assert_eq!(trusting.run(&["tail", "s", "--follow"]).await.text(), "hello");
    let none = tool.clone().env("MESSAGES_CA_FILE", "nowhere");
    none.run(&["ls"]).await.fails(1, "cannot use --ca-file");
    // As it is called, and no other way.
    let other = Tool::at(server.setup(), &url.replace("127.0.0.1", "localhost"));
    let other = other.env("MESSAGES_CA_FILE", &format!("{DIR}/authority.pem"));
    other.run(&["ls"]).await.fails(1, "not valid for name");
}
