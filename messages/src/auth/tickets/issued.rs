//! How many tickets have been handed out, so that nobody takes too many.

use super::{Fingerprint, NoTicket, TTL};
use crate::limits::{TICKETS_BYTES_MAX, TICKETS_MAX, TICKETS_PER_PRINCIPAL_MAX};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::time::Instant;

/// Those that could still be used, and those that could if they had not been.
#[derive(Default)]
pub(super) struct Issued {
    /// In the order of their ends, because all live equally long.
    tickets: VecDeque<OneIssued>,
    /// How many of them each principal has.
    counts: HashMap<Arc<str>, usize>,
    bytes: usize,
}

struct OneIssued {
    end: Instant,
    fingerprint: Fingerprint,
    subject: Arc<str>,
    bytes: usize,
}

impl Issued {
    /// Counts one more, which costs so many `bytes` until it ends. Returns when that is.
    pub fn add(
        &mut self,
        fingerprint: Fingerprint,
        subject: &Arc<str>,
        bytes: usize,
        now: Instant,
    ) -> Result<Instant, NoTicket> {
        let count = self.counts.get(subject).copied().unwrap_or_default();
        let is_full = self.tickets.len() >= TICKETS_MAX || self.bytes + bytes > TICKETS_BYTES_MAX;
        if is_full || count >= TICKETS_PER_PRINCIPAL_MAX {
            return Err(NoTicket::TooMany);
        }
        let (end, subject) = (now + TTL, subject.clone());
        self.counts.insert(subject.clone(), count + 1);
        self.bytes += bytes;
        self.tickets.push_back(OneIssued { end, fingerprint, subject, bytes });
        Ok(end)
    }

    /// Forgets one whose time is over.
    pub fn pop_ended(&mut self, now: Instant) -> Option<Fingerprint> {
        let ended = self.tickets.pop_front_if(|ticket| ticket.end <= now)?;
        self.bytes -= ended.bytes;
        if let Some(count) = self.counts.get_mut(&ended.subject) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&ended.subject);
            }
        }
        Some(ended.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn there_is_an_end_to_their_number_and_size() {
        let (mut issued, now) = (Issued::default(), Instant::now());
        let subject = |number: usize| -> Arc<str> { number.to_string().into() };
        let large = TICKETS_BYTES_MAX / 10 + 1;
        for number in 0..9 {
            issued.add([0; 32], &subject(number), large, now).expect("room");
        }
        assert!(matches!(issued.add([0; 32], &subject(9), large, now), Err(NoTicket::TooMany)));
        issued.add([0; 32], &subject(9), 0, now).expect("room for small ones");
        assert_eq!(issued.pop_ended(now + TTL - Duration::from_millis(1)), None);
        while issued.pop_ended(now + TTL).is_some() {}
        assert_eq!((issued.bytes, issued.counts.len(), issued.tickets.len()), (0, 0, 0));
    }
}
