//! HTTP: the only place that knows axum and hyper. A handler parses, makes one call, and answers.

mod body;
mod content_type;
mod cors;
mod credentials;
mod encoding;
mod gate;
mod health;
mod jitter;
mod live;
mod problem;
mod produce;
mod protocol;
mod query;
mod read;
mod serve;
mod subscriptions;
mod tokens;
mod upload;
mod ws;

pub use credentials::bearer_of_subprotocols;
pub use gate::Gate;
pub use query::stream_of_url;
pub use serve::{Serving, bind, serve};
pub use tokens::with_signature;

use crate::{
    config::Config, production::Productions, stream::Streams, subscription::Subscriptions,
};
use axum::{
    Router,
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Request,
        header::{self, X_CONTENT_TYPE_OPTIONS},
    },
    response::Response,
    routing::{any, get, post},
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
    /// Who may come in.
    pub auth: Gate,
    /// The subscriptions.
    pub subscriptions: Arc<Subscriptions>,
    address: SocketAddr,
    producer_idle: Duration,
    /// How long a long poll waits.
    long_poll: Duration,
    /// About how long a reader of events may stay.
    sse: Duration,
    /// How long a client may take nothing and say nothing.
    reader_stall: Duration,
    /// What clients see this server as; `None` for as they ask for it.
    public_url: Option<Arc<str>>,
    /// Web pages of whom may use it.
    cors: cors::Origins,
    stop: CancellationToken,
}

impl App {
    /// Handlers over `parts` of a server that listens on `address`. At `stop` producers that are still
    /// here are sent away.
    #[must_use]
    pub fn new(
        streams: Arc<Streams>,
        productions: Arc<Productions>,
        subscriptions: Arc<Subscriptions>,
        auth: Gate,
        address: SocketAddr,
        config: &Config,
        stop: CancellationToken,
    ) -> Self {
        Self {
            streams,
            productions,
            subscriptions,
            auth,
            address,
            producer_idle: Duration::from_secs(config.producer_idle_secs),
            long_poll: Duration::from_secs(config.long_poll_secs),
            sse: Duration::from_secs(config.sse_secs),
            reader_stall: Duration::from_secs(config.reader_stall_secs),
            public_url: config.public_url.as_deref().map(Into::into),
            cors: cors::Origins::new(&config.cors_origins),
            stop,
        }
    }

    /// A request body under the limits of this server.
    fn incoming(&self, body: Body) -> body::Incoming {
        body::Incoming::new(body, self.producer_idle, self.stop.clone())
    }

    /// What stands before the paths of this server for the sender of `headers`.
    fn base_url(&self, headers: &HeaderMap) -> String {
        if let Some(url) = &self.public_url {
            return url.to_string();
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        host.map_or_else(|| format!("http://{}", self.address), |host| format!("http://{host}"))
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
    let resource_policy = HeaderName::from_static("cross-origin-resource-policy");
    let cross_origin = HeaderValue::from_static("cross-origin");
    let cors = app.cors.clone();
    let router = Router::new()
        .route("/", get(read::read).post(produce::start).put(upload::upload))
        .route("/v1/stream/{*name}", any(protocol::serve))
        .route("/v1/auth/ticket", post(tokens::ticket))
        .route("/v1/auth/sign", post(tokens::sign))
        .route("/ws", any(ws::open))
        .route("/ws/", any(ws::open))
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
        .layer(SetResponseHeaderLayer::if_not_present(resource_policy, cross_origin))
        .layer(cors::Cors::layer(cors))
        .service(router)
}
