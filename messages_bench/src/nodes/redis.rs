//! A throw-away Redis with an append-only file.

use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::args::NodesArgs;
use crate::limits;
use crate::server::{Signal, reap, signal};

/// A Redis of the bench's own.
pub struct Redis {
    program: PathBuf,
    listen: SocketAddr,
    dir: PathBuf,
    fsync: &'static str,
    child: Option<Child>,
}

impl Redis {
    /// Prepares one on a free port; nothing is started yet.
    pub fn new(args: &NodesArgs, dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self {
            program: args.redis_server.clone(),
            listen: TcpListener::bind("127.0.0.1:0")?.local_addr()?,
            dir: fs::canonicalize(dir)?,
            fsync: args.redis_fsync.name(),
            child: None,
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://{}", self.listen)
    }

    /// Starts it and waits until it answers.
    pub async fn start(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let log = OpenOptions::new().create(true).append(true).open(self.dir.join("redis.log"))?;
        let child = Command::new(&self.program)
            .args(["--bind", "127.0.0.1", "--port", &self.listen.port().to_string()])
            .args(["--appendonly", "yes", "--appendfsync", self.fsync, "--save", ""])
            .args(["--daemonize", "no", "--dir", "."])
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        let child = child.with_context(|| format!("start {}", self.program.display()))?;
        let child = self.child.insert(child);
        while begun.elapsed() < limits::READY {
            if timeout(limits::CONNECT, answers(self.listen)).await.is_ok_and(|ok| ok) {
                return Ok(begun.elapsed());
            }
            if let Some(status) = child.try_wait()? {
                bail!("Redis ended while starting ({status}), see {}", self.dir.display());
            }
            sleep(limits::READY_POLL).await;
        }
        bail!("Redis is not ready after {} s", limits::READY.as_secs())
    }

    /// Ends it, in the middle of whatever it does or in its own way.
    pub async fn end(&mut self, how: Signal) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        if let Some(status) = child.try_wait()? {
            bail!("Redis ended by itself ({status}), see {}", self.dir.display());
        }
        signal(&child, how)?;
        reap(&mut child).await.context("Redis does not go").map(drop)
    }
}

/// Whether a Redis answers there and has read its data.
async fn answers(address: SocketAddr) -> bool {
    let ping = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(&answer == b"+PONG\r\n")
    };
    ping.await.unwrap_or(false)
}
