//! How spans reach the collector: HTTP/1 or HTTPS by the client that the server has anyway.

use crate::limits::COLLECTOR_ANSWER_BYTES_MAX;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry_http::{HttpClient, HttpError};

/// Whoever takes the spans. It trusts the authorities of the web.
#[derive(Debug)]
pub(super) struct Collector(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Collector {
    /// A client of its own.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new() -> Result<Self, rustls::Error> {
        let ring = rustls::crypto::ring::default_provider();
        let builder = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(ring)?;
        let connector = builder.https_or_http().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }
}

impl HttpClient for Collector {
    fn send_bytes<'a, 'answer>(
        &'a self,
        request: Request<Bytes>,
    ) -> BoxFuture<'answer, Result<Response<Bytes>, HttpError>>
    where
        'a: 'answer,
        Self: 'answer,
    {
        Box::pin(async move {
            let (head, body) = self.0.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, COLLECTOR_ANSWER_BYTES_MAX).collect().await?;
            Ok(Response::from_parts(head, body.to_bytes()))
        })
    }
}
