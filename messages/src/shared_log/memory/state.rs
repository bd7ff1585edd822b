//! What the log in memory knows, and every step that changes it.

use super::{Faults, WakeFault};
use crate::{
    limits::WAKE_BYTES_MAX,
    model::StreamName,
    shared_log::{
        Added, Addition, Claimed, Head, Known, Logged, Memory, Node, Scope, Terms, Unstored, Wake,
        Work,
    },
};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use tokio::sync::mpsc;

pub(super) struct State {
    terms: Terms,
    hot: HashMap<StreamName, Hot>,
    /// The claim of a cold name, and when it ends.
    claims: HashMap<StreamName, (u64, u64)>,
    /// What is kept under a key, and until when.
    kept: HashMap<String, (Bytes, u64)>,
    streams: WorkList,
    chat: WorkList,
    nodes: BTreeMap<u32, (u64, String)>,
    ears: BTreeMap<usize, Ear>,
    told: Vec<(Tell, Wake)>,
}

/// A name that the log knows.
struct Hot {
    head: Head,
    log: VecDeque<Logged>,
    /// The piece of work that it is on the list as.
    listed: Option<u64>,
    /// When it becomes cold, if it has nothing for the database.
    cold_at: Option<u64>,
}

/// The names that have something for the database, in the order in which they came to have it.
#[derive(Default)]
struct WorkList {
    last: u64,
    pieces: BTreeMap<u64, Piece>,
}

struct Piece {
    name: StreamName,
    taken_at: Option<u64>,
    /// The piece that this one goes on from, when there were more news at its end.
    before: Option<u64>,
}

/// What one node listens to.
struct Ear {
    wakes: mpsc::UnboundedSender<Wake>,
    followed: HashSet<StreamName>,
    topics: HashSet<String>,
    all: bool,
    late: Vec<Wake>,
}

/// Whom a wake-up is for.
#[derive(Clone, Copy)]
pub(super) enum Tell {
    Followers,
    Watchers,
    Listeners,
}

impl State {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            hot: HashMap::new(),
            claims: HashMap::new(),
            kept: HashMap::new(),
            streams: WorkList::default(),
            chat: WorkList::default(),
            nodes: BTreeMap::new(),
            ears: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    fn hot(&mut self, name: &StreamName, now: u64) -> Option<&mut Hot> {
        if self.hot.get(name)?.cold_at.is_some_and(|at| at <= now) {
            self.hot.remove(name);
        }
        self.hot.get_mut(name)
    }

    fn list(&mut self, scope: Scope) -> &mut WorkList {
        match scope {
            Scope::Chat => &mut self.chat,
            Scope::Streams => &mut self.streams,
        }
    }

    pub(super) fn terms(&self) -> Terms {
        self.terms
    }

    pub(super) fn head(&mut self, name: &StreamName, now: u64) -> Option<Head> {
        self.hot(name, now).map(|hot| hot.head)
    }

    pub(super) fn claim(&mut self, name: &StreamName, claim: u64, now: u64) -> Claimed {
        if let Some(head) = self.head(name, now) {
            return Claimed::Hot(head);
        }
        let held = self.claims.get(name).filter(|(_, end)| now < *end);
        let claim = held.map_or(claim, |(held, _)| *held);
        self.claims.insert(name.clone(), (claim, now + self.terms.claim_ms));
        Claimed::As(claim)
    }

    pub(super) fn add(
        &mut self,
        name: &StreamName,
        known: Known,
        addition: Addition,
        now: u64,
    ) -> Added {
        let before = self.head(name, now);
        let mut head = match (known, before) {
            (Known::Last { life, version }, Some(head))
                if (head.life, head.version) == (life, version) =>
            {
                head.extended(&addition)
            }
            (_, Some(head)) => return Added::Moved(head),
            (Known::Claimed { claim, life, version }, None)
                if self.claims.get(name).is_some_and(|&(last, end)| last == claim && now < end) =>
            {
                self.claims.remove(name);
                Head { life, version, stored: version, ..Head::default() }.begun(&addition)
            }
            (_, None) => return Added::Cold,
        };
        let from = head.version + addition.skip;
        head.version = from + addition.changes.len() as u64;
        head.news += 1;
        if !addition.changes.is_empty() {
            head.life = addition.life;
        }
        self.put(name, head, from, &addition);
        self.tell_moved(name, head, addition);
        Added::Done(head)
    }

