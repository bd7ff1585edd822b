//! Where access ends.

use super::world::{Common, NoFaults, Node, add, name, read_now, read_to_end, remove, soon};
use messages::{
    channel::Channel,
    chat::{Action, ChatError, Event, Kind},
    model::{Chunk, Records, StreamName},
    shared_log::{Faults, Terms, Wake, WakeFault},
    stream::{Addition, Foresight, StreamError},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

fn ends_with_leave(events: &[Event], user: &str) {
    let last = events.last().expect("events");
    assert!(matches!(&last.kind, Kind::Leave { user: who } if **who == *user), "{last:?}");
    let positions: Vec<u64> = events.iter().map(|event| event.position).collect();
    let first = positions[0];
    assert_eq!(positions, (first..first + positions.len() as u64).collect::<Vec<_>>());
}

/// `at` removes Bob, who reads on `on`, again and again, while much is said. `Bob` sees everything up to
/// that, and nothing behind it.
async fn removals(common: &Common, at: &Node, on: &Node, rounds: usize) {
    at.create("alice", "team", &["bob"]).await;
    for round in 0..rounds {
        let reader = on.reader("bob", "team").await.unwrap();
        let reading = tokio::spawn(read_to_end(reader));
        if round % 2 == 0 {
            // So that it waits at the end.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        for _ in 0..round % 7 {
            at.say("alice", "team", "before").await.unwrap();
        }
        let left = at.act("alice", "team", remove("bob")).await.unwrap();
        for _ in 0..1 + round % 3 {
            at.say("alice", "team", "secret").await.unwrap();
        }
        if round % 5 == 0 {
            common.log.interrupt();
        }
        let refused = on.texts("bob", "team").await;
        assert!(matches!(refused, Err(ChatError::NotAParticipant)), "{refused:?}");
        let (events, error) = reading.await.unwrap();
        assert_eq!(error, Some(StreamError::AccessEnded));
        ends_with_leave(&events, "bob");
        assert_eq!(events.last().unwrap().position, left);
        at.act("alice", "team", add("bob")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_on_one_node_ends_a_reader_on_another_exactly_there() {
    let common = Common::new().await;
    let [a, b, _c] = common.nodes().await;
    removals(&common, &a, &b, 30).await;
}

/// All that other nodes tell comes late, twice or not at all.
struct Unheard(AtomicU64);

impl Faults for Unheard {
    fn wake(&self, wake: &Wake) -> WakeFault {
        if !matches!(wake, Wake::Moved { .. }) {
            return WakeFault::None;
        }
        match self.0.fetch_add(1, Ordering::Relaxed) % 4 {
            0 => WakeFault::Twice,
            1 => WakeFault::Late,
            2 => WakeFault::Never,
            _ => WakeFault::None,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_where_little_is_heard_of_other_nodes() {
    // The log keeps so little that others have to read what they missed from the database.
    let terms = Terms { kept_changes: 1, ..Terms::default() };
    let mut common = Common::with(terms, Unheard(AtomicU64::new(0))).await;
    common.window_bytes = 0;
    let [a, b, _c] = common.nodes().await;
    removals(&common, &a, &b, 30).await;
}

/// A reader whose node has heard of nothing for long, and finds it in the database when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_stored_pages_sees_no_more_than_its_node_knows() {
    let terms = Terms { kept_changes: 1, ..Terms::default() };
    let mut common = Common::with(terms, NoFaults).await;
    common.window_bytes = 0;
    let (a, b) = (Node::start(&common).await, Node::without_flusher(&common).await);
    a.create("alice", "team", &["bob"]).await;
    for _ in 0..20 {
        a.say("alice", "team", "before").await.unwrap();
    }
    // It has not begun, so nobody tells its node anything.
    let mut reader = b.reader("bob", "team").await.unwrap();
    assert_eq!(b.texts("bob", "team").await.unwrap().len(), 20);
    a.act("alice", "team", remove("bob")).await.unwrap();
    for _ in 0..100 {
        a.say("alice", "team", "secret").await.unwrap();
    }
    assert_eq!(a.texts("alice", "team").await.unwrap().len(), 120, "they are in the database");
    // It is not allowed to see more than what it knows to be allowed.
    let events = read_now(&mut reader).await;
    assert_eq!(events.len(), 21);
    let (rest, error) = read_to_end(reader).await;
    assert_eq!(error, Some(StreamError::AccessEnded));
    let events = [events, rest].concat();
    ends_with_leave(&events, "bob");
    assert_eq!(events.len(), 22);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_conversation_ends_its_readers_everywhere() {
    let common = Common::new().await;
    let [a, b] = common.nodes().await;
    a.create("alice", "team", &["bob"]).await;
    let reading = tokio::spawn(read_to_end(b.reader("bob", "team").await.unwrap()));
    a.say("alice", "team", "hi").await.unwrap();
    a.act("alice", "team", Action::Close).await.unwrap();
    let (events, error) = reading.await.unwrap();
    assert!(matches!(error, None | Some(StreamError::AccessEnded)), "{error:?}");
    assert!(events.len() <= 3);
}

/// The text of a deleted message leaves the memory of every node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_text_is_read_on_no_node() {
    let common = Common::new().await;
    let [a, b, c] = common.nodes().await;
    a.create("alice", "team", &["bob"]).await;
    for node in [&a, &b, &c] {
        node.say("bob", "team", "secret").await.unwrap();
    }
    let mut readers = Vec::new();
    for node in [&a, &b, &c] {
        let mut reader = node.reader("bob", "team").await.unwrap();
        assert_eq!(read_now(&mut reader).await.len(), 4);
        readers.push(reader);
    }
    let text = |events: &[Event]| serde_json::to_string(events).unwrap().contains("secret");
    for (position, node) in [(2, &b), (3, &c), (4, &a)] {
        node.act_on("bob", "team", position, Action::Delete { reason: None }).await.unwrap();
        let mut reader = node.reader("bob", "team").await.unwrap();
        let events = read_now(&mut reader).await;
        assert!(!text(&events[position as usize - 1..position as usize]), "{events:?}");
    }
    for node in [&a, &b, &c] {
        // Also for those who have begun to read before.
        let channel = node.chat.conversation(&name("team")).await.unwrap().channel().clone();
        soon(|| async {
            let (mut cursor, _) = node.streams.read(channel.clone(), 0).await.unwrap();
            (!text(&read_now(&mut cursor).await)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_takes_away_is_gone_on_every_node() {
    let common = Common::new().await;
    let [a, b] = common.nodes().await;
    let settings = serde_json::json!({"retention_messages": 2});
    a.create_with("alice", "team", &["bob"], Some(settings)).await;
    let mut reader = b.reader("bob", "team").await.unwrap();
    for count in 0..10 {
        b.say("alice", "team", &count.to_string()).await.unwrap();
    }
    for node in [&a, &b] {
        node.chat.retain().await.unwrap();
    }
    for node in [&a, &b] {
        assert_eq!(node.texts("bob", "team").await.unwrap(), ["8", "9"]);
    }
    let low = soon(|| async { b.streams.find(&stream("team")).await.ok().map(|one| one.low()) });
    assert!(low.await.records > 0);
    let read = reader.ready().await;
    assert!(matches!(read, Err(StreamError::Trimmed { .. })), "{read:?}");
}

/// Whoever has to know what comes knows it before anybody can read it.
#[derive(Default)]
struct Seer {
    seen: Mutex<Vec<(u64, bool)>>,
    missed: AtomicU64,
}

impl Foresight for Seer {
    fn foresee(&self, channel: &Arc<Channel>, chunk: &Chunk, is_own: bool) {
        assert!(channel.durable().bytes <= chunk.at.bytes, "nobody can read it yet");
        self.seen.lock().unwrap().extend(chunk.ends().map(|end| (end.records, is_own)));
    }

    fn cares(&self, _: &Channel) -> bool {
        true
    }

    fn miss(&self, _: &StreamName) {
        self.missed.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_is_foreseen_in_order_and_before_it_is_there() {
    let terms = Terms { kept_changes: 1, ..Terms::default() };
    let common = Common::with(terms, NoFaults).await;
    let a = Node::start(&common).await;
    let (streams, _log, _) = common.streams().await;
    let seer = Arc::<Seer>::default();
    let foresight: Arc<dyn Foresight> = seer.clone();
    streams.shared().unwrap().foresee_with(Arc::downgrade(&foresight));
    a.create("alice", "team", &["bob"]).await;
    let mut records = 1;
    for round in 0..20 {
        // Some of it is in the log when the other node looks, more of it is only in the database.
        for _ in 0..round {
            records = a.say("alice", "team", "hi").await.unwrap();
        }
        assert_eq!(a.texts("bob", "team").await.unwrap().len() as u64, records - 1 - round / 2);
        for _ in 0..round % 3 {
            records = a.say("alice", "team", "hi").await.unwrap();
        }
        let channel = streams.find(&stream("team")).await.unwrap();
        assert_eq!(channel.durable().records, records);
        if round % 2 == 1 {
            let records = Records::messages(&[3], "{},".into());
            let addition = Addition { records, ..Addition::default() };
            streams.append(&channel, addition).await.unwrap();
        }
    }
    let seen = seer.seen.lock().unwrap();
    let positions: Vec<u64> = seen.iter().map(|(position, _)| *position).collect();
    // The first may come from the database.
    let (first, last) = (positions[0].min(2), *positions.last().unwrap());
    assert_eq!(positions, (first..=last).collect::<Vec<_>>());
    assert_eq!(seen.iter().filter(|(_, is_own)| *is_own).count(), 10);
    assert_eq!(seer.missed.load(Ordering::Relaxed), 0);
}

fn stream(called: &str) -> StreamName {
    StreamName::of_chat(&format!("c/{called}")).unwrap()
}
