//! The same things done at random on several nodes and on a server that is alone: nobody can tell which
//! is which.

use super::{
    clock::ManualClock,
    random::Random,
    redis_servers,
    world::{Common, NoFaults, Node, message, name, read_now},
};
use messages::{
    budget::Budget,
    channel::WindowMemory,
    chat::{
        Action, AttachmentRules, Chat, Extra, Mark, MessageId, NewConversation, NewMessage,
        Projection, Role, Wanted,
    },
    committer::Commits,
    flusher::Flusher,
    journal::{Mark as JournalMark, MemoryJournal},
    model::Standing,
    shared_log::{CallFault, Faults, Terms, Wake, WakeFault},
    store,
    stream::{Ground, Streams},
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// A server without others.
struct Alone {
    _home: TempDir,
    streams: Arc<Streams>,
    chat: Arc<Chat>,
    tasks: Vec<JoinHandle<()>>,
    commits: Arc<Commits>,
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.commits.stop();
    }
}

impl Alone {
    async fn start(clock: Arc<ManualClock>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", home.path().join("db").display());
        let store = store::open(&url).await.unwrap();
        let mark = JournalMark(0);
        let commits = Commits::direct(mark, u64::MAX, Box::new(MemoryJournal::new(mark)));
        let (budget, memory) = (Budget::new(64 << 20), WindowMemory::new(1 << 20));
        let streams = Arc::new(Streams::new(Ground {
            store: store.clone(),
            commits: commits.clone(),
            budget: budget.clone(),
            memory: memory.clone(),
            clock: clock.clone(),
            start: store.count_start().await.unwrap(),
            stream_bytes_max: 1 << 30,
        }));
        let rules = AttachmentRules { types: Vec::new(), bytes_max: 1 << 20 };
        let chat = Chat::new(streams.clone(), store.clone(), clock, rules);
        let flusher = Flusher::new(store, commits.clone(), budget, memory);
        let flusher = flusher.projecting(Arc::new(Projection));
        let stop = CancellationToken::new();
        let relieving = commits.clone();
        std::thread::spawn(move || relieving.relieve());
        let stop_flusher = stop.clone();
        let tasks = vec![
            tokio::spawn(async move {
                flusher.run(Duration::from_millis(20), stop_flusher).await.unwrap();
            }),
            tokio::spawn(chat.clone().run(stop)),
        ];
        Self { _home: home, streams, chat, tasks, commits }
    }
}

/// Something that somebody does.
#[derive(Clone, Debug)]
enum Move {
    Send(NewMessage),
    Act(Action),
    On(u64, Action),
    Mark(Mark, Option<u64>),
    Direct(&'static str),
    Retain,
}

struct Script {
    random: Random,
    txns: u64,
}

impl Script {
    fn user(&mut self) -> &'static str {
        USERS[self.random.below(USERS.len())]
    }

    /// A position that may be that of a message, at best a late one.
    fn position(&mut self, tail: u64) -> u64 {
        tail.saturating_sub(self.random.below(12) as u64).max(1)
    }

    fn text(&mut self) -> String {
        format!("text {}", self.random.below(1000))
    }

