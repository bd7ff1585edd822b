//! A server that the bench starts, kills and starts again.

use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http::{Method, Uri};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Client, Endpoint, Outgoing};
use crate::limits;

/// Which server to start, and how.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// The server's program; the `messages` beside this program when not said.
    #[arg(long, value_name = "PATH")]
    pub server: Option<PathBuf>,

    /// Its durability: sync or os. With memory, nothing could survive.
    #[arg(long, default_value = "sync")]
    pub durability: String,

    /// Its database; its own default when not said.
    #[arg(long)]
    pub database_url: Option<String>,

    /// Its data directory, which is kept; a temporary one when not said.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
}

/// A server of the bench's own.
pub struct Server {
    program: PathBuf,
    listen: SocketAddr,
    dir: PathBuf,
    flags: Vec<String>,
    environment: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl Server {
    /// Prepares a server on a free port; nothing is started yet.
    pub fn new(args: &ServerArgs, dir: &Path) -> anyhow::Result<Self> {
        let beside = || anyhow::Ok(std::env::current_exe()?.with_file_name("messages"));
        let program = args.server.clone().map_or_else(beside, Ok)?;
        let program = fs::canonicalize(&program)
            .with_context(|| format!("the server {}", program.display()))?;
        fs::create_dir_all(dir)?;
        // The port stays the same over restarts, as it would for real clients.
        let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut flags = vec![format!("--durability={}", args.durability)];
        flags.extend(args.database_url.iter().map(|url| format!("--database-url={url}")));
        Ok(Self {
            program,
            listen,
            dir: fs::canonicalize(dir)?,
            flags,
            environment: Vec::new(),
            child: None,
        })
    }

    /// With more flags, and with variables in its environment: what the command line holds, everybody can
    /// see.
    pub fn with(mut self, flags: &[String], environment: &[(&'static str, String)]) -> Self {
        self.flags.extend_from_slice(flags);
        self.environment.extend_from_slice(environment);
        self
    }

    /// Its process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Where it says what it does.
    pub fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// Starts the process and does not wait for it to be ready.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let data = self.dir.join("data");
        fs::create_dir_all(&data)?;
        // Not the bench's directory: a configuration lying there is not meant for this server.
        let child = Command::new(&self.program)
            .arg("--listen")
            .arg(self.listen.to_string())
            .arg("--data-dir")
            .arg(data)
            .args(&self.flags)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.with_context(|| format!("start {}", self.program.display()))?);
        Ok(())
    }

    /// Starts the server and tells how long it took to be ready.
    pub async fn start(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.spawn()?;
        let mut client = Client::new(Endpoint::parse(&self.url())?);
        while begun.elapsed() < limits::READY {
            let (uri, body) = (Uri::from_static("/readyz"), Outgoing::Whole(Bytes::new()));
            let answer = client.exchange(Method::GET, uri, None, body, limits::READY).await;
            if answer.is_ok_and(|reply| reply.head.status.is_success()) {
                return Ok(begun.elapsed());
            }
            client.disconnect();
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten()) {
                bail!("the server ended while starting ({status}): {}", self.last_words());
            }
            sleep(limits::READY_POLL).await;
        }
        bail!("the server is not ready after {} s", limits::READY.as_secs())
    }

    /// The last lines of its log.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines = log.lines().rev().filter(|line| !line.trim().is_empty());
        let lines: Vec<&str> = lines.take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// Kills it with SIGKILL, in the middle of whatever it does.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.end(Signal::KILL).await.map(drop)
    }

    /// Tells it to stop with SIGTERM, and waits until it has; tells how long it took.
    pub async fn terminate(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let status = self.end(Signal::TERM).await?;
        ensure!(status.is_none_or(|s| s.success()), "told to stop, it ended with {status:?}");
        Ok(begun.elapsed())
    }

    /// Sends it a signal that it survives.
    pub fn signal(&self, what: Signal) -> anyhow::Result<()> {
        self.child.as_ref().map_or(Ok(()), |child| signal(child, what))
    }

    /// Ends it by a signal.
    async fn end(&mut self, how: Signal) -> anyhow::Result<Option<ExitStatus>> {
        let Some(mut child) = self.child.take() else {
            return Ok(None);
        };
        if let Some(status) = child.try_wait()? {
            bail!("the server ended by itself ({status}): {}", self.last_words());
        }
        signal(&child, how)?;
        let ended = reap(&mut child).await;
        ended.map(Some).with_context(|| format!("the server does not go on {how:?}"))
    }
}

/// Sends a signal to a process that has not been waited for.
pub fn signal(child: &Child, what: Signal) -> anyhow::Result<()> {
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    Ok(kill_process(pid.context("the process is gone")?, what)?)
}

/// Waits for the end of a process.
pub async fn reap(child: &mut Child) -> anyhow::Result<ExitStatus> {
    Ok(timeout(limits::REAP, child.wait()).await??)
}
