//! HTTP to a server: one connection, one request at a time.

use super::{
    exit::{Exit, Failure},
    retry::Outage,
};
use crate::{
    fetch::causes,
    limits::{CLI_ANSWER_MS_MAX, CLI_CONNECT_MS_MAX, CLI_DOCUMENT_BYTES_MAX, CLI_SILENCE_MS_MAX},
};
use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::Deserialize;
use std::{convert::Infallible, fmt, path::PathBuf, sync::Arc, time::Duration};
use tokio::time::timeout;

/// What stands for itself in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// And slashes do, too, in the name of a stream.
const NAME: &AsciiSet = &PATH.remove(b'/');

/// Which server, and who asks.
#[derive(Clone, Debug, Args)]
pub struct ServerOptions {
    /// The server.
    #[arg(long, env = "MESSAGES_URL", default_value = "http://127.0.0.1:3000", value_name = "URL")]
    url: String,

    /// Token to show. Other users of the machine see flags: better use the variable or the file.
    #[arg(long, env = "MESSAGES_TOKEN", value_name = "TOKEN", hide_env_values = true,
          value_parser = |text: &str| Ok::<_, Infallible>(Token(text.into())))]
    token: Option<Token>,

    /// File with the token. It is read before every request, so it may change.
    #[arg(long, env = "MESSAGES_TOKEN_FILE", value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,

    /// File with certificates (PEM) to trust beside those of the web, for https.
    #[arg(long, env = "MESSAGES_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Never shown.
#[derive(Clone)]
struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What is asked of a server.
pub(super) struct Ask<'a> {
    pub method: Method,
    /// Behind the URL of the server.
    pub target: &'a str,
    pub headers: &'a [(&'static str, &'a str)],
    pub body: Bytes,
}

impl<'a> Ask<'a> {
    pub fn new(method: Method, target: &'a str) -> Self {
        Self { method, target, headers: &[], body: Bytes::new() }
    }
}

/// A server.
pub(super) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    token: Option<Token>,
    token_file: Option<PathBuf>,
    /// For how long to try again.
    patience: Duration,
}

/// The path of a stream.
pub(super) fn stream_path(name: &str) -> String {
    // A proxy may take dots between slashes for a way to another stream.
    let has_dots = name.split('/').any(|part| matches!(part, "." | ".."));
    format!("/v1/stream/{}", utf8_percent_encode(name, if has_dots { PATH } else { NAME }))
}

/// A text as the value of a parameter.
pub(super) fn parameter(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, PATH)
}

