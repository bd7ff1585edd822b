//! From where spans end to the collector. What waits between is bounded: what finds no place is
//! counted and gone, so that a collector that is slow or away costs a server nothing.

use super::{collector::Collector, wire::Message, wire::bytes_len};
use crate::{
    limits::{SPAN_BYTES_USUAL, SPAN_EXPORT_INTERVAL_MS, SPANS_PER_EXPORT_BYTES},
    stats::Count,
};
use bytes::Bytes;
use opentelemetry_sdk::Resource;
use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// What became of spans.
#[derive(Debug, Default)]
pub struct Spans {
    /// Those that the collector has taken.
    pub exported: Count,
    /// Those that found no place, or that the collector did not take.
    pub dropped: Count,
}

/// Spans that go to the collector in one request, as its `ScopeSpans` has them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    spans: Message,
    count: u64,
}

/// Where spans go when they end.
#[derive(Debug)]
pub(super) struct Outlet {
    open: Mutex<Batch>,
    full: mpsc::Sender<Batch>,
    spans: Arc<Spans>,
}

impl Outlet {
    /// With room for so many batches besides the one that is filled.
    pub fn new(batches_max: usize, spans: Arc<Spans>) -> (Self, mpsc::Receiver<Batch>) {
        let (full, batches) = mpsc::channel(batches_max);
        (Self { open: Mutex::default(), full, spans }, batches)
    }

    /// Takes a span that has ended.
    pub fn ended(&self, span: &Message) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.spans.bytes(2, span.as_bytes());
        open.count += 1;
        if open.spans.as_bytes().len() < SPANS_PER_EXPORT_BYTES {
            return;
        }
        let room = Message::with_capacity(SPANS_PER_EXPORT_BYTES + SPAN_BYTES_USUAL);
        let batch = mem::replace(&mut *open, Batch { spans: room, count: 0 });
        drop(open);
        let count = batch.count;
        if self.full.try_send(batch).is_err() {
            self.spans.dropped.add(count);
        }
    }

    fn take_open(&self) -> Batch {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.count == 0 { Batch::default() } else { mem::take(&mut *open) }
    }
}

/// What is said once for all spans of a request.
#[derive(Debug)]
pub(super) struct Origin {
    /// In `ResourceSpans`.
    resource: Message,
    /// In `ScopeSpans`.
    scope: Message,
}

impl Origin {
    /// Spans of this program, whose parts do not matter to anybody.
    pub fn new(resource: &Resource) -> Self {
        let mut said = Message::default();
        for (name, value) in resource {
            said.attribute(1, name.as_str(), (&*value.as_str()).into());
        }
        let mut of_scope = Message::default();
        of_scope.text(1, &[env!("CARGO_PKG_NAME")]);
        of_scope.text(2, &[env!("CARGO_PKG_VERSION")]);
        let (mut resource, mut scope) = (Message::default(), Message::default());
        resource.bytes(1, said.as_bytes());
        scope.bytes(1, of_scope.as_bytes());
        Self { resource, scope }
    }

    /// The `ExportTraceServiceRequest` with these spans.
    fn request(&self, batch: &Batch) -> Bytes {
        let [resource, scope, spans] =
            [&self.resource, &self.scope, &batch.spans].map(Message::as_bytes);
        let of_scope = scope.len() + spans.len();
        let of_resource = resource.len() + bytes_len(of_scope);
        let mut request = Message::with_capacity(bytes_len(of_resource));
        request.begin(1, of_resource);
        request.extend(resource);
        request.begin(2, of_scope);
        request.extend(scope);
        request.extend(spans);
        request.into_bytes().into()
    }
}

/// What sends batches.
pub(super) struct Exporter {
    pub outlet: Arc<Outlet>,
    pub batches: mpsc::Receiver<Batch>,
    pub origin: Origin,
    pub collector: Collector,
}

impl Exporter {
    /// Exports what ends, until `stop`, and then what there is.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_millis(SPAN_EXPORT_INTERVAL_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut fails = false;
        loop {
            let full = tokio::select! {
                () = stop.cancelled() => None,
                full = self.batches.recv() => full,
                _ = ticks.tick() => None,
            };
            if let Some(batch) = full {
                self.send(&batch, &mut fails).await;
                continue;
            }
            let stopped = stop.is_cancelled();
            while let Ok(batch) = self.batches.try_recv() {
                self.send(&batch, &mut fails).await;
            }
            self.send(&self.outlet.take_open(), &mut fails).await;
            if stopped {
                return;
            }
        }
    }

    async fn send(&self, batch: &Batch, fails: &mut bool) {
        if batch.count == 0 {
            return;
        }
        let why = self.collector.take(self.origin.request(batch)).await.err();
        let spans = &self.outlet.spans;
        let counted = if why.is_none() { &spans.exported } else { &spans.dropped };
        counted.add(batch.count);
        match &why {
            Some(why) if !*fails => tracing::warn!(why, "the collector takes no traces"),
            None if *fails => tracing::info!("the collector takes traces again"),
            _ => {}
        }
        *fails = why.is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::{
        collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span,
    };
    use prost::Message as _;

    fn named(name: &str) -> Message {
        let mut span = Message::default();
        span.text(5, &[name]);
        span
    }

    fn read(request: Bytes) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(request).expect("a request of OTLP")
    }

    #[test]
    fn a_request_says_once_what_its_spans_are_of() {
        let (outlet, _batches) = Outlet::new(1, Arc::default());
        outlet.ended(&named("one"));
        outlet.ended(&named("two"));
        let resource = Resource::builder_empty().with_service_name("shop").build();
        let request = read(Origin::new(&resource).request(&outlet.take_open()));
        let [of_resource] = &*request.resource_spans else { panic!("{request:?}") };
        let attributes = &of_resource.resource.as_ref().expect("a resource").attributes;
        assert_eq!(attributes[0].key, "service.name");
        let [of_scope] = &*of_resource.scope_spans else { panic!("{request:?}") };
        assert_eq!(of_scope.scope.as_ref().expect("a scope").name, "messages");
        let names: Vec<&str> = of_scope.spans.iter().map(|span: &Span| &*span.name).collect();
        assert_eq!(names, ["one", "two"]);
        assert_eq!(outlet.take_open().count, 0);
    }

    #[test]
    fn what_finds_no_place_is_counted_and_gone() {
        let spans = Arc::new(Spans::default());
        let (outlet, mut batches) = Outlet::new(2, spans.clone());
        let span = named(&"long".repeat(1 << 10));
        let total = 5 * (SPANS_PER_EXPORT_BYTES / span.as_bytes().len()) as u64;
        (0..total).for_each(|_| outlet.ended(&span));
        let mut waiting = outlet.take_open().count;
        while let Ok(batch) = batches.try_recv() {
            assert!(batch.spans.as_bytes().len() < SPANS_PER_EXPORT_BYTES + (8 << 10));
            waiting += batch.count;
        }
        assert!(spans.dropped.get() > 0);
        assert_eq!(waiting + spans.dropped.get(), total);
        // There is place again.
        (0..total / 4).for_each(|_| outlet.ended(&span));
        assert!(batches.try_recv().is_ok());
    }
}
