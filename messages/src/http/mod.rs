//! HTTP: the only place that knows axum and hyper. A handler parses, makes one call, and answers.

mod health;
mod live;
mod problem;
mod produce;
mod query;
mod read;
mod serve;
mod subscriptions;
mod upload;

pub use serve::{Serving, bind, serve};

use crate::{
    config::Config, production::Productions, stream::Streams, subscription::Subscriptions,
};
use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, header::X_CONTENT_TYPE_OPTIONS},
    response::Response,
    routing::{any, get},
};
use problem::Problem;
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceBuilder};
use tower_http::set_header::SetResponseHeaderLayer;

/// What handlers work with.
#[derive(Clone)]
pub struct App {
    /// The streams.
    pub streams: Arc<Streams>,
    /// The built-in producers.
    pub productions: Arc<Productions>,
    /// The subscriptions.
    pub subscriptions: Arc<Subscriptions>,
    address: SocketAddr,
    producer_idle: Duration,
    stop: CancellationToken,
}

impl App {
    /// Handlers of a server that listens on `address`. At `stop` producers that are still here are sent away.
    #[must_use]
    pub fn new(
        streams: Arc<Streams>,
        productions: Arc<Productions>,
        subscriptions: Arc<Subscriptions>,
        address: SocketAddr,
        config: &Config,
        stop: CancellationToken,
    ) -> Self {
        let producer_idle = Duration::from_secs(config.producer_idle_secs);
        Self { streams, productions, subscriptions, address, producer_idle, stop }
    }
}

/// What [`serve`] serves.
pub trait HttpService:
    Service<Request<Body>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> HttpService for S where
    S: Service<Request<Body>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// All routes.
///
/// What goes around all of them is put around the whole and not given to `Router::layer`, which
/// would box a service and a future for every request and layer.
pub fn service(app: App) -> impl HttpService {
    let nosniff = HeaderValue::from_static("nosniff");
    let router = Router::new()
        .route("/", get(read::read).post(produce::start).put(upload::upload))
        .route("/v1/stream/__ds", any(subscriptions::serve))
        .route("/v1/stream/__ds/", any(subscriptions::serve))
        .route("/v1/stream/__ds/{*rest}", any(subscriptions::serve))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .with_state(app);
    ServiceBuilder::new()
        .layer(SetResponseHeaderLayer::if_not_present(X_CONTENT_TYPE_OPTIONS, nosniff))
        .service(router)
}
