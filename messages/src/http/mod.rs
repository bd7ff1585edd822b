//! HTTP: the only place that knows axum and hyper. A handler parses, makes one call, and answers.

mod body;
mod chat;
mod console;
mod content_type;
mod cors;
mod credentials;
mod embedded;
mod encoding;
mod forward;
mod gate;
mod health;
mod hosts;
mod jitter;
mod json;
mod live;
mod metrics;
mod nodes;
mod openapi;
mod problem;
mod produce;
mod protocol;
mod query;
mod read;
mod request_id;
mod serve;
mod streams;
mod subscriptions;
mod tokens;
mod trace;
mod traffic;
mod upload;
mod ws;

pub use credentials::bearer_of_subprotocols;
pub use gate::Gate;
pub use query::stream_of_url;
pub use serve::{Serving, bind, serve};
pub use tokens::with_signature;

use crate::{
    chat::{Chat, Webhooks},
    cluster::{Answerer, Forward, Nodes},
    config::Config,
    production::Productions,
    stats::Doors,
    stream::Streams,
    subscription::Desk,
    traces::Traces,
};
use axum::{
    Router,
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request,
        header::{self, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use futures::FutureExt;
use hosts::Hosts;
use problem::Problem;
use request_id::RequestId;
use std::{
    convert::Infallible, net::SocketAddr, ops::Deref, path::PathBuf, pin::pin, sync::Arc,
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceExt};
use tracing::Instrument;
use traffic::{Kind, Traffic};

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// What handlers work with: one of it, and as many hands on it as there are requests.
#[derive(Clone)]
pub struct App(Arc<Parts>);

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What is behind the handlers.
pub struct Services {
    /// The streams.
    pub streams: Arc<Streams>,
    /// The built-in producers.
    pub productions: Arc<Productions>,
    /// The subscriptions, while this node works on them.
    pub subscriptions: Arc<Desk>,
    /// On several nodes: who passes on what the one has to answer that works on subscriptions.
    pub forward: Option<Arc<Forward>>,
    /// The conversations.
    pub chat: Arc<Chat>,
    /// Their webhooks.
    pub webhooks: Webhooks,
    /// Who may come in.
    pub auth: Gate,
    /// The number of this start: no other node, and no earlier start, has it.
    pub start: u32,
    /// The nodes that live, if this is one of several.
    pub nodes: Option<Arc<Nodes>>,
    /// Where requests have spans, if anywhere.
    pub traces: Option<Arc<Traces>>,
}

/// See [`App`].
pub struct Parts {
    services: Services,
    traffic: Traffic,
    address: SocketAddr,
    /// How URLs of this server begin.
    scheme: &'static str,
    producer_idle: Duration,
    /// How long a long poll waits.
    long_poll: Duration,
    /// About how long a reader of events may stay.
    sse: Duration,
    /// How long a client may take nothing and say nothing.
    reader_stall: Duration,
    /// Where the journal is, if there is one.
    journal: PathBuf,
    /// What clients see this server as; `None` for as they ask for it.
    public_url: Option<Arc<str>>,
    /// Web pages of whom may use it.
    cors: cors::Cors,
    /// The names that it answers to.
    hosts: Hosts,
    stop: CancellationToken,
}

impl App {
    /// Counts connections.
    #[must_use]
    pub fn connections(&self) -> Arc<Doors> {
        self.traffic.connections.clone()
    }

    /// Handlers over the `services` of a server that listens on `address`. At `stop` producers that are still
    /// here are sent away.
    #[must_use]
    pub fn new(
        services: Services,
        address: SocketAddr,
        config: &Config,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Parts {
            services,
            traffic: Traffic::default(),
            address,
            scheme: config.tls.scheme(),
            producer_idle: Duration::from_secs(config.producer_idle_secs),
            long_poll: Duration::from_secs(config.long_poll_secs),
            sse: Duration::from_secs(config.sse_secs),
            reader_stall: Duration::from_secs(config.reader_stall_secs),
            journal: config.data_dir.join("journal"),
            public_url: config.public_url.as_deref().map(Into::into),
            cors: cors::Cors::new(config),
            hosts: Hosts::new(config),
            stop,
        }))
    }
}

impl Deref for Parts {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}

