//! Nodes of one process, on a shared log in memory and one database, without HTTP before them.

use super::{clock::ManualClock, postgres, redis_servers};
use messages::{
    budget::Budget,
    channel::WindowMemory,
    chat::{
        Action, AttachmentRules, Chat, ChatError, ConversationName, Event, Letters, MessageId,
        NewConversation, NewMessage, Notice, Projection, Wanted,
    },
    cluster::{self, NodeFlusher},
    committer::Commits,
    journal::{Mark, MemoryJournal},
    shared_log::{Faults, MemoryLog, Node as LogNode, RedisSettings, SharedLog, Terms},
    store::{self, Database},
    stream::{Cursor, Ground, Piece, StreamError, Streams},
};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// What nodes have in common.
pub struct Common {
    _home: TempDir,
    log: MemoryLog,
    /// In place of that.
    redis: Option<RedisSettings>,
    pub database: Arc<dyn Database>,
    pub clock: Arc<ManualClock>,
    /// Bytes that all streams of a node may keep in memory.
    pub window_bytes: usize,
}

/// Nothing goes wrong.
pub struct NoFaults;

impl Faults for NoFaults {}

impl Common {
    pub async fn new() -> Self {
        Self::with(Terms::default(), NoFaults).await
    }

    pub async fn with(terms: Terms, faults: impl Faults + 'static) -> Self {
        let home = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", home.path().join("db").display());
        let database = store::open(&url).await.unwrap();
        Self::on(home, database, terms, faults)
    }

    pub async fn on_postgres() -> Self {
        let database = store::open_shared(&postgres::database().await).await.unwrap();
        Self::on(tempfile::tempdir().unwrap(), database, Terms::default(), NoFaults)
    }

    /// On Postgres and the Redis at a URL.
    pub async fn on_redis(url: String) -> Self {
        let redis = RedisSettings {
            redis_url: Some(url),
            redis_ca_file: None,
            redis_prefix: redis_servers::prefix(),
            redis_bytes_max: 0,
            redis_wait_replicas: 0,
            redis_wait_ms: 1000,
            redis_accept_loss: false,
        };
        Self { redis: Some(redis), ..Self::on_postgres().await }
    }

    /// As if all connections had broken for a moment.
    pub fn interrupt(&self) {
        self.log.interrupt();
    }

    fn on(
        home: TempDir,
        database: Arc<dyn Database>,
        terms: Terms,
        faults: impl Faults + 'static,
    ) -> Self {
        let clock = ManualClock::new();
        let log = MemoryLog::with_faults(clock.clone(), terms, faults);
        Self { _home: home, log, redis: None, database, clock, window_bytes: 1 << 20 }
    }

    /// Streams of one more node, its handle of the log and its number.
    pub async fn streams(&self) -> (Arc<Streams>, Arc<dyn SharedLog>, u32) {
        let start = self.database.count_start().await.unwrap();
        let streams = Streams::new(Ground {
            start,
            store: self.database.clone(),
            commits: Commits::direct(Mark(0), u64::MAX, Box::new(MemoryJournal::new(Mark(0)))),
            budget: Budget::new(64 << 20),
            memory: WindowMemory::new(self.window_bytes),
            clock: self.clock.clone(),
            stream_bytes_max: 1 << 30,
        });
        let log: Arc<dyn SharedLog> = match &self.redis {
            Some(redis) => {
                let url = redis.redis_url.as_ref().unwrap();
                cluster::open_log(url, redis, None, &*self.database).await.unwrap()
            }
            None => Arc::new(self.log.node()),
        };
        (Arc::new(streams.sharing(log.clone(), self.database.clone())), log, start)
    }

    pub async fn nodes<const N: usize>(&self) -> [Node; N] {
        let mut nodes = Vec::new();
        for _ in 0..N {
            nodes.push(Node::start(self).await);
        }
        nodes.try_into().ok().unwrap()
    }
}

