//! A server that is little more than its subscriptions: over a journal and a store in memory, with a
//! clock that only the test moves and a webhook that does what the test says.

use super::memory_store::MemoryStore;
use bytes::Bytes;
use futures::future::BoxFuture;
use messages::{
    budget::Budget,
    channel::WindowMemory,
    clock::Clock,
    committer::{Commits, Committer},
    flusher::Flusher,
    journal::{Mark, MemoryJournal},
    model::{Offset, StreamId},
    store::{Store, SubscriptionStore},
    stream::{Addition, Ground, StreamError, Streams},
    subscription::{
        Ack, Chance, Config, Hook, Members, Parts, Report, SubscriptionError, Subscriptions,
    },
    webhook::{Letter, Post, PostError, RejectedUrl, Reply},
};
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

#[derive(Default)]
struct Counter(AtomicU64);

impl Chance for Counter {
    fn bits(&self) -> u128 {
        u128::from(self.0.fetch_add(1, SeqCst))
    }
}

pub type Answering = oneshot::Sender<Result<Reply, PostError>>;

/// Hands every letter to the test, which answers it.
struct TestPost(mpsc::UnboundedSender<(Letter, Answering)>);

impl Post for TestPost {
    fn check(&self, _: &str) -> Result<(), RejectedUrl> {
        Ok(())
    }

    fn post(&self, letter: Letter) -> BoxFuture<'_, Result<Reply, PostError>> {
        let (answer, answered) = oneshot::channel();
        self.0.send((letter, answer)).expect("the test takes letters");
        Box::pin(async { answered.await.unwrap_or(Err(PostError::Timeout)) })
    }
}

/// Whether those who take part do, which the test says.
#[derive(Default)]
pub struct TestMembers(pub Mutex<Option<Hook>>);

impl Members for TestMembers {
    fn keep<'a>(&'a self, hook: &'a Hook) -> BoxFuture<'a, Result<bool, StreamError>> {
        let kept = self.0.lock().unwrap().as_ref() == Some(hook);
        Box::pin(async move { Ok(kept) })
    }
}

/// One run of a server.
pub struct Run {
    pub store: Arc<MemoryStore>,
    pub clock: Arc<TestClock>,
    pub streams: Arc<Streams>,
    pub commits: Arc<Commits>,
    pub committer: JoinHandle<()>,
    pub flusher: Flusher,
    pub subscriptions: Arc<Subscriptions>,
    pub letters: mpsc::UnboundedReceiver<(Letter, Answering)>,
    pub members: Arc<TestMembers>,
    pub stop: CancellationToken,
}

impl Run {
    pub async fn start(store: &Arc<MemoryStore>, clock: &Arc<TestClock>) -> Self {
        let dyn_store: Arc<dyn Store> = store.clone();
        let (budget, memory) = (Budget::new(64 << 20), WindowMemory::new(1 << 20));
        let commits = Commits::new(Mark(0), u64::MAX);
        let start = store.count_start().await.unwrap();
        let streams = Arc::new(Streams::new(Ground {
            store: dyn_store.clone(),
            commits: commits.clone(),
            budget: budget.clone(),
            memory: memory.clone(),
            clock: clock.clone(),
            start,
            stream_bytes_max: 1 << 30,
        }));
        let committer = Committer::new(commits.clone(), Box::new(MemoryJournal::new(Mark(0))));
        let committer = std::thread::spawn(move || committer.run());
        let flusher = Flusher::new(dyn_store.clone(), commits.clone(), budget, memory);
        let (post, letters) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let members = Arc::new(TestMembers::default());
        let parts = Parts {
            members: members.clone(),
            streams: streams.clone(),
            store: dyn_store,
            commits: commits.clone(),
            clock: clock.clone(),
            chance: Arc::new(Counter::default()),
            post: Arc::new(TestPost(post)),
            public_url: None,
            tenure: None,
        };
        let subscriptions = Subscriptions::new(parts, stop.clone());
        tokio::spawn(subscriptions.clone().run(StreamId(u64::from(start) << 32)));
        let (store, clock) = (store.clone(), clock.clone());
        Self {
            store,
            clock,
            streams,
            commits,
            committer,
            flusher,
            subscriptions,
            letters,
            members,
            stop,
        }
    }

