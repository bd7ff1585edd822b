//! Tickets that any node may have made and any may be shown. Where they wait is no place for secrets:
//! what lies there is the fingerprint of a ticket, and whom it stands for under the seal of the nodes. So
//! whoever reads it has no ticket, and whoever can write there cannot make one.

use super::{Fingerprint, Issued, NoTicket, TTL};
use crate::{
    auth::{
        AuthError, Principal,
        claims::{StreamClaims, check_subject},
        common::{Away, Common},
        crypto::{Seal, fingerprint, random, to_text},
        principal::Scope,
    },
    clock::Clock,
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// See the module.
pub(in crate::auth) struct SharedTickets {
    common: Arc<dyn Common>,
    seal: Seal,
    clock: Arc<dyn Clock>,
    /// Those of this node.
    issued: Mutex<Issued>,
}

/// Whom a ticket stands for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stub {
    /// Which ticket: nobody can put what belongs to one in the place of another.
    of: String,
    sub: String,
    until_ms: u64,
    streams: StreamClaims,
}

impl SharedTickets {
    /// On what the nodes have in common, with the `secret` that all of them know.
    pub fn new(common: Arc<dyn Common>, secret: &[u8], clock: Arc<dyn Clock>) -> Self {
        let seal = Seal::new(secret, "messages: tickets, 1");
        Self { common, seal, clock, issued: Mutex::default() }
    }

    pub(super) async fn issue(&self, principal: &Principal) -> Result<String, NoTicket> {
        let ticket = to_text(&random()?);
        let fingerprint = fingerprint(ticket.as_bytes());
        let Some(stub) = Stub::new(&fingerprint, principal) else { return Err(NoTicket::Away) };
        let stub = serde_json::to_vec(&stub).unwrap_or_default();
        let stub = self.seal.seal(&stub);
        self.count(fingerprint, principal.subject(), stub.len())?;
        let kept = self.common.keep(&key(&fingerprint), stub.into(), TTL).await;
        kept.map_err(|error| tell(&error)).map_err(|()| NoTicket::Away)?;
        Ok(ticket)
    }

    fn count(
        &self,
        fingerprint: Fingerprint,
        subject: &Arc<str>,
        bytes: usize,
    ) -> Result<(), NoTicket> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while issued.pop_ended(now).is_some() {}
        issued.add(fingerprint, subject, bytes, now).map(|_| ())
    }

    pub(super) async fn redeem(&self, ticket: &str) -> Result<Arc<Principal>, AuthError> {
        // What cannot be one is not worth a question.
        if ticket.len() != TICKET_LEN {
            return Err(AuthError::BadTicket);
        }
        let fingerprint = fingerprint(ticket.as_bytes());
        let taken = self.common.take(&key(&fingerprint)).await;
        let stub = taken.map_err(|error| tell(&error)).map_err(|()| AuthError::TicketsAway)?;
        let stub = stub.ok_or(AuthError::BadTicket)?;
        let opened = std::str::from_utf8(&stub).ok().and_then(|stub| self.seal.open(stub));
        let Some(opened) = opened else {
            tracing::warn!(
                "a ticket of another node does not fit: do all have the same AUTH_SECRET?"
            );
            return Err(AuthError::BadTicket);
        };
        // A seal that is right is of our making; only another version could have put in more.
        let stub: Stub = serde_json::from_slice(&opened).map_err(|_| AuthError::BadTicket)?;
        stub.principal(&fingerprint, self.clock.now_ms()).map(Arc::new)
    }
}

/// 32 bytes in Base64.
const TICKET_LEN: usize = 43;

fn key(fingerprint: &Fingerprint) -> String {
    format!("ticket:{}", to_text(fingerprint))
}

fn tell(Away(error): &Away) {
    tracing::debug!(%error, "tickets are neither made nor taken now");
}

impl Stub {
    /// `None` for somebody who needs no ticket, or may have none.
    fn new(fingerprint: &Fingerprint, principal: &Principal) -> Option<Self> {
        let Scope::Listed(grants) = principal.scope() else { return None };
        Some(Self {
            of: to_text(fingerprint),
            sub: principal.subject().to_string(),
            until_ms: principal.expires_at_ms()?,
            streams: StreamClaims::from(grants),
        })
    }

