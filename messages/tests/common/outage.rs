//! Things under a server that a test takes away: a Postgres of its own, and a disk that is small.

use super::soon;
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// A program that says something and then waits for the end of its input, which comes with the end
/// of the test, however that ends.
struct Companion {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Companion {
    /// Starts it and takes the first lines of what it says.
    fn start<const N: usize>(command: &mut Command) -> (Self, [String; N]) {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a companion");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let companion = Self { child, stdin };
        let mut lines = stdout.lines();
        let said = std::array::from_fn(|_| match lines.next() {
            Some(Ok(line)) => line,
            _ => panic!("{command:?} does not work here; what it said about it is above"),
        });
        (companion, said)
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Nothing depends on how it ends.
        let _ = self.child.wait();
    }
}

/// A Postgres that only this test uses.
pub struct OwnPostgres {
    _companion: Companion,
    /// The URL of its database.
    pub url: String,
    control: String,
}

impl OwnPostgres {
    /// Starts one.
    pub fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/with-postgres");
        let mut command = Command::new(script);
        command.env_remove("TEST_POSTGRES_URL").env_remove("TEST_POSTGRES_CTL");
        let say = "echo \"$TEST_POSTGRES_URL\"; echo \"$TEST_POSTGRES_CTL\"; exec cat";
        let (companion, [url, control]) = Companion::start(command.args(["sh", "-c", say]));
        Self { _companion: companion, url, control }
    }

    fn control(&self, verb: &str) {
        let status = Command::new(&self.control).arg(verb).status().expect("the control program");
        assert!(status.success(), "cannot {verb} Postgres");
    }

    /// Takes it down.
    pub fn go_down(&self) {
        self.control("stop");
    }

    /// Brings it up again, with its data.
    pub fn come_up(&self) {
        self.control("start");
    }
}

/// A file system of a fixed size, in memory.
pub struct SmallDisk {
    _companion: Companion,
    _mount_point: TempDir,
    /// Where it is.
    pub dir: PathBuf,
}

impl SmallDisk {
    /// Makes one. It is mounted where only the companion sees it, which takes no privileges where
    /// users may have name spaces and leaves nothing behind; everybody else reaches it through the
    /// root directory of that process.
    pub fn new(mib: usize) -> Self {
        let mount_point = tempfile::tempdir().expect("a directory");
        let path = mount_point.path().display().to_string();
        let mount = "mount -t tmpfs -o size=$1m,mode=755 tmpfs \"$2\" && echo $$ && exec cat";
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", mount, "sh"]);
        let (companion, [pid]) = Companion::start(command.args([&mib.to_string(), &path]));
        let dir = PathBuf::from(format!("/proc/{pid}/root{path}"));
        Self { _companion: companion, _mount_point: mount_point, dir }
    }

    /// Uses up space.
    pub fn fill(&self, mib: usize) {
        let filler = vec![1; mib << 20];
        std::fs::write(self.dir.join("filler"), filler).expect("room for the filler");
    }

    /// Uses up all that is left.
    pub fn fill_up(&self) {
        let file = std::fs::File::create(self.dir.join("filler")).expect("a file");
        let full = std::iter::repeat_with(|| std::io::Write::write_all(&mut &file, &[1; 4096]));
        let error = full.take(1 << 20).find_map(Result::err).expect("an end of the disk");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }

    /// Gives back what [`SmallDisk::fill`] has taken.
    pub fn free(&self) {
        std::fs::remove_file(self.dir.join("filler")).expect("the filler");
    }
}

/// Stands between a server and its Postgres or Redis, and can hold back everything that either says, as a
/// broken network does.
pub struct Network {
    /// The URL of the database on its other side.
    pub url: String,
    flows: watch::Sender<bool>,
}

impl Network {
    /// In front of the database of `url`.
    pub async fn before(url: &str) -> Self {
        let (base, name) = url.rsplit_once('/').expect("a URL with a database");
        let (_, target) = base.rsplit_once(['@', '/']).expect("a URL with a host");
        let begin = base.strip_suffix(target).expect("its end");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (flows, seen) = watch::channel(true);
        tokio::spawn(forward_all(listener, target.to_owned(), seen));
        let url = format!("{begin}{address}/{name}");
        Self { url, flows }
    }

    /// Lets nothing through any more.
    pub fn fall_silent(&self) {
        self.flows.send_replace(false);
    }

    /// Lets everything through again.
    pub fn recover(&self) {
        self.flows.send_replace(true);
    }
}

async fn forward_all(listener: TcpListener, target: String, flows: watch::Receiver<bool>) {
    while let Ok((near, _)) = listener.accept().await {
        let far = soon("the other side is there", TcpStream::connect(&target)).await;
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.expect("a connection").into_split();
        tokio::spawn(forward(near_in, far_out, flows.clone()));
        tokio::spawn(forward(far_in, near_out, flows.clone()));
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut flows: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        // The test is over when this fails.
        if flows.wait_for(|flows| *flows).await.is_err()
            || to.write_all(&buffer[..count]).await.is_err()
        {
            return;
        }
    }
}
