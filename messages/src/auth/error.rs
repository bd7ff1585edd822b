//! Why somebody may not do what was asked for.

use super::{Access, NoRandomness};
use crate::{
    model::{Pattern, StreamName},
    stats::Count,
};
use std::borrow::Cow;

/// Why a request is refused before it is looked at. Never contains a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no token, and this server needs one.
    #[error("this server needs a token")]
    Missing,
    /// The token is none, or not for this server.
    #[error("the token is not valid: {0}")]
    Invalid(Cow<'static, str>),
    /// The token was valid once.
    #[error("the token has expired")]
    Expired,
    /// The signed URL was valid once.
    #[error("the signed URL has expired")]
    LinkExpired,
    /// The signature of the URL does not fit.
    #[error("the signature of this URL is not valid")]
    BadLink,
    /// A ticket that was used, has expired, or never was.
    #[error("the ticket is unknown, used, or too old")]
    BadTicket,
    /// Tokens in URLs end up in logs and histories.
    #[error("a token in a URL is not accepted, because URLs are written to logs")]
    TokenInUrl,
    /// The principal is known, and may not do this.
    #[error("no {} access to the stream {stream}", access.as_str())]
    Forbidden {
        /// What was asked for.
        access: Access,
        /// On which stream.
        stream: StreamName,
    },
    /// The principal is known, and may not do this to all of these.
    #[error("no {} access to all streams that fit {pattern}", access.as_str())]
    ForbiddenPattern {
        /// What was asked for.
        access: Access,
        /// On which streams.
        pattern: Pattern,
    },
    /// Only a token speaks for a person; a signed URL may be in anybody's hands.
    #[error("this needs a token of its own and no signed URL or ticket")]
    NeedsToken,
    /// More tickets are waiting to be used than may.
    #[error("too many tickets have not been used yet")]
    TooManyTickets,
    /// Several nodes keep them where all find them, and that is away.
    #[error("tickets cannot be kept or looked up now")]
    TicketsAway,
    /// Nothing unguessable can be made.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// How often somebody was not let in, by the reason.
#[derive(Debug)]
pub struct Refusals([(&'static str, Count); REASONS.len()]);

/// See [`AuthError::reason`].
const REASONS: [&str; 8] = [
    "missing",
    "invalid",
    "expired",
    "url_expired",
    "bad_signature",
    "bad_ticket",
    "token_in_url",
    "unavailable",
];

impl Default for Refusals {
    fn default() -> Self {
        Self(REASONS.map(|reason| (reason, Count::default())))
    }
}

impl Refusals {
    /// All reasons, each with how often it was one.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(reason, count)| (*reason, count.get()))
    }

    pub(super) fn count(&self, error: &AuthError) {
        let reason = error.reason();
        if let Some((_, count)) = self.0.iter().find(|(known, _)| Some(*known) == reason) {
            count.one();
        }
    }
}

impl AuthError {
    /// Why somebody is not known; `None` where they are, and may not do something.
    fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::Missing => "missing",
            Self::Invalid(_) => "invalid",
            Self::Expired => "expired",
            Self::LinkExpired => "url_expired",
            Self::BadLink => "bad_signature",
            Self::BadTicket => "bad_ticket",
            Self::TokenInUrl => "token_in_url",
            Self::TicketsAway | Self::Random(_) => "unavailable",
            Self::Forbidden { .. }
            | Self::ForbiddenPattern { .. }
            | Self::NeedsToken
            | Self::TooManyTickets => return None,
        })
    }

    pub(super) fn invalid(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(why.into())
    }
}
