//! The shared log in Redis, or in anything that speaks like it: one server, one that sentinels
//! watch, or a cluster.
//!
//! A name belongs to one of 72 partitions, whose keys lie together ([`keys`]). Whatever is done to them is
//! a script ([`scripts`]), which begins with a look at the partition's marker: it holds the incarnation
//! that the database knows. So a server that has lost its data, or is another one, is never taken for
//! an empty log.

mod answer;
mod checks;
mod ears;
mod kept;
mod keys;
mod link;
mod scripts;
mod servers;
mod target;
mod work;

use super::{
    Added, Addition, Answer, Claimed, Head, Known, LogError, LogStats, Logged, Memory, Node, Scope,
    SharedLog, Terms, Unstored, Wake, Work,
};
use crate::{limits::WAKE_BYTES_MAX, model::StreamName};
use answer::Reply;
use bytes::Bytes;
use ears::Ears;
use futures::{FutureExt, future::try_join_all};
use keys::{Keys, Partition, partitions};
use scripts::{Call, Script};
use servers::Servers;
use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use target::Target;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How a node finds its log in Redis.
pub struct RedisOptions {
    /// `redis://[user:password@]host:port[/db]`,
    /// `redis+sentinel://[user:password@]sentinel:port,sentinel:port/master-name` or
    /// `redis+cluster://[user:password@]host:port,host:port`; with `rediss` over TLS.
    /// Sentinels are asked without a password.
    pub url: String,
    /// Certificates (PEM) of the authority of its own one, if that is not one that everybody knows.
    pub authority: Option<Vec<u8>>,
    /// What all keys begin with, so that several can share a server.
    pub prefix: String,
    /// What the database calls the log that belongs to it. It has only one, which must not be lost.
    pub incarnation: String,
    /// The log may be new: then it is made. Otherwise it must be there.
    pub fresh: bool,
    /// What was added is confirmed only when so many replicas have it; 0 asks for none.
    pub wait_replicas: u32,
    /// How long to wait for them, in milliseconds; at most 1500.
    pub wait_ms: u64,
    /// How long it holds what. All nodes must agree on it.
    pub terms: Terms,
}

impl RedisOptions {
    /// What is usual.
    #[must_use]
    pub fn new(url: &str, incarnation: &str) -> Self {
        Self {
            url: url.to_owned(),
            authority: None,
            prefix: "messages".to_owned(),
            incarnation: incarnation.to_owned(),
            fresh: false,
            wait_replicas: 0,
            wait_ms: 1_000,
            terms: Terms::default(),
        }
    }
}

/// An answer must be there before the connection is given up.
const WAIT_MS_MAX: u64 = 1_500;

/// A node's connections to the log in Redis. See [`SharedLog`].
pub struct RedisLog {
    servers: Arc<Servers>,
    keys: Arc<Keys>,
    ears: Arc<Ears>,
    wakes: Mutex<Option<mpsc::UnboundedReceiver<Wake>>>,
    incarnation: String,
    replicas: Option<(u32, Duration)>,
    terms: Terms,
    stats: Arc<LogStats>,
    /// When to look next, by scope, for work that was taken and not done.
    reclaim: [Mutex<Option<Instant>>; 2],
    _end: DropGuard,
}

