//! Which requests have a span. That is asked before anything is made for one: on a busy server most
//! have none, and should not cost more than the question.

use opentelemetry::{
    Context,
    trace::{SpanId, SpanKind, TraceContextExt, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{
    Config, IdGenerator, RandomIdGenerator, SamplingDecision, ShouldSample,
};

/// What the environment says of it (`OTEL_TRACES_SAMPLER`).
#[derive(Debug)]
pub(super) struct Choice {
    sampler: Box<dyn ShouldSample>,
    ids: RandomIdGenerator,
}

/// Where a span belongs.
#[derive(Debug)]
pub(super) struct Place {
    pub trace: TraceId,
    pub span: SpanId,
    /// What it is part of, elsewhere.
    pub parent: Option<SpanId>,
    pub state: TraceState,
}

impl Choice {
    pub fn new() -> Self {
        Self { sampler: Config::default().sampler, ids: RandomIdGenerator::default() }
    }

    /// Where a span of what belongs to `parent`, or to no trace yet, has its place; `None` if it is not looked at.
    /// Every server that asks for a share of the traces finds by the number of a trace whether it is one of them.
    pub fn place(&self, parent: Option<&Context>) -> Option<Place> {
        let parent = parent.filter(|parent| parent.span().span_context().is_valid());
        let (trace, caller) = match parent.map(TraceContextExt::span) {
            Some(span) => (span.span_context().trace_id(), Some(span.span_context().span_id())),
            None => (self.ids.new_trace_id(), None),
        };
        // The samplers of the environment look at nothing else.
        let asked = self.sampler.should_sample(parent, trace, "", &SpanKind::Server, &[], &[]);
        (asked.decision == SamplingDecision::RecordAndSample).then(|| Place {
            trace,
            span: self.ids.new_span_id(),
            parent: caller,
            state: asked.trace_state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanContext, TraceFlags};
    use opentelemetry_sdk::trace::Sampler;
    use std::collections::HashSet;

    fn called(is_sampled: bool) -> Context {
        let flags = TraceFlags::default().with_sampled(is_sampled);
        let (trace, span) = (TraceId::from(7), SpanId::from(8));
        let state = TraceState::from_key_value([("vendor", "1")]).expect("a state");
        Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, state))
    }

    #[test]
    fn a_share_of_new_traces_is_chosen_and_what_callers_record() {
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(0.3)));
        let choice = Choice { sampler: Box::new(sampler), ids: RandomIdGenerator::default() };
        let (mut traces, mut spans) = (HashSet::new(), HashSet::new());
        for _ in 0..2_000 {
            if let Some(place) = choice.place(None) {
                assert_eq!(place.parent, None);
                traces.insert(place.trace);
                spans.insert(place.span);
            }
            assert!(choice.place(Some(&called(false))).is_none());
            let place = choice.place(Some(&called(true))).expect("recorded by its caller");
            assert_eq!((place.trace, place.parent), (TraceId::from(7), Some(SpanId::from(8))));
            assert_eq!(place.state.header(), "vendor=1");
        }
        // Some fifteen standard deviations from what is expected.
        assert!((300..900).contains(&traces.len()), "{}", traces.len());
        assert_eq!(traces.len(), spans.len());
    }
}
