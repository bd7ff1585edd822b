//! Whole nodes without sockets, in one process: on a shared log in memory and one database, with
//! webhooks that do what the test says. Each has threads of its own, so that it can be killed.

use super::super::subscription_run::Answering;
use axum::body::Body;
use bytes::Bytes;
use clap::Parser;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use messages::{
    auth::{Auth, Grants, Issuer, Order},
    budget::Budget,
    channel::WindowMemory,
    chat::{AttachmentRules, Chat, Projection, Webhooks},
    clock::{Clock, SystemClock},
    cluster::{Forward, NodeFlusher, Pace, Worker},
    committer::Commits,
    config::Config,
    http::{self, App, Gate, Services},
    journal::{Mark, MemoryJournal},
    model::{Offset, StreamName},
    production::Productions,
    quota::Quotas,
    shared_log::{MemoryLog, Terms},
    store::{self, Database, Store, StoreError, SubscriptionSave, WorkerStore},
    stream::{Addition, Ground, Streams},
    subscription::{Desk, Parts, SystemChance},
    webhook::{Letter, Post, PostError, RejectedUrl, Reply},
};
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const PATIENCE: Duration = Duration::from_secs(30);
const PACE: Pace = Pace { lease: Duration::from_millis(600), beat: Duration::from_millis(100) };
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Goes on as the real one does, and further when the test says so.
#[derive(Default)]
pub struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms() + self.0.load(SeqCst)
    }
}

/// A call of a webhook by the node of this number.
pub type Call = (usize, Letter, Answering);

struct TestPost(usize, mpsc::UnboundedSender<Call>);

impl Post for TestPost {
    fn check(&self, _: &str) -> Result<(), RejectedUrl> {
        Ok(())
    }

    fn post(&self, letter: Letter) -> BoxFuture<'_, Result<Reply, PostError>> {
        let (answer, answered) = oneshot::channel();
        drop(self.1.send((self.0, letter, answer)));
        Box::pin(async { answered.await.unwrap_or(Err(PostError::Timeout)) })
    }
}

/// A way to the database on which a node can be cut off from the word who works, and nothing else.
pub struct Way {
    store: Arc<dyn Database>,
    pub cut: AtomicBool,
}

impl Way {
    fn check(&self) -> Result<(), StoreError> {
        match self.cut.load(SeqCst) {
            true => Err(StoreError::Database(sqlx::Error::PoolTimedOut)),
            false => Ok(()),
        }
    }
}

impl WorkerStore for Way {
    fn begin_work(&self, lease_ms: u64) -> BoxFuture<'_, Result<Option<u64>, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.store.begin_work(lease_ms).await
        })
    }

    fn keep_work(&self, worker: u64, lease_ms: u64) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            self.check()?;
            self.store.keep_work(worker, lease_ms).await
        })
    }

    fn end_work(&self, worker: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.store.end_work(worker)
    }

    fn save_as<'a>(
        &'a self,
        worker: u64,
        saves: &'a [SubscriptionSave],
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        self.store.save_as(worker, saves)
    }
}

/// What nodes have in common.
pub struct Together {
    home: TempDir,
    pub log: MemoryLog,
    pub store: Arc<dyn Database>,
    clock: Arc<TestClock>,
    post: mpsc::UnboundedSender<Call>,
    calls: mpsc::UnboundedReceiver<Call>,
}

