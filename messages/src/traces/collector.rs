//! Whoever takes the spans, over HTTP/1 or HTTPS, by the client that the server has anyway.

use crate::limits::{COLLECTOR_ANSWER_BYTES_MAX, SPAN_EXPORT_PAUSE_MS};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Uri,
    header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use std::{error::Error, time::Duration};
use tokio::time::{sleep, timeout};

/// Where it is and what it gets.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    to: Uri,
    headers: HeaderMap,
    wait: Duration,
}

/// Why it has not taken something.
struct Refusal {
    why: String,
    /// It may take it later, and may have said when.
    again: Option<Option<Duration>>,
}

impl Collector {
    /// A client of its own, which trusts the authorities of the web. What is sent has these headers
    /// besides, and as long as `wait`.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(to: Uri, mut headers: HeaderMap, wait: Duration) -> Result<Self, rustls::Error> {
        let ring = rustls::crypto::ring::default_provider();
        let builder = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(ring)?;
        let connector = builder.https_or_http().enable_http1().build();
        let agent = HeaderValue::from_static(concat!("messages/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(agent);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            to,
            headers,
            wait,
        })
    }

    /// Sends a request, and again where it may be taken later (OTLP, "Failures"), as long as there is time.
    ///
    /// # Errors
    /// It was not taken, for this reason.
    pub async fn take(&self, request: Bytes) -> Result<(), String> {
        let mut last = format!("no answer within {:?}", self.wait);
        let offered = timeout(self.wait, self.offer(request, &mut last)).await;
        offered.unwrap_or(Err(last))
    }

    /// Offers it until it is taken, or refused for good. `last` is why it was not taken the last time.
    async fn offer(&self, request: Bytes, last: &mut String) -> Result<(), String> {
        let mut pause = Duration::from_millis(SPAN_EXPORT_PAUSE_MS);
        loop {
            match self.post(request.clone()).await {
                Ok(()) => return Ok(()),
                Err(Refusal { why, again: None }) => return Err(why),
                Err(Refusal { why, again: Some(after) }) => {
                    *last = why;
                    sleep(after.map_or(pause, |after| after.max(pause))).await;
                    pause *= 2;
                }
            }
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), Refusal> {
        let mut request = Request::post(&self.to).body(Full::new(body)).map_err(Refusal::last)?;
        request.headers_mut().extend(self.headers.clone());
        let (head, body) =
            self.client.request(request).await.map_err(Refusal::broken)?.into_parts();
        // So that the connection can be used again. What it says has been counted by its status.
        let _ = Limited::new(body, COLLECTOR_ANSWER_BYTES_MAX).collect().await;
        if head.status.is_success() {
            return Ok(());
        }
        let seconds =
            head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let may_later = matches!(
            head.status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        let again = may_later.then(|| seconds.map(Duration::from_secs));
        Err(Refusal { why: format!("it answers {}", head.status), again })
    }
}

impl Refusal {
    fn last(error: http::Error) -> Self {
        Self { why: error.to_string(), again: None }
    }

    fn broken(error: hyper_util::client::legacy::Error) -> Self {
        // What lies at the bottom says most: the errors above it say that there is one.
        let mut cause: &dyn Error = &error;
        while let Some(below) = cause.source() {
            cause = below;
        }
        Self { why: cause.to_string(), again: Some(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::net::TcpListener;

    async fn refusal(to: SocketAddr) -> String {
        let to = format!("http://{to}/v1/traces").parse().expect("an address");
        let collector = Collector::new(to, HeaderMap::new(), Duration::from_millis(100));
        collector.expect("a client").take(Bytes::new()).await.expect_err("nobody answers")
    }

    #[tokio::test]
    async fn whoever_reads_the_log_is_told_the_cause() {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = silent.local_addr().expect("bound");
        assert_eq!(refusal(at).await, "no answer within 100ms");
        drop(silent);
        let why = refusal(at).await;
        assert!(why.contains("refused"), "{why}");
    }
}
