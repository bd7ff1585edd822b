//! What is unread is arithmetic in the database; here it is counted.

use super::{
    chat_log::{Log, MEMBERS, on_both_databases, unread},
    random::Random,
};
use messages::{
    model::{ChatWrite, Offset, ParticipantRow, Standing},
    store::Database,
};
use std::{collections::BTreeMap, sync::Arc};

on_both_databases! {
    random_histories_are_counted_right,
    nothing_is_unread_for_whoever_does_not_take_part,
}

/// What there is to count of one message.
struct Sent {
    position: u64,
    begin: Offset,
    n: u64,
    counted: bool,
    deleted: bool,
    mentions: Vec<String>,
}

/// A conversation, and everything of it that counts.
struct History {
    log: Log,
    sent: Vec<Sent>,
    low: u64,
    read: BTreeMap<&'static str, u64>,
    visible: BTreeMap<&'static str, u64>,
}

impl History {
    fn step(&mut self, random: &mut Random) {
        let user = MEMBERS[random.below(MEMBERS.len())];
        let any = random.below(self.sent.len());
        match random.below(12) {
            0..5 => self.send(random, user),
            5 | 6 if !self.sent.is_empty() => {
                let sent = &mut self.sent[any];
                sent.deleted = true;
                let target = self.log.target(sent.position);
                self.log.delete(&target);
            }
            7 | 8 => {
                let position = random.below(self.log.tail.records as usize + 1) as u64;
                self.log.read(user, position);
                let read = self.read.entry(user).or_default();
                *read = position.max(*read);
            }
            9 => {
                let visible_from = self.log.tail;
                self.visible.insert(user, visible_from.records);
                let member = self.log.participant(user, Standing::Member);
                let row = ParticipantRow { visible_from, ..member };
                self.log.writes.push(ChatWrite::Participant(row));
            }
            10 if random.one_in(3) && !self.sent.is_empty() => {
                let Sent { begin: low, n, counted, .. } = self.sent[any];
                if low.records > self.low {
                    let (conversation, stream) = (self.log.name.clone(), self.log.stream);
                    let n = n - u64::from(counted);
                    self.log.writes.push(ChatWrite::Trim { conversation, stream, low, n });
                    self.low = low.records;
                    self.sent.retain(|sent| sent.position > low.records);
                }
            }
            _ => {
                self.log.event(serde_json::json!({"type": "role"}));
            }
        }
    }

    fn send(&mut self, random: &mut Random, user: &'static str) {
        let (counted, imported) = (!random.one_in(4), random.one_in(6));
        let mentions = match random.below(4) {
            0 => vec!["@all".to_owned()],
            1 => vec!["alice".to_owned(), "bob".to_owned()],
            _ => vec![],
        };
        let begin = self.log.tail;
        let target = self.log.message_with(user, "text", |row| {
            (row.counted, row.imported, row.mentions) = (counted, imported, mentions.clone());
        });
        if !imported {
            self.read.insert(user, target.position);
        }
        let (position, n) = (target.position, self.log.n);
        // What was imported counts as read, also by those whom it mentions.
        let mentions = if imported { vec![] } else { mentions };
        self.sent.push(Sent { position, begin, n, counted, deleted: false, mentions });
    }

    /// Unread, and mentioned there.
    fn count(&self, user: &str) -> (u64, u64) {
        let of = |marks: &BTreeMap<&str, u64>| marks.get(user).copied().unwrap_or(0);
        let seen = of(&self.read).max(of(&self.visible)).max(self.low);
        let new = || self.sent.iter().filter(|sent| sent.position > seen && !sent.deleted);
        let mentions =
            |sent: &&Sent| sent.mentions.iter().any(|name| name == user || name == "@all");
        let unread = new().filter(|sent| sent.counted).count();
        (unread as u64, new().filter(mentions).count() as u64)
    }
}

async fn random_histories_are_counted_right(store: Arc<dyn Database>) {
    let mut random = Random::new(0xca7);
    let mut histories: Vec<History> = (1..=4)
        .map(|id| History {
            log: Log::new(id, &format!("c{id}")),
            sent: Vec::new(),
            low: 0,
            read: BTreeMap::new(),
            visible: BTreeMap::new(),
        })
        .collect();
    for round in 0..60 {
        for history in &mut histories {
            for _ in 0..random.below(6) {
                history.step(&mut random);
            }
        }
        let flushes: Vec<_> = histories.iter_mut().map(|history| history.log.flush()).collect();
        store.flush(&flushes).await.unwrap();
        for user in MEMBERS {
            let counted = histories.iter().rev().map(|history| {
                let (unread, mentions) = history.count(user);
                (history.log.name.to_string(), unread, mentions)
            });
            let counted: Vec<_> = counted.collect();
            assert_eq!(unread(&*store, user).await, counted, "round {round}, {user}");
        }
    }
}

async fn nothing_is_unread_for_whoever_does_not_take_part(store: Arc<dyn Database>) {
    let mut log = Log::new(1, "team");
    log.message_with("bob", "x", |row| row.mentions = vec!["dave".into(), "carol".into()]);
    for (user, standing) in [("dave", Standing::Invited), ("carol", Standing::Left)] {
        let row = log.participant(user, standing);
        log.writes.push(ChatWrite::Participant(row));
    }
    log.store(&*store).await;
    for (user, standing) in [("dave", Standing::Invited), ("carol", Standing::Left)] {
        let found = store.conversations_of(user, standing, None, 9).await.unwrap();
        assert_eq!((found.len(), found[0].unread, found[0].mentions), (1, 0, 0));
    }
}