impl Together {
    pub async fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let store = store::open(&store::default_url(home.path())).await.expect("a database");
        let clock = Arc::new(TestClock::default());
        let log = MemoryLog::new(clock.clone(), Terms::default());
        let (post, calls) = mpsc::unbounded_channel();
        Self { home, log, store, clock, post, calls }
    }

    pub async fn node(&self, number: usize) -> Node {
        let start = self.store.count_start().await.expect("a start");
        let commits = Commits::direct(Mark(0), u64::MAX, Box::new(MemoryJournal::new(Mark(0))));
        let store: Arc<dyn Store> = self.store.clone();
        let streams = Streams::new(Ground {
            store: store.clone(),
            commits: commits.clone(),
            budget: Budget::new(64 << 20),
            memory: WindowMemory::new(1 << 20),
            clock: self.clock.clone(),
            start,
            stream_bytes_max: 1 << 30,
        });
        let log = Arc::new(self.log.node());
        let streams = Arc::new(streams.sharing(log, self.store.clone()));
        let shared = streams.shared().expect("a log").clone();
        let attachments = AttachmentRules { types: vec![], bytes_max: 0 };
        let chat = Chat::new(streams.clone(), self.store.clone(), self.clock.clone(), attachments);
        let parts = Parts {
            streams: streams.clone(),
            store: store.clone(),
            commits,
            clock: self.clock.clone(),
            chance: Arc::new(SystemChance::default()),
            members: chat.clone(),
            post: Arc::new(TestPost(number, self.post.clone())),
            public_url: None,
            tenure: None,
        };
        let way = Arc::new(Way { store: self.store.clone(), cut: AtomicBool::new(false) });
        let (desk, forward) = (Arc::new(Desk::default()), Forward::new(shared.clone(), start));
        let worker = Worker {
            parts,
            store: way.clone(),
            desk: desk.clone(),
            forward: forward.clone(),
            pace: PACE,
        };
        let config = Config::parse_from(["messages", "--auth-secret", SECRET]);
        let auth = Auth::new(&config.auth, self.clock.clone()).await.expect("keys");
        let auth = auth.alone(self.home.path()).expect("keys");
        let stop = CancellationToken::new();
        let services = Services {
            productions: Arc::new(Productions::new(streams.clone(), stop.clone())),
            streams: streams.clone(),
            subscriptions: desk.clone(),
            forward: Some(forward.clone()),
            webhooks: Webhooks::new(chat.clone(), desk.clone()),
            chat,
            auth: Gate::new(Arc::new(auth), Arc::new(Quotas::new(0, 0, 0, 0))),
            start,
            nodes: None,
            traces: None,
        };
        let app = App::new(services, "127.0.0.1:1".parse().expect("valid"), &config, stop.clone());
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let flusher = NodeFlusher::new(shared.clone(), store, self.store.clone())
            .projecting(Arc::new(Projection));
        threads.spawn(shared.run(stop.clone()));
        threads.spawn(flusher.run(Duration::from_millis(5), stop.clone()));
        threads.spawn(forward.run(http::answerer(app.clone()), stop.clone()));
        let stop_working = CancellationToken::new();
        let working = threads.spawn(worker.run(stop_working.clone()));
        Node {
            streams,
            desk,
            app,
            way,
            stop_working,
            working,
            stop,
            threads: Mutex::new(Some(threads)),
        }
    }

    pub fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, SeqCst);
    }

    /// The next call of a webhook, by whom, and what it says.
    pub async fn call(&mut self) -> (usize, Value, Answering) {
        let call = timeout(PATIENCE, self.calls.recv()).await.expect("a call");
        let (node, letter, answer) = call.expect("nodes");
        (node, serde_json::from_slice(&letter.body).expect("JSON"), answer)
    }

    /// That nothing is called for a while.
    pub async fn silence(&mut self) {
        let call = timeout(Duration::from_millis(300), self.calls.recv()).await;
        assert!(call.is_err(), "a call that nobody expects");
    }
}

pub struct Node {
    pub streams: Arc<Streams>,
    pub desk: Arc<Desk>,
    app: App,
    pub way: Arc<Way>,
    stop_working: CancellationToken,
    working: JoinHandle<()>,
    stop: CancellationToken,
    threads: Mutex<Option<Runtime>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.lock().expect("no panic").take() {
            threads.shutdown_background();
        }
    }
}

impl Node {
    pub async fn until_it_works(&self) {
        until(async || self.desk.here().is_some()).await;
    }

    /// It ends its turn as a node does that stops.
    pub async fn stop(mut self) {
        self.stop_working.cancel();
        (&mut self.working).await.expect("no panic");
        self.stop.cancel();
    }

    /// What a client is answered here.
    pub async fn ask(&self, method: &str, path: &str, user: &str, body: &Value) -> (u16, Value) {
        let request = self.request(method, path, &token(user), body).await;
        let (status, body) = request;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub async fn request(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> (u16, Bytes) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "streams.test")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            // It is in every problem, and answers are compared.
            .header("x-request-id", "of-a-test")
            .body(Body::from(body))
            .expect("a request");
        let answered = http::service(self.app.clone()).oneshot(request);
        let response = timeout(PATIENCE, answered).await.expect("an answer");
        let Ok(response) = response;
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.expect("a body").to_bytes())
    }

    pub async fn put(&self, id: &str, config: &Value) -> (u16, Value) {
        self.ask("PUT", &format!("{DS}/{id}"), "alice", config).await
    }

    pub async fn get(&self, id: &str) -> (u16, Value) {
        self.ask("GET", &format!("{DS}/{id}"), "alice", &Value::Null).await
    }

    pub async fn acked(&self, id: &str, stream: &str) -> String {
        let (_, description) = self.get(id).await;
        let found = description["streams"].as_array().cloned().unwrap_or_default();
        let link = found.iter().find(|link| link["path"] == stream);
        link.map_or(String::new(), |link| link["acked_offset"].as_str().unwrap_or("").to_owned())
    }

    pub async fn append(&self, name: &str, text: &str) -> Offset {
        let name: StreamName = name.parse().expect("a name");
        let found = self.streams.find_or_create(&name, "text/plain", false).await;
        let (channel, _) = found.expect("a stream");
        let addition = Addition::bytes(text.to_owned().into());
        self.streams.append(&channel, addition).await.expect("appended").tail
    }
}

pub const DS: &str = "/v1/stream/__ds/subscriptions";

pub async fn until(ask: impl AsyncFn() -> bool) {
    let waiting = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it happens");
}

/// A token for somebody who may do everything with streams.
pub fn token(user: &str) -> String {
    let config = Config::parse_from(["messages", "--auth-secret", SECRET]);
    let issuer = Issuer::new(&config.auth.keys, &SystemClock).expect("keys");
    let order = Order { subject: user.into(), ttl: Duration::from_secs(3600) };
    let all = || vec!["**".parse().expect("a pattern")];
    let grants = Grants { read: all(), write: all(), manage: all() };
    issuer.token(&order, &grants).expect("a token")
}
