//! The program as people run it.

use crate::common::{Setup, TestServer, soon};
use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, Command},
};

/// What a command has said.
#[derive(Debug)]
pub struct Said {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Said {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        assert!(self.status.success(), "{self:?}");
        std::str::from_utf8(&self.stdout).expect("text")
    }

    #[track_caller]
    pub fn fails(&self, code: i32, words: &str) {
        assert_eq!(self.code(), Some(code), "{self:?}");
        assert!(self.stderr.contains(words), "{self:?}");
    }
}

/// The program, speaking with one server.
#[derive(Clone)]
pub struct Tool {
    home: PathBuf,
    env: Vec<(String, String)>,
}

impl Tool {
    pub fn new(server: &TestServer) -> Self {
        Self::at(server.setup(), &format!("http://{}", server.address()))
    }

    pub fn at(setup: &Setup, url: &str) -> Self {
        let env = vec![("MESSAGES_URL".into(), url.into())];
        Self { home: setup.home().into(), env }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn home(&self) -> &PathBuf {
        &self.home
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_messages"));
        command.env_clear().envs(self.env.iter().cloned()).current_dir(&self.home).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    /// Begins a command that reads and writes as it goes.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().expect("the program")
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, "").await
    }

    /// Runs a command with this on its standard input.
    pub async fn run_with(&self, args: &[&str], input: impl AsRef<[u8]>) -> Said {
        let mut child = self.start(args);
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.as_ref().to_vec();
        let feeding = tokio::spawn(async move {
            // A command that is refused does not read.
            let _ = stdin.write_all(&input).await;
        });
        let said = end(child).await;
        feeding.await.expect("no panic");
        said
    }
}

/// Waits for the end of a command.
pub async fn end(mut child: Child) -> Said {
    let (mut stdout, mut stderr) = (Vec::new(), String::new());
    let mut out = child.stdout.take();
    let mut err = child.stderr.take();
    let work = async {
        let read_out = async {
            if let Some(out) = &mut out {
                out.read_to_end(&mut stdout).await.expect("output");
            }
        };
        let read_err = async {
            if let Some(err) = &mut err {
                err.read_to_string(&mut stderr).await.expect("text");
            }
        };
        tokio::join!(read_out, read_err, child.wait()).2.expect("an end")
    };
    let status = soon("the command ends", work).await;
    Said { status, stdout, stderr }
}

/// Writes to a command all of it.
pub async fn feed(stdin: &mut ChildStdin, bytes: &[u8]) {
    stdin.write_all(bytes).await.expect("the command reads");
    stdin.flush().await.expect("the command reads");
}

/// Stands before a server and cuts every connection after some bytes, in whatever they are a part of.
/// Returns its address, and how many it has cut.
pub async fn brittle_wire(server: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let cuts = Arc::new(AtomicUsize::new(0));
    let counted = cuts.clone();
    tokio::spawn(async move {
        let mut number: usize = 0;
        while let Ok((mut near, _)) = listener.accept().await {
            number += 1;
            // More than one append, so that it goes on; otherwise anywhere.
            let left = 1_200_000 + number * 7_919 % 1_500_000;
            let counted = counted.clone();
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(server).await else { return };
                if !pass(&mut near, &mut far, left).await {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (address, cuts)
}

/// Returns whether it has come to its end.
async fn pass(near: &mut TcpStream, far: &mut TcpStream, mut left: usize) -> bool {
    let (mut one, mut other) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    while left > 0 {
        let (bytes, to) = tokio::select! {
            count = near.read(&mut one) => (count.map(|count| &one[..count]), &mut *far),
            count = far.read(&mut other) => (count.map(|count| &other[..count]), &mut *near),
        };
        let Ok(bytes @ [_, ..]) = bytes else { return true };
        let bytes = &bytes[..bytes.len().min(left)];
        left -= bytes.len();
        if to.write_all(bytes).await.is_err() {
            return true;
        }
    }
    false
}
