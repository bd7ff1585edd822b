//! Of traces, and of whoever collects them.

/// What a span takes, if its path is not long.
pub const SPAN_BYTES_USUAL: usize = 480;

/// Room for so many spans is kept on each thread for the next ones.
pub const SPANS_SPARE_MAX: usize = 128;

/// What goes to the collector in one request: spans until they are so many bytes.
pub const SPANS_PER_EXPORT_BYTES: usize = 256 << 10;

/// Such requests that wait for the collector, 4 MiB. What comes then is counted and gone.
pub const SPAN_BATCHES_WAITING_MAX: usize = 16;

/// How often spans go to the collector.
pub const SPAN_EXPORT_INTERVAL_MS: u64 = 200;

/// How long the collector may take for spans, with all that is tried again, unless the environment says.
pub const SPAN_EXPORT_WAIT_MS: u64 = 10_000;

/// How long after it has refused spans for now the collector is asked again, at first. Later it is longer.
pub const SPAN_EXPORT_PAUSE_MS: u64 = 500;

/// What the collector may answer.
pub const COLLECTOR_ANSWER_BYTES_MAX: usize = 64 << 10;

/// How long a server that stops waits for the collector.
pub const TRACES_STOP_WAIT_MS: u64 = 2_000;