impl ServerOptions {
    /// A client with that much patience.
    pub(super) fn client(&self, patience: Duration) -> Result<Client, Failure> {
        let base = self.url.trim_end_matches('/').to_owned();
        // It would be shown with everything that goes wrong, and no server is told of it.
        if base.contains('@') {
            let text = "--url has a name or a password in it, which is nowhere asked for; \
                        the token is shown with MESSAGES_TOKEN or --token-file";
            return Err(Failure::usage(text));
        }
        let known = |uri: http::Uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none()
        };
        if !base.parse().is_ok_and(known) {
            let text = format!("--url {}: must be as http://127.0.0.1:3000", self.url);
            return Err(Failure::usage(text));
        }
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(Duration::from_secs(30)));
        http.set_connect_timeout(Some(Duration::from_millis(CLI_CONNECT_MS_MAX)));
        let https = HttpsConnectorBuilder::new().with_tls_config(self.tls()?);
        let connector = https.https_or_http().enable_http1().wrap_connector(http);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        let (token, token_file) = (self.token.clone(), self.token_file.clone());
        Ok(Client { pool, base, token, token_file, patience })
    }

    fn tls(&self) -> anyhow::Result<ClientConfig> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(file) = &self.ca_file {
            let context = || format!("cannot use --ca-file {}", file.display());
            for certificate in CertificateDer::pem_file_iter(file).with_context(context)? {
                roots.add(certificate.with_context(context)?).with_context(context)?;
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

impl Client {
    /// What the server answers. Tried again as long as it does not answer, or has no room.
    ///
    /// # Errors
    /// It refuses, or has not answered for too long.
    pub async fn insist(&self, ask: &Ask<'_>) -> Result<Response<Incoming>, Failure> {
        let mut outage = self.outage();
        loop {
            let (failure, pause) = match self.once(ask).await {
                Ok(response) if response.status().is_success() => {
                    outage.over();
                    return Ok(response);
                }
                Ok(response) => {
                    let pause = retry_after(response.headers());
                    let (passing, failure) = problem(response).await;
                    if !passing {
                        return Err(failure);
                    }
                    (failure, pause)
                }
                Err(failure) => (failure, None),
            };
            outage.wait(failure, pause).await?;
        }
    }

    /// An outage of this server.
    pub fn outage(&self) -> Outage {
        Outage::new(self.patience)
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<Response<Incoming>, Failure> {
        let uri = format!("{}{}", self.base, ask.target);
        let mut request = Request::builder().method(ask.method.clone()).uri(uri);
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = self.authorization()? {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Full::new(ask.body.clone())).context("not a request")?;
        let most = Duration::from_millis(CLI_ANSWER_MS_MAX);
        match timeout(most, self.pool.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let hint = match error.is_connect() {
                    true => "; is a server there? --url or MESSAGES_URL says which one to ask",
                    false => "",
                };
                Err(failed(format!("{}: {}{hint}", self.base, causes(&error))))
            }
            Err(_) => Err(failed(format!("{}: no answer within {most:?}", self.base))),
        }
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, Failure> {
        let token = match (&self.token, &self.token_file) {
            (Some(Token(token)), _) => token.clone(),
            (None, Some(file)) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read --token-file {}", file.display()))?,
            (None, None) => return Ok(None),
        };
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
            .map_err(|_| Failure::usage("the token is not one: it has characters of no token"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// The next piece of a body; `None` at its end.
///
/// # Errors
/// It broke off, which may pass.
pub(super) async fn piece(body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    let most = Duration::from_millis(CLI_SILENCE_MS_MAX);
    loop {
        match timeout(most, body.frame()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
            Ok(Some(Err(error))) => {
                return Err(failed(format!("the answer broke off: {}", causes(&error))));
            }
            Err(_) => return Err(failed(format!("nothing more has come within {most:?}"))),
        }
    }
}

/// A document.
///
/// # Errors
/// It broke off, or is too long.
pub(super) async fn document(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = Limited::new(response.into_body(), CLI_DOCUMENT_BYTES_MAX).collect();
    match timeout(Duration::from_millis(CLI_SILENCE_MS_MAX), body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(failed(format!("the answer broke off: {}", causes(&*error)))),
        Err(_) => Err(failed("the answer does not end".into())),
    }
}

/// A header as text, empty where it is missing.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn failed(text: String) -> Failure {
    Failure::new(Exit::Failed, text)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// What went wrong, as the server says it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: String,
    detail: String,
}

/// What went wrong, and whether that may pass.
async fn problem(response: Response<Incoming>) -> (bool, Failure) {
    use StatusCode as S;
    let status = response.status();
    let document = document(response).await.unwrap_or_default();
    let Problem { code, detail } = serde_json::from_slice(&document).unwrap_or_default();
    let text = match (code.as_str(), detail.as_str()) {
        ("", _) => status.to_string(),
        (code, "") => format!("{status} ({code})"),
        (code, detail) => format!("{detail} ({code})"),
    };
    let exit = match status {
        S::NOT_FOUND | S::GONE => Exit::NotFound,
        S::UNAUTHORIZED | S::FORBIDDEN => Exit::Refused,
        S::CONFLICT | S::PRECONDITION_FAILED => Exit::Conflict,
        _ => Exit::Failed,
    };
    let passing = [
        S::REQUEST_TIMEOUT,
        S::TOO_MANY_REQUESTS,
        S::BAD_GATEWAY,
        S::SERVICE_UNAVAILABLE,
        S::GATEWAY_TIMEOUT,
    ];
    (passing.contains(&status), Failure::new(exit, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_slashes_and_nothing_else() {
        assert_eq!(stream_path("a b/ü?#%/c.d"), "/v1/stream/a%20b/%C3%BC%3F%23%25/c.d");
        assert_eq!(stream_path("a/../b"), "/v1/stream/a%2F..%2Fb");
        assert_eq!(parameter("a/b&c").to_string(), "a%2Fb%26c");
    }
}
