//! Who asks, and what they may do. It knows streams by name only, and nothing of HTTP.
//!
//! A [`Credential`] becomes a [`Principal`], once a request; a principal is asked again whenever
//! something is about to be done or shown. Without keys everybody is the same principal with all
//! access, and the server listens on loopback only.

mod claims;
mod common;
mod crypto;
mod error;
mod issue;
mod jwks;
mod keys;
mod links;
mod options;
mod principal;
mod secret;
mod tickets;
mod tokens;
mod url_key;

pub use common::{Away, Common};
pub use crypto::NoRandomness;
pub use error::{AuthError, Refusals};
pub use issue::{IssueError, Issuer, Order};
pub use jwks::JwksError;
pub use keys::KeysError;
pub use links::SIGNED;
pub use options::{AuthOptions, BadSecret, KeyOptions};
pub use principal::{Access, Grants, Principal};
pub use secret::Secret;
pub use tickets::TICKET;

use crate::{
    clock::Clock,
    fetch::FetchError,
    limits::{SIGNED_URL_SECS_MAX, TICKET_TTL_SECS},
    model::StreamName,
    stats::Count,
};
use jwks::{Jwks, Source};
use keys::Expected;
use links::Links;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tickets::{OwnTickets, SharedTickets, Tickets};
use tokens::Tokens;

