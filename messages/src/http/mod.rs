//! HTTP: the only place that knows axum and hyper. A handler parses, makes one call, and answers.

mod credentials;
mod gate;
mod health;
mod live;
mod problem;
mod produce;
mod query;
mod read;
mod serve;
mod tokens;
mod upload;

pub use credentials::bearer_of_subprotocols;
pub use gate::Gate;
pub use query::stream_of_url;
pub use serve::{Serving, bind, serve};
pub use tokens::with_signature;

use crate::{config::Config, production::Productions, stream::Streams};
use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, header::X_CONTENT_TYPE_OPTIONS},
    response::Response,
    routing::{get, post},
};
use problem::Problem;
use std::{convert::Infallible, sync::Arc, time::Duration};
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
    /// Who may come in.
    pub auth: Gate,
    producer_idle: Duration,
    stop: CancellationToken,
}

impl App {
    /// Handlers over `streams` and `productions`, behind `auth`. At `stop` producers that are still here are sent away.
    #[must_use]
    pub fn new(
        streams: Arc<Streams>,
        productions: Arc<Productions>,
        auth: Gate,
        config: &Config,
        stop: CancellationToken,
    ) -> Self {
        let producer_idle = Duration::from_secs(config.producer_idle_secs);
        Self { streams, productions, auth, producer_idle, stop }
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
        .route("/v1/auth/ticket", post(tokens::ticket))
        .route("/v1/auth/sign", post(tokens::sign))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .with_state(app);
    ServiceBuilder::new()
        .layer(SetResponseHeaderLayer::if_not_present(X_CONTENT_TYPE_OPTIONS, nosniff))
        .service(router)
}
