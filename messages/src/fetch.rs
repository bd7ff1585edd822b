//! The one HTTP client: small documents from places that an operator has named. It follows no
//! redirect, and trusts the authorities of the web and nobody else.

use bytes::Bytes;
use http::{Uri, uri::Scheme};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{fmt, net::IpAddr, time::Duration};

/// A URL that may be fetched: https, or http on this machine. Shows only its host, because the
/// rest may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Uri);

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Not a URL, or one that is not fetched.
    #[error("not an https URL (http is for 127.0.0.1, ::1 and localhost only)")]
    BadUrl,
    /// There is no TLS.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// Nobody answers, or not as they should.
    #[error("{host} cannot be reached: {reason}")]
    Unreachable {
        /// Who.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// It answers with something else.
    #[error("{host} answers with status {status}")]
    Status {
        /// Who.
        host: String,
        /// How.
        status: u16,
    },
    /// The answer is too large.
    #[error("the answer of {host} is longer than {bytes_max} bytes")]
    TooLong {
        /// Who.
        host: String,
        /// What it may be.
        bytes_max: usize,
    },
    /// It took too long.
    #[error("{host} has not answered within {wait:?}")]
    Timeout {
        /// Who.
        host: String,
        /// How long it may take.
        wait: Duration,
    },
}

impl Target {
    /// What `text` names.
    ///
    /// # Errors
    /// It is not a URL that may be fetched.
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        let uri: Uri = text.parse().map_err(|_| FetchError::BadUrl)?;
        let host = uri.host().ok_or(FetchError::BadUrl)?;
        let here = uri.scheme() == Some(&Scheme::HTTP) && is_loopback(host);
        if here || uri.scheme() == Some(&Scheme::HTTPS) {
            Ok(Self(uri))
        } else {
            Err(FetchError::BadUrl)
        }
    }

    fn host(&self) -> String {
        self.0.host().unwrap_or_default().to_owned()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.host())
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Fetches.
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Fetcher {
    /// A client of its own.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new() -> Result<Self, FetchError> {
        let ring = rustls::crypto::ring::default_provider();
        let builder = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(ring);
        let builder = builder.map_err(|error| FetchError::Tls(error.to_string()))?;
        // A Target is https or loopback.
        let connector = builder.https_or_http().enable_http1().build();
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { client })
    }

    /// What is at `target`: at most `bytes_max`, and within `wait`.
    ///
    /// # Errors
    /// It is not there, too long, or too slow.
    pub async fn get(
        &self,
        target: &Target,
        bytes_max: usize,
        wait: Duration,
    ) -> Result<Bytes, FetchError> {
        let got = tokio::time::timeout(wait, self.get_patiently(target, bytes_max)).await;
        got.unwrap_or_else(|_| Err(FetchError::Timeout { host: target.host(), wait }))
    }

    async fn get_patiently(&self, target: &Target, bytes_max: usize) -> Result<Bytes, FetchError> {
        let host = target.host();
        let response = match self.client.get(target.0.clone()).await {
            Ok(response) => response,
            Err(error) => return Err(FetchError::Unreachable { host, reason: causes(&error) }),
        };
        if !response.status().is_success() {
            return Err(FetchError::Status { host, status: response.status().as_u16() });
        }
        match Limited::new(response.into_body(), bytes_max).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(FetchError::TooLong { host, bytes_max })
            }
            Err(error) => Err(FetchError::Unreachable { host, reason: causes(&*error) }),
        }
    }
}

/// An error with what caused it: the first alone says little. Some errors end with their cause; nothing is
/// said twice.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_is_told_twice() {
        let refused = || std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let sql = crate::store::StoreError::from(sqlx::Error::Io(refused()));
        let error = anyhow::Error::from(sql).context("cannot look");
        let told = causes(error.as_ref());
        assert_eq!(told.matches("connection refused").count(), 1, "{told}");
        assert!(told.starts_with("cannot look: the database: "), "{told}");
    }

    #[test]
    fn only_this_machine_may_do_without_tls() {
        for good in [
            "https://example.org/keys",
            "http://127.0.0.1:8080/keys",
            "http://localhost/",
            "http://[::1]:80/",
        ] {
            assert!(Target::parse(good).is_ok(), "{good}");
        }
        for bad in ["http://example.org/", "ftp://127.0.0.1/", "/keys", "http://10.0.0.1/", ""] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
        let target = Target::parse("https://user:word@host/keys?key=word").expect("a URL");
        assert_eq!(format!("{target:?}"), "Target(host)");
    }
}
