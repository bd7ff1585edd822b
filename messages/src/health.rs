//! `messages health`: whether the server on this machine takes appends, for whoever watches a container
//! that holds nothing but this program.

use crate::{
    limits::{HEALTH_ANSWER_BYTES_MAX, HEALTH_WAIT_MS_MAX},
    tls::{self, TlsOptions},
};
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// What tells that appends are taken.
const READY: &str = "/readyz";

/// Which server.
#[derive(Clone, Debug, Args)]
pub struct HealthOptions {
    /// Where the server listens, unless --url says it.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// Whether it speaks HTTPS, unless --url says it.
    #[command(flatten)]
    tls: TlsOptions,

    /// What to ask in place of the server of these settings: http or https, an address, a port, and
    /// a path, which is /readyz where there is none.
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
}

impl HealthOptions {
    /// Asks. Fine when there is a good answer in time.
    ///
    /// # Errors
    /// There is none; said for whoever reads the log of the health check.
    pub async fn check(self) -> anyhow::Result<()> {
        let uri = self.uri()?;
        let wait = Duration::from_millis(HEALTH_WAIT_MS_MAX);
        let asked = tokio::time::timeout(wait, ask(&uri)).await;
        asked.with_context(|| format!("{uri} has not answered within {wait:?}"))?
    }

    fn uri(&self) -> anyhow::Result<Uri> {
        let uri = match &self.url {
            Some(url) => url.clone(),
            None => format!("{}://{}", self.tls.scheme(), here(self.listen)).parse()?,
        };
        let scheme = uri.scheme_str().unwrap_or_default();
        ensure!(["http", "https"].contains(&scheme), "--url must begin with http:// or https://");
        if !matches!(uri.path(), "" | "/") {
            return Ok(uri);
        }
        let mut parts = uri.into_parts();
        parts.path_and_query = Some(READY.parse()?);
        Ok(Uri::from_parts(parts)?)
    }
}

/// How this machine reaches a server that listens there.
fn here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(uri: &Uri) -> anyhow::Result<()> {
    let is_https = uri.scheme_str() == Some("https");
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.with_context(|| format!("nobody answers at {uri}"))?;
    if is_https {
        let stream = tls::connect(stream).await;
        ask_over(stream.with_context(|| format!("there is no TLS at {uri}"))?, uri).await
    } else {
        ask_over(stream, uri).await
    }
}

async fn ask_over<S>(stream: S, uri: &Uri) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let path = uri.path_and_query().map_or(READY, |path| path.as_str());
    // To this name every server answers, whatever it is called elsewhere.
    let request = Request::get(path).header(header::HOST, "localhost");
    let request = request.body(Empty::<Bytes>::new())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with this program, however it ends.
    tokio::spawn(connection);
    let response = sender.send_request(request).await;
    let response = response.with_context(|| format!("{uri} does not speak HTTP"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let body = Limited::new(response.into_body(), HEALTH_ANSWER_BYTES_MAX).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    bail!("{uri} answers {status} {}", String::from_utf8_lossy(&body).trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        options: HealthOptions,
    }

    #[test]
    fn the_server_of_the_settings_is_asked_on_this_machine() {
        for (args, asked) in [
            (&[][..], "http://127.0.0.1:3000/readyz"),
            (&["--listen", "0.0.0.0:80"], "http://127.0.0.1:80/readyz"),
            (&["--listen", "[::]:80"], "http://[::1]:80/readyz"),
            (&["--listen", "10.0.0.1:80"], "http://10.0.0.1:80/readyz"),
            (&["--tls-cert", "c", "--tls-key", "k"], "https://127.0.0.1:3000/readyz"),
            (&["--url", "http://other:1"], "http://other:1/readyz"),
            (&["--url", "https://other:1/healthz"], "https://other:1/healthz"),
        ] {
            let alone = Alone::parse_from([&["health"], args].concat());
            assert_eq!(alone.options.uri().expect("a URI").to_string(), asked);
        }
        let alone = Alone::parse_from(["health", "--url", "localhost:3000"]);
        assert!(alone.options.uri().is_err());
    }
}
