//! The settings: flags, environment and `.env`, in this order of precedence.

use crate::{auth::AuthOptions, shared_log::RedisSettings, store, tls::TlsOptions};
use clap::{Parser, ValueEnum};
use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// Hands out whatever is produced piece by piece to any number of readers, from the beginning and
/// live.
#[derive(Clone, Parser)]
#[command(version = crate::VERSION, max_term_width = 100)]
pub struct Config {
    /// Address and port to listen on. Port 0 takes a free one.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// How connections are made secret.
    #[command(flatten)]
    pub tls: TlsOptions,

    /// Directory of the journal and, without --database-url, of the SQLite file. Created when
    /// missing. One server at a time.
    #[arg(long, env = "DATA_DIR", default_value = "./data", value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Database that keeps the streams: `sqlite:FILE` or `postgres://USER:PASSWORD@HOST/NAME`.
    /// Migrated at start. One server at a time. [default: SQLite in the data directory]
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// When an append is shown and acknowledged.
    #[arg(long, env = "DURABILITY", default_value = "sync", value_enum)]
    pub durability: Durability,

    /// Milliseconds between two flushes of the journal to the database. Longer means fewer and
    /// larger rows, and more to replay after a crash.
    #[arg(long, env = "FLUSH_INTERVAL_MS", default_value_t = 500, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub flush_interval_ms: u64,

    /// Bytes that may be acknowledged and not yet in the database. When they are used up, because
    /// the database is down or slow, appends wait and are then refused with 503.
    #[arg(long, env = "UNSTORED_BYTES_MAX", default_value_t = 256 << 20, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(8 << 20..))]
    pub unstored_bytes_max: u32,

    /// Bytes of recent content that may stay in memory after they are in the database, for readers
    /// that come late. One stream may use half of them.
    #[arg(long, env = "WINDOW_BYTES_MAX", default_value_t = 128 << 20, value_name = "BYTES")]
    pub window_bytes_max: usize,

    /// Bytes that one stream may have. More is refused with 413.
    #[arg(long, env = "STREAM_BYTES_MAX", default_value_t = 64 << 30, value_name = "BYTES")]
    pub stream_bytes_max: u64,

    /// Bytes of a journal file. Two or more are kept and reused.
    #[arg(long, env = "JOURNAL_SEGMENT_BYTES", default_value_t = 32 << 20, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(16 << 20..))]
    pub journal_segment_bytes: u32,

    /// Open connections, and beside them requests that are open on connections of HTTP/2. One more is
    /// answered with 503. The limit on open files is raised for them.
    #[arg(long, env = "CONNECTIONS_MAX", default_value_t = 16_384, value_name = "COUNT")]
    pub connections_max: usize,

    /// Seconds in which the head of a request must arrive, also the first one on a connection and
    /// the next one on a connection that is kept open.
    #[arg(long, env = "HEAD_WAIT_SECS", default_value_t = 15, value_name = "SECS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub head_wait_secs: u64,

    /// Seconds for which a producer (PUT) may send nothing before it counts as broken off. What
    /// it sent stays, and it may go on with a new request.
    #[arg(long, env = "PRODUCER_IDLE_SECS", default_value_t = 300, value_name = "SECS",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub producer_idle_secs: u64,

    /// Seconds for which a reader may take nothing of what is sent to it, or not answer at all,
    /// before its connection is closed.
    #[arg(long, env = "READER_STALL_SECS", default_value_t = 300, value_name = "SECS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub reader_stall_secs: u64,

    /// Seconds for which a long poll waits before it is answered with nothing new.
    #[arg(long, env = "LONG_POLL_SECS", default_value_t = 20, value_name = "SECS",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub long_poll_secs: u64,

    /// Seconds, and up to a quarter more, for which a reader of server-sent events stays connected
    /// before it has to come back. It goes on where it was.
    #[arg(long, env = "SSE_SECS", default_value_t = 60, value_name = "SECS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub sse_secs: u64,

    /// Scheme and host under which others reach this server, as `https://streams.example.org`. What
    /// it tells of itself begins with it: locations of new streams, callbacks of webhooks. [default:
    /// as the request says, with https where the server has a certificate and http elsewhere]
    #[arg(long, env = "PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Whether webhooks may call programs on this machine with http, for development. [default: only
    /// without keys and on a loopback address]
    #[arg(long, env = "WEBHOOK_ALLOW_LOOPBACK", value_name = "BOOL")]
    pub webhook_allow_loopback: Option<bool>,

    /// Origins whose web pages may use this server, separated by commas, for example
    /// `https://app.example.com`; `*` for all, `local` for those of this machine, `none` for none but
    /// its own. [default: `*` with keys, `local` without]
    #[arg(long, env = "CORS_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<String>,

    /// Seconds that open requests get to end when the server is asked to stop.
    #[arg(long, env = "DRAIN_SECS", default_value_t = 10, value_name = "SECS")]
    pub drain_secs: u64,

    /// What several nodes share.
    #[command(flatten)]
    pub redis: RedisSettings,

