//! Every cap that is not a setting, with its unit in its name and the reason for its size.
//! Those that an operator may want to move are in [`crate::config::Config`].

mod cli;
mod connections;
mod nodes;
mod shares;
mod traces;
mod worker;

pub use cli::*;
pub use connections::*;
pub use nodes::*;
pub use shares::*;
pub use traces::*;
pub use worker::*;

/// A name must fit a URL and an index page with room to spare.
pub const STREAM_NAME_BYTES_MAX: usize = 512;

/// A content type is a header value; longer ones are no types.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// One record, and so one entry of the journal: several must fit a segment.
pub const RECORD_BYTES_MAX: usize = 4 << 20;

/// The body of one append that is applied as a whole.
pub const APPEND_BYTES_MAX: usize = 8 << 20;

/// JSON messages in one append: their lengths go with it through the journal.
pub const APPEND_MESSAGES_MAX: usize = 65_536;

/// The name of an idempotent producer, or a `Stream-Seq`.
pub const WRITER_TEXT_BYTES_MAX: usize = 256;

/// Idempotent producers that one stream remembers.
pub const PRODUCERS_PER_STREAM_MAX: usize = 16_384;

/// What is remembered of the appends of one producer, so that one that comes again late is answered
/// as it was the first time. More than any client has on its way at once.
pub const PRODUCER_RESULTS_KEPT: usize = 16;

/// Streams that branch off one from the other: each loads the one before it.
pub const FORK_DEPTH_MAX: usize = 128;

/// The largest number that every protocol client can hold: 2^53 - 1.
pub const PROTOCOL_NUMBER_MAX: u64 = (1 << 53) - 1;

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

/// Without a journal, groups that one append commits for others before a thread goes on.
pub const DIRECT_GROUPS_MAX: usize = 64;

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

/// The row of a stream that lives while it is used says at least this much more than it must, so that
/// uses in between need not be written down. Half of it is more than what lies between two looks at
/// who is connected, and a flush.
pub const TOUCH_SLACK_MS_MIN: u64 = 15_000;

/// And at most this much.
pub const TOUCH_SLACK_MS_MAX: u64 = 600_000;

/// Streams that are over and looked up at once.
pub const REAP_STREAMS_MAX: u32 = 4096;

/// Then the flusher gets this long to remove them before more are looked up.
pub const REAP_PAUSE_MS: u64 = 500;

/// What one answer to a catch-up read holds; the rest is another request. Clients that only want to
/// catch up may ask but once.
pub const RESPONSE_BYTES_MAX: u64 = 256 << 20;

/// An idle reader of events gets a comment this often.
pub const SSE_COMMENT_SECS: u64 = 15;

/// A reader of events whose connection broke comes back after a time by chance between these two, so
/// that not all of them come at once.
pub const SSE_RETRY_MS_MIN: u64 = 500;

/// See [`SSE_RETRY_MS_MIN`].
pub const SSE_RETRY_MS_MAX: u64 = 2_500;

/// A token, as it fits the head of a request beside everything else.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// The name of whoever a token stands for: it is a key of tables and stands in logs.
pub const SUBJECT_BYTES_MAX: usize = 256;

/// By so much the clocks of two machines may differ: a token is good for so much longer.
pub const TOKEN_LEEWAY_SECS: u64 = 30;

/// Nobody needs a timer beyond that, and it must not overflow.
pub const PRINCIPAL_YEARS_MAX: u64 = 10;

/// Tokens that are remembered as checked, each for as long as it is good. About 300 bytes each.
pub const CACHED_TOKENS_MAX: usize = 16_384;

/// A set of public keys; those of the large providers have less than ten.
pub const JWKS_KEYS_MAX: usize = 64;

/// The document with the public keys.
pub const JWKS_BYTES_MAX: usize = 256 << 10;

/// It must be here by then.
pub const JWKS_WAIT_MS_MAX: u64 = 5_000;

/// Tokens with unknown keys make the server ask for new ones at most this often.
pub const JWKS_UNKNOWN_KEY_SECS: u64 = 60;

/// What a signed URL may be asked for.
pub const SIGNED_URL_SECS_MAX: u64 = 7 * 24 * 3600;

/// The body of a request for a signed URL.
pub const SIGN_BODY_BYTES_MAX: usize = 8 << 10;

/// How far ahead of `--catchup-bytes-per-sec-max` readers may get after a pause.
pub const CATCHUP_BURST_MS: u64 = 100;

/// Subscriptions. Every new stream is compared with each of them.
pub const SUBSCRIPTIONS_MAX: usize = 10_000;

