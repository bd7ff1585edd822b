//! The only directory that sees all parts: it builds them, starts them, and stops them in order.

mod open;

use crate::{
    auth::Auth,
    budget::Budget,
    channel::WindowMemory,
    chat::{AttachmentRules, Chat, Projection, Webhooks},
    clock::{Clock, SystemClock},
    cluster::{NodeFlusher, Nodes, Shares, Waking, Watch},
    committer::{Commits, Committer},
    config::Config,
    flusher::Flusher,
    http::{self, App, Gate, Services},
    journal::{FileJournal, Journal, MemoryJournal},
    limits::{FLUSH_EARLY_BYTES, REAP_PAUSE_MS, SWEEP_INTERVAL_MS},
    lock::FileLock,
    production::Productions,
    quota::Quotas,
    recovery,
    shared_log::{Node, SharedLog},
    store::{Database, Store, StoreError},
    stream::{Ground, Streams},
    subscription::{Parts, Subscriptions, SystemChance},
    traces::Traces,
    webhook::{Client, SystemResolver},
};
use anyhow::Context;
use open::{
    OpenJournal, complete, open_journal, open_log, open_store, open_tls, open_traces, take_data_dir,
};
use std::{net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};
use tokio::{task, time::Instant};
use tokio_util::sync::CancellationToken;

/// Producers that were sent away get this long to take their answer.
const SEND_AWAY_WAIT: Duration = Duration::from_secs(2);

/// A server at work.
pub struct Server {
    address: SocketAddr,
    drain: Duration,
    app: App,
    listener: task::JoinHandle<()>,
    stop_listening: CancellationToken,
    stop_productions: CancellationToken,
    send_away: CancellationToken,
    commits: Arc<Commits>,
    committer: JoinHandle<()>,
    flusher: task::JoinHandle<Result<(), StoreError>>,
    stop_flusher: CancellationToken,
    /// What it does for other nodes.
    nodes: Vec<task::JoinHandle<()>>,
    stop_nodes: CancellationToken,
    sweeper: task::JoinHandle<()>,
    key_keeper: task::JoinHandle<()>,
    tls_keeper: Option<task::JoinHandle<()>>,
    /// Those of the only server, or what works on them when it is this node's turn.
    subscriptions: Option<Arc<Subscriptions>>,
    worker: Option<task::JoinHandle<()>>,
    stop_subscriptions: CancellationToken,
    chat_keeper: task::JoinHandle<()>,
    stop_chat: CancellationToken,
    store: Arc<dyn Store>,
    traces: Option<Arc<Traces>>,
    _lock: FileLock,
}

impl Server {
    /// Starts a server: takes the data directory and the database, brings back what the journal
    /// holds, and listens.
    ///
    /// # Errors
    /// Whatever keeps it from starting, said so that somebody can do something about it.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let began = Instant::now();
        config.auth.check_address(config.listen)?;
        let listener = http::bind(config.listen).with_context(|| {
            format!("cannot listen on {}: choose another --listen", config.listen)
        })?;
        let address = listener.local_addr()?;
        let (tls_keeper, tls) = open_tls(config)?.unzip();
        let traces = open_traces();
        let lock = take_data_dir(config)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let auth = Auth::new(&config.auth, clock.clone()).await?;
        let quotas = Arc::new(quotas(config));
        let store = open_store(config).await?;
        let OpenJournal { journal, mut replay, earlier } = open_journal(config)?;
        let start = store.count_start().await?;
        let now_ms = clock.now_ms();
        let log = open_log(config, &store, &mut replay, now_ms).await?;
        let auth = Arc::new(complete(auth, config, log.as_ref(), &store).await?);
        let commits = match journal {
            Some(_) => Commits::new(replay.mark, FLUSH_EARLY_BYTES as u64),
            None => {
                let journal = Box::new(MemoryJournal::new(replay.mark));
                Commits::direct(replay.mark, FLUSH_EARLY_BYTES as u64, journal)
            }
        };
        let core = Core::new(config, store.clone(), clock.clone(), start, commits, log);
        let stop_subscriptions = CancellationToken::new();
        let chat = Chat::new(core.streams.clone(), store.clone(), clock, attachments(config));
        let stop = stop_subscriptions.clone();
        let waking = core.waking(config, chat.clone(), start, stop)?;
        let first = core.streams.next_id();
        let recovered = recovery::recover(&*store, replay.changes, now_ms, &core.memory).await?;
        let (unstored, orphans) = (recovered.unstored(), recovered.orphans());
        recovered.install(&core.streams, &core.commits, &core.budget);
        let stop_nodes = CancellationToken::new();
        let (nodes, others) = core.join_others(config, (start, address), &quotas, &stop_nodes);
        let stop_flusher = CancellationToken::new();
        let flusher = core.flush(earlier, config.flush_interval(), &stop_flusher, &traces).await?;
        let Core { commits, streams, .. } = core;
        // Both are at work before anything is appended: a replay may have used up all room.
        let committer = start_committer(&commits, journal)?;
        let closed = if nodes.is_empty() {
            recovery::close_orphans(&streams, &*store, &orphans).await?
        } else {
            0
        };
        let sweeper = tokio::spawn(sweep(streams.clone(), quotas.clone()));
        let key_keeper = tokio::spawn({
            let auth = auth.clone();
            async move { auth.keep_fresh().await }
        });
        let stop_chat = CancellationToken::new();
        let chat_keeper = tokio::spawn(chat.clone().run(stop_chat.clone()));