    fn next(&mut self, tail: u64) -> Move {
        let user: Arc<str> = self.user().into();
        let at = self.position(tail);
        let id = format!("team:{at}");
        let text = self.text();
        let (reason, until) = (None, None);
        match self.random.below(40) {
            0..=7 => Move::Send(message(&text)),
            8..=10 => {
                // Sent before, now and then.
                self.txns += self.random.below(3).min(1) as u64;
                Move::Send(NewMessage { txn: Some(self.txns.to_string()), ..message("again") })
            }
            11 => Move::Send(NewMessage { reply_to: Some(id), ..message(&text) }),
            12 => Move::Send(NewMessage { thread: Some(id), ..message(&text) }),
            13..=15 => {
                let rev = self.random.one_in(2).then(|| self.random.below(3) as u64);
                Move::On(at, Action::Edit { text, extra: Extra::default(), rev })
            }
            16..=17 => Move::On(at, Action::Delete { reason }),
            18..=20 => {
                let reaction = ["+", "-"][self.random.below(2)].to_owned();
                Move::On(at, Action::React { reaction })
            }
            21 => Move::On(at, Action::Unreact { reaction: "+".into() }),
            22 => Move::On(at, Action::Pin),
            23 => Move::On(at, Action::Unpin),
            24..=25 => {
                let role = [None, Some(Role::Reader), Some(Role::Moderator), Some(Role::Owner)];
                let role = role[self.random.below(4)];
                Move::Act(Action::Add { user, role, invite: self.random.one_in(4) })
            }
            26..=27 => Move::Act(Action::Remove { user }),
            28 => Move::Act(Action::Join),
            29 => Move::Act(Action::Ban { user, until, reason }),
            30 => Move::Act(Action::Unban { user }),
            31 => Move::Act(Action::Mute { user, until, reason }),
            32 => Move::Act(Action::Unmute { user }),
            33 => {
                let settings = [
                    json!({"join": "open"}),
                    json!({"history": "since_join"}),
                    json!({"history": null}),
                    json!({"reactions": "unique"}),
                    json!({"slow_secs": 1}),
                    json!({"slow_secs": null}),
                    json!({"retention_messages": 12}),
                ];
                let settings = Some(settings[self.random.below(settings.len())].clone());
                Move::Act(Action::Change { title: Some(Some(text)), settings })
            }
            34..=37 => {
                let mark = if self.random.one_in(2) { Mark::Read } else { Mark::Delivered };
                Move::Mark(mark, self.random.one_in(2).then_some(at))
            }
            38 => Move::Direct(self.user()),
            _ => Move::Retain,
        }
    }
}

async fn play(chat: &Arc<Chat>, user: &str, what: Move) -> String {
    let (user, team): (Arc<str>, _) = (user.into(), name("team"));
    match what {
        Move::Send(message) => {
            let sent = chat.send(&user, &team, message).await;
            format!("{:?}", sent.map(|sent| (sent.message.position, sent.duplicate)))
        }
        Move::Act(action) => format!("{:?}", chat.act(&user, &team, action).await),
        Move::On(position, action) => {
            let id = MessageId { conversation: team, position };
            format!("{:?}", chat.act_on(&user, &id, action).await)
        }
        Move::Mark(mark, position) => {
            format!("{:?}", chat.mark(&user, &team, mark, position, true).await)
        }
        Move::Direct(peer) => {
            let sent = chat.send_to(&user, peer, message("hello")).await;
            format!("{:?}", sent.map(|sent| sent.message))
        }
        Move::Retain => format!("{:?}", chat.retain().await),
    }
}

/// What somebody sees, of everything.
async fn look(chat: &Arc<Chat>, streams: &Arc<Streams>, user: &str, what: usize) -> String {
    let team = name("team");
    let user_arc: Arc<str> = user.into();
    match what {
        0 => {
            let wanted = Wanted { limit: 1000, ..Wanted::default() };
            format!("{:?}", chat.messages(user, &team, &wanted).await)
        }
        1 => format!("{:?}", chat.participants(user, &team, Standing::Member).await),
        2 => format!("{:?}", chat.receipts(user, &team).await),
        3 => format!("{:?}", chat.view(user, &team).await),
        4 => format!("{:?}", chat.unread(user).await),
        5 => format!("{:?}", chat.pinned(user, &team).await),
        6 => {
            let wanted = Wanted { limit: 1000, ..Wanted::default() };
            format!("{:?}", chat.inbox(user, &wanted).await)
        }
        _ => {
            let readable = match chat.readable(&user_arc, &team).await {
                Ok(readable) => readable,
                Err(error) => return format!("{error:?}"),
            };
            let channel = readable.conversation.channel().clone();
            let (cursor, _) = streams.read(channel, readable.from.bytes).await.unwrap();
            format!("{:?}", read_now(&mut cursor.within(readable.reach)).await)
        }
    }
}