impl RedisLog {
    /// Connects, and makes sure that this is the log that belongs to the database.
    ///
    /// # Errors
    /// [`LogError::Unfit`] for a URL that is none, and for a server that is too old or does not let us
    /// in; [`LogError::Lost`] when it is not the log of this incarnation, or not all of it is there;
    /// [`LogError::Unavailable`] when it does not answer now.
    pub async fn open(options: RedisOptions) -> Result<Self, LogError> {
        let keys = Arc::new(Keys::new(&options.prefix));
        let servers = Arc::new(
            Servers::find(Target::parse(&options.url, options.authority)?, &options.prefix).await?,
        );
        let (sender, wakes) = mpsc::unbounded_channel();
        let end = CancellationToken::new();
        let ears = Arc::new(Ears::new(servers.clone(), keys.clone(), sender, end.clone()));
        let wait = Duration::from_millis(options.wait_ms.min(WAIT_MS_MAX));
        let stats = servers.stats().clone();
        let log = Self {
            servers,
            keys,
            ears,
            wakes: Mutex::new(Some(wakes)),
            incarnation: options.incarnation,
            replicas: (options.wait_replicas > 0).then_some((options.wait_replicas, wait)),
            terms: options.terms,
            stats,
            reclaim: Default::default(),
            _end: end.clone().drop_guard(),
        };
        try_join_all(log.servers.all().iter().map(|link| checks::check(link))).await?;
        log.check_markers(options.fresh).await?;
        let (servers, ears) = (log.servers.clone(), log.ears.clone());
        let follow = async move { tokio::join!(servers.follow(), ears.follow()) };
        tokio::spawn(async move { end.run_until_cancelled(follow).await });
        Ok(log)
    }

    async fn check_markers(&self, fresh: bool) -> Result<(), LogError> {
        let script: &'static Script = if fresh { &scripts::MARK } else { &scripts::MARKED };
        let all = 0..keys::PARTITIONS;
        let mark = |p| self.ask(p, self.script(script, p, &[self.keys.work(p)]));
        try_join_all(all.map(mark)).await.map(|_| ())
    }

    /// A script of a partition: the first key of each is the marker, the first argument what it holds.
    fn script(&self, script: &'static Script, partition: Partition, keys: &[String]) -> Call {
        let mut all = vec![self.keys.marker(partition)];
        all.extend_from_slice(keys);
        script.call(&all).arg(&self.incarnation)
    }

    async fn ask(&self, partition: Partition, call: Call) -> Result<Reply, LogError> {
        Reply::of(self.servers.call(partition, &call, None).await?)
    }

    /// The same script in every partition of a scope.
    async fn ask_all(
        &self,
        scope: Scope,
        call: impl Fn(Partition) -> Call,
    ) -> Result<Vec<(Partition, Reply)>, LogError> {
        let asked = partitions(scope).map(|p| {
            let call = call(p);
            async move { Ok((p, self.ask(p, call).await?)) }
        });
        try_join_all(asked).await
    }
}

/// What belongs to a name.
impl RedisLog {
    async fn head_of(&self, name: &StreamName) -> Result<Option<Head>, LogError> {
        let partition = Keys::partition(name);
        let call = self.script(&scripts::HEAD, partition, &[self.keys.head(name)]);
        self.ask(partition, call).await?.head_if_hot()
    }

    async fn claim_for(&self, name: &StreamName, claim: u64) -> Result<Claimed, LogError> {
        self.stats.claims.one();
        let partition = Keys::partition(name);
        let keys = [self.keys.head(name), self.keys.claim(name)];
        let call = self.script(&scripts::CLAIM, partition, &keys);
        self.ask(partition, call.arg(claim).arg(self.terms.claim_ms)).await?.claimed()
    }

    async fn add_to(
        &self,
        name: &StreamName,
        known: Known,
        addition: Addition,
    ) -> Result<Added, LogError> {
        let partition = Keys::partition(name);
        let call = self.addition(partition, name, known, &addition);
        let answer = self.servers.call(partition, &call, self.replicas).await?;
        let mut reply = Reply::of(answer)?;
        match reply.word.as_str() {
            "done" => {
                self.stats.adds.one();
                self.stats.added_bytes.add(bytes_of(&addition) as u64);
                reply.head().map(Added::Done)
            }
            "moved" => {
                self.stats.conflicts.one();
                reply.head().map(Added::Moved)
            }
            _ => Ok(Added::Cold),
        }
    }

