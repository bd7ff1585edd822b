//! The server program as a process of its own.

use super::{Database, PATIENCE, eventually, postgres, redis, soon};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

/// How a server is started, as often as a test needs it.
#[derive(Clone)]
pub struct Setup {
    home: Arc<TempDir>,
    database: Option<String>,
    data_dir: Option<PathBuf>,
    listen: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

/// What a server that has ended leaves behind.
#[derive(Clone, Debug)]
pub struct Exit {
    /// How it ended.
    pub status: ExitStatus,
    /// All that it has written.
    pub output: String,
}

impl Setup {
    /// An empty data directory and an empty database.
    pub async fn on(database: Database) -> Self {
        let database = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(postgres::database().await),
        };
        let home = Arc::new(tempfile::tempdir().expect("a directory"));
        let (args, env) = (Vec::new(), Vec::new());
        Self { home, database, data_dir: None, listen: "127.0.0.1:0".into(), args, env }
    }

    /// An empty data directory with SQLite in it.
    pub async fn new() -> Self {
        Self::on(Database::Sqlite).await
    }

    /// What nodes have in common: an empty Postgres, and a part of this Redis that nobody else uses. Each
    /// node is started from a [`Setup::node`].
    pub async fn nodes(redis_url: &str) -> Self {
        let shared = ["--redis-url", redis_url, "--redis-prefix", &redis::prefix()];
        Self::on(Database::Postgres).await.with(&shared)
    }

    /// With a data directory of its own.
    pub fn node(&self, name: &str) -> Self {
        self.clone().data_dir(self.home().join(name))
    }

    /// With more flags.
    pub fn with(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// With a variable in the environment, which is empty otherwise.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// With this database in place of its own.
    pub fn database_url(mut self, url: impl Into<String>) -> Self {
        self.database = Some(url.into());
        self
    }

    /// With a data directory elsewhere.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// On this address in place of a free port.
    pub fn listen(mut self, address: &str) -> Self {
        self.listen = address.into();
        self
    }

    /// The URL of the database, whether it was given or is the default.
    pub fn url(&self) -> String {
        self.database
            .clone()
            .unwrap_or_else(|| format!("sqlite:{}", self.data().join("messages.db").display()))
    }

    /// Where the server works. It is removed with the last copy of this.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| self.home().join("data"))
    }

    /// The journal files in the order of their numbers.
    pub fn journal_files(&self) -> Vec<PathBuf> {
        let dir = std::fs::read_dir(self.data().join("journal")).expect("a journal");
        let mut files: Vec<PathBuf> = dir.map(|entry| entry.expect("an entry").path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "journal"));
        files.sort();
        files
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_messages"));
        // Neither a setting of the caller nor a `.env` above the working directory reaches it.
        command.env_clear().envs(self.env.iter().cloned()).current_dir(self.home());
        command.args(["--listen", &self.listen, "--data-dir"]).arg(self.data());
        if let Some(url) = &self.database {
            command.args(["--database-url", url]);
        }
        command.args(&self.args);
        command
    }

    /// Runs the program with these arguments and no others.
    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_messages"));
        command.env_clear().envs(self.env.iter().cloned()).current_dir(self.home());
        command.args(args).output().expect("the program")
    }

    /// Starts a server that must come up.
    pub async fn start(&self) -> TestServer {
        let (process, address) = Process::spawn(self.command());
        let mut server = TestServer { setup: self.clone(), address: None, process };
        match soon("the server listens", address).await {
            Ok(address) => server.address = Some(address),
            Err(_) => panic!("the server has not come up"),
        }
        server
    }

    /// Starts a server that must not come up.
    pub async fn start_in_vain(&self) -> Exit {
        let (mut process, address) = Process::spawn(self.command());
        assert!(soon("the server gives up", address).await.is_err(), "the server has come up");
        process.exit().await
    }

    /// Starts a server, and tells it to stop when it has written `words`, before it has come up.
    pub async fn stop_while_starting(&self, words: &str) -> Exit {
        let (mut process, address) = Process::spawn(self.command());
        eventually(words, async || process.output().contains(words).then_some(())).await;
        process.signal("TERM");
        assert!(soon("the server ends", address).await.is_err(), "the server has come up");
        process.exit().await
    }
}

