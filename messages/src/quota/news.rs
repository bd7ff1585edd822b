//! What nodes tell each other of what they have counted.

use super::{Quotas, Share};
use crate::limits::SHARES_AT_ONCE_MAX;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc};

/// What one node has counted since it last said so; of reads, how many are open.
#[derive(Serialize, Deserialize)]
struct News<'a> {
    from: u32,
    #[serde(borrow)]
    counts: Vec<(Share, Cow<'a, str>, u32)>,
}

impl Quotas {
    /// Whether anything is counted at all.
    #[must_use]
    pub fn count_anything(&self) -> bool {
        self.reads.is_some() || self.rates().next().is_some()
    }

    /// What other nodes have to know of this one, the node of this number, and were not told yet.
    #[must_use]
    pub fn news(&self, node: u32) -> Vec<Vec<u8>> {
        let mut counts: Vec<(Share, Arc<str>, u32)> = Vec::new();
        for rate in self.rates() {
            let untold = rate.untold().into_iter();
            counts.extend(untold.map(|(subject, count)| (rate.what, subject, count)));
        }
        if let Some(reads) = &self.reads {
            let untold = reads.untold(self.now()).into_iter();
            counts.extend(untold.map(|(subject, count)| (Share::Reads, subject, count)));
        }
        let pieces = counts.chunks(SHARES_AT_ONCE_MAX).map(|piece| {
            let counts = piece.iter().map(|(what, who, count)| (*what, Cow::from(&**who), *count));
            serde_json::to_vec(&News { from: node, counts: counts.collect() }).unwrap_or_default()
        });
        pieces.collect()
    }

    /// Takes up what a node has told; `node` is this one, which hears itself. What makes no sense is of a
    /// later version, and left out.
    pub fn hear(&self, node: u32, news: &[u8]) {
        let Ok(News { from, counts }) = serde_json::from_slice(news) else { return };
        if from == node {
            return;
        }
        let now = self.now();
        for (what, subject, count) in counts {
            let subject = Arc::from(subject);
            match what {
                Share::Reads => {
                    if let Some(reads) = &self.reads {
                        reads.hear(from, &subject, count, now);
                    }
                }
                Share::Requests | Share::Creations | Share::Messages => {
                    let rate = self.rates().find(|rate| rate.what == what);
                    if let Some(rate) = rate {
                        rate.hear(&subject, count, now);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(from: (&Quotas, u32), to: (&Quotas, u32)) -> usize {
        let news = from.0.news(from.1);
        news.iter().for_each(|news| to.0.hear(to.1, news));
        news.len()
    }

    #[test]
    fn several_nodes_give_one_share() {
        let quotas = || Quotas::new(0, 5, 2, 3);
        let (a, b, alice): (_, _, Arc<str>) = (quotas(), quotas(), "al\"ice".into());
        for _ in 0..3 {
            a.creation(&alice).expect("a share");
        }
        a.message(&alice).expect("a share");
        let place = a.read(&alice).expect("a place");
        assert_eq!(tell((&a, 1), (&b, 2)), 1);
        assert_eq!((b.creation(&alice), b.creation(&alice)), (Ok(()), Ok(())));
        assert!(b.creation(&alice).is_err());
        assert_eq!((b.message(&alice), b.message(&alice)), (Ok(()), Ok(())));
        assert!(b.message(&alice).is_err());
        let own = b.read(&alice).expect("a place");
        assert!(b.read(&alice).is_err());
        drop(place);
        assert_eq!(tell((&a, 1), (&b, 2)), 1);
        assert!(b.read(&alice).is_ok());
        assert!(b.creation(&"bob".into()).is_ok(), "everybody has one");
        drop(own);
        assert_eq!(tell((&b, 2), (&b, 2)), 1, "nobody counts twice what he says himself");
        assert_eq!(tell((&a, 1), (&b, 2)), 0, "there is no news");
        b.hear(2, b"nonsense");
    }

    #[test]
    fn many_principals_are_told_of_in_pieces() {
        let quotas = || Quotas::new(1, 0, 0, 0);
        let (a, b) = (quotas(), quotas());
        let all: Vec<Arc<str>> = (0..=SHARES_AT_ONCE_MAX).map(|n| n.to_string().into()).collect();
        for subject in &all {
            while a.request(subject).is_ok() {}
        }
        assert_eq!(tell((&a, 1), (&b, 2)), 2);
        assert!(all.iter().all(|subject| b.request(subject).is_err()));
    }
}