        let stop_productions = CancellationToken::new();
        let productions = Arc::new(Productions::new(streams.clone(), stop_productions.clone()));
        let send_away = CancellationToken::new();
        let services = Services {
            streams,
            productions,
            webhooks: Webhooks::new(chat.clone(), waking.desk()),
            subscriptions: waking.desk(),
            forward: waking.forward(),
            chat,
            auth: Gate::new(auth, quotas),
            start,
            nodes: others,
            traces: traces.clone(),
        };
        let app = App::new(services, address, config, send_away.clone());
        let (subscriptions, worker) = waking.begin(first, http::answerer(app.clone()), &stop_nodes);
        let stop_listening = CancellationToken::new();
        let listener = tokio::spawn(http::serve(
            listener,
            http::service(app.clone()),
            http::Serving::new(config, tls),
            app.connections(),
            stop_listening.clone(),
        ));
        let tls_keeper = tls_keeper.map(|keeper| tokio::spawn(keeper.keep_fresh()));
        tracing::info!(
            start,
            unstored,
            closed,
            took_ms = began.elapsed().as_millis() as u64,
            "ready: {config:?}"
        );
        Ok(Self {
            address,
            drain: Duration::from_secs(config.drain_secs),
            app,
            listener,
            stop_listening,
            stop_productions,
            send_away,
            commits,
            committer,
            flusher,
            stop_flusher,
            nodes,
            stop_nodes,
            sweeper,
            key_keeper,
            tls_keeper,
            subscriptions,
            worker,
            stop_subscriptions,
            chat_keeper,
            stop_chat,
            store,
            traces,
            _lock: lock,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops in order: the productions close their streams; no new requests; readers get what there
    /// is and end; producers get some time to finish and are sent away then; everything queued is
    /// committed; everything committed is stored.
    ///
    /// # Errors
    /// The last flush failed. Nothing is lost: the journal has it.
    pub async fn stop(self) -> anyhow::Result<()> {
        tracing::info!("stopping");
        self.stop_productions.cancel();
        let closing = self.app.productions.ended();
        if tokio::time::timeout(self.drain, closing).await.is_err() {
            tracing::warn!("some productions could not be closed; the next start closes them");
        }
        self.app.streams.stop();
        self.stop_listening.cancel();
        let mut listener = self.listener;
        if tokio::time::timeout(self.drain, &mut listener).await.is_err() {
            tracing::warn!("some requests have not ended in time and are cut off");
            self.send_away.cancel();
            if tokio::time::timeout(SEND_AWAY_WAIT, &mut listener).await.is_err() {
                listener.abort();
            }
        }
        self.stop_subscriptions.cancel();
        if let Some(subscriptions) = &self.subscriptions {
            subscriptions.ended().await;
        }
        if let Some(worker) = self.worker {
            worker.await?;
        }
        // Before the committer: the last marks of readers have to be written.
        self.stop_chat.cancel();
        self.chat_keeper.await?;
        self.commits.stop();
        task::spawn_blocking(move || self.committer.join())
            .await?
            .map_err(|_| anyhow::anyhow!("the committer panicked"))?;
        if let Some(subscriptions) = &self.subscriptions {
            subscriptions.finish().await;
        }
        self.stop_flusher.cancel();
        let flushed = self.flusher.await?;
        self.stop_nodes.cancel();
        for node in self.nodes {
            node.await?;
        }
        self.sweeper.abort();
        self.key_keeper.abort();
        self.tls_keeper.inspect(task::JoinHandle::abort);
        self.store.close().await;
        if let Some(traces) = self.traces {
            traces.stop().await;
        }
        flushed.context("the last flush failed; the journal keeps what is missing")?;
        tracing::info!("stopped; everything is in the database");
        Ok(())
    }
}

/// What lies between HTTP and the journal.
struct Core {
    store: Arc<dyn Store>,
    budget: Budget,
    memory: Arc<WindowMemory>,
    commits: Arc<Commits>,
    streams: Arc<Streams>,
    database: Arc<dyn Database>,
}

impl Core {
    fn new(
        config: &Config,
        database: Arc<dyn Database>,
        clock: Arc<dyn Clock>,
        start: u32,
        commits: Arc<Commits>,
        log: Option<Arc<dyn SharedLog>>,
    ) -> Self {
        let store: Arc<dyn Store> = database.clone();
        let budget = Budget::new(config.unstored_bytes_max as usize);
        let memory = WindowMemory::new(config.window_bytes_max);
        let streams = Streams::new(Ground {
            store: store.clone(),
            commits: commits.clone(),
            budget: budget.clone(),
            memory: memory.clone(),
            clock,
            start,
            stream_bytes_max: config.stream_bytes_max,
        });
        let streams = streams.paced(config.catchup_bytes_per_sec_max);
        let streams = Arc::new(match log {
            Some(log) => streams.sharing(log, database.clone()),
            None => streams,
        });
        Self { store, budget, memory, commits, streams, database }
    }

    /// Subscriptions to these streams, which do nothing yet.
    fn waking(
        &self,
        config: &Config,
        chat: Arc<Chat>,
        start: u32,
        stop: CancellationToken,
    ) -> anyhow::Result<Waking> {
        let client = Client::new(config.webhook_allow_loopback(), Box::new(SystemResolver))?;
        let parts = Parts {
            streams: self.streams.clone(),
            store: self.store.clone(),
            commits: self.commits.clone(),
            clock: Arc::new(SystemClock),
            chance: Arc::new(SystemChance::default()),
            members: chat,
            post: Arc::new(client),
            public_url: config.public_url.clone(),
            tenure: None,
        };
        Ok(Waking::new(parts, self.database.clone(), start, stop))
    }

    /// Begins to flush, until `stop`.
    async fn flush(
        &self,
        earlier: Option<FileJournal>,
        interval: Duration,
        stop: &CancellationToken,
        traces: &Option<Arc<Traces>>,
    ) -> anyhow::Result<task::JoinHandle<Result<(), StoreError>>> {
        let Some(shared) = self.streams.shared() else {
            let flusher = self.flusher(earlier).await?.traced(traces.clone());
            return Ok(tokio::spawn(flusher.run(interval, stop.clone())));
        };
        if let Some(earlier) = earlier {
            earlier.remove().context("cannot remove the journal from before there were nodes")?;
        }
        let flusher = NodeFlusher::new(shared.clone(), self.store.clone(), self.database.clone())
            .projecting(Arc::new(Projection))
            .traced(traces.clone());
        let stop = stop.clone();
        Ok(tokio::spawn(async move {
            flusher.run(interval, stop).await;
            Ok(())
        }))
    }

    /// Begins to hear of other nodes, and lets them know of this one.
    fn join_others(
        &self,
        config: &Config,
        (start, address): (u32, SocketAddr),
        quotas: &Arc<Quotas>,
        stop: &CancellationToken,
    ) -> (Vec<task::JoinHandle<()>>, Option<Arc<Nodes>>) {
        let Some(shared) = self.streams.shared() else { return (Vec::new(), None) };
        let watch = Watch {
            streams: self.streams.clone(),
            shared: shared.clone(),
            store: self.store.clone(),
            node: Node { start, info: address.to_string() },
            log_bytes_max: config.redis.redis_bytes_max,
        };
        let shares = Shares { quotas: quotas.clone(), shared: shared.clone(), node: start };
        let nodes = Nodes::new(watch);
        let work = vec![
            tokio::spawn(shares.run(stop.clone())),
            tokio::spawn(shared.clone().run(stop.clone())),
            tokio::spawn(nodes.clone().run(stop.clone())),
        ];
        (work, Some(nodes))
    }

    /// The flusher, after it has brought into the store what is left of an `earlier` journal.
    async fn flusher(&self, earlier: Option<FileJournal>) -> anyhow::Result<Flusher> {
        let Self { store, budget, memory, commits, .. } = self;
        let mut flusher =
            Flusher::new(store.clone(), commits.clone(), budget.clone(), memory.clone())
                .projecting(Arc::new(Projection));
        if let Some(earlier) = earlier {
            // What happens from here on leaves no trace in these files. Were they replayed again
            // some day, they would bring back what has been replaced meanwhile.
            let flushed = flusher.flush().await;
            flushed.context("cannot bring into the database what the journal holds")?;
            earlier.remove().context("cannot remove the old journal")?;
        }
        Ok(flusher)
    }
}

fn start_committer(
    commits: &Arc<Commits>,
    journal: Option<Box<dyn Journal>>,
) -> std::io::Result<JoinHandle<()>> {
    let commits = commits.clone();
    std::thread::Builder::new().name("committer".into()).spawn(move || match journal {
        Some(journal) => Committer::new(commits, journal).run(),
        None => commits.relieve(),
    })
}

fn quotas(config: &Config) -> Quotas {
    Quotas::new(
        config.requests_per_sec_max,
        config.creations_per_min_max,
        config.reads_per_principal_max,
        config.messages_per_min_max,
    )
}

fn attachments(config: &Config) -> AttachmentRules {
    let (types, bytes_max) = (config.attachment_types.clone(), config.attachment_bytes_max);
    AttachmentRules { types, bytes_max }
}

async fn sweep(streams: Arc<Streams>, quotas: Arc<Quotas>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(SWEEP_INTERVAL_MS));
    loop {
        ticks.tick().await;
        streams.sweep();
        // What cannot be done now is done the next time.
        quotas.sweep();
        while let Ok(true) = streams.reap().await {
            tokio::time::sleep(Duration::from_millis(REAP_PAUSE_MS)).await;
        }
    }
}
