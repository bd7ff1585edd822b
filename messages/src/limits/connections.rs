//! What connections may take, HTTP/2 and TLS among them.

/// Clients at once that are told that there is no place for them. Others see their connection end.
pub const REFUSALS_MAX: usize = 64;

/// Whoever is told that has to ask for something within this time.
pub const REQUEST_WAIT_MS_MAX: u64 = 1_000;

/// Requests that one connection of HTTP/2 may have open. A proxy puts many readers on one.
pub const HTTP2_STREAMS_MAX: u32 = 1_024;

/// What a client of HTTP/2 may send of one body before some of it is read.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 256 << 10;

/// And of all bodies on one connection, so that a few that are not read do not hold up the others.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// What waits in memory for one reader over HTTP/2 before more is read for it, beside the last piece.
pub const HTTP2_SEND_BUFFER_BYTES: usize = 64 << 10;

/// Requests that a client of HTTP/2 took back before anybody looked at them. One more ends the
/// connection: it is an attack.
pub const HTTP2_RESETS_PENDING_MAX: usize = 32;

/// Requests on one connection of HTTP/2 that break its rules. One more ends the connection.
pub const HTTP2_ERRORS_MAX: usize = 256;

/// An answer over HTTP/2 of more bytes than this is watched until its reader has taken it.
pub const HTTP2_SMALL_ANSWER_BYTES_MAX: u64 = 16 << 10;

/// TLS handshakes at once; the others wait, within the time for the head of a request.
pub const TLS_HANDSHAKES_MAX: usize = 2_048;

/// A file with a certificate or a key.
pub const TLS_FILE_BYTES_MAX: u64 = 1 << 20;

/// How often the files of certificate and key are looked at.
pub const TLS_LOOK_MS: u64 = 2_000;

/// `messages health` must have an answer by then.
pub const HEALTH_WAIT_MS_MAX: u64 = 5_000;

/// What it reads of an answer.
pub const HEALTH_ANSWER_BYTES_MAX: usize = 16 << 10;
