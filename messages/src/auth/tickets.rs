//! Tickets: browsers cannot send a header with an EventSource or a WebSocket, so they get something
//! for the URL that is worth nothing in a log, because it works once and for seconds only.

use super::{
    AuthError, Principal,
    crypto::{NoRandomness, fingerprint, random, to_text},
};
use crate::limits::{TICKET_TTL_SECS, TICKETS_MAX, TICKETS_PER_PRINCIPAL_MAX};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The parameter of a URL that holds a ticket.
pub const TICKET: &str = "ticket";

type Fingerprint = [u8; 32];

/// The tickets that wait to be used.
#[derive(Default)]
pub(super) struct Tickets(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// By fingerprint: how long a look into the map takes tells nothing about a ticket.
    tickets: HashMap<Fingerprint, (Arc<Principal>, Instant)>,
    /// In the order of their ends, because all live equally long. Used ones stay until then.
    ends: VecDeque<(Instant, Fingerprint, Arc<str>)>,
    /// How many of `ends` each principal has.
    counts: HashMap<Arc<str>, usize>,
}

/// Why there is no ticket.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum NoTicket {
    #[error("too many tickets")]
    TooMany,
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

impl Tickets {
    /// A ticket for `principal`, who is then whoever shows it first.
    pub fn issue(&self, principal: Arc<Principal>) -> Result<String, NoTicket> {
        let ticket = to_text(&random()?);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        waiting.forget_until(now);
        let subject = principal.subject().clone();
        let count = waiting.counts.get(&subject).copied().unwrap_or_default();
        if count >= TICKETS_PER_PRINCIPAL_MAX || waiting.ends.len() >= TICKETS_MAX {
            return Err(NoTicket::TooMany);
        }
        let (fingerprint, end) = (fingerprint(ticket.as_bytes()), now + TTL);
        waiting.counts.insert(subject.clone(), count + 1);
        waiting.ends.push_back((end, fingerprint, subject));
        waiting.tickets.insert(fingerprint, (principal, end));
        Ok(ticket)
    }

    /// Whoever a ticket stands for. It is used up by this.
    pub fn redeem(&self, ticket: &str) -> Result<Arc<Principal>, AuthError> {
        let fingerprint = fingerprint(ticket.as_bytes());
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (principal, end) = waiting.tickets.remove(&fingerprint).ok_or(AuthError::BadTicket)?;
        drop(waiting);
        if Instant::now() >= end {
            return Err(AuthError::BadTicket);
        }
        principal.check_time()?;
        Ok(principal)
    }
}

const TTL: Duration = Duration::from_secs(TICKET_TTL_SECS);

impl Waiting {
    fn forget_until(&mut self, now: Instant) {
        while self.ends.front().is_some_and(|(end, ..)| *end <= now)
            && let Some((_, fingerprint, subject)) = self.ends.pop_front()
        {
            self.tickets.remove(&fingerprint);
            if let Some(count) = self.counts.get_mut(&subject) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&subject);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_works_once_and_not_for_long() {
        let (tickets, somebody) = (Tickets::default(), Arc::new(Principal::anonymous()));
        let ticket = tickets.issue(somebody.clone()).expect("a ticket");
        assert_eq!(tickets.redeem(&ticket), Ok(somebody.clone()));
        assert_eq!(tickets.redeem(&ticket), Err(AuthError::BadTicket));
        assert_eq!(tickets.redeem("never was"), Err(AuthError::BadTicket));
        let late = tickets.issue(somebody).expect("a ticket");
        tokio::time::advance(TTL).await;
        assert_eq!(tickets.redeem(&late), Err(AuthError::BadTicket));
    }

    #[tokio::test(start_paused = true)]
    async fn one_principal_cannot_take_all_of_them() {
        let (tickets, somebody) = (Tickets::default(), Arc::new(Principal::anonymous()));
        for _ in 0..TICKETS_PER_PRINCIPAL_MAX {
            let ticket = tickets.issue(somebody.clone()).expect("a ticket");
            tickets.redeem(&ticket).expect("valid");
        }
        assert!(matches!(tickets.issue(somebody.clone()), Err(NoTicket::TooMany)));
        tokio::time::advance(TTL).await;
        tickets.issue(somebody).expect("there is room again");
        let waiting = tickets.0.lock().expect("no panic");
        assert_eq!((waiting.tickets.len(), waiting.ends.len()), (1, 1));
        assert_eq!(waiting.counts.values().sum::<usize>(), 1);
    }
}