async fn compare(common: &Common, seed: u64, steps: usize) {
    let alone = Alone::start(common.clock.clone()).await;
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::start(common).await);
    }
    let mut script = Script { random: Random::new(seed), txns: 0 };
    let new = NewConversation {
        name: Some(name("team")),
        participants: vec!["bob".into(), "carol".into()],
        ..NewConversation::default()
    };
    for chat in [&alone.chat, &nodes[0].chat] {
        chat.create(&"alice".into(), new.clone()).await.unwrap();
    }
    for step in 0..steps {
        common.clock.advance_ms(script.random.below(900) as u64);
        let tail = alone.chat.conversation(&name("team")).await.unwrap();
        let tail = tail.channel().durable().records;
        let (user, what) = (script.user(), script.next(tail));
        let want = play(&alone.chat, user, what.clone()).await;
        let got = if matches!(what, Move::Retain) {
            let mut all = Vec::new();
            for node in &nodes {
                all.push(play(&node.chat, user, Move::Retain).await);
            }
            all.pop().unwrap()
        } else {
            let node = script.random.below(nodes.len());
            play(&nodes[node].chat, user, what.clone()).await
        };
        assert_eq!(got, want, "seed {seed}, step {step}: {user} {what:?}");
        for _ in 0..2 {
            let (user, what) = (script.user(), script.random.below(8));
            let node = &nodes[script.random.below(nodes.len())];
            let want = look(&alone.chat, &alone.streams, user, what).await;
            let got = look(&node.chat, &node.streams, user, what).await;
            assert_eq!(got, want, "seed {seed}, step {step}: {user} looks at {what}");
        }
        if script.random.one_in(40) {
            let gone = script.random.below(nodes.len());
            let gone = nodes.remove(gone);
            let number = gone.number;
            drop(gone);
            nodes[0].log.gone(number).await.unwrap();
            common.clock.advance_ms(16_000);
            nodes.push(Node::start(common).await);
            // Until the others know that it is gone: what falls to it is left undone.
            tokio::time::sleep(Duration::from_millis(1200)).await;
            taken_over(common, &nodes[0]).await;
        }
        if script.random.one_in(15) {
            common.interrupt();
        }
    }
}

/// Waits until others have flushed what a node had taken that is gone. Until then the tables lack it, and
/// who asks them is told to come again.
async fn taken_over(common: &Common, node: &Node) {
    for _ in 0..400 {
        let stored = node.streams.all_stored(true);
        if tokio::time::timeout(Duration::from_millis(200), stored).await.is_ok() {
            return;
        }
        common.clock.advance_ms(200);
    }
    panic!("what a node had taken is not flushed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_nodes_are_like_one() {
    for seed in 0..4 {
        let common = Common::with(Terms::default(), NoFaults).await;
        compare(&common, seed, 120).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_nodes_on_postgres_are_like_one() {
    compare(&Common::on_postgres().await, 77, 120).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_nodes_on_redis_are_like_one() {
    compare(&Common::on_redis(redis_servers::single()).await, 78, 120).await;
}

/// Much is not heard, and now and then nobody knows whether something was added to the log.
struct Trouble(AtomicU64);

impl Faults for Trouble {
    fn call(&self, method: &'static str) -> CallFault {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        if method == "add" && turn.is_multiple_of(5) { CallFault::After } else { CallFault::None }
    }

    fn wake(&self, wake: &Wake) -> WakeFault {
        if !matches!(wake, Wake::Moved { .. }) {
            return WakeFault::None;
        }
        match self.0.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => WakeFault::Twice,
            1 => WakeFault::Late,
            _ => WakeFault::Never,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_nodes_with_trouble_are_like_one() {
    for seed in 100..104 {
        let terms = Terms { kept_changes: 2, ..Terms::default() };
        let common = Common::with(terms, Trouble(AtomicU64::new(seed))).await;
        compare(&common, seed, 120).await;
    }
}
