//! Caps of the command line.

/// What `push` reads from standard input at once.
pub const PUSH_READ_BYTES: usize = 64 << 10;

/// Such reads that wait while an append is on its way.
pub const PUSH_READS_MAX: usize = 16;

/// What `push` and `import` append at once: much in one round trip, and far below what a server takes.
pub const PUSH_BYTES_MAX: usize = 1 << 20;

/// Messages that they append at once.
pub const PUSH_MESSAGES_MAX: usize = 16_384;

/// The first pause before something is tried again, and the longest.
pub const CLI_PAUSE_MS_MIN: u64 = 100;

/// See [`CLI_PAUSE_MS_MIN`].
pub const CLI_PAUSE_MS_MAX: u64 = 5_000;

/// A connection has to be there within this.
pub const CLI_CONNECT_MS_MAX: u64 = 10_000;

/// An answer has to begin within this, also that of the longest long poll.
pub const CLI_ANSWER_MS_MAX: u64 = 660_000;

/// What there is of an answer has to go on within this.
pub const CLI_SILENCE_MS_MAX: u64 = 120_000;

/// A document that is not content: a list, or what went wrong.
pub const CLI_DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// How often `tail` writes down where it is while much comes at once.
pub const TAIL_MARK_BYTES: u64 = 1 << 20;

/// A line of an export: a message with what stands around it.
pub const EXPORT_LINE_BYTES_MAX: u64 = 16 << 20;

/// Bytes of content in one line of an export.
pub const EXPORT_PIECE_BYTES: usize = 48 << 10;

/// Streams that `check` looks at with one statement.
pub const AUDIT_STREAMS_AT_ONCE: i64 = 512;

/// Rows of content, without the content.
pub const AUDIT_CHUNKS_AT_ONCE: i64 = 512;

/// How often `backup` looks for files of the journal that have become complete.
pub const BACKUP_LOOK_MS: u64 = 25;

/// How often it begins again where the journal was emptied faster than it was copied.
pub const BACKUP_ATTEMPTS_MAX: u32 = 20;
