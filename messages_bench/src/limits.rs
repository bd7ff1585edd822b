//! Every bound the bench puts on waiting and on memory, named with its unit.
//!
//! A hung server must not hang the bench, so each wait in this crate takes its limit from here.

use std::time::Duration;

/// How long a TCP connection may take to be accepted.
pub const CONNECT: Duration = Duration::from_secs(10);

/// How long the head of a response may take once the request is on its way.
pub const RESPONSE: Duration = Duration::from_secs(60);

/// How long a body may stay silent, besides silence that a scenario itself intends.
pub const SILENCE: Duration = Duration::from_secs(120);

/// How long readers that are behind are waited for once the writer has finished.
pub const SETTLE: Duration = Duration::from_secs(60);

/// How long a server that asks for patience with 503 is asked again.
pub const REFUSED: Duration = Duration::from_secs(60);

/// The longest single pause taken after a 503, whatever `Retry-After` says.
pub const REFUSED_PAUSE: Duration = Duration::from_secs(2);

/// How long a started server may take until `/readyz` answers 200.
pub const READY: Duration = Duration::from_secs(60);

/// How often `/readyz` is asked; it is also the resolution of the restart times.
pub const READY_POLL: Duration = Duration::from_millis(2);

/// How long a worker that lost the server waits before it looks again.
pub const RECONNECT_PAUSE: Duration = Duration::from_millis(10);

/// How long a producer waits that has overtaken itself, at first and at most.
pub const GAP_PAUSE: Duration = Duration::from_millis(2);
pub const GAP_PAUSE_MAX: Duration = Duration::from_millis(64);

/// How long a reader that only catches up waits before it asks again.
pub const CATCH_UP_PAUSE: Duration = Duration::from_millis(100);

/// How long a server may take to give up what only deleted streams needed.
pub const COLLECTED: Duration = Duration::from_secs(5);

/// How long a server may take to be gone that was killed, or told to stop: it has 10 s for requests that
/// are under way.
pub const REAP: Duration = Duration::from_secs(30);

/// How long a client of several nodes waits for an answer before it asks another node.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a reader of several nodes waits for a sign of life: longer than any of them is silent.
pub const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

/// How long after a restart or a pause a node may still break off what it has begun.
pub const GRACE: Duration = Duration::from_secs(3);

/// How long it may take until an append or a read goes on, whatever happens.
pub const OUTAGE: Duration = Duration::from_secs(120);

/// How long after the last fault a cluster may still refuse, or leave a reader without its end.
pub const CALM: Duration = Duration::from_secs(30);

/// Faults that are told at once, so that a run that is cut off has said something.
pub const FAULTS_TOLD: usize = 5;

/// File descriptors kept back for everything that is not a connection.
pub const DESCRIPTORS_RESERVED: u64 = 128;

/// Connections from one source address to one port: the ephemeral range holds about 28,000, and
/// ports in TIME_WAIT are lost for a minute.
pub const CONNECTIONS: u64 = 24_000;

/// The largest latency the histograms can tell apart from a longer one.
pub const LATENCY: Duration = Duration::from_secs(120);

/// The width of one step of the throughput timeline.
pub const TIMELINE_STEP: Duration = Duration::from_millis(100);

/// Bytes shown of what was expected and of what came, when they differ.
pub const EXCERPT_BYTES: usize = 48;

/// Faults kept word for word; the rest is only counted, so that a broken server cannot fill the
/// memory of the bench.
pub const FAULTS_KEPT: usize = 100_000;

/// Faults shown on the page.
pub const FAULTS_ON_PAGE: usize = 50;

/// Bytes of one piece when a large stream is written for a catch-up read.
pub const PIECE_BYTES: usize = 1 << 20;

/// Pages a catch-up read may take; more means that the server never says "up to date".
pub const PAGES: usize = 1_000_000;

/// Streams read back after many have been created.
pub const SPOT_CHECKS: u64 = 500;

/// How long a token of the chat scenarios is good.
pub const TOKEN: Duration = Duration::from_secs(4 * 60 * 60);

/// Bytes of the read buffer of a WebSocket; there are thousands of them.
pub const SOCKET_BYTES: usize = 4 << 10;

/// How long somebody in a conversation stays away at most, when they sleep and when they break off.
pub const SLEEP: Duration = Duration::from_secs(3);

/// How long somebody is gone whose connection has broken off.
pub const BREAK: Duration = Duration::from_millis(60);

/// How often those who come to an end look whether they can.
pub const FINISH_POLL: Duration = Duration::from_millis(50);

/// Messages that a client of the load has been told to send and has not sent yet.
pub const ORDERS: usize = 64;

/// Pinned messages of one conversation, as far as it is tried.
pub const PINS: usize = 20;