    fn put(&mut self, name: &StreamName, head: Head, from: u64, addition: &Addition) {
        let scope = Scope::of(name);
        let listed = self.hot.get(name).and_then(|hot| hot.listed);
        let piece = listed.unwrap_or_else(|| self.list(scope).push(name, None));
        let hot = self.hot.entry(name.clone()).or_insert_with(|| Hot {
            head,
            log: VecDeque::new(),
            listed: None,
            cold_at: None,
        });
        hot.head = head;
        hot.listed = Some(piece);
        hot.cold_at = None;
        let numbered = (from + 1..).zip(addition.changes.iter().cloned());
        hot.log.extend(numbered.map(|(version, change)| Logged { version, change }));
        if listed.is_none() {
            self.tell(Tell::Watchers, Wake::Unstored(name.clone()));
        }
    }

    fn tell_moved(&mut self, name: &StreamName, head: Head, addition: Addition) {
        let bytes: usize = addition.changes.iter().map(bytes::Bytes::len).sum();
        let changes = if bytes <= WAKE_BYTES_MAX { addition.changes } else { Vec::new() };
        self.tell(Tell::Followers, Wake::Moved { name: name.clone(), head, changes });
    }

    pub(super) fn read(
        &mut self,
        name: &StreamName,
        after: u64,
        bytes_max: usize,
        now: u64,
    ) -> Vec<Logged> {
        let mut bytes = 0;
        let Some(hot) = self.hot(name, now) else { return Vec::new() };
        hot.log
            .iter()
            .filter(|logged| logged.version > after)
            .take_while(|logged| {
                let fits = bytes == 0 || bytes < bytes_max;
                bytes += logged.change.len().max(1);
                fits
            })
            .cloned()
            .collect()
    }

    pub(super) fn keep(&mut self, key: &str, value: Bytes, until: u64, now: u64) {
        self.kept.retain(|_, (_, until)| *until > now);
        self.kept.insert(key.to_owned(), (value, until));
    }

    pub(super) fn take_kept(&mut self, key: &str, now: u64) -> Option<Bytes> {
        self.kept.remove(key).filter(|(_, until)| *until > now).map(|(value, _)| value)
    }

    pub(super) fn take_work(&mut self, scope: Scope, limit: usize, now: u64) -> Vec<Work> {
        let claim_ms = self.terms.work_claim_ms;
        let free = |piece: &Piece| piece.taken_at.is_none_or(|at| at + claim_ms <= now);
        let pieces = self.list(scope).pieces.iter_mut();
        pieces
            .filter(|(_, piece)| free(piece))
            .take(limit)
            .map(|(id, piece)| {
                piece.taken_at = Some(now);
                Work { name: piece.name.clone(), id: id.to_string() }
            })
            .collect()
    }

    pub(super) fn done(&mut self, work: &Work, stored: u64, news: u64, now: u64) -> Option<Head> {
        let (terms, scope) = (self.terms, Scope::of(&work.name));
        let hot = self.hot(&work.name, now)?;
        if stored <= hot.head.version {
            hot.head.stored = hot.head.stored.max(stored);
            let kept = (stored + 1).saturating_sub(terms.kept_changes);
            hot.log.retain(|logged| logged.version >= kept);
        }
        // Somebody else has done this piece when the name is not on the list as it any more.
        let head = hot.head;
        let Some(piece) = hot.listed.filter(|listed| listed.to_string() == work.id) else {
            return Some(head);
        };
        self.list(scope).pieces.remove(&piece);
        let more = head.news != news;
        let listed = more.then(|| self.list(scope).push(&work.name, Some(piece)));
        if let Some(hot) = self.hot.get_mut(&work.name) {
            hot.listed = listed;
            hot.cold_at = (!more).then_some(now + terms.hot_ms);
        }
        Some(head)
    }

    pub(super) fn unstored(&mut self, scope: Scope) -> Unstored {
        let last = self.list(scope).pieces.last_key_value().map(|(last, _)| last.to_string());
        Unstored(last.into_iter().map(|last| (scope as u16, last)).collect())
    }

    /// Also a piece that goes on from one of them counts: whoever does that one has begun later.
    pub(super) fn is_stored(&mut self, unstored: &Unstored) -> bool {
        unstored.0.iter().all(|(scope, last)| {
            let scope = if *scope == Scope::Chat as u16 { Scope::Chat } else { Scope::Streams };
            let last: u64 = last.parse().unwrap_or_default();
            let counts = |(id, piece): (&u64, &Piece)| piece.before.unwrap_or(*id) <= last;
            !self.list(scope).pieces.iter().any(counts)
        })
    }

    pub(super) fn unstored_names(&mut self, scope: Scope) -> Vec<StreamName> {
        self.list(scope).pieces.values().map(|piece| piece.name.clone()).collect()
    }