/// Webhooks that one user may have in one conversation.
pub const WEBHOOKS_PER_USER_MAX: usize = 16;

/// What a user calls a webhook.
pub const WEBHOOK_NAME_BYTES_MAX: usize = 64;

/// Streams of which it is kept who cares for them.
pub const INTERESTS_MAX: usize = 100_000;

/// Streams that a subscription names, or that exist when it is created: it holds each in memory.
pub const LINKS_MAX: usize = 100_000;

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

/// Streams that one page of a list shows at most, and where nothing else is said.
pub const BROWSE_STREAMS_MAX: u64 = 1_000;

/// See [`BROWSE_STREAMS_MAX`].
pub const BROWSE_STREAMS_DEFAULT: u64 = 100;

/// Rows that are read at once for such a page.
pub const BROWSE_PAGE_ROWS: usize = 1_024;

/// Names that one request for such a page looks at. Who may see few of very many asks again.
pub const BROWSE_NAMES_MAX: usize = 16_384;

/// Changes of subscriptions that are stored in one transaction.
pub const SUBSCRIPTION_SAVES_MAX: usize = 256;

/// Subscriptions on one socket. Each costs about 1 KiB; whoever needs more opens another socket.
pub const SOCKET_SUBSCRIPTIONS_MAX: usize = 4096;

/// A frame from a client of a socket: an append of about that size, or anything else.
pub const SOCKET_FRAME_BYTES_MAX: usize = 1 << 20;

/// What a client calls its subscriptions and requests. A subscription may be called as its
/// conversation.
pub const SOCKET_LABEL_BYTES_MAX: usize = 128;

/// Appends of one socket that are not answered yet. Past this, nothing more is read from it.
pub const SOCKET_APPENDS_MAX: usize = 64;

/// And what they may hold together.
pub const SOCKET_APPENDS_BYTES_MAX: usize = 4 << 20;

/// Answers that wait until a client takes them. Past this, nothing more is read from it.
pub const SOCKET_ANSWERS_MAX: usize = 64;

/// Frames in a row that make no sense. After that the client is sent away.
pub const SOCKET_BAD_FRAMES_MAX: u32 = 16;

/// What one frame holds of a stream, as long as no single message is larger: small enough for
/// the others to have their turn soon.
pub const SOCKET_DATA_BYTES_MAX: usize = 32 << 10;

/// Subscriptions of one socket that hold a page of the store, or wait for one, at once. The others
/// wait for their turn, so that a client that comes back to thousands of streams costs no more than
/// a few readers.
pub const SOCKET_PAGES_MAX: usize = 4;

/// Subscriptions of one socket that are looked up at once.
pub const SOCKET_OPENINGS_MAX: usize = 64;

/// Requests of one socket about conversations that are not answered yet, beside what it sends. Past
/// this, nothing more is read from it.
pub const SOCKET_QUESTIONS_MAX: usize = 64;

/// What a socket could not find out for its client is asked again after this.
pub const SOCKET_AGAIN_MS: u64 = 1_000;

/// Times that one socket says who types. The others are dropped.
pub const SOCKET_TYPING_PER_SEC_MAX: u32 = 4;

/// What a socket reads at once. It has the memory for it also when it is idle.
pub const SOCKET_READ_BUFFER_BYTES: usize = 4 << 10;

/// What waits in memory for the network before it is written.
pub const SOCKET_WRITE_BUFFER_BYTES: usize = 16 << 10;

/// One frame more than that: a message of [`APPEND_BYTES_MAX`] and what is around it.
pub const SOCKET_WRITE_BUFFER_BYTES_MAX: usize = 16 << 20;

/// A socket on which nothing is said is asked this often whether it still lives.
pub const SOCKET_HEARTBEAT_SECS: u64 = 25;

/// When a socket ends, its last appends are waited for, its answers are sent, and the other side
/// closes, all within this.
pub const SOCKET_CLOSE_WAIT_MS_MAX: u64 = 3_000;

/// The name of a conversation.
pub const CONVERSATION_NAME_BYTES_MAX: usize = 128;

/// The title of a conversation.
pub const TITLE_BYTES_MAX: usize = 1 << 10;

/// The text of a message; also of one that grows.
pub const CHAT_TEXT_BYTES_MAX: usize = 64 << 10;

/// What a client calls a message.
pub const TXN_BYTES_MAX: usize = 128;

/// What a message was called where it was sent, as far as an import speaks of it.
pub const FOREIGN_ID_BYTES_MAX: usize = 256;

/// Those who are something to a conversation. They are in memory while it is used, some 200 bytes each.
pub const PARTICIPANTS_MAX: usize = 100_000;

