//! Somebody who takes part: a client that follows all their conversations on one socket, and comes
//! back after every break.

mod acts;
mod answers;
mod sends;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::select;
use tokio::time::{Instant, sleep, sleep_until};

use super::known::{Deed, Fault, Inbox, Marks, Outbox, Room};
use super::rest::Rest;
use super::run::{End, Run, count};
use super::socket::{Lost, Socket};
use super::wire::Kind;
use crate::limits;
use crate::random::Random;
use crate::scenario::phase::{Listener, Phase};

/// A request that has not been answered.
#[derive(Debug)]
enum Waiting {
    /// The message with this number.
    Message(u64),
    /// Something about a message.
    Act { conversation: String, kind: Kind, target: u64, reaction: Option<&'static str> },
    /// A mark.
    Mark { conversation: String, marks: Marks },
    /// The conversations.
    Follow,
}

/// Why somebody has no connection any more.
enum Left {
    /// They have come to their end.
    Done,
    /// They wanted to be away for so long.
    Away(Duration),
    /// It broke off.
    Lost(Lost),
}

/// Somebody.
pub struct Person {
    run: Arc<Run>,
    phase: Listener,
    random: Random,
    token: String,
    rest: Rest,
    /// The longest time between two things that they do.
    pause: Duration,
    /// What they are called.
    pub user: String,
    /// What they have got.
    pub inbox: Inbox,
    /// What they have sent.
    pub outbox: Outbox,
    /// How far they say to have come.
    pub marks: BTreeMap<String, Marks>,
    /// What they did, and were told the position of.
    pub deeds: Vec<Deed>,
    /// Conversations from which they are removed now and then.
    drifts: BTreeSet<String>,
    /// For each conversation, who stays in it.
    steady: BTreeMap<String, Vec<String>>,
    settled: BTreeMap<String, Marks>,
    /// Reactions that they have tried, and those of them that they have not taken back.
    tried: HashSet<(String, u64, &'static str)>,
    reacted: Vec<(String, u64, &'static str)>,
    waiting: HashMap<u64, Waiting>,
    ids: u64,
    is_quiet: bool,
}

impl Person {
    /// Somebody who has done nothing yet, in these conversations.
    pub fn new(
        run: &Arc<Run>,
        phase: &Listener,
        seed: u64,
        person: usize,
        rooms: &[usize],
        pause: Duration,
    ) -> anyhow::Result<Self> {
        let (cast, user) = (&run.cast, run.cast.person(person));
        let token = run.tokens.of(&user);
        let known = rooms.iter().map(|room| {
            (cast.room(*room), Arc::clone(&run.truths[*room]), run.access(*room, person))
        });
        let drifts = rooms.iter().filter(|room| cast.drifters(**room).any(|p| p == person));
        let steady = |room: &usize| {
            (cast.room(*room), cast.steady(*room).map(|person| cast.person(person)).collect())
        };
        Ok(Self {
            phase: phase.clone(),
            random: Random::new(seed, 0xC4A7_0000 + person as u64),
            rest: Rest::new(run.endpoint(0), &token)?.within(run.patience.answer),
            token,
            pause,
            inbox: Inbox::new(&user, known),
            outbox: Outbox::new(&user),
            drifts: drifts.map(|room| cast.room(*room)).collect(),
            steady: rooms.iter().map(steady).collect(),
            run: Arc::clone(run),
            user,
            marks: BTreeMap::new(),
            deeds: Vec::new(),
            settled: BTreeMap::new(),
            tried: HashSet::new(),
            reacted: Vec::new(),
            waiting: HashMap::new(),
            ids: 0,
            is_quiet: false,
        })
    }

    /// Lives until the end of the run.
    pub async fn live(mut self) -> Self {
        let mut tries = 0;
        loop {
            self.phase.up().await;
            // Any node will do, whether it is there or not.
            let node = self.random.below(self.run.endpoints.len() as u64) as usize;
            let mark = self.phase.mark(node);
            self.rest.visit(&self.run.endpoints, node);
            let (endpoint, patience) = (self.run.endpoint(node), self.run.patience);
            let left = match Socket::open(endpoint, &self.token, patience).await {
                Ok(mut socket) => self.attend(&mut socket).await.unwrap_or_else(Left::Lost),
                Err(lost) => Left::Lost(lost),
            };
            self.break_off();
            let is_done = matches!(left, Left::Done);
            match left {
                Left::Done => (),
                Left::Away(pause) => {
                    count(&self.run.counts.breaks);
                    let mut phase = self.phase.clone();
                    select! {
                        () = sleep(pause) => (),
                        () = async { while phase.now() != Phase::Finish { phase.changed().await } } => (),
                    }
                }
                Left::Lost(Lost::Silent(_)) if self.run.is_impatient() => {
                    count(&self.run.counts.silent);
                }
                Left::Lost(lost) => {
                    if !self.phase.excuses(mark) {
                        let text = format!("{lost} (node {node})");
                        self.fault(Fault::new("a connection was lost", text));
                        tries += 1;
                    }
                    sleep(limits::RECONNECT_PAUSE * (1 << tries.min(8))).await;
                }
            }
            let is_late = matches!(*self.run.end.borrow(), End::Late);
            if is_late {
                self.fault(Fault::new("somebody did not come to their end", self.state()));
            }
            if is_done || is_late {
                return self;
            }
        }
    }

    /// Follows everything, and does something now and then.
    async fn attend(&mut self, socket: &mut Socket) -> Result<Left, Lost> {
        self.inbox.connect();
        let from = self.inbox.from();
        if !from.is_empty() {
            count(&self.run.counts.resumed);
        }
        let id = self.ask(Waiting::Follow);
        let follow = json!({"type": "follow", "id": id, "from": from, "default": "-1"});
        socket.send(&follow).await?;
        self.send_open(socket).await?;
        let mut due = Instant::now() + self.random.up_to(self.pause);
        loop {
            if self.is_done() {
                return Ok(Left::Done);
            }
            select! {
                text = socket.next() => {
                    self.take(&text?);
                    if self.inbox.rooms().values().any(|room| room.is_put_off) {
                        return Ok(Left::Away(self.random.up_to(limits::BREAK)));
                    }
                }
                () = self.phase.changed() => due = Instant::now(),
                () = sleep_until(due) => {
                    due = Instant::now() + limits::FINISH_POLL;
                    match self.phase.now() {
                        Phase::Finish => self.finish(socket).await?,
                        _ => {
                            due = Instant::now() + self.random.up_to(self.pause);
                            if let Some(pause) = self.act(socket).await? {
                                return Ok(Left::Away(pause));
                            }
                        }
                    }
                }
            }
        }
    }

    fn ask(&mut self, waiting: Waiting) -> u64 {
        self.ids += 1;
        self.waiting.insert(self.ids, waiting);
        self.ids
    }

    /// Who they are, and in which life of the server.
    fn place(&self) -> String {
        format!("{} ({:?})", self.user, self.phase.now())
    }

    fn fault(&self, fault: Fault) {
        self.run.faults.add(&self.place(), fault);
    }

    /// What was not answered may or may not have happened.
    fn break_off(&mut self) {
        for (_, waiting) in self.waiting.drain() {
            if let Waiting::Message(number) = waiting {
                self.outbox.lost(number);
            }
        }
    }

    /// Gets everything confirmed that is not, and says so when that is done.
    async fn finish(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        self.send_open(socket).await?;
        if self.waiting.is_empty() && !self.is_quiet {
            let unsettled = self.marks.iter().find(|(room, marks)| {
                self.settled.get(*room) != Some(*marks) && self.inbox.rooms()[*room].is_member
            });
            match unsettled.map(|(room, marks)| (room.clone(), *marks)) {
                Some((room, marks)) => self.settle(socket, room, marks).await?,
                None => {
                    self.is_quiet = true;
                    self.run.quiet.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        Ok(())
    }

    /// Whether they are quiet and have everything, or have waited for that long enough.
    fn is_done(&self) -> bool {
        let is_quiet = self.is_quiet && self.waiting.is_empty();
        match &*self.run.end.borrow() {
            End::Open => false,
            End::Late => true,
            End::Heads(heads) => {
                let mut rooms = self.inbox.rooms().iter().filter(|(_, room)| room.is_member);
                let has_all = |(name, room): (&String, &Room)| {
                    room.has_all(heads[name].position, &heads[name].marks)
                };
                is_quiet && rooms.all(has_all)
            }
        }
    }

    /// Where they stand, in words.
    pub fn state(&self) -> String {
        let (waiting, open) = (&self.waiting, self.outbox.open());
        let rooms = self.inbox.rooms().iter().map(|(name, room)| {
            format!(
                "{name} member {} caught up {} at {}",
                room.is_member,
                room.is_caught_up,
                room.seen.at()
            )
        });
        let rooms: Vec<_> = rooms.collect();
        format!("waiting for {waiting:?}, open {open:?}, {rooms:?}")
    }
}

impl Waiting {
    fn message(&self) -> Option<u64> {
        match self {
            Self::Message(number) => Some(*number),
            _ => None,
        }
    }
}
