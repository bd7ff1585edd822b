//! Why somebody may not do what was asked for.

use super::{Access, NoRandomness};
use crate::model::{Pattern, StreamName};
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

impl AuthError {
    pub(super) fn invalid(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(why.into())
    }
}
