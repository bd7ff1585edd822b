//! Reads that are open, by principal.

use super::{Exceeded, Share};
use crate::limits::{RETRY_AFTER_SECS, SHARES_RETOLD_MS, SHARES_VALID_MS};
use dashmap::{DashMap, mapref::entry::Entry};
use std::{sync::Arc, time::Duration};

pub(super) struct Reads {
    open: Arc<DashMap<Arc<str>, Open>>,
    /// Those on other nodes.
    elsewhere: DashMap<Arc<str>, Vec<Elsewhere>>,
    max: u32,
}

/// Those of one principal on this node.
#[derive(Default)]
struct Open {
    count: u32,
    /// What others were told last, and when.
    told: u32,
    told_at: Duration,
}

/// Those of one principal on another node, as it has said last.
struct Elsewhere {
    node: u32,
    count: u32,
    until: Duration,
}

/// The place of one read. It is free again when this is dropped.
pub struct Place {
    open: Arc<DashMap<Arc<str>, Open>>,
    subject: Arc<str>,
}

impl Reads {
    pub fn new(max: u32) -> Self {
        Self { open: Arc::default(), elsewhere: DashMap::new(), max }
    }

    pub fn take(&self, subject: &Arc<str>, now: Duration) -> Result<Place, Exceeded> {
        let elsewhere = self.elsewhere(subject, now);
        let mut open = self.open.entry(subject.clone()).or_default();
        if open.count.saturating_add(elsewhere) >= self.max {
            return Err(Exceeded { what: Share::Reads, retry_after_secs: RETRY_AFTER_SECS });
        }
        open.count += 1;
        Ok(Place { open: self.open.clone(), subject: subject.clone() })
    }

    fn elsewhere(&self, subject: &Arc<str>, now: Duration) -> u32 {
        let Some(nodes) = self.elsewhere.get(subject) else { return 0 };
        let counts = nodes.iter().filter(|node| node.until > now).map(|node| node.count);
        counts.fold(0, u32::saturating_add)
    }

    /// `subject` has `count` open on another node.
    pub fn hear(&self, node: u32, subject: &Arc<str>, count: u32, now: Duration) {
        let until = now + Duration::from_millis(SHARES_VALID_MS);
        let mut nodes = self.elsewhere.entry(subject.clone()).or_default();
        nodes.retain(|known| known.node != node && known.until > now);
        if count > 0 {
            nodes.push(Elsewhere { node, count, until });
        }
    }

    /// What others do not know of, or might forget. They know it then.
    pub fn untold(&self, now: Duration) -> Vec<(Arc<str>, u32)> {
        let mut news = Vec::new();
        let retell = Duration::from_millis(SHARES_RETOLD_MS);
        self.open.retain(|subject, open| {
            let is_old = open.count > 0 && now >= open.told_at + retell;
            if open.count != open.told || is_old {
                news.push((subject.clone(), open.count));
                (open.told, open.told_at) = (open.count, now);
            }
            open.count > 0
        });
        news
    }

    /// Forgets what others have not said for a while.
    pub fn sweep(&self, now: Duration) {
        self.elsewhere.retain(|_, nodes| {
            nodes.retain(|node| node.until > now);
            !nodes.is_empty()
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut open) = self.open.entry(self.subject.clone()) {
            open.get_mut().count -= 1;
            // Others that were told of it are told that it is over.
            if open.get().count == 0 && open.get().told == 0 {
                open.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn subject(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn a_place_is_free_when_its_read_ends() {
        let (reads, alice, bob) = (Reads::new(2), subject("alice"), subject("bob"));
        let first = reads.take(&alice, NOW).expect("free");
        let second = reads.take(&alice, NOW).expect("free");
        let refused = reads.take(&alice, NOW).err().expect("all taken");
        assert!(refused.to_string().contains("--reads-per-principal-max"), "{refused}");
        assert!(reads.take(&bob, NOW).is_ok());
        drop(first);
        assert!(reads.take(&alice, NOW).is_ok());
        drop(second);
        assert!(reads.open.is_empty());
    }

    #[test]
    fn those_on_other_nodes_count_while_they_say_so() {
        let (reads, alice) = (Reads::new(4), subject("alice"));
        reads.hear(1, &alice, 1, NOW);
        reads.hear(2, &alice, 1, NOW);
        reads.hear(2, &alice, 2, NOW);
        let _one = reads.take(&alice, NOW).expect("free");
        assert!(reads.take(&alice, NOW).is_err());
        reads.hear(1, &alice, 0, NOW);
        let _two = reads.take(&alice, NOW).expect("free");
        assert!(reads.take(&alice, NOW).is_err());
        let later = NOW + Duration::from_millis(SHARES_VALID_MS);
        let _three = reads.take(&alice, later).expect("the other node is gone");
        reads.sweep(later);
        assert!(reads.elsewhere.is_empty());
    }

    #[test]
    fn others_are_told_of_changes_and_again_before_they_forget() {
        let (reads, alice) = (Reads::new(4), subject("alice"));
        assert!(reads.untold(NOW).is_empty());
        let place = reads.take(&alice, NOW).expect("free");
        assert_eq!(reads.untold(NOW), [(alice.clone(), 1)]);
        assert!(reads.untold(NOW).is_empty());
        let later = NOW + Duration::from_millis(SHARES_RETOLD_MS);
        assert_eq!(reads.untold(later), [(alice.clone(), 1)]);
        drop(place);
        assert_eq!(reads.untold(later), [(alice, 0)]);
        assert!(reads.open.is_empty());
    }
}