    /// Who may use the server.
    #[command(flatten)]
    pub auth: AuthOptions,

    /// Requests a second of one principal (the sub of a token; without keys all callers are one),
    /// on average. More get 429. 0 for no limit. Several nodes count together, half a second late: who
    /// asks many at once may get a share of each, and then waits the longer.
    #[arg(long, env = "REQUESTS_PER_SEC_MAX", default_value_t = 0, value_name = "COUNT")]
    pub requests_per_sec_max: u32,

    /// Streams a minute that one principal may create. More get 429. 0 for no limit. Several nodes
    /// count together, as requests.
    #[arg(long, env = "CREATIONS_PER_MIN_MAX", default_value_t = 0, value_name = "COUNT")]
    pub creations_per_min_max: u32,

    /// Reads that one principal may have open at once. One more gets 429. 0 for no limit. Several
    /// nodes count together, half a second late: those that are opened within that may be more.
    #[arg(long, env = "READS_PER_PRINCIPAL_MAX", default_value_t = 0, value_name = "COUNT")]
    pub reads_per_principal_max: u32,

    /// Messages a minute that one user may send to conversations. More get 429. 0 for no limit.
    /// Several nodes count together, as requests.
    #[arg(long, env = "MESSAGES_PER_MIN_MAX", default_value_t = 0, value_name = "COUNT")]
    pub messages_per_min_max: u32,

    /// Media types that messages of conversations may have attached, separated by commas, for example
    /// `image/*,application/pdf`.
    #[arg(
        long,
        env = "ATTACHMENT_TYPES",
        default_value = "*/*",
        value_name = "TYPES",
        value_delimiter = ','
    )]
    pub attachment_types: Vec<String>,

    /// Bytes that an attachment may say it has. The files themselves are elsewhere.
    #[arg(long, env = "ATTACHMENT_BYTES_MAX", default_value_t = 1 << 30, value_name = "BYTES")]
    pub attachment_bytes_max: u64,

    /// Bytes a second that all readers together take from the database, so that those who catch up
    /// leave it and the network to producers and live readers. 0 for no limit. Each of several nodes
    /// takes that much.
    #[arg(long, env = "CATCHUP_BYTES_PER_SEC_MAX", default_value_t = 0, value_name = "BYTES")]
    pub catchup_bytes_per_sec_max: u64,

    /// What to log: error, warn, info, debug, trace, or a list like `warn,messages::flusher=debug`.
    #[arg(long, env = "LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// How to write it: lines for people, or a JSON object a line.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What must have happened before an append is shown to readers and acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// The disk has it: it survives a power cut.
    Sync,
    /// The operating system has it: it survives a killed server, not a power cut.
    Os,
    /// Nothing: a killed server loses what is not in the database yet. No journal is written.
    Memory,
}

impl Config {
    /// The database that is used.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.database_url.clone().unwrap_or_else(|| store::default_url(&self.data_dir))
    }

    /// The kind of database, for people.
    #[must_use]
    pub fn database_kind(&self) -> &'static str {
        if self.database_url().starts_with("sqlite") { "SQLite" } else { "Postgres" }
    }

    /// What makes an append durable, for people.
    #[must_use]
    pub fn kept_by(&self) -> String {
        match &self.redis.redis_url {
            Some(_) => "of Redis".into(),
            None => self.durability.to_string(),
        }
    }

    /// Whether webhooks may call programs on this machine.
    #[must_use]
    pub fn webhook_allow_loopback(&self) -> bool {
        let development = self.listen.ip().is_loopback() && self.auth.is_open();
        self.webhook_allow_loopback.unwrap_or(development)
    }

    /// The time between two flushes.
    #[must_use]
    pub fn flush_interval(&self) -> Duration {
        Duration::from_millis(self.flush_interval_ms)
    }
}

/// Scheme and authority, nothing behind them.
fn public_url(text: &str) -> Result<String, String> {
    let refuse = || "must be a scheme and a host, as https://example.org".to_owned();
    let (scheme, host) = text.trim_end_matches('/').split_once("://").ok_or_else(refuse)?;
    let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']);
    if !matches!(scheme, "http" | "https") || !is_host {
        return Err(refuse());
    }
    Ok(format!("{scheme}://{host}"))
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Os => "os",
            Self::Memory => "memory",
        })
    }
}

/// Without the database URL, which may hold a password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("database", &self.database_kind())
            .field("durability", &self.kept_by())
            .field("access", &if self.auth.is_open() { "open" } else { "keys" })
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_out_of_logs() {
        let url = "postgres://user:secret@host/name";
        let redis = "redis://user:secret@host/";
        let config = Config::parse_from(["messages", "--database-url", url, "--redis-url", redis]);
        assert_eq!(config.database_url(), url);
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for bad in [
            "--flush-interval-ms=0",
            "--journal-segment-bytes=1",
            "--durability=none",
            "--listen=x",
            "--public-url=example.org",
            "--public-url=https://example.org/x",
        ] {
            assert!(Config::try_parse_from(["messages", bad]).is_err(), "{bad}");
        }
    }
}
