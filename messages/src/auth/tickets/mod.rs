//! Tickets: browsers cannot send a header with an EventSource or a WebSocket, so they get something
//! for the URL that is worth nothing in a log, because it works once and for seconds only.
//!
//! They wait in the memory of this server, or where all nodes find them (`shared.rs`).

mod issued;
mod shared;

pub(super) use shared::SharedTickets;

use super::{
    AuthError, Principal,
    crypto::{NoRandomness, fingerprint, random, to_text},
};
use crate::limits::TICKET_TTL_SECS;
use issued::Issued;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The parameter of a URL that holds a ticket.
pub const TICKET: &str = "ticket";

type Fingerprint = [u8; 32];

/// Where tickets are.
pub(super) enum Tickets {
    /// In this server.
    Here(OwnTickets),
    /// Where all nodes find them.
    Everywhere(SharedTickets),
}

/// Why there is no ticket.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum NoTicket {
    #[error("too many tickets")]
    TooMany,
    #[error(transparent)]
    Random(#[from] NoRandomness),
    #[error("there is nowhere to keep it now")]
    Away,
}

impl From<NoTicket> for AuthError {
    fn from(none: NoTicket) -> Self {
        match none {
            NoTicket::TooMany => Self::TooManyTickets,
            NoTicket::Random(error) => error.into(),
            NoTicket::Away => Self::TicketsAway,
        }
    }
}

impl Tickets {
    /// A ticket for `principal`, who is then whoever shows it first.
    pub async fn issue(&self, principal: Arc<Principal>) -> Result<String, NoTicket> {
        match self {
            Self::Here(tickets) => tickets.issue(principal),
            Self::Everywhere(tickets) => tickets.issue(&principal).await,
        }
    }

    /// Whoever a ticket stands for. It is used up by this.
    pub async fn redeem(&self, ticket: &str) -> Result<Arc<Principal>, AuthError> {
        let principal = match self {
            Self::Here(tickets) => tickets.redeem(ticket)?,
            Self::Everywhere(tickets) => tickets.redeem(ticket).await?,
        };
        principal.check_time()?;
        Ok(principal)
    }
}

/// The tickets that wait to be used in this server.
#[derive(Default)]
pub(super) struct OwnTickets(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// By fingerprint: how long a look into the map takes tells nothing about a ticket.
    tickets: HashMap<Fingerprint, (Arc<Principal>, Instant)>,
    issued: Issued,
}

impl OwnTickets {
    fn issue(&self, principal: Arc<Principal>) -> Result<String, NoTicket> {
        let ticket = to_text(&random()?);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        waiting.forget_until(now);
        let fingerprint = fingerprint(ticket.as_bytes());
        // What it stands for is in memory anyway.
        let end = waiting.issued.add(fingerprint, principal.subject(), 0, now)?;
        waiting.tickets.insert(fingerprint, (principal, end));
        Ok(ticket)
    }

    fn redeem(&self, ticket: &str) -> Result<Arc<Principal>, AuthError> {
        let fingerprint = fingerprint(ticket.as_bytes());
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (principal, end) = waiting.tickets.remove(&fingerprint).ok_or(AuthError::BadTicket)?;
        drop(waiting);
        if Instant::now() >= end { Err(AuthError::BadTicket) } else { Ok(principal) }
    }
}

const TTL: Duration = Duration::from_secs(TICKET_TTL_SECS);

impl Waiting {
    fn forget_until(&mut self, now: Instant) {
        while let Some(fingerprint) = self.issued.pop_ended(now) {
            self.tickets.remove(&fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TICKETS_PER_PRINCIPAL_MAX;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_works_once_and_not_for_long() {
        let (tickets, somebody) = (OwnTickets::default(), Arc::new(Principal::anonymous()));
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
        let (tickets, somebody) = (OwnTickets::default(), Arc::new(Principal::anonymous()));
        for _ in 0..TICKETS_PER_PRINCIPAL_MAX {
            let ticket = tickets.issue(somebody.clone()).expect("a ticket");
            tickets.redeem(&ticket).expect("valid");
        }
        assert!(matches!(tickets.issue(somebody.clone()), Err(NoTicket::TooMany)));
        tokio::time::advance(TTL).await;
        tickets.issue(somebody).expect("there is room again");
        assert_eq!(tickets.0.lock().expect("no panic").tickets.len(), 1);
    }
}
