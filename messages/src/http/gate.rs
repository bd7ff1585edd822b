//! The way in: who asks, whether they may ask again so soon, and how long they may listen.

use super::{credentials, problem::Problem};
use crate::{
    auth::{Auth, AuthError, AuthStats, Credential, Principal, Signed, Ticket},
    model::StreamName,
    quota::{Place, Quotas},
    stats::Held,
};
use axum::http::{HeaderMap, Uri};
use std::{pin::Pin, sync::Arc};
use tokio::time::Sleep;

/// Access control and quotas, as handlers use them.
#[derive(Clone)]
pub struct Gate {
    auth: Arc<Auth>,
    quotas: Arc<Quotas>,
}

impl Gate {
    /// Over these two.
    #[must_use]
    pub fn new(auth: Arc<Auth>, quotas: Arc<Quotas>) -> Self {
        Self { auth, quotas }
    }

    /// Whoever sent a request. What they may do is to be asked of them:
    /// [`Principal::check`] before anything is done or shown.
    pub(super) async fn principal(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Arc<Principal>, Problem> {
        // Nothing is looked at where nothing is asked for.
        let credential = match self.auth.is_open() {
            true => Credential::None,
            false => credentials::credential(headers, uri).map_err(|why| self.auth.refused(why))?,
        };
        self.enter(credential).await
    }

    /// As [`Gate::principal`], for requests that need a token in the header: nothing that was made
    /// for one request may get something that is good for more.
    pub(super) async fn bearer(&self, headers: &HeaderMap) -> Result<Arc<Principal>, Problem> {
        let credential = match self.auth.is_open() {
            true => Credential::None,
            false => credentials::bearer(headers)
                .map_err(|why| self.auth.refused(why))?
                .map_or(Credential::None, Credential::Token),
        };
        self.enter(credential).await
    }

    /// Who was let in, and who was not.
    pub(super) fn stats(&self) -> &AuthStats {
        self.auth.stats()
    }

    /// Whether everybody may do everything.
    pub(super) fn is_open(&self) -> bool {
        self.auth.is_open()
    }

    /// Whoever shows `token` on a connection that is open already.
    pub(super) async fn token(&self, token: &str) -> Result<Arc<Principal>, Problem> {
        self.enter(Credential::Token(token)).await
    }

    /// Counts a request of `principal` that came on a connection that is open already.
    pub(super) fn request(&self, principal: &Principal) -> Result<(), Problem> {
        Ok(self.quotas.request(principal.subject())?)
    }

    async fn enter(&self, credential: Credential<'_>) -> Result<Arc<Principal>, Problem> {
        let principal = self.auth.authenticate(credential).await?;
        self.quotas.request(principal.subject())?;
        Ok(principal)
    }

    /// Begins a read that may take long.
    pub(super) fn reading(
        &self,
        principal: Arc<Principal>,
        counted: Held,
    ) -> Result<Reading, Problem> {
        let place = self.quotas.read(principal.subject())?;
        Ok(Reading { principal, timer: None, _place: place, _counted: counted })
    }

    /// Counts a message that is about to be sent to a conversation.
    pub(super) fn message(&self, principal: &Principal) -> Result<(), Problem> {
        Ok(self.quotas.message(principal.subject())?)
    }

    /// Counts a stream that is about to be created.
    pub(super) fn creation(&self, principal: &Principal) -> Result<(), Problem> {
        Ok(self.quotas.creation(principal.subject())?)
    }

    /// Whether creations are counted at all.
    pub(super) fn counts_creations(&self) -> bool {
        self.quotas.counts_creations()
    }

    /// A ticket for `principal`.
    pub(super) async fn ticket(&self, principal: Arc<Principal>) -> Result<Ticket, Problem> {
        Ok(self.auth.ticket(principal).await?)
    }

    /// A signature for URLs that read `stream`.
    pub(super) fn sign(
        &self,
        principal: &Principal,
        stream: &StreamName,
        secs: u64,
    ) -> Result<Signed, Problem> {
        Ok(self.auth.sign(principal, stream, secs)?)
    }
}

/// A read at work: it has a place, and ends with the token of its principal.
pub(super) struct Reading {
    principal: Arc<Principal>,
    timer: Option<Pin<Box<Sleep>>>,
    _place: Option<Place>,
    _counted: Held,
}

impl Reading {
    /// Whether the principal may still read.
    pub fn check(&self) -> Result<(), AuthError> {
        self.principal.check_time()
    }

    /// Waits until the principal may read no more, and tells what to say then. Cancel safe, and
    /// cheap to begin again.
    pub async fn expired(&mut self) -> AuthError {
        let Some(deadline) = self.principal.deadline() else {
            return std::future::pending().await;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        timer.as_mut().await;
        self.principal.expired()
    }
}