impl Parts {
    /// A request body under the limits of this server.
    fn incoming(&self, body: Body) -> body::Incoming<'_> {
        body::Incoming::new(body, self.producer_idle, &self.stop)
    }

    /// Why a request is not even looked at: a page of somebody else has made a browser send it.
    fn refusal(&self, request: &Request<Body>) -> Option<Problem> {
        if !self.hosts.contain(request.headers()) {
            return Some(Problem::foreign_host());
        }
        let asks = request.method() == Method::OPTIONS;
        (!asks && !self.cors.allow(request.headers())).then(Problem::foreign_origin)
    }

    /// What stands before the paths of this server for the sender of `headers`.
    fn base_url(&self, headers: &HeaderMap) -> String {
        if let Some(url) = &self.public_url {
            return url.to_string();
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.map_or_else(|| self.address.to_string(), ToOwned::to_owned);
        format!("{}://{host}", self.scheme)
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

/// Everything that is served.
///
/// Nothing is put around routes by `Router::layer`, which would box a service and a future for every
/// request and layer; and the one path that is hot does not even pass the router.
pub fn service(app: App) -> impl HttpService {
    let routes = Routes { router: router(app.clone()), app };
    let plain = routes.clone();
    let inner = tower::service_fn(move |request: Request<Body>| {
        let routes = plain.clone();
        async move { Ok::<_, Infallible>(routes.answer(request).await) }
    });
    let doors = Arc::new((routes.app.cors.layer().layer(inner), routes));
    tower::service_fn(move |request: Request<Body>| {
        let doors = doors.clone();
        async move {
            let (cross, plain) = &*doors;
            let (method, path) = (request.method(), request.uri().path());
            let (kind, id) = (Kind::of(method, path), RequestId::of(request.headers()));
            let traces = plain.app.traces.as_ref();
            let traced = traces.and_then(|traces| trace::begin(traces, kind, &request));
            let (span, begun) = (id.span(method, path), Instant::now());
            let mut response = match plain.app.refusal(&request) {
                Some(problem) => {
                    body::discard(request.into_body()).await;
                    problem.into_response()
                }
                // Pinned before it is wrapped: what answers is large, and would be moved.
                None if cors::concerns(&request) => {
                    pin!(cross.clone().call(request)).instrument(span.clone()).await?
                }
                None => pin!(plain.answer(request)).instrument(span.clone()).await,
            };
            let headers = response.headers_mut();
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            headers.insert(RESOURCE_POLICY, plain.app.cors.resource_policy());
            let time = begun.elapsed();
            plain.app.traffic.answered(kind, &response, time);
            id.answered(kind, &mut response, &span, time);
            if let Some(traced) = traced {
                trace::answered(traced, &response);
            }
            Ok(response)
        }
        .boxed()
    })
}

/// What answers requests that other nodes have passed on.
#[must_use]
pub fn answerer(app: App) -> Answerer {
    let routes = Arc::new(Routes { router: router(app.clone()), app });
    Box::new(move |words| {
        let routes = routes.clone();
        async move { forward::answer(&routes, words).await }.boxed()
    })
}

/// What has handlers.
#[derive(Clone)]
struct Routes {
    app: App,
    router: Router,
}

impl Routes {
    async fn answer(&self, request: Request<Body>) -> Response {
        if protocol::is_stream(request.uri().path()) {
            return protocol::serve(self.app.clone(), request).await;
        }
        if self.app.forward.is_some() && chat::is_of_webhooks(request.uri().path()) {
            return match chat::forward_webhooks(&self.app, request).await {
                Ok(request) => self.route(request).await,
                Err(response) => response,
            };
        }
        self.route(request).await
    }

    async fn route(&self, request: Request<Body>) -> Response {
        let Ok(response) = self.router.clone().oneshot(request).await;
        response
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(console::front).post(produce::start).put(upload::upload))
        .route("/console/{*path}", get(console::file))
        .route("/v1/auth/ticket", post(tokens::ticket))
        .route("/v1/auth/sign", post(tokens::sign))
        .route("/v1/streams", get(streams::list))
        .route("/v1/nodes", get(nodes::list))
        // HTTP/2 opens a socket with CONNECT.
        .route("/ws", get(ws::open).connect(ws::open))
        .route("/ws/", get(ws::open).connect(ws::open))
        .route("/v1/stream/__ds", any(subscriptions::serve))
        .route("/v1/stream/__ds/", any(subscriptions::serve))
        .route("/v1/stream/__ds/{*rest}", any(subscriptions::serve))
        .merge(chat::routes())
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/openapi.json", get(openapi::show))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .with_state(app)
}
