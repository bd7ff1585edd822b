//! Traces for OpenTelemetry, if the environment says where they go (OpenTelemetry specification,
//! "Environment Variable Specification"). Where it does not, there is nothing here but a `None`.
//! A collector that fails costs spans, which are counted, and nothing else.

mod choice;
mod client;
mod outlet;

use crate::limits::{SPAN_EXPORT_WAIT_MS, SPANS_WAITING_MAX, TRACES_STOP_WAIT_MS};
use choice::{Choice, Numbers};
use client::Collector;
use opentelemetry::{
    Context, Key, KeyValue, Value,
    propagation::TextMapPropagator,
    trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider, Span},
};
use outlet::Outlet;
pub use outlet::Spans;
use std::{
    env,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the server is called where nothing else is said.
const SERVICE: &str = "messages";

/// What a caller says of the trace that its request belongs to (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";

/// Why there can be no traces as the environment asks for them.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// A variable has a value that this server can do nothing with.
    #[error("{name} is {value:?}; this server takes {takes}")]
    Value {
        /// The variable.
        name: &'static str,
        /// What it has.
        value: String,
        /// What it may have.
        takes: &'static str,
    },
    /// The exporter cannot be set up.
    #[error("traces cannot be exported: {0}")]
    Exporter(String),
}

/// Where spans begin.
#[derive(Debug)]
pub struct Traces {
    tracer: SdkTracer,
    choice: Choice,
    propagator: TraceContextPropagator,
    spans: Arc<Spans>,
    exporting: Mutex<Option<JoinHandle<()>>>,
    stop: CancellationToken,
}

/// Something that takes time. It ends when this is dropped. Boxed: a span is large, and every request
/// has room for one, also where there are none.
#[derive(Debug)]
pub struct Work(Box<Span>);

impl Traces {
    /// As the environment says; `None` where it names no collector, or wants no traces.
    ///
    /// # Errors
    /// It asks for what is not there.
    pub fn from_environment() -> Result<Option<Arc<Self>>, TracesError> {
        if !is_wanted()? {
            return Ok(None);
        }
        let failed = |error: &dyn std::error::Error| TracesError::Exporter(error.to_string());
        let collector = Collector::new().map_err(|error| failed(&error))?;
        let wait = export_wait()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_timeout(wait)
            .with_http_client(collector)
            .with_protocol(Protocol::HttpBinary)
            .build()
            .map_err(|error| failed(&error))?;
        let spans = Arc::new(Spans::default());
        let (outlet, queue) = Outlet::new(SPANS_WAITING_MAX, spans.clone());
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_id_generator(Numbers::default())
            .with_span_processor(outlet)
            .build();
        let stop = CancellationToken::new();
        let exporting =
            outlet::export((exporter, wait), resource(), queue, spans.clone(), stop.clone());
        Ok(Some(Arc::new(Self {
            tracer: provider.tracer(SERVICE),
            choice: Choice::new(),
            propagator: TraceContextPropagator::new(),
            spans,
            exporting: Mutex::new(Some(tokio::spawn(exporting))),
            stop,
        })))
    }

    /// A request with these headers, in the trace of its sender if it names one; `None` if it is not
    /// one of those that are looked at.
    pub fn request(
        &self,
        name: impl FnOnce() -> String,
        headers: &http::HeaderMap,
    ) -> Option<Work> {
        let mut parent = Context::new();
        if headers.contains_key(TRACEPARENT) {
            parent = self.propagator.extract_with_context(&parent, &HeaderExtractor(headers));
        }
        self.begin(name, SpanKind::Server, &parent)
    }

    /// A transaction of the flusher, which is for many requests together: a trace of its own.
    pub fn flush(&self, streams: usize) -> Option<Work> {
        let mut work = self.begin(|| "flush".to_owned(), SpanKind::Client, &Context::new())?;
        work.tell("db.operation.batch.size", i64::try_from(streams).unwrap_or(i64::MAX));
        Some(work)
    }

    fn begin(
        &self,
        name: impl FnOnce() -> String,
        kind: SpanKind,
        parent: &Context,
    ) -> Option<Work> {
        if !self.choice.is_for(parent) {
            return None;
        }
        let builder = self.tracer.span_builder(name()).with_kind(kind);
        Some(Work(Box::new(builder.start_with_context(&self.tracer, parent))))
    }

    /// What became of the spans.
    #[must_use]
    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Sends what there is, as far as the collector takes it in time.
    pub async fn stop(&self) {
        self.stop.cancel();
        let exporting = self.exporting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut exporting) = exporting else { return };
        let wait = Duration::from_millis(TRACES_STOP_WAIT_MS);
        if tokio::time::timeout(wait, &mut exporting).await.is_err() {
            exporting.abort();
            tracing::warn!("the collector of traces does not take the last of them");
        }
    }
}

impl Work {
    /// Says more of it.
    pub fn tell(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.set_attribute(KeyValue::new(name, value));
    }

    /// It went wrong in a way that somebody may want to look at.
    pub fn failed(&mut self, why: &'static str) {
        self.tell("error.type", why);
        self.0.set_status(Status::error(why));
    }
}

/// Whether the environment names a collector, and nothing against it.
fn is_wanted() -> Result<bool, TracesError> {
    let endpoints = [OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT];
    let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
    if is_off || !endpoints.into_iter().any(|name| variable(name).is_some()) {
        return Ok(false);
    }
    match variable("OTEL_TRACES_EXPORTER").as_deref() {
        Some("none") => return Ok(false),
        None | Some("otlp") => {}
        Some(other) => return Err(refused("OTEL_TRACES_EXPORTER", other, "otlp and none")),
    }
    for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        match variable(name).as_deref() {
            None => {}
            Some("http/protobuf") => break,
            Some(other) => return Err(refused(name, other, "http/protobuf")),
        }
    }
    Ok(true)
}

/// How long the collector may take. The exporter asks this only before it tries again, and not while
/// it waits for an answer.
fn export_wait() -> Result<Duration, TracesError> {
    for name in [OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT] {
        if let Some(text) = variable(name) {
            let ms = text.parse().ok().filter(|ms| *ms > 0);
            let ms = ms.ok_or_else(|| refused(name, &text, "milliseconds"))?;
            return Ok(Duration::from_millis(ms));
        }
    }
    Ok(Duration::from_millis(SPAN_EXPORT_WAIT_MS))
}

fn refused(name: &'static str, value: &str, takes: &'static str) -> TracesError {
    TracesError::Value { name, value: value.to_owned(), takes }
}

/// A variable that is not empty: an empty one is as if it were not there, says the specification.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// What the spans are of.
fn resource() -> Resource {
    let found = Resource::builder().build();
    let name = found.get(&Key::new("service.name")).map(|name| name.to_string());
    let named = name.is_some_and(|name| !name.starts_with("unknown_service"));
    let builder = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if named { builder.build() } else { builder.with_service_name(SERVICE).build() }
}
