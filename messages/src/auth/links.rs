//! Signed URLs: whoever has one may read one stream until a certain time, and nothing else.

use super::{
    AuthError,
    claims::check_subject,
    crypto::Seal,
    principal::{Principal, Scope},
};
use crate::model::StreamName;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The parameter of a URL that holds its signature, and what is signed.
pub const SIGNED: &str = "signed";

/// Makes and checks them.
pub(super) struct Links(Seal);

/// What is signed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link<'a> {
    /// The one stream that may be read.
    stream: Cow<'a, str>,
    /// Until then, in seconds since 1970.
    exp: u64,
    /// Who made it.
    sub: Cow<'a, str>,
}

impl Links {
    pub fn new(secret: &[u8]) -> Self {
        Self(Seal::new(secret, "messages: signed URLs, 1"))
    }

    /// The value of [`SIGNED`] that lets anybody read `stream` until `exp` (seconds since 1970) in
    /// the name of `subject`.
    pub fn sign(&self, stream: &StreamName, exp: u64, subject: &str) -> String {
        let link = Link { stream: stream.as_str().into(), exp, sub: subject.into() };
        self.0.seal(serde_json::to_string(&link).unwrap_or_default().as_bytes())
    }

    /// Whoever a value of [`SIGNED`] stands for.
    pub fn open(&self, signed: &str, now_ms: u64) -> Result<Principal, AuthError> {
        let message = self.0.open(signed).ok_or(AuthError::BadLink)?;
        // A seal that is right is of our making; only a later version could have put in more.
        let link: Link<'_> = serde_json::from_slice(&message).map_err(|_| AuthError::BadLink)?;
        let stream = link.stream.parse().map_err(|_| AuthError::BadLink)?;
        check_subject(&link.sub).map_err(|_| AuthError::BadLink)?;
        let expires_at_ms = link.exp.saturating_mul(1000);
        if expires_at_ms <= now_ms {
            return Err(AuthError::LinkExpired);
        }
        Ok(Principal::new(&link.sub, Scope::ReadOne(stream), expires_at_ms, now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Access;

    #[tokio::test]
    async fn a_link_is_for_one_stream_and_some_time() {
        let links = Links::new(b"secret");
        let name = |text: &str| text.parse::<StreamName>().expect("a name");
        let signed = links.sign(&name("docs/\"a\""), 2, "alice");
        let principal = links.open(&signed, 1_999).expect("valid");
        assert_eq!(principal.check(Access::Read, &name("docs/\"a\"")), Ok(()));
        assert!(principal.check(Access::Read, &name("docs/b")).is_err());
        assert_eq!((&**principal.subject(), principal.expires_at_ms()), ("alice", Some(2_000)));
        assert_eq!(links.open(&signed, 2_000), Err(AuthError::LinkExpired));
        assert_eq!(Links::new(b"other").open(&signed, 0), Err(AuthError::BadLink));
        assert_eq!(links.open("", 0), Err(AuthError::BadLink));
    }
}
