//! Tokens and signed URLs made by whoever has the secret, without a server.

use super::{
    AuthError, BadSecret, Grants, KeyOptions,
    claims::{StreamClaims, check_subject},
    crypto,
    links::Links,
    secret::Secret,
};
use crate::{
    clock::Clock,
    model::{Pattern, StreamName},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use std::time::Duration;

/// Makes tokens.
pub struct Issuer<'a> {
    secret: Secret,
    keys: &'a KeyOptions,
    clock: &'a dyn Clock,
}

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who it stands for.
    pub subject: String,
    /// How long it is good.
    pub ttl: Duration,
}

/// The claims as they are written.
#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams: Option<StreamClaims>,
}

/// Why it cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The secret.
    #[error(transparent)]
    Secret(#[from] BadSecret),
    /// No secret.
    #[error(
        "there is no secret to sign with: set AUTH_SECRET to that of the server (tokens for --auth-jwks are made by whoever has its private keys)"
    )]
    NoSecret,
    /// The subject.
    #[error("--sub: {0}")]
    Subject(AuthError),
    /// The library.
    #[error("cannot sign: {0}")]
    Sign(jsonwebtoken::errors::Error),
}

impl<'a> Issuer<'a> {
    /// With the secret of `keys`.
    ///
    /// # Errors
    /// There is none, or it is of no use.
    pub fn new(keys: &'a KeyOptions, clock: &'a dyn Clock) -> Result<Self, IssueError> {
        crypto::install();
        let secret = keys.secret()?.ok_or(IssueError::NoSecret)?;
        Ok(Self { secret, keys, clock })
    }

    /// A token with these grants.
    ///
    /// # Errors
    /// The order makes no sense.
    pub fn token(&self, order: &Order, grants: &Grants) -> Result<String, IssueError> {
        let exp = self.expiry(order)?;
        let texts = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect();
        let Grants { read, write, manage } = grants;
        let streams =
            StreamClaims { read: texts(read), write: texts(write), manage: texts(manage) };
        let claims = Claims {
            sub: &order.subject,
            exp,
            aud: self.keys.audience(),
            iss: self.keys.issuer(),
            streams: (grants != &Grants::default()).then_some(streams),
        };
        let key = EncodingKey::from_secret(self.secret.expose());
        let signed = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
        signed.map_err(IssueError::Sign)
    }

    /// The value of [`super::SIGNED`] that lets anybody read `stream`.
    ///
    /// # Errors
    /// The order makes no sense.
    pub fn signed(&self, order: &Order, stream: &StreamName) -> Result<String, IssueError> {
        let exp = self.expiry(order)?;
        Ok(Links::new(self.secret.expose()).sign(stream, exp, &order.subject))
    }

    fn expiry(&self, order: &Order) -> Result<u64, IssueError> {
        check_subject(&order.subject).map_err(IssueError::Subject)?;
        Ok((self.clock.now_ms() / 1000).saturating_add(order.ttl.as_secs()))
    }
}