/// Pinned messages of a conversation.
pub const PINS_MAX: usize = 100;

/// A reaction.
pub const REACTION_BYTES_MAX: usize = 64;

/// Why somebody was banned, a message deleted or reported.
pub const REASON_BYTES_MAX: usize = 1 << 10;

/// Users whom one message mentions.
pub const MENTIONS_MAX: usize = 100;

/// Attachments of one message.
pub const ATTACHMENTS_MAX: usize = 16;

/// The address of an attachment.
pub const URL_BYTES_MAX: usize = 2 << 10;

/// What an application keeps with a message.
pub const META_BYTES_MAX: usize = 16 << 10;

/// The longest that a member has to wait between two messages.
pub const SLOW_SECS_MAX: u64 = 6 * 3600;

/// The longest that messages can be told to stay; without end they stay anyway.
pub const RETENTION_SECS_MAX: u64 = 100 * 365 * 24 * 3600;

/// Messages of a conversation that are remembered beside the tables before these are looked at.
pub const RECENT_MESSAGES_MAX: usize = 4_096;

/// What a socket is told beside the streams and has not taken. The rest is lost.
pub const MAILBOX_NOTICES_MAX: usize = 256;

/// Users whose presence one socket may watch.
pub const PRESENCE_WATCHERS_MAX: usize = 500;

/// A conversation that nobody has used for this long leaves memory.
pub const CONVERSATION_IDLE_MS: u64 = 60_000;

/// In a larger conversation nobody is told who types, or how far the others are.
pub const EPHEMERAL_MEMBERS_MAX: usize = 100;

/// A typing indicator holds for this long.
pub const TYPING_MS: u64 = 6_000;

/// Marks of readers are written together this often at most.
pub const RECEIPTS_INTERVAL_MS: u64 = 200;

/// Marks that wait to be written; each once for a user and a conversation. Past this nobody's are taken.
pub const RECEIPTS_WAITING_MAX: usize = 100_000;

/// Marks in one append.
pub const RECEIPTS_AT_ONCE_MAX: usize = 1_000;

/// Whoever reads the tables of chat waits so long for the flusher to have written what there is.
pub const TABLES_WAIT_MS_MAX: u64 = 10_000;

/// How often old messages are looked for.
pub const RETENTION_INTERVAL_MS: u64 = 30_000;

/// Messages of one conversation that go in one step, so that the others need not wait for it.
pub const RETENTION_STEP_MESSAGES: u32 = 1_000;

/// Conversations with old messages that are looked up at once.
pub const RETENTION_CONVERSATIONS_MAX: u32 = 256;

/// Messages that grew when the server went away, and are ended at the next start.
pub const STREAMING_AT_ONCE_MAX: u32 = 10_000;

/// Conversations in one list.
pub const LIST_CONVERSATIONS_MAX: u32 = 10_000;

/// Reactions to one message that are listed.
pub const REACTORS_MAX: u32 = 10_000;

/// Complaints that are listed.
pub const REPORTS_MAX: u32 = 1_000;

/// Words that one may look for at once.
pub const SEARCH_WORDS_MAX: usize = 16;

/// Messages in one answer.
pub const MESSAGES_MAX: u32 = 1_000;

/// The body of a request of chat: a message with everything that comes with it.
pub const CHAT_BODY_BYTES_MAX: usize = 256 << 10;

/// What a message may grow to.
pub const GROWN_TEXT_BYTES_MAX: usize = 256 << 10;

/// Of a message that grows, this much is a part of its own.
pub const PART_BYTES_MAX: usize = 4 << 10;

/// Or what comes within this time.
pub const PART_WAIT_MS_MAX: u64 = 50;

/// The body of an import.
pub const IMPORT_BODY_BYTES_MAX: usize = 8 << 20;

/// Messages of an import that are taken up in one step.
pub const IMPORT_MESSAGES_AT_ONCE: usize = 500;

/// Messages that a search finds where nothing else is said.
pub const SEARCH_RESULTS_DEFAULT: u32 = 50;

/// Participants that a conversation begins with. Each is a row of the same flush.
pub const PARTICIPANTS_AT_ONCE_MAX: usize = 2_000;

/// Texts in one answer with messages; what comes next is asked for with a position.
pub const MESSAGES_BYTES_MAX: usize = 8 << 20;

/// Messages that are read from the tables at once, so that large ones are not too many.
pub const MESSAGES_AT_ONCE: u32 = 256;

/// Pending streams that one wake tells of. The others wait for the next one.
pub const WAKE_STREAMS_MAX: usize = 1_000;
