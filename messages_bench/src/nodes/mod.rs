//! The nodes of a cluster, and what they stand on: the bench starts them, and everything happens to
//! them that happens to nodes.

mod args;
mod faults;
mod redis;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use tokio::process::Command;
use tokio::time::timeout;

pub use self::args::NodesArgs;
pub use self::faults::Faults;
use self::redis::Redis;
use crate::limits;
use crate::server::{Server, ServerArgs};

/// How long nodes let a long poll wait where clients are impatient.
const LONG_POLL_SECS: u64 = 3;

/// Where scripts/with-postgres says that its Postgres is, and how to stop it.
const POSTGRES: [&str; 2] = ["TEST_POSTGRES_URL", "TEST_POSTGRES_CTL"];

/// Servers, and what they share.
pub struct Nodes {
    servers: Vec<Server>,
    redis: Option<Redis>,
    postgres: Option<PathBuf>,
    /// Where it is written down what happens to them.
    log: PathBuf,
}

impl Nodes {
    /// Prepares everything below `dir`; nothing is started yet. Impatient clients get short answers;
    /// `environment` goes to every node.
    pub fn new(
        server: &ServerArgs,
        args: &NodesArgs,
        dir: &Path,
        impatient: bool,
        environment: &[(&'static str, String)],
    ) -> anyhow::Result<Self> {
        let (database, postgres) = database(server, args)?;
        let server = ServerArgs { database_url: database, ..server.clone() };
        let mut redis = None;
        let mut flags = Vec::new();
        if impatient {
            flags.push(format!("--long-poll-secs={LONG_POLL_SECS}"));
        }
        if args.is_cluster() {
            let url = match &args.redis_url {
                Some(url) => url.clone(),
                None => redis.insert(Redis::new(args, &dir.join("redis"))?).url(),
            };
            flags.push(format!("--redis-url={url}"));
        }
        let node = |number| {
            let dir = match args.nodes {
                1 => dir.to_owned(),
                _ => dir.join(format!("node-{number}")),
            };
            Server::new(&server, &dir).map(|server| server.with(&flags, environment))
        };
        ensure!(args.nodes > 0, "--nodes must be 1 or more");
        let servers = (0..args.nodes).map(node).collect::<anyhow::Result<_>>()?;
        Ok(Self { servers, redis, postgres, log: dir.join("faults.log") })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Their URLs.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    /// The first one, or the only one.
    pub fn first(&mut self) -> &mut Server {
        &mut self.servers[0]
    }

    /// Starts everything, all nodes at once; tells how long each took.
    pub async fn start(&mut self) -> anyhow::Result<Vec<Duration>> {
        if let Some(redis) = &mut self.redis {
            redis.start().await?;
        }
        let starts = self.servers.iter_mut().enumerate().map(|(number, server)| async move {
            server.start().await.with_context(|| format!("node {number}"))
        });
        try_join_all(starts).await
    }

    /// Kills everything, what is meant to be there as well as what is held.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut killed = Ok(());
        for (number, server) in self.servers.iter_mut().enumerate() {
            let ended = server.kill().await.with_context(|| format!("node {number}"));
            killed = killed.and(ended);
        }
        if let Some(redis) = &mut self.redis {
            killed = killed.and(redis.end(crate::server::Signal::KILL).await);
        }
        killed
    }
}

/// The database that the nodes share, and the program that takes it down.
fn database(
    server: &ServerArgs,
    args: &NodesArgs,
) -> anyhow::Result<(Option<String>, Option<PathBuf>)> {
    let [url, ctl] = POSTGRES.map(|name| std::env::var(name).ok());
    let (url, ctl) = match &server.database_url {
        None if args.is_cluster() => (url, ctl.map(PathBuf::from)),
        said => (said.clone(), None),
    };
    let is_postgres = url.as_ref().is_some_and(|url| url.starts_with("postgres"));
    ensure!(
        is_postgres || !args.is_cluster(),
        "nodes share a Postgres: say which with --database-url postgres://…, or run this under \
         scripts/with-postgres"
    );
    Ok((url, args.postgres_ctl.clone().or(ctl).filter(|_| is_postgres)))
}

/// Tells Postgres to `start` or to `stop`.
async fn postgres(ctl: &Path, what: &str) -> anyhow::Result<()> {
    let mut command = Command::new(ctl);
    let told = command.arg(what).stdin(Stdio::null()).kill_on_drop(true).status();
    let told = timeout(limits::READY, told).await;
    let status = told.with_context(|| format!("{} {what} takes too long", ctl.display()))?;
    let status = status.with_context(|| ctl.display().to_string())?;
    ensure!(status.success(), "{} {what}: {status}", ctl.display());
    Ok(())
}