    pub async fn new() -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(1_000_000)));
        Self::start(&Arc::new(MemoryStore::default()), &clock).await
    }

    /// Everything that was acknowledged is stored, nothing else is said to anybody.
    pub async fn crash(mut self) -> Self {
        self.flusher.flush().await.unwrap();
        self.stop.cancel();
        self.subscriptions.ended().await;
        self.commits.stop();
        self.committer.join().unwrap();
        Self::start(&self.store, &self.clock).await
    }

    pub async fn append(&self, name: &str, text: &str) -> Offset {
        let name = name.parse().unwrap();
        let found = self.streams.find_or_create(&name, "text/plain", false).await;
        let (channel, _) = found.unwrap();
        let addition = Addition::bytes(text.to_owned().into());
        self.streams.append(&channel, addition).await.unwrap().tail
    }

    /// Makes a stream that takes wake events.
    pub async fn wake_stream(&self, name: &str) {
        let name = name.parse().unwrap();
        self.streams.find_or_create(&name, "application/json", false).await.unwrap();
    }

    pub async fn put(&self, id: &str, json: &str) -> Result<bool, SubscriptionError> {
        let config = Config::parse(json.as_bytes()).unwrap();
        let put = self.subscriptions.put(id.parse().unwrap(), config, "http://test".into());
        put.await.map(|(created, _)| created)
    }

    pub async fn webhook(&self, id: &str, pattern: &str) {
        let json = format!(
            r#"{{"type":"webhook","pattern":"{pattern}","webhook":{{"url":"{id}"}},"lease_ttl_ms":1000}}"#
        );
        assert_eq!(self.put(id, &json).await, Ok(true));
    }

    pub async fn pull(&self, id: &str, pattern: &str, wake_stream: &str) {
        let json = format!(
            r#"{{"type":"pull-wake","pattern":"{pattern}","wake_stream":"{wake_stream}","lease_ttl_ms":1000}}"#
        );
        assert_eq!(self.put(id, &json).await, Ok(true));
    }

    pub async fn get(&self, id: &str) -> Value {
        let description = self.subscriptions.get(id.parse().unwrap(), "http://test".into()).await;
        serde_json::to_value(description.unwrap()).unwrap()
    }

    pub async fn acked(&self, id: &str, stream: &str) -> String {
        let description = self.get(id).await;
        let streams = description["streams"].as_array().unwrap();
        let link = streams.iter().find(|link| link["path"] == stream);
        link.map_or(String::new(), |link| link["acked_offset"].as_str().unwrap().to_owned())
    }

    pub async fn claim(&self, id: &str, worker: &str) -> Result<Value, SubscriptionError> {
        let claimed = self.subscriptions.claim(id.parse().unwrap(), worker.into()).await?;
        Ok(serde_json::to_value(claimed).unwrap())
    }

    /// The next call of a webhook.
    pub async fn letter(&mut self) -> (Value, Answering) {
        let letter = timeout(PATIENCE, self.letters.recv()).await.expect("a letter").unwrap();
        (serde_json::from_slice(&letter.0.body).unwrap(), letter.1)
    }

    pub async fn no_letter(&mut self) {
        self.settled().await;
        assert!(self.letters.try_recv().is_err(), "a letter that nobody expects");
    }

    /// Waits until so much of a stream is processed, and stored as such.
    pub async fn until_acked(&self, id: &str, stream: &str, offset: Offset) {
        let ask = async || self.acked(id, stream).await == offset.to_string();
        until(ask).await;
    }

    /// Waits until a subscription says this of itself.
    pub async fn until_status(&self, id: &str, status: &str) {
        until(async || self.get(id).await["status"] == status).await;
    }

    /// Waits until the store has the wake of a subscription at this stage.
    pub async fn until_stage(&self, id: &str, stage: &str) {
        until(async || {
            let rows = self.store.subscriptions().await.unwrap();
            let row = rows.into_iter().find(|row| row.id == id).expect("stored");
            row.state.contains(stage)
        })
        .await;
    }

    /// Gives everything that can happen now the time to happen. For what must not happen; whoever
    /// waits for something waits for that.
    pub async fn settled(&self) {
        self.subscriptions.nudge();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    pub fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, SeqCst);
        self.subscriptions.nudge();
    }

    /// The messages of a stream.
    pub async fn messages(&self, name: &str) -> Vec<Value> {
        let channel = self.streams.find(&name.parse().unwrap()).await.unwrap();
        let (mut cursor, status) = self.streams.read(channel, 0).await.unwrap();
        let mut text = Vec::new();
        while (text.len() as u64) < status.tail.bytes {
            let messages::stream::Piece::Data(part) = cursor.next().await.unwrap() else { break };
            text.extend_from_slice(&part.bytes);
        }
        let text = String::from_utf8(text).unwrap();
        serde_json::from_str(&format!("[{}]", text.trim_end_matches(','))).unwrap()
    }

    pub async fn events(&self, name: &str, count: usize) -> Vec<Value> {
        let waiting = async {
            loop {
                let events = self.messages(name).await;
                if events.len() >= count {
                    return events;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("so many events")
    }
}

pub async fn until(ask: impl AsyncFn() -> bool) {
    let waiting = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it happens");
}

pub fn done(answer: Answering) {
    let body = Bytes::from_static(br#"{"done":true}"#);
    let _ = answer.send(Ok(Reply { status: 200, body }));
}

pub fn report(wake: &Value, token: &str, acks: &[(&str, Offset)], done: bool) -> Report {
    let ack = |(stream, offset): &(&str, Offset)| Ack {
        stream: (*stream).into(),
        offset: offset.to_string(),
    };
    Report {
        token: wake[token].as_str().unwrap().into(),
        wake_id: wake["wake_id"].as_str().unwrap().into(),
        generation: wake["generation"].as_u64().unwrap(),
        acks: acks.iter().map(ack).collect(),
        done,
    }
}
