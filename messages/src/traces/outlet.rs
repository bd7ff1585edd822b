//! From where spans end to the collector. The queue between is bounded: what finds no place in it is
//! counted and gone, so that a collector that is slow or away costs a server nothing.

use crate::{
    limits::{SPAN_EXPORT_INTERVAL_MS, SPANS_PER_EXPORT_MAX},
    stats::Count,
};
use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanExporter, SpanProcessor},
};
use std::{sync::Arc, time::Duration};
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

/// Where spans go when they end.
#[derive(Debug)]
pub(super) struct Outlet {
    queue: mpsc::Sender<SpanData>,
    spans: Arc<Spans>,
}

impl Outlet {
    /// With room for so many.
    pub fn new(spans_max: usize, spans: Arc<Spans>) -> (Self, mpsc::Receiver<SpanData>) {
        let (queue, ended) = mpsc::channel(spans_max);
        (Self { queue, spans }, ended)
    }
}

impl SpanProcessor for Outlet {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.queue.try_send(span).is_err() {
            self.spans.dropped.one();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Exports what ends, until `stop` and the end of the queue. The collector may take as long as `wait`.
pub(super) async fn export(
    (mut exporter, wait): (impl SpanExporter, Duration),
    resource: Resource,
    mut queue: mpsc::Receiver<SpanData>,
    spans: Arc<Spans>,
    stop: CancellationToken,
) {
    exporter.set_resource(&resource);
    let mut ticks = tokio::time::interval(Duration::from_millis(SPAN_EXPORT_INTERVAL_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fails = false;
    loop {
        let stopped = tokio::select! {
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        while !queue.is_empty() {
            let mut batch = Vec::new();
            let count = queue.recv_many(&mut batch, SPANS_PER_EXPORT_MAX).await as u64;
            let why = send(&exporter, batch, wait).await.err();
            let counted = if why.is_none() { &spans.exported } else { &spans.dropped };
            counted.add(count);
            match &why {
                Some(why) if !fails => tracing::warn!(why, "the collector takes no traces"),
                None if fails => tracing::info!("the collector takes traces again"),
                _ => {}
            }
            fails = why.is_some();
        }
        if stopped {
            return;
        }
    }
}

async fn send(
    exporter: &impl SpanExporter,
    batch: Vec<SpanData>,
    wait: Duration,
) -> Result<(), String> {
    match tokio::time::timeout(wait, exporter.export(batch)).await {
        Ok(exported) => exported.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {wait:?}")),
    }
}