/// A server at work. Dropped, it is killed, and tells what it logged if the test has failed.
pub struct TestServer {
    setup: Setup,
    address: Option<SocketAddr>,
    process: Process,
}

impl TestServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it has started")
    }

    /// How it was started.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Waits until it has written `words`.
    pub async fn says(&self, words: &str) {
        eventually(words, async || self.output().contains(words).then_some(())).await;
    }

    /// Its memory in bytes: what is resident and not a part of a file.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("a running process");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("KiB");
        kib * 1024
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        self.process.signal("TERM");
    }

    /// Waits for its end.
    pub async fn exit(&mut self) -> Exit {
        self.process.exit().await
    }

    /// Asks it to stop, which it must do without an error.
    pub async fn stop(mut self) -> Setup {
        self.terminate();
        let exit = self.exit().await;
        assert!(exit.status.success(), "{exit:?}");
        self.setup.clone()
    }

    /// Kills it as a crash would.
    pub async fn kill(mut self) -> Setup {
        self.process.signal("KILL");
        let exit = self.exit().await;
        assert!(!exit.status.success(), "{exit:?}");
        self.setup.clone()
    }

    /// Stops it and starts it again.
    pub async fn restart(self) -> Self {
        self.stop().await.start().await
    }

    /// Kills it and starts it again.
    pub async fn crash(self) -> Self {
        self.kill().await.start().await
    }
}

struct Process {
    pid: u32,
    output: Arc<Mutex<Vec<u8>>>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts a server. The second half waits for its address, and fails when it ends before.
    fn spawn(mut command: Command) -> (Self, oneshot::Receiver<SocketAddr>) {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server program");
        let output = Arc::new(Mutex::new(Vec::new()));
        let (found, address) = oneshot::channel();
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = child.stderr.take().expect("a pipe");
        let copies = [
            std::thread::spawn({
                let output = output.clone();
                move || copy_stdout(stdout, &output, found)
            }),
            std::thread::spawn({
                let output = output.clone();
                move || copy(stderr, &output)
            }),
        ];
        let pid = child.id();
        let (end, ended) = watch::channel(None);
        std::thread::spawn(move || {
            copies.into_iter().for_each(|copy| copy.join().expect("a copy"));
            end.send_replace(Some(child.wait().expect("an end")));
        });
        (Self { pid, output, ended }, address)
    }

    fn output(&self) -> String {
        let bytes = self.output.lock().expect("no panic in a copy");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn signal(&self, name: &str) {
        // Once it has ended the number may be that of somebody else. It may end at this moment by
        // itself, hence no look at what `kill` says.
        if self.ended.borrow().is_none() {
            let mut kill = Command::new("kill");
            kill.args(["-s", name, &self.pid.to_string()]).stderr(Stdio::null());
            kill.status().expect("kill");
        }
    }

    async fn exit(&mut self) -> Exit {
        let ended = soon("the server ends", self.ended.wait_for(Option::is_some)).await;
        let status = ended.expect("the waiting thread lives").expect("an end");
        Exit { status, output: self.output() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal("KILL");
        if std::thread::panicking() {
            eprintln!("---- the server ({}) wrote ----\n{}----", self.pid, self.output());
        }
    }
}

fn copy(mut from: impl Read, to: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut to = to.lock().expect("no panic in a copy");
        to.write_all(&buffer[..count]).expect("memory");
    }
}

/// Copies, and finds the address in `messages is listening on http://ADDRESS (...)`, or https.
fn copy_stdout(from: impl Read, to: &Mutex<Vec<u8>>, found: oneshot::Sender<SocketAddr>) {
    let mut from = BufReader::new(from);
    let mut found = Some(found);
    let mut line = String::new();
    while let Ok(1..) = from.read_line(&mut line) {
        let url = line.split_once("listening on ").and_then(|(_, rest)| rest.split(' ').next());
        let word = url.and_then(|url| url.split_once("://")).map(|(_, address)| address);
        if let Some(address) = word
            && let Some(found) = found.take()
        {
            let _ = found.send(address.parse().expect("an address"));
        }
        to.lock().expect("no panic in a copy").extend_from_slice(line.as_bytes());
        line.clear();
    }
}
