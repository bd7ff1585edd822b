//! Which web pages of other origins may use this server (Fetch standard, CORS protocol).

use super::{
    problem::{PRODUCER_EPOCH, STREAM_CLOSED, STREAM_CLOSED_REASON, STREAM_NEXT_OFFSET},
    protocol::EXPOSED,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use futures::future::Either;
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower::{Layer, Service};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

/// A browser need not ask again for this long.
const MAX_AGE: Duration = Duration::from_secs(86_400);

/// The origins that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origins {
    All,
    Some(Arc<[HeaderValue]>),
}

impl Origins {
    /// From a setting: `*` for all, `none` for none.
    pub fn new(origins: &[String]) -> Self {
        if origins.iter().any(|origin| origin == "*") {
            return Self::All;
        }
        let value = |origin: &String| HeaderValue::from_str(origin.trim_end_matches('/')).ok();
        Self::Some(origins.iter().filter(|origin| *origin != "none").filter_map(value).collect())
    }

    /// Whether a page of the origin in `headers` may open a socket, which no browser asks before:
    /// those of this server itself always may.
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let (Self::Some(list), Some(origin)) = (self, headers.get(header::ORIGIN)) else {
            return true;
        };
        let host = headers.get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
        let schemes = [&b"http://"[..], b"https://"];
        let own =
            schemes.iter().any(|scheme| origin.as_bytes().strip_prefix(*scheme) == Some(host));
        own || list.contains(origin)
    }

    fn layer(&self) -> CorsLayer {
        let origin = match self {
            Self::All => AllowOrigin::any(),
            Self::Some(list) => AllowOrigin::list(list.iter().cloned()),
        };
        let own = [STREAM_NEXT_OFFSET, STREAM_CLOSED, STREAM_CLOSED_REASON, PRODUCER_EPOCH];
        let common = [header::ETAG, header::LOCATION, header::RETRY_AFTER];
        let exposed: Vec<HeaderName> = own.into_iter().chain(common).chain(EXPOSED).collect();
        CorsLayer::new()
            .allow_origin(origin)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(ExposeHeaders::list(exposed))
            .max_age(MAX_AGE)
    }
}

/// Answers cross-origin requests. Others are spared its headers, except for reads: what a cache
/// keeps of one must do for a page as well.
#[derive(Clone)]
pub(super) struct Cors<S> {
    plain: S,
    cross: tower_http::cors::Cors<S>,
}

impl Cors<()> {
    /// The layer for `origins`.
    pub fn layer(origins: Origins) -> CorsFor {
        CorsFor(origins)
    }
}

/// See [`Cors::layer`].
#[derive(Clone)]
pub(super) struct CorsFor(Origins);

impl<S: Clone> Layer<S> for CorsFor {
    type Service = Cors<S>;

    fn layer(&self, inner: S) -> Cors<S> {
        Cors { plain: inner.clone(), cross: self.0.layer().layer(inner) }
    }
}

impl<S, B> Service<Request<B>> for Cors<S>
where
    S: Service<Request<B>>,
    tower_http::cors::Cors<S>: Service<Request<B>, Response = S::Response, Error = S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, <tower_http::cors::Cors<S> as Service<Request<B>>>::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.plain.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_read = request.method() == Method::GET || request.method() == Method::OPTIONS;
        if is_read || request.headers().contains_key(header::ORIGIN) {
            Either::Right(self.cross.call(request))
        } else {
            Either::Left(self.plain.call(request))
        }
    }
}
