//! What only a Redis of its own shows: one that is full, stops, is old, or has replicas.

use super::{changes, done, heat, last, name, until_lost};
use bytes::Bytes;
use messages::shared_log::{
    Added, Claimed, Head, LogError, RedisLog, RedisOptions, Scope, SharedLog, Wake,
};
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::sync::mpsc::UnboundedReceiver;

/// A server that ends with the test.
struct Server {
    port: u16,
    dir: tempfile::TempDir,
    process: Child,
}

impl Server {
    fn new(arguments: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let dir = tempfile::tempdir().unwrap();
        let process = Self::start(port, dir.path(), arguments);
        let server = Self { port, dir, process };
        server.wait();
        server
    }

    fn start(port: u16, dir: &Path, arguments: &[&str]) -> Child {
        Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(dir)
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server; `make test` says what is missing")
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self, arguments: &[&str]) {
        self.process = Self::start(self.port, self.dir.path(), arguments);
        self.wait();
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn wait(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        for _ in 0..100_000 {
            let ping = |mut c| redis::cmd("PING").query::<String>(&mut c);
            if client.get_connection().and_then(ping).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("redis-server does not answer");
    }

    fn ask(&self, command: &str) {
        let client = redis::Client::open(self.url()).unwrap();
        let mut words = command.split(' ');
        let mut asked = redis::cmd(words.next().unwrap());
        for word in words {
            asked.arg(word);
        }
        asked.query::<()>(&mut client.get_connection().unwrap()).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn options(url: &str, fresh: bool) -> RedisOptions {
    let mut options = RedisOptions::new(url, "this one");
    options.fresh = fresh;
    options
}

async fn open(url: &str, fresh: bool) -> Result<RedisLog, LogError> {
    RedisLog::open(options(url, fresh)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_is_added_but_work_gets_done() {
    let server = Server::new(&[]);
    let (log, name) = (open(&server.url(), true).await.unwrap(), name("a"));
    let head = heat(&log, &name, 0).await;
    log.keep("kept", Bytes::from_static(b"x"), Duration::from_secs(60)).await.unwrap();
    server.ask("CONFIG SET maxmemory 1");
    let refused = log.keep("more", Bytes::from_static(b"x"), Duration::from_secs(60)).await;
    assert!(matches!(refused, Err(LogError::Full(_))), "{refused:?}");
    assert_eq!(log.take_kept("kept").await.unwrap(), Some(Bytes::from_static(b"x")));
    let added = log.add(&name, last(head), changes(&["x"])).await;
    assert!(matches!(added, Err(LogError::Full(_))), "{added:?}");
    assert_eq!(log.head(&name).await.unwrap(), Some(head), "nothing has happened");
    let memory = log.memory().await.unwrap();
    assert!(memory.max_bytes == 1 && memory.used_bytes > 1);
    let work = log.take_work(Scope::Streams, 9).await.unwrap();
    assert_eq!(log.done(&work[0], 1, 1).await.unwrap().unwrap().stored, 1);
    server.ask("CONFIG SET maxmemory 0");
    assert!(matches!(log.add(&name, last(head), changes(&["x"])).await, Ok(Added::Done(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_comes_back_with_what_it_had() {
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = Server::new(&durable);
    let (log, name) = (open(&server.url(), true).await.unwrap(), name("a"));
    let mut wakes = log.wakes().unwrap();
    log.follow(&name).await.unwrap();
    let head = heat(&log, &name, 0).await;
    server.stop();
    let down = tokio::time::timeout(Duration::from_secs(3), log.head(&name)).await.expect("soon");
    assert!(matches!(down, Err(LogError::Unavailable(_))), "{down:?}");
    let opened = open(&server.url(), false).await.err();
    assert!(matches!(opened, Some(LogError::Unavailable(_))), "{opened:?}");
    server.start_again(&durable);
    until_lost(&mut wakes).await;
    assert_eq!(log.head(&name).await.unwrap(), Some(head));
    let head = done(log.add(&name, last(head), changes(&["x"])).await.unwrap());
    until_told(&mut wakes, head).await;
    assert_eq!(log.read(&name, 0, 100).await.unwrap().len(), 2);
    assert_eq!(log.take_work(Scope::Streams, 9).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_empty_is_not_used() {
    let mut server = Server::new(&[]);
    let (log, name) = (open(&server.url(), true).await.unwrap(), name("a"));
    let head = heat(&log, &name, 0).await;
    server.stop();
    server.start_again(&[]);
    while matches!(log.head(&name).await, Err(LogError::Unavailable(_))) {}
    assert!(matches!(log.head(&name).await, Err(LogError::Lost)));
    let added = log.add(&name, last(head), changes(&["x"])).await;
    assert!(matches!(added, Err(LogError::Lost)));
    assert!(matches!(open(&server.url(), false).await, Err(LogError::Lost)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_too_few_replicas_have_is_not_confirmed() {
    let server = Server::new(&[]);
    let mut wary = options(&server.url(), true);
    (wary.wait_replicas, wary.wait_ms) = (1, 200);
    let log = RedisLog::open(wary).await.unwrap();
    let name = name("a");
    assert_eq!(log.claim(&name, 1).await.unwrap(), Claimed::As(1));
    let known = messages::shared_log::Known::Claimed { claim: 1, life: super::LIFE, version: 0 };
    let added = log.add(&name, known, changes(&["x"])).await;
    assert!(matches!(added, Err(LogError::Unavailable(_))), "{added:?}");
    let head = log.head(&name).await.unwrap().expect("it has happened");
    let replica = Server::new(&["--replicaof", "127.0.0.1", &server.port.to_string()]);
    let mut head = Some(head);
    for _ in 0..50 {
        let known = last(head.unwrap());
        if let Ok(added) = log.add(&name, known, changes(&["y"])).await {
            done(added);
            let refused = open(&replica.url(), false).await.err();
            assert!(refused.is_none(), "a replica can be read: {refused:?}");
            return;
        }
        head = log.head(&name).await.unwrap();
    }
    panic!("never confirmed");
}

/// The server that sentinels name, also when it is another one than before.
#[tokio::test(flavor = "multi_thread")]
async fn sentinels_say_who_is_the_master() {
    let mut first = Server::new(&[]);
    let second = Server::new(&["--replicaof", "127.0.0.1", &first.port.to_string()]);
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("sentinel.conf");
    let text = format!(
        "sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 500\n\
         sentinel failover-timeout main 2000\n",
        first.port
    );
    std::fs::write(&config, text).unwrap();
    let mut sentinel = sentinel(&config);
    sentinel.wait();
    let url = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port);
    let (log, name) = (open(&url, true).await.unwrap(), name("a"));
    let mut wakes = log.wakes().unwrap();
    log.follow(&name).await.unwrap();
    let head = heat(&log, &name, 0).await;
    // The replica must have all of it before it takes over.
    let mut wary = options(&first.url(), false);
    (wary.wait_replicas, wary.wait_ms) = (1, 1500);
    let wary = RedisLog::open(wary).await.unwrap();
    let mut known = head;
    let head = loop {
        match wary.add(&name, last(known), changes(&["x"])).await {
            Ok(added) => break done(added),
            Err(_) => known = log.head(&name).await.unwrap().unwrap(),
        }
    };
    while replicas_known(&sentinel) == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    first.stop();
    let moved = async { while log.head(&name).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), moved).await.expect("in time");
    assert_eq!(log.head(&name).await.unwrap(), Some(head));
    let mut known = head;
    while known.version < head.version + 1 {
        known = match log.add(&name, last(known), changes(&["y"])).await {
            Ok(Added::Done(head) | Added::Moved(head)) => head,
            Ok(Added::Cold) => panic!("it has something for the database"),
            Err(_) => known,
        };
    }
    until_lost(&mut wakes).await;
    until_told(&mut wakes, known).await;
    drop(second);
    sentinel.stop();
}

async fn until_told(wakes: &mut UnboundedReceiver<Wake>, head: Head) {
    loop {
        match super::next(wakes).await {
            Wake::Moved { head: told, .. } if told == head => return,
            _ => {}
        }
    }
}

fn sentinel(config: &Path) -> Server {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let process = Command::new("redis-server")
        .arg(config)
        .args(["--sentinel", "--bind", "127.0.0.1", "--port", &port.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server");
    Server { port, dir: tempfile::tempdir().unwrap(), process }
}

fn replicas_known(sentinel: &Server) -> usize {
    let client = redis::Client::open(sentinel.url()).unwrap();
    let mut asked = redis::cmd("SENTINEL");
    let known: Result<Vec<redis::Value>, _> =
        asked.arg("REPLICAS").arg("main").query(&mut client.get_connection().unwrap());
    known.map_or(0, |known| known.len())
}

/// Partitions go from one server of a cluster to another while they are used.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_move_while_they_are_used() {
    let servers = [(); 3].map(|()| Server::new(&["--cluster-enabled", "yes"]));
    let places = servers.each_ref().map(|server| format!("127.0.0.1:{}", server.port));
    cli(&[&["--cluster", "create", "--cluster-yes"][..], &places.each_ref().map(|p| &**p)].concat());
    let log = open_cluster(&places).await;
    let mut wakes = log.wakes().unwrap();
    let names: Vec<_> = (0..50).map(|number| name(&format!("n{number}"))).collect();
    let mut heads = Vec::new();
    for name in &names {
        log.follow(name).await.unwrap();
        heads.push(heat(&log, name, 0).await);
    }
    let ids = servers.each_ref().map(|server| server.id());
    let (from, to, place) = (ids[2].clone(), ids[0].clone(), places[0].clone());
    let move_all = tokio::task::spawn_blocking(move || {
        cli(&[
            "--cluster",
            "reshard",
            &place,
            "--cluster-from",
            &from,
            "--cluster-to",
            &to,
            "--cluster-slots",
            "5461",
            "--cluster-yes",
        ]);
    });
    let mut refused = 0;
    while !move_all.is_finished() {
        for (name, head) in names.iter().zip(&mut heads) {
            match log.add(name, last(*head), changes(&["x"])).await {
                Ok(Added::Done(now) | Added::Moved(now)) => *head = now,
                Ok(Added::Cold) => panic!("it has something for the database"),
                Err(LogError::Unavailable(_)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    move_all.await.unwrap();
    until_lost(&mut wakes).await;
    println!("{} added, {refused} refused", heads.iter().map(|head| head.version).sum::<u64>());
    for (name, head) in names.iter().zip(heads) {
        let head = done(log.add(name, last(head), changes(&["last"])).await.unwrap());
        until_told(&mut wakes, head).await;
        let versions: Vec<_> =
            log.read(name, 0, usize::MAX).await.unwrap().iter().map(|l| l.version).collect();
        assert_eq!(versions, (1..=head.version).collect::<Vec<_>>());
    }
}

async fn open_cluster(places: &[String]) -> RedisLog {
    let url = format!("redis+cluster://{}", places.join(","));
    for _ in 0..100 {
        if let Ok(log) = open(&url, true).await {
            return log;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the cluster does not become ready");
}

fn cli(arguments: &[&str]) {
    let done = Command::new("redis-cli").args(arguments).stdout(Stdio::null()).status();
    assert!(done.expect("redis-cli").success(), "{arguments:?}");
}

impl Server {
    fn id(&self) -> String {
        let client = redis::Client::open(self.url()).unwrap();
        redis::cmd("CLUSTER").arg("MYID").query(&mut client.get_connection().unwrap()).unwrap()
    }
}