/// One node. Dropped, it is gone as if it had been killed.
pub struct Node {
    pub streams: Arc<Streams>,
    pub chat: Arc<Chat>,
    pub log: Arc<dyn SharedLog>,
    pub number: u32,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Node {
    pub async fn start(common: &Common) -> Self {
        Self::start_with(common, true).await
    }

    /// One that hears of a conversation only when somebody does something with it there.
    pub async fn without_flusher(common: &Common) -> Self {
        Self::start_with(common, false).await
    }

    async fn start_with(common: &Common, flushes: bool) -> Self {
        let (streams, log, start) = common.streams().await;
        let shared = streams.shared().unwrap().clone();
        let (clock, rules) =
            (common.clock.clone(), AttachmentRules { types: Vec::new(), bytes_max: 1 << 20 });
        let chat = Chat::new(streams.clone(), common.database.clone(), clock, rules);
        let flusher =
            NodeFlusher::new(shared.clone(), common.database.clone(), common.database.clone())
                .projecting(Arc::new(Projection));
        let stop = CancellationToken::new();
        let mut tasks = vec![
            tokio::spawn(shared.run(stop.clone())),
            tokio::spawn(chat.clone().run(stop.clone())),
        ];
        if flushes {
            let flushing = flusher.run(Duration::from_millis(20), stop.clone());
            tasks.push(tokio::spawn(flushing));
        }
        let node = Self { streams, chat, log, number: start, tasks, stop };
        node.says_that_it_lives().await;
        node
    }

    /// For an hour of the clock.
    pub async fn says_that_it_lives(&self) {
        let node = LogNode { start: self.number, info: String::new() };
        self.log.alive(&node, Duration::from_secs(3600)).await.unwrap();
    }

    /// It stops as it should.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            task.await.unwrap();
        }
        self.log.gone(self.number).await.unwrap();
    }

    pub async fn create(&self, owner: &str, called: &str, others: &[&str]) {
        self.create_with(owner, called, others, None).await;
    }

    pub async fn create_with(
        &self,
        owner: &str,
        called: &str,
        others: &[&str],
        settings: Option<serde_json::Value>,
    ) {
        let new = NewConversation {
            name: Some(name(called)),
            title: None,
            participants: others.iter().map(|user| (*user).to_owned()).collect(),
            settings,
        };
        self.chat.create(&owner.into(), new).await.unwrap();
    }

    /// Returns the position.
    pub async fn say(&self, user: &str, to: &str, text: &str) -> Result<u64, ChatError> {
        let sent = self.chat.send(&user.into(), &name(to), message(text)).await?;
        Ok(sent.message.position)
    }

    pub async fn act(&self, user: &str, on: &str, action: Action) -> Result<u64, ChatError> {
        Ok(self.chat.act(&user.into(), &name(on), action).await?.position)
    }

    pub async fn act_on(
        &self,
        user: &str,
        on: &str,
        position: u64,
        action: Action,
    ) -> Result<u64, ChatError> {
        let id = MessageId { conversation: name(on), position };
        Ok(self.chat.act_on(&user.into(), &id, action).await?.position)
    }

    /// What the messages of a conversation say, in order.
    pub async fn texts(&self, user: &str, of: &str) -> Result<Vec<String>, ChatError> {
        let wanted = Wanted { limit: 1000, ..Wanted::default() };
        let found = self.chat.messages(user, &name(of), &wanted).await?;
        Ok(found.into_iter().map(|message| message.text).collect())
    }

    pub async fn unread(&self, user: &str) -> u64 {
        self.chat.unread(user).await.unwrap().iter().map(|one| one.unread).sum()
    }

    /// A reader of the events of a conversation.
    pub async fn reader(&self, user: &str, of: &str) -> Result<Cursor, ChatError> {
        let readable = self.chat.readable(&user.into(), &name(of)).await?;
        let channel = readable.conversation.channel().clone();
        let (cursor, _) = self.streams.read(channel, readable.from.bytes).await?;
        Ok(cursor.within(readable.reach))
    }
}

pub fn name(text: &str) -> ConversationName {
    text.parse().unwrap()
}

pub fn message(text: &str) -> NewMessage {
    NewMessage { text: text.to_owned(), ..NewMessage::default() }
}

pub fn add(user: &str) -> Action {
    Action::Add { user: user.into(), role: None, invite: false }
}

pub fn remove(user: &str) -> Action {
    Action::Remove { user: user.into() }
}

/// All events until the reader may read no further, and why; `None` for the end of everything.
pub async fn read_to_end(mut cursor: Cursor) -> (Vec<Event>, Option<StreamError>) {
    let mut text = Vec::new();
    let error = loop {
        match tokio::time::timeout(PATIENCE, cursor.next()).await.expect("in time") {
            Ok(Piece::Data(part)) => text.extend_from_slice(&part.bytes),
            Ok(Piece::End(_)) => break None,
            Err(error) => break Some(error),
        }
    };
    (events(&text), error)
}

/// Everything that is there without waiting, as far as it may be read.
pub async fn read_now(cursor: &mut Cursor) -> Vec<Event> {
    let mut text = Vec::new();
    while let Ok(Some(Piece::Data(part))) = cursor.ready().await {
        text.extend_from_slice(&part.bytes);
    }
    events(&text)
}

fn events(text: &[u8]) -> Vec<Event> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let text = format!("[{}]", text.trim_end_matches(','));
    serde_json::from_str(&text).unwrap()
}

/// What a socket is told next, but that it may have missed something.
pub async fn told(letters: &mut Letters) -> Notice {
    loop {
        let notice = tokio::time::timeout(PATIENCE, letters.next()).await.expect("in time");
        match notice.expect("a socket") {
            Notice::Missed => {}
            notice => return notice,
        }
    }
}

/// Waits for a frame that fits.
pub async fn frame(letters: &mut Letters, fits: impl Fn(&serde_json::Value) -> bool) {
    let mut others = Vec::new();
    for _ in 0..100 {
        let waiting = tokio::time::timeout(PATIENCE, told(letters)).await;
        let Ok(notice) = waiting else { break };
        if let Notice::Frame(text) = &notice
            && fits(&serde_json::from_str(text).unwrap())
        {
            return;
        }
        others.push(notice);
    }
    panic!("nothing fits among {others:?}");
}

/// Waits until something is so.
pub async fn soon<T, F: Future<Output = Option<T>>>(mut what: impl FnMut() -> F) -> T {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = what().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < until, "it does not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