    fn addition(
        &self,
        partition: Partition,
        name: &StreamName,
        known: Known,
        addition: &Addition,
    ) -> Call {
        let (claim, life, version) = match known {
            Known::Last { life, version } => ("last".to_owned(), life, version),
            Known::Claimed { claim, life, version } => (claim.to_string(), life, version),
        };
        let keys = [
            self.keys.head(name),
            self.keys.log(name),
            self.keys.claim(name),
            self.keys.work(partition),
        ];
        let call = self
            .script(&scripts::ADD, partition, &keys)
            .arg(name.as_str())
            .arg(self.keys.channel(name))
            .arg(self.keys.all(partition))
            .arg(claim)
            .arg(life.0)
            .arg(version)
            .arg(addition.life.0)
            .arg(version + addition.skip + addition.changes.len() as u64)
            .arg(addition.expires_ms.map(|ms| ms.to_string()).unwrap_or_default())
            .arg(u8::from(bytes_of(addition) <= WAKE_BYTES_MAX));
        addition.changes.iter().fold(call, |call, change| call.arg(change.deref()))
    }

    async fn changes(
        &self,
        name: &StreamName,
        after: u64,
        bytes_max: usize,
    ) -> Result<Vec<Logged>, LogError> {
        let partition = Keys::partition(name);
        let call = self.script(&scripts::READ, partition, &[self.keys.log(name)]);
        self.stats.reads.one();
        self.ask(partition, call.arg(after.saturating_add(1)).arg(bytes_max)).await?.logged()
    }

    async fn listen_to(&self, name: &StreamName, listen: bool) -> Result<(), LogError> {
        let partition = Keys::partition(name);
        self.check(partition).await?;
        self.ears.want(partition, self.keys.channel(name), listen).await
    }

    /// A subscription touches no key, so it would not notice that the log is another one.
    async fn check(&self, partition: Partition) -> Result<(), LogError> {
        self.ask(partition, self.script(&scripts::MARKED, partition, &[])).await.map(|_| ())
    }
}

fn bytes_of(addition: &Addition) -> usize {
    addition.changes.iter().map(Bytes::len).sum()
}

/// What belongs to no name.
impl RedisLog {
    /// Nodes are known in one place.
    const NODES: Partition = 0;

    async fn hear_all(&self, hear: bool) -> Result<(), LogError> {
        let each = (0..keys::PARTITIONS).map(|p| async move {
            self.check(p).await?;
            self.ears.want(p, self.keys.all(p), hear).await
        });
        try_join_all(each).await.map(|_| ())
    }

    async fn say_to(&self, topic: &str, words: &[u8]) -> Result<(), LogError> {
        let partition = Keys::partition_of(topic);
        let call = self.script(&scripts::SAY, partition, &[]);
        self.ask(partition, call.arg(self.keys.topic(topic)).arg(words)).await.map(|_| ())
    }

    async fn hear_topic(&self, topic: &str) -> Result<(), LogError> {
        let partition = Keys::partition_of(topic);
        self.check(partition).await?;
        self.ears.want(partition, self.keys.topic(topic), true).await
    }

    async fn fullest(&self) -> Result<Memory, LogError> {
        self.check(Self::NODES).await?;
        let links = self.servers.all();
        let all = try_join_all(links.iter().map(|link| checks::memory(link))).await?;
        // Without a limit a server is never full, but the one that uses most is the one to know.
        let fullness = |m: &Memory| (m.used_bytes as f64 / m.max_bytes.max(1) as f64, m.used_bytes);
        let fullest = all.into_iter().max_by(|a, b| {
            let (a_limited, b_limited) = (a.max_bytes > 0, b.max_bytes > 0);
            a_limited.cmp(&b_limited).then(fullness(a).0.total_cmp(&fullness(b).0))
        });
        Ok(fullest.unwrap_or_default())
    }

    async fn tell_alive(&self, start: u32, ms: u128, info: &str) -> Result<(), LogError> {
        let call = self.script(&scripts::ALIVE, Self::NODES, &[self.keys.nodes(Self::NODES)]);
        let call = call.arg(start).arg(ms as u64).arg(info);
        self.ask(Self::NODES, call).await.map(|_| ())
    }