/// What a request shows of itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// Nothing.
    None,
    /// A token.
    Token(&'a str),
    /// A ticket, from the URL.
    Ticket(&'a str),
    /// The signature of the URL.
    Signed(&'a str),
}

/// Knows everybody.
pub struct Auth {
    anonymous: Arc<Principal>,
    /// Where there are keys.
    tokens: Option<Tokens>,
    tickets: Tickets,
    url_key: UrlKey,
    links: Links,
    clock: Arc<dyn Clock>,
    refresh: Duration,
    stats: AuthStats,
}

/// Who was let in, and who was not.
#[derive(Debug, Default)]
pub struct AuthStats {
    /// Who was not.
    pub refusals: Refusals,
    /// Tickets that were handed out.
    pub tickets: Count,
    /// Tickets that were asked for in vain.
    pub tickets_refused: Count,
}

/// Where the key for signed URLs comes from.
enum UrlKey {
    /// An operator has given it.
    Secret(Secret),
    /// It has to be made once, and kept.
    Missing,
    /// Nobody signs anything.
    Unused,
}

/// A ticket, and for how long it can be used.
#[derive(Clone)]
pub struct Ticket {
    /// The ticket.
    pub ticket: String,
    /// It must be used within so many seconds.
    pub expires_in: u64,
}

/// The signature of a URL, and until when it is good.
#[derive(Clone)]
pub struct Signed {
    /// The value of [`SIGNED`].
    pub signed: String,
    /// In seconds since 1970.
    pub expires_at: u64,
}

/// Why there can be no access control, and so no server.
#[derive(Debug, thiserror::Error)]
pub enum AuthSetupError {
    /// The secret.
    #[error(transparent)]
    Secret(#[from] BadSecret),
    /// The name of the place of the public keys.
    #[error("cannot use --auth-jwks (AUTH_JWKS)")]
    Place(#[source] FetchError),
    /// The public keys.
    #[error("cannot use --auth-jwks (AUTH_JWKS)")]
    Jwks(#[from] JwksError),
    /// The key for signed URLs.
    #[error("cannot use the key for signed URLs in {path}")]
    UrlKey {
        /// Where it is.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The key for signed URLs of all nodes.
    #[error("cannot use the key for signed URLs that the nodes have in common")]
    CommonKey(#[source] Away),
    /// It is none.
    #[error("the key for signed URLs in the database is damaged")]
    DamagedKey,
    /// Randomness.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// Everybody could do everything.
    #[error(
        "no keys are configured, so everybody who reaches {0} could do everything: set AUTH_SECRET (openssl rand -hex 32) or AUTH_JWKS, or listen on 127.0.0.1 (--listen), or say --allow-open if nobody else reaches that address"
    )]
    Open(SocketAddr),
}

impl AuthOptions {
    /// Whether the server may listen on `address` with these settings.
    ///
    /// # Errors
    /// It would be open to others than this machine.
    pub fn check_address(&self, address: SocketAddr) -> Result<(), AuthSetupError> {
        if !self.is_open() || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        if !self.allow_open {
            return Err(AuthSetupError::Open(address));
        }
        tracing::warn!(%address, "no keys: everybody who reaches this address may do everything (--allow-open)");
        Ok(())
    }
}

impl Auth {
    /// As the settings say. It is complete with [`Auth::alone`] or [`Auth::sharing`].
    ///
    /// # Errors
    /// The keys are not there or of no use.
    pub async fn new(options: &AuthOptions, clock: Arc<dyn Clock>) -> Result<Self, AuthSetupError> {
        crypto::install();
        let secret = options.keys.secret()?;
        let source = options.jwks().map(|text| Source::parse(text)).transpose();
        let source = source.map_err(AuthSetupError::Place)?;
        let url_key = match (&secret, &source) {
            (Some(secret), _) => UrlKey::Secret(secret.clone()),
            (None, Some(_)) => UrlKey::Missing,
            (None, None) => UrlKey::Unused,
        };
        let links = Links::new(&crypto::random()?);
        let tokens = if options.is_open() {
            None
        } else {
            let audience = options.keys.audience().cloned();
            let expected = Expected { audience, issuer: options.keys.issuer().cloned() };
            let keys = Jwks::load(secret, source, expected).await?;
            Some(Tokens::new(keys, clock.clone()))
        };
        let refresh = Duration::from_secs(options.auth_jwks_refresh_secs);
        let anonymous = Arc::new(Principal::anonymous());
        let tickets = Tickets::Here(OwnTickets::default());
        let stats = AuthStats::default();
        Ok(Self { anonymous, tokens, tickets, url_key, links, clock, refresh, stats })
    }

    /// On a server that shares nothing. What must outlive the process is in `data_dir`.
    ///
    /// # Errors
    /// What is there is of no use.
    pub fn alone(mut self, data_dir: &Path) -> Result<Self, AuthSetupError> {
        self.links = match &self.url_key {
            UrlKey::Secret(secret) => Links::new(secret.expose()),
            UrlKey::Missing => Links::new(&url_key::load_or_make(data_dir)?),
            UrlKey::Unused => self.links,
        };
        Ok(self)
    }

    /// On one of several nodes: what one of them hands out is good on all. A key that a server made for
    /// itself before it became one of them, in `data_dir`, becomes that of all.
    ///
    /// # Errors
    /// What they have in common cannot be reached, or is of no use.
    pub async fn sharing(
        mut self,
        common: Arc<dyn Common>,
        data_dir: &Path,
    ) -> Result<Self, AuthSetupError> {
        let secret = match &self.url_key {
            UrlKey::Secret(secret) => secret.clone(),
            UrlKey::Missing => {
                let fresh = url_key::load(data_dir)?.map_or_else(crypto::random, Ok)?;
                let found = common.url_key(&fresh).await.map_err(AuthSetupError::CommonKey)?;
                if found.len() != fresh.len() {
                    return Err(AuthSetupError::DamagedKey);
                }
                Secret::from(found)
            }
            UrlKey::Unused => return Ok(self),
        };
        self.links = Links::new(secret.expose());
        let tickets = SharedTickets::new(common, secret.expose(), self.clock.clone());
        self.tickets = Tickets::Everywhere(tickets);
        Ok(self)
    }

    /// Whether everybody may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.is_none()
    }

    /// Whoever shows `credential`. Where no keys are configured nobody looks at it.
    ///
    /// # Errors
    /// There is none, or it is not valid now.
    pub async fn authenticate(
        &self,
        credential: Credential<'_>,
    ) -> Result<Arc<Principal>, AuthError> {
        let Some(tokens) = &self.tokens else { return Ok(self.anonymous.clone()) };
        let principal = match credential {
            Credential::None => Err(AuthError::Missing),
            Credential::Token(token) => tokens.check(token).await,
            Credential::Ticket(ticket) => self.tickets.redeem(ticket).await,
            Credential::Signed(signed) => {
                self.links.open(signed, self.clock.now_ms()).map(Arc::new)
            }
        };
        principal.map_err(|error| self.refused(error))
    }

    /// Counts that somebody is not let in.
    pub fn refused(&self, why: AuthError) -> AuthError {
        self.stats.refusals.count(&why);
        why
    }

    /// How often what has happened.
    #[must_use]
    pub fn stats(&self) -> &AuthStats {
        &self.stats
    }

    /// A ticket for `principal`: whoever shows it first within seconds is they, until their token
    /// expires.
    ///
    /// # Errors
    /// They have too many, or are no person; or there is nowhere to keep it now.
    pub async fn ticket(&self, principal: Arc<Principal>) -> Result<Ticket, AuthError> {
        let issued = match principal.user().map(drop) {
            Ok(()) => self.tickets.issue(principal).await.map_err(AuthError::from),
            Err(error) => Err(error),
        };
        let count = if issued.is_ok() { &self.stats.tickets } else { &self.stats.tickets_refused };
        count.one();
        Ok(Ticket { ticket: issued?, expires_in: TICKET_TTL_SECS })
    }

    /// Lets anybody read `stream` for `secs` seconds, but not longer than `principal` may.
    ///
    /// # Errors
    /// They may not read it themselves, or are no person.
    pub fn sign(
        &self,
        principal: &Principal,
        stream: &StreamName,
        secs: u64,
    ) -> Result<Signed, AuthError> {
        principal.user()?;
        principal.check(Access::Read, stream)?;
        let asked = self.clock.now_ms() / 1000 + secs.min(SIGNED_URL_SECS_MAX);
        let own = principal.expires_at_ms().map_or(u64::MAX, |ms| ms / 1000);
        let expires_at = asked.min(own);
        Ok(Signed { signed: self.links.sign(stream, expires_at, principal.subject()), expires_at })
    }

    /// Keeps the public keys fresh, for ever.
    pub async fn keep_fresh(&self) {
        match &self.tokens {
            Some(tokens) => tokens.keys().keep_fresh(self.refresh).await,
            None => std::future::pending().await,
        }
    }
}
