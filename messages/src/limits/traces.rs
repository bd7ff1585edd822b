//! Of traces, and of whoever collects them.

/// Spans that wait for the collector of traces. What comes then is counted and gone.
pub const SPANS_WAITING_MAX: usize = 4_096;

/// Spans that go to the collector in one request.
pub const SPANS_PER_EXPORT_MAX: usize = 512;

/// How often spans go to the collector.
pub const SPAN_EXPORT_INTERVAL_MS: u64 = 200;

/// How long the collector may take for spans, with all that is tried again, unless the environment says.
pub const SPAN_EXPORT_WAIT_MS: u64 = 10_000;

/// What the collector may answer.
pub const COLLECTOR_ANSWER_BYTES_MAX: usize = 64 << 10;

/// How long a server that stops waits for the collector.
pub const TRACES_STOP_WAIT_MS: u64 = 2_000;
