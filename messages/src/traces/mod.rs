//! Traces for OpenTelemetry, if the environment says where they go. Where it does not, there is nothing here but
//! a `None`. A collector that fails costs spans, which are counted, and nothing else.
//!
//! What is asked of the environment, the sampler and the propagator are those of the SDK. Its spans
//! are not used: they cost as much as a fifth of an append (`docs/benchmarks.md`).

mod choice;
mod collector;
mod environment;
mod outlet;
mod span;
mod wire;

use crate::limits::{SPAN_BATCHES_WAITING_MAX, TRACES_STOP_WAIT_MS};
use choice::Choice;
use collector::Collector;
pub use environment::TracesError;
use http::{HeaderMap, HeaderName};
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
pub use outlet::Spans;
use outlet::{Exporter, Origin, Outlet};
use span::Kind;
pub use span::Work;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
pub use wire::Value;

/// What a caller says of the trace that its request belongs to (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where spans begin.
#[derive(Debug)]
pub struct Traces {
    choice: Choice,
    propagator: TraceContextPropagator,
    outlet: Arc<Outlet>,
    spans: Arc<Spans>,
    exporting: Mutex<Option<JoinHandle<()>>>,
    stop: CancellationToken,
}

impl Traces {
    /// As the environment says; `None` where it names no collector, or wants no traces.
    ///
    /// # Errors
    /// It asks for what is not there.
    pub fn from_environment() -> Result<Option<Arc<Self>>, TracesError> {
        if !environment::is_wanted()? {
            return Ok(None);
        }
        let (to, headers, wait) =
            (environment::endpoint()?, environment::headers()?, environment::wait()?);
        let collector = Collector::new(to, headers, wait)?;
        let origin = Origin::new(&environment::resource());
        let spans = Arc::new(Spans::default());
        let (outlet, batches) = Outlet::new(SPAN_BATCHES_WAITING_MAX, spans.clone());
        let (outlet, stop) = (Arc::new(outlet), CancellationToken::new());
        let exporter = Exporter { outlet: outlet.clone(), batches, origin, collector };
        Ok(Some(Arc::new(Self {
            choice: Choice::new(),
            propagator: TraceContextPropagator::new(),
            outlet,
            spans,
            exporting: Mutex::new(Some(tokio::spawn(exporter.run(stop.clone())))),
            stop,
        })))
    }

    /// A request with these headers, in the trace of its sender if it names one; `None` if it is not
    /// one of those that are looked at. The name may be of several parts.
    pub fn request(&self, name: &[&str], headers: &HeaderMap) -> Option<Work> {
        let parent = headers
            .contains_key(TRACEPARENT)
            .then(|| self.propagator.extract_with_context(&Context::new(), &Headers(headers)));
        self.begin(name, Kind::Server, parent.as_ref())
    }

    /// A transaction of the flusher, which is for many requests together: a trace of its own.
    pub fn flush(&self, streams: usize) -> Option<Work> {
        let mut work = self.begin(&["flush"], Kind::Client, None)?;
        work.tell("db.operation.batch.size", streams as u64);
        Some(work)
    }

    fn begin(&self, name: &[&str], kind: Kind, parent: Option<&Context>) -> Option<Work> {
        let place = self.choice.place(parent)?;
        Some(Work::begin(&place, name, kind, self.outlet.clone()))
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

/// What the propagator looks into.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