    fn principal(self, fingerprint: &Fingerprint, now_ms: u64) -> Result<Principal, AuthError> {
        if self.of != to_text(fingerprint) || check_subject(&self.sub).is_err() {
            return Err(AuthError::BadTicket);
        }
        let grants = self.streams.grants().map_err(|_| AuthError::BadTicket)?;
        Ok(Principal::new(&self.sub, Scope::Listed(grants), self.until_ms, now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{Access, Grants},
        clock::SystemClock,
    };
    use bytes::Bytes;
    use futures::future::BoxFuture;
    use std::{
        collections::HashMap,
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };

    #[derive(Default)]
    struct Shelf {
        kept: Mutex<HashMap<String, Bytes>>,
        away: AtomicBool,
    }

    impl Shelf {
        fn here(&self) -> Result<(), Away> {
            if self.away.load(Ordering::Relaxed) { Err(Away("away".into())) } else { Ok(()) }
        }
    }

    impl Common for Shelf {
        fn url_key<'a>(&'a self, fresh: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, Away>> {
            Box::pin(async move { Ok(fresh.to_vec()) })
        }

        fn keep<'a>(
            &'a self,
            key: &'a str,
            value: Bytes,
            ttl: Duration,
        ) -> BoxFuture<'a, Result<(), Away>> {
            Box::pin(async move {
                self.here()?;
                assert_eq!(ttl, TTL);
                self.kept.lock().expect("no panic").insert(key.to_owned(), value);
                Ok(())
            })
        }

        fn take<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Away>> {
            Box::pin(async move {
                self.here()?;
                Ok(self.kept.lock().expect("no panic").remove(key))
            })
        }
    }

    fn node(shelf: &Arc<Shelf>, secret: &[u8]) -> SharedTickets {
        SharedTickets::new(shelf.clone(), secret, Arc::new(SystemClock))
    }

    fn alice() -> Principal {
        let now_ms = SystemClock.now_ms();
        let read = vec!["docs/*".parse().expect("a pattern")];
        let grants = Grants { read, ..Grants::default() };
        Principal::new("alice \"é\"", Scope::Listed(grants), now_ms + 60_000, now_ms)
    }

    #[tokio::test]
    async fn a_ticket_of_one_node_is_good_on_another() {
        let shelf = Arc::new(Shelf::default());
        let (a, b) = (node(&shelf, b"secret"), node(&shelf, b"secret"));
        let alice = alice();
        let ticket = a.issue(&alice).await.expect("a ticket");
        let shown = b.redeem(&ticket).await.expect("valid");
        assert_eq!(shown.subject(), alice.subject());
        assert_eq!(shown.expires_at_ms(), alice.expires_at_ms());
        assert!(shown.check(Access::Read, &"docs/a".parse().expect("a name")).is_ok());
        assert!(shown.check(Access::Write, &"docs/a".parse().expect("a name")).is_err());
        assert_eq!(a.redeem(&ticket).await, Err(AuthError::BadTicket));
        for bad in ["", "x", &ticket[1..], &"x".repeat(TICKET_LEN)] {
            assert_eq!(a.redeem(bad).await, Err(AuthError::BadTicket));
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_of_no_use_to_others() {
        let shelf = Arc::new(Shelf::default());
        let (own, other) = (node(&shelf, b"secret"), node(&shelf, b"guessed"));
        let mut tickets = Vec::new();
        for _ in 0..2 {
            tickets.push(own.issue(&alice()).await.expect("a ticket"));
        }
        let kept = shelf.kept.lock().expect("no panic").clone();
        for (key, value) in &kept {
            let text = format!("{key} {value:?}");
            assert!(tickets.iter().all(|ticket| !text.contains(ticket)), "{text}");
        }
        // Whoever can write there puts what belongs to one ticket in the place of another.
        let keys: Vec<&String> = kept.keys().collect();
        let swapped = [(keys[0], &kept[keys[1]]), (keys[1], &kept[keys[0]])];
        let swapped = swapped.map(|(key, value)| (key.clone(), value.clone()));
        shelf.kept.lock().expect("no panic").extend(swapped);
        for ticket in &tickets {
            assert_eq!(own.redeem(ticket).await, Err(AuthError::BadTicket));
        }
        let forged = other.issue(&alice()).await.expect("a ticket");
        assert_eq!(own.redeem(&forged).await, Err(AuthError::BadTicket));
    }

    #[tokio::test]
    async fn without_what_they_have_in_common_there_are_no_tickets() {
        let shelf = Arc::new(Shelf::default());
        let node = node(&shelf, b"secret");
        let ticket = node.issue(&alice()).await.expect("a ticket");
        shelf.away.store(true, Ordering::Relaxed);
        assert!(matches!(node.issue(&alice()).await, Err(NoTicket::Away)));
        assert_eq!(node.redeem(&ticket).await, Err(AuthError::TicketsAway));
        shelf.away.store(false, Ordering::Relaxed);
        assert!(node.redeem(&ticket).await.is_ok());
    }
}