    pub(super) fn memory(&self) -> Memory {
        let bytes =
            |hot: &Hot| hot.log.iter().map(|logged| logged.change.len() as u64).sum::<u64>();
        Memory { used_bytes: self.hot.values().map(bytes).sum(), max_bytes: 0 }
    }

    pub(super) fn alive(&mut self, node: &Node, until: u64) {
        self.nodes.insert(node.start, (until, node.info.clone()));
    }

    pub(super) fn gone(&mut self, start: u32) {
        self.nodes.remove(&start);
    }

    pub(super) fn nodes(&mut self, now: u64) -> Vec<Node> {
        self.nodes.retain(|_, (until, _)| *until > now);
        let node = |(&start, (_, info)): (&u32, &(u64, String))| Node { start, info: info.clone() };
        self.nodes.iter().map(node).collect()
    }
}

impl WorkList {
    fn push(&mut self, name: &StreamName, before: Option<u64>) -> u64 {
        self.last += 1;
        self.pieces.insert(self.last, Piece { name: name.clone(), taken_at: None, before });
        self.last
    }
}

/// Who is told what.
impl State {
    pub(super) fn join(&mut self, wakes: mpsc::UnboundedSender<Wake>) -> usize {
        let place = self.ears.last_key_value().map_or(0, |(last, _)| last + 1);
        let (followed, topics) = (HashSet::new(), HashSet::new());
        self.ears.insert(place, Ear { wakes, followed, topics, all: false, late: Vec::new() });
        place
    }

    pub(super) fn leave(&mut self, place: usize) {
        self.ears.remove(&place);
    }

    pub(super) fn follow(&mut self, place: usize, name: &StreamName) {
        if let Some(ear) = self.ears.get_mut(&place) {
            ear.followed.insert(name.clone());
        }
    }

    pub(super) fn unfollow(&mut self, place: usize, name: &StreamName) {
        if let Some(ear) = self.ears.get_mut(&place) {
            ear.followed.remove(name);
        }
    }

    pub(super) fn watch_all(&mut self, place: usize, watch: bool) {
        if let Some(ear) = self.ears.get_mut(&place) {
            ear.all = watch;
        }
    }

    pub(super) fn listen(&mut self, place: usize, topic: &str) {
        if let Some(ear) = self.ears.get_mut(&place) {
            ear.topics.insert(topic.to_owned());
        }
    }

    pub(super) fn tell(&mut self, whom: Tell, wake: Wake) {
        self.told.push((whom, wake));
    }

    /// Sends what the last step had to tell, where nothing goes wrong.
    pub(super) fn send_told(&mut self, faults: &dyn Faults) {
        for (whom, wake) in std::mem::take(&mut self.told) {
            for ear in self.ears.values_mut().filter(|ear| ear.hears(whom, &wake)) {
                ear.hear(&wake, faults.wake(&wake));
            }
        }
    }

    pub(super) fn deliver_late(&mut self) {
        for ear in self.ears.values_mut() {
            for wake in std::mem::take(&mut ear.late) {
                ear.send(wake);
            }
        }
    }

    pub(super) fn tell_all_lost(&mut self) {
        self.ears.values().for_each(|ear| ear.send(Wake::Lost));
    }
}

impl Ear {
    fn hears(&self, whom: Tell, wake: &Wake) -> bool {
        match (whom, wake) {
            (Tell::Followers, Wake::Moved { name, .. }) => self.followed.contains(name),
            (Tell::Watchers, _) => self.all,
            (Tell::Listeners, Wake::Said { topic, .. }) => self.topics.contains(topic),
            _ => false,
        }
    }

    fn hear(&mut self, wake: &Wake, fault: WakeFault) {
        match fault {
            WakeFault::None => self.send(wake.clone()),
            WakeFault::Twice => {
                self.send(wake.clone());
                self.send(wake.clone());
            }
            WakeFault::Late => self.late.push(wake.clone()),
            WakeFault::Never => self.late.push(Wake::Lost),
        }
    }

    /// A node that does not listen any more has gone.
    fn send(&self, wake: Wake) {
        let _ = self.wakes.send(wake);
    }
}

impl Head {
    /// With the end of the life that an addition to a hot name gives it.
    fn extended(mut self, addition: &Addition) -> Self {
        let later = |new: u64, old: u64| old != 0 && (new == 0 || new > old);
        if let Some(new) = addition.expires_ms
            && (addition.life != self.life || later(new, self.expires_ms))
        {
            self.expires_ms = new;
        }
        self
    }

    /// With the end of the life that the first addition to a cold name gives it.
    fn begun(mut self, addition: &Addition) -> Self {
        self.expires_ms = addition.expires_ms.unwrap_or_default();
        self
    }
}