    async fn living(&self) -> Result<Vec<Node>, LogError> {
        let call = self.script(&scripts::NODES, Self::NODES, &[self.keys.nodes(Self::NODES)]);
        let mut nodes = Vec::new();
        for (start, info) in self.ask(Self::NODES, call).await?.pairs()? {
            let start = start.parse().map_err(|_| answer::corrupt("the number of a node"))?;
            nodes.push(Node { start, info });
        }
        nodes.sort_by_key(|node| node.start);
        Ok(nodes)
    }
}

impl SharedLog for RedisLog {
    fn stats(&self) -> Arc<LogStats> {
        self.stats.clone()
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    fn head<'a>(&'a self, name: &'a StreamName) -> Answer<'a, Option<Head>> {
        self.head_of(name).boxed()
    }

    fn claim<'a>(&'a self, name: &'a StreamName, claim: u64) -> Answer<'a, Claimed> {
        self.claim_for(name, claim).boxed()
    }

    fn add<'a>(
        &'a self,
        name: &'a StreamName,
        known: Known,
        addition: Addition,
    ) -> Answer<'a, Added> {
        self.add_to(name, known, addition).boxed()
    }

    fn read<'a>(
        &'a self,
        name: &'a StreamName,
        after: u64,
        bytes_max: usize,
    ) -> Answer<'a, Vec<Logged>> {
        self.changes(name, after, bytes_max).boxed()
    }

    fn follow<'a>(&'a self, name: &'a StreamName) -> Answer<'a, ()> {
        self.listen_to(name, true).boxed()
    }

    fn unfollow<'a>(&'a self, name: &'a StreamName) -> Answer<'a, ()> {
        self.listen_to(name, false).boxed()
    }

    fn watch_all(&self, watch: bool) -> Answer<'_, ()> {
        self.hear_all(watch).boxed()
    }

    fn wakes(&self) -> Option<mpsc::UnboundedReceiver<Wake>> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn say<'a>(&'a self, topic: &'a str, words: Bytes) -> Answer<'a, ()> {
        async move { self.say_to(topic, &words).await }.boxed()
    }

    fn listen<'a>(&'a self, topic: &'a str) -> Answer<'a, ()> {
        self.hear_topic(topic).boxed()
    }

    fn keep<'a>(&'a self, key: &'a str, value: Bytes, ttl: Duration) -> Answer<'a, ()> {
        async move { self.put_away(key, value, ttl).await }.boxed()
    }

    fn take_kept<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Bytes>> {
        self.take_away(key).boxed()
    }

    fn take_work(&self, scope: Scope, limit: usize) -> Answer<'_, Vec<Work>> {
        self.take(scope, limit).boxed()
    }

    fn done<'a>(&'a self, work: &'a Work, stored: u64, news: u64) -> Answer<'a, Option<Head>> {
        self.end(work, stored, news).boxed()
    }

    fn unstored(&self, scope: Scope) -> Answer<'_, Unstored> {
        self.unstored_in(scope).boxed()
    }

    fn is_stored<'a>(&'a self, unstored: &'a Unstored) -> Answer<'a, bool> {
        self.all_stored(unstored).boxed()
    }

    fn unstored_names(&self, scope: Scope) -> Answer<'_, Vec<StreamName>> {
        self.names(scope).boxed()
    }

    fn memory(&self) -> Answer<'_, Memory> {
        self.fullest().boxed()
    }

    fn alive<'a>(&'a self, node: &'a Node, ttl: Duration) -> Answer<'a, ()> {
        self.tell_alive(node.start, ttl.as_millis(), &node.info).boxed()
    }

    fn gone(&self, start: u32) -> Answer<'_, ()> {
        async move { self.tell_alive(start, 0, "").await }.boxed()
    }

    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        self.living().boxed()
    }
}
