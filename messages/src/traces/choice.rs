//! Which requests have a span. That is asked before anything is made for one: on a busy server most
//! have none, and should not cost more than the question.

use opentelemetry::{
    Context,
    trace::{SpanId, SpanKind, TraceContextExt, TraceId},
};
use opentelemetry_sdk::trace::{
    Config, IdGenerator, RandomIdGenerator, SamplingDecision, ShouldSample,
};
use std::cell::Cell;

/// What the environment says of it (`OTEL_TRACES_SAMPLER`).
#[derive(Debug)]
pub(super) struct Choice {
    sampler: Box<dyn ShouldSample>,
    ids: RandomIdGenerator,
}

thread_local! {
    /// The number of a trace that begins on this thread at once.
    static CHOSEN: Cell<Option<TraceId>> = const { Cell::new(None) };
}

impl Choice {
    pub(super) fn new() -> Self {
        Self { sampler: Config::default().sampler, ids: RandomIdGenerator::default() }
    }

    /// Whether what belongs to `parent`, or to no trace yet, is looked at. Then a span has to begin here and now:
    /// a new trace has the number that was chosen, since every server that asks for a share of the traces
    /// finds by the number whether it is one of them.
    pub(super) fn is_for(&self, parent: &Context) -> bool {
        let is_new = !parent.span().span_context().is_valid();
        let trace = match is_new {
            true => self.ids.new_trace_id(),
            false => parent.span().span_context().trace_id(),
        };
        // The samplers of the environment look at nothing else.
        let asked =
            self.sampler.should_sample(Some(parent), trace, "", &SpanKind::Server, &[], &[]);
        let is_chosen = asked.decision == SamplingDecision::RecordAndSample;
        CHOSEN.set((is_chosen && is_new).then_some(trace));
        is_chosen
    }
}

/// Numbers of traces and spans: those that were chosen, or new ones.
#[derive(Debug, Default)]
pub(super) struct Numbers(RandomIdGenerator);

impl IdGenerator for Numbers {
    fn new_trace_id(&self) -> TraceId {
        CHOSEN.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{
        Span as _, SpanContext, TraceFlags, Tracer as _, TracerProvider as _,
    };
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

    fn called(is_sampled: bool) -> Context {
        let flags = TraceFlags::default().with_sampled(is_sampled);
        let (trace, span) = (TraceId::from(7), SpanId::from(8));
        let caller = SpanContext::new(trace, span, flags, true, Default::default());
        Context::new().with_remote_span_context(caller)
    }

    #[test]
    fn what_is_chosen_is_what_is_recorded() {
        let share = || Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(0.3)));
        let choice = Choice { sampler: Box::new(share()), ids: RandomIdGenerator::default() };
        let provider = SdkTracerProvider::builder()
            .with_sampler(share())
            .with_id_generator(Numbers::default());
        let tracer = provider.build().tracer("test");
        let (mut chosen, mut traces) = (0, std::collections::HashSet::new());
        for _ in 0..2_000 {
            if choice.is_for(&Context::new()) {
                let span = tracer.start_with_context("chosen", &Context::new());
                assert!(span.is_recording());
                traces.insert(span.span_context().trace_id());
                chosen += 1;
            }
            assert!(!choice.is_for(&called(false)));
            assert!(choice.is_for(&called(true)));
            let span = tracer.start_with_context("called", &called(true));
            assert_eq!(span.span_context().trace_id(), TraceId::from(7));
        }
        // Some fifteen standard deviations from what is expected.
        assert!((300..900).contains(&chosen), "{chosen}");
        assert_eq!(traces.len(), chosen, "each is a trace of its own");
    }
}
