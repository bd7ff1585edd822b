//! How many nodes, on what, and what may happen to them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Several nodes of one cluster, and faults of all kinds.
#[derive(Clone, Debug, Args)]
pub struct NodesArgs {
    /// Nodes that share a Redis and a Postgres; one is a server by itself, as ever. The Postgres is that of
    /// --database-url, or of TEST_POSTGRES_URL (see scripts/with-postgres).
    #[arg(long, default_value_t = 1)]
    pub nodes: usize,

    /// What is done to them: all that there is when not said.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub faults: Vec<Kind>,

    /// Some nodes are stopped for longer than 30 s.
    #[arg(long)]
    pub long_pauses: bool,

    /// Their Redis, which is left alone; a throw-away one when not said.
    #[arg(long)]
    pub redis_url: Option<String>,

    /// What the throw-away Redis does with its append-only file.
    #[arg(long, value_enum, default_value = "always")]
    pub redis_fsync: Fsync,

    /// The program of the throw-away Redis.
    #[arg(long, value_name = "PATH", default_value = "redis-server")]
    pub redis_server: PathBuf,

    /// A program that takes Postgres down with `stop` and brings it back with `start`; TEST_POSTGRES_CTL
    /// where TEST_POSTGRES_URL is used.
    #[arg(long, value_name = "PROGRAM")]
    pub postgres_ctl: Option<PathBuf>,
}

impl NodesArgs {
    /// Whether the nodes make a cluster.
    pub fn is_cluster(&self) -> bool {
        self.nodes > 1 || self.redis_url.is_some()
    }

    /// Whether faults of all kinds are asked for, rather than kills alone.
    pub fn has_faults(&self) -> bool {
        self.is_cluster() || !self.faults.is_empty()
    }
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A node is killed with SIGKILL and started again.
    Kill,
    /// A node is told to stop with SIGTERM and started again.
    Term,
    /// A node is held with SIGSTOP for a while.
    Pause,
    /// Redis is told to stop and started again.
    RedisTerm,
    /// Redis is killed and started again.
    RedisKill,
    /// Postgres is stopped and started again.
    Postgres,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Kill, Self::Term, Self::Pause, Self::RedisTerm, Self::RedisKill, Self::Postgres];
}

/// When Redis asks the disk to keep what it has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fsync {
    /// Before it answers.
    Always,
    /// Every second. What was written survives the end of Redis, and not that of the machine.
    Everysec,
}

impl Fsync {
    /// As Redis calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Everysec => "everysec",
        }
    }
}
