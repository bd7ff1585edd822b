//! How the shared log is reached, as an operator says it.

use std::path::PathBuf;

/// Redis, which several nodes share.
#[derive(Clone, clap::Args)]
pub struct RedisSettings {
    /// Redis or Valkey, 7 or later, that several nodes share, with a Postgres as --database-url. One
    /// server: redis://USER:PASSWORD@HOST:PORT (rediss:// with TLS). A cluster:
    /// redis+cluster://HOST:PORT,HOST:PORT. Sentinels: redis+sentinel://HOST:PORT,HOST:PORT/MASTER.
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// Certificates (PEM) of the authority that Redis' own is of, for rediss:// with one that no browser
    /// would know.
    #[arg(long, env = "REDIS_CA_FILE", value_name = "FILE")]
    pub redis_ca_file: Option<PathBuf>,

    /// What the keys in Redis begin with, so that several databases can share one.
    #[arg(long, env = "REDIS_PREFIX", default_value = "messages", value_name = "PREFIX")]
    pub redis_prefix: String,

    /// Bytes of memory that Redis may use before appends are refused with 503 until the database has
    /// more of it. 0 for nine tenths of its own maxmemory, or no limit without that.
    #[arg(long, env = "REDIS_BYTES_MAX", default_value_t = 0, value_name = "BYTES")]
    pub redis_bytes_max: u64,

    /// Replicas of Redis that must have an append before it is acknowledged.
    #[arg(long, env = "REDIS_WAIT_REPLICAS", default_value_t = 0, value_name = "COUNT")]
    pub redis_wait_replicas: u32,

    /// Milliseconds that these may take. An append that takes longer is answered with 503, and may
    /// have happened.
    #[arg(long, env = "REDIS_WAIT_MS", default_value_t = 1000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1..=1500))]
    pub redis_wait_ms: u64,

    /// Go on with an empty Redis, or without any, although the last one may hold what was acknowledged
    /// and is not in the database. That is lost then, and offsets behind it are used again.
    #[arg(long, env = "REDIS_ACCEPT_LOSS")]
    pub redis_accept_loss: bool,
}
