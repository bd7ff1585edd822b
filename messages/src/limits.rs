//! Every cap that is not a setting, with its unit in its name and the reason for its size.
//! Those that an operator may want to move are in [`crate::config::Config`].

/// A name must fit a URL and an index page with room to spare.
pub const STREAM_NAME_BYTES_MAX: usize = 512;

/// A content type is a header value; longer ones are no types.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// One record, and so one entry of the journal: several must fit a segment.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

/// What one record costs in memory beside its bytes: its chunk, its place in the queues.
pub const RECORD_OVERHEAD_BYTES: usize = 128;

/// What a new stream costs before it is stored: its channel, names, wake-up.
pub const STREAM_OVERHEAD_BYTES: usize = 1024;

/// An append waits this long for room when the store is behind, then it is told to come again.
pub const ROOM_WAIT_MS_MAX: u64 = 2_000;

/// Producers inside the server try again after this when there was no room.
pub const PATIENT_RETRY_MS: u64 = 500;

/// What a refused caller is told to wait.
pub const RETRY_AFTER_SECS: u64 = 2;

/// The journal writes and syncs at most this much at once, so that one barrier stays short.
pub const COMMIT_BYTES_MAX: usize = 4 << 20;

/// A segment that cannot be made (a full disk) is tried again this often.
pub const SEGMENT_RETRY_MS: u64 = 250;

/// Segments kept for reuse: one being filled, one ready, the rest go back to the file system.
pub const SPARE_SEGMENTS_MAX: usize = 2;

/// What a reader gets at once: large enough for few system calls, small enough for many readers.
pub const READ_BYTES_MAX: usize = 256 << 10;

/// Pieces smaller than this are joined when they are read, so that a late reader gets one write.
pub const JOIN_BYTES_MAX: usize = 64 << 10;

/// What is read from the store at once for one reader.
pub const STORE_PAGE_BYTES_MAX: usize = 1 << 20;

/// What all readers together hold as pages of [`STORE_PAGE_BYTES_MAX`]; the others read less at once.
pub const PAGES_BYTES_MAX: usize = 128 << 20;

/// A row of the store. Larger records have a row of their own.
pub const CHUNK_BYTES_MAX: usize = 256 << 10;

/// What one transaction of the flusher writes: short enough not to hold up readers for long.
pub const FLUSH_BYTES_MAX: usize = 8 << 20;

/// Streams in one transaction of the flusher.
pub const FLUSH_STREAMS_MAX: usize = 4096;

/// Dirty bytes that start a flush before its time has come.
pub const FLUSH_EARLY_BYTES: usize = 8 << 20;

/// A failing store is tried again after at most this long.
pub const FLUSH_RETRY_MS_MAX: u64 = 5_000;

/// A stream that has gained this many rows since it was last tidied has its small ones merged.
pub const MERGE_ROWS: u32 = 32;

/// Rows that one merge reads at most; the rest is left for the next.
pub const MERGE_ROWS_MAX: u32 = 1024;

/// Streams looked up in the store by one query.
pub const LOAD_NAMES_MAX: usize = 256;

/// Lookups that wait for the store; one more is told to come again.
pub const LOAD_QUEUE_MAX: usize = 65_536;

/// A channel that nobody has used for this long leaves memory once it is stored.
pub const CHANNEL_IDLE_MS: u64 = 30_000;

/// How often idle channels are looked for.
pub const SWEEP_INTERVAL_MS: u64 = 5_000;

/// The head of a request, all its bytes.
pub const REQUEST_HEAD_BYTES_MAX: usize = 64 << 10;

/// A body that holds only an id, with room for an id that is too long to be told apart.
pub const ID_BODY_BYTES_MAX: usize = 4 << 10;

/// A body that holds only an id must be here by then.
pub const ID_BODY_WAIT_MS_MAX: u64 = 10_000;

/// After an error the rest of a body is read and dropped up to this, so that the answer arrives.
pub const DISCARD_BYTES_MAX: usize = 1 << 20;

/// And for at most this long.
pub const DISCARD_WAIT_MS_MAX: u64 = 1_000;

/// Lines a second that the built-in producer may be asked for.
pub const PRODUCTION_FREQ_MAX: u32 = 1_000;

/// Lines that the built-in producer may be asked for.
pub const PRODUCTION_LINES_MAX: u64 = 1_000_000;

/// Built-in producers at work at once.
pub const PRODUCTIONS_MAX: usize = 100_000;

/// Subscriptions. Every new stream is compared with each of them.
pub const SUBSCRIPTIONS_MAX: usize = 10_000;

/// Streams of which it is kept who cares for them.
pub const INTERESTS_MAX: usize = 100_000;

/// Streams that a subscription names, or that exist when it is created: it holds each in memory.
pub const LINKS_MAX: usize = 100_000;

/// Pending streams that one wake tells of. The others wait for the next one.
pub const WAKE_STREAMS_MAX: usize = 1_000;

/// The shortest lease that a subscription may ask for.
pub const LEASE_TTL_MS_MIN: u64 = 1_000;

/// The longest lease that a subscription may ask for.
pub const LEASE_TTL_MS_MAX: u64 = 600_000;

/// The description of a subscription.
pub const DESCRIPTION_BYTES_MAX: usize = 4 << 10;

/// The name of a worker.
pub const WORKER_BYTES_MAX: usize = 256;

/// A wake that could not be sent is tried again after this, and later less often.
pub const RETRY_MS_MIN: u64 = 1_000;

/// And at the latest after this.
pub const RETRY_MS_MAX: u64 = 60_000;

/// The body of a request about a subscription: acknowledgements for as many streams as a wake has.
pub const SUBSCRIPTION_BODY_BYTES_MAX: usize = 1 << 20;

/// It must be here by then.
pub const SUBSCRIPTION_BODY_WAIT_MS_MAX: u64 = 10_000;

/// Wakes on their way to webhooks at once.
pub const DELIVERIES_MAX: usize = 64;

/// A webhook must have answered by then, or by the end of its lease where that is earlier.
pub const DELIVERY_WAIT_MS_MAX: u64 = 60_000;

/// What is read of the answer of a webhook.
pub const WEBHOOK_ANSWER_BYTES_MAX: usize = 64 << 10;

/// The URL of a webhook.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2 << 10;

/// Streams or links that are read from the store at once where all are wanted.
pub const LIST_PAGE_ROWS: usize = 4_096;

/// Changes of subscriptions that are stored in one transaction.
pub const SUBSCRIPTION_SAVES_MAX: usize = 256;
