//! Who asks, and what they may do.

use super::AuthError;
use crate::{
    limits::PRINCIPAL_YEARS_MAX,
    model::{Pattern, StreamName},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// What somebody wants to do with a stream. None of them implies another one, except that
/// [`Access::Create`] comes with `write` and with `manage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read it, now and live, and ask where it ends.
    Read,
    /// Append to it and close it.
    Write,
    /// Delete it, begin its name anew, fork into it, subscribe to it.
    Manage,
    /// Create it where there is none: who may write or manage it.
    Create,
}

impl Access {
    /// The word for it in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Manage => "manage",
            Self::Create => "write or manage",
        }
    }
}

/// Which streams somebody may use, as tokens say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Streams to read.
    pub read: Vec<Pattern>,
    /// Streams to create, append to and close.
    pub write: Vec<Pattern>,
    /// Streams to create, delete, begin anew, fork into and subscribe to.
    pub manage: Vec<Pattern>,
}

/// What a principal may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything: the server has no keys.
    All,
    /// What the token lists.
    Listed(Grants),
    /// To read this one stream, whatever stars are in its name.
    ReadOne(StreamName),
}

/// Somebody who has shown who they are, or everybody where no keys are configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    subject: Arc<str>,
    scope: Scope,
    expires_at_ms: Option<u64>,
    deadline: Option<Instant>,
}

impl Principal {
    /// Everybody, with all access, for ever.
    pub(super) fn anonymous() -> Self {
        Self { subject: "anonymous".into(), scope: Scope::All, expires_at_ms: None, deadline: None }
    }

    /// Somebody until `expires_at_ms`, the time being `now_ms`.
    pub(super) fn new(subject: &str, scope: Scope, expires_at_ms: u64, now_ms: u64) -> Self {
        let left = Duration::from_millis(expires_at_ms.saturating_sub(now_ms));
        let most = Duration::from_secs(PRINCIPAL_YEARS_MAX * 365 * 24 * 3600);
        Self {
            subject: subject.into(),
            scope,
            expires_at_ms: Some(expires_at_ms),
            deadline: Some(Instant::now() + left.min(most)),
        }
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The name that limits are counted by. A signed URL counts for whoever made it.
    #[must_use]
    pub fn subject(&self) -> &Arc<str> {
        &self.subject
    }

    /// The person: the `sub` of a token, for what belongs to people and not to streams.
    ///
    /// # Errors
    /// A signed URL stands for nobody.
    pub fn user(&self) -> Result<&str, AuthError> {
        match self.scope {
            Scope::ReadOne(_) => Err(AuthError::NeedsToken),
            Scope::All | Scope::Listed(_) => Ok(&self.subject),
        }
    }

    /// When this ends, in milliseconds since 1970; `None` for never.
    #[must_use]
    pub fn expires_at_ms(&self) -> Option<u64> {
        self.expires_at_ms
    }

    /// When this ends on the clock that timers go by; `None` for never.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether it has not ended yet: to be asked again by everything that takes long.
    ///
    /// # Errors
    /// It has.
    pub fn check_time(&self) -> Result<(), AuthError> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(self.expired()),
            _ => Ok(()),
        }
    }

    /// What somebody is told whose time has come.
    #[must_use]
    pub fn expired(&self) -> AuthError {
        match self.scope {
            Scope::ReadOne(_) => AuthError::LinkExpired,
            Scope::All | Scope::Listed(_) => AuthError::Expired,
        }
    }

    /// Whether this may be done to `stream` now.
    ///
    /// # Errors
    /// It may not, or the token has expired in the meantime.
    pub fn check(&self, access: Access, stream: &StreamName) -> Result<(), AuthError> {
        self.check_time()?;
        if self.may(access, stream) {
            return Ok(());
        }
        Err(AuthError::Forbidden { access, stream: stream.clone() })
    }

    /// Whether this may be done now to every stream whose name fits `pattern`.
    ///
    /// # Errors
    /// It may not, or the token has expired in the meantime.
    pub fn check_all(&self, access: Access, pattern: &Pattern) -> Result<(), AuthError> {
        self.check_time()?;
        let granted = match (&self.scope, access) {
            (Scope::All, _) => return Ok(()),
            (Scope::ReadOne(_), _) => &[][..],
            (Scope::Listed(grants), Access::Read) => &grants.read,
            (Scope::Listed(grants), Access::Write | Access::Create) => &grants.write,
            (Scope::Listed(grants), Access::Manage) => &grants.manage,
        };
        if granted.iter().any(|granted| granted.covers(pattern)) {
            return Ok(());
        }
        Err(AuthError::ForbiddenPattern { access, pattern: pattern.clone() })
    }

    /// What the names of all streams begin with that this may read, in order, none the beginning of
    /// another one: where to look for them.
    #[must_use]
    pub fn readable_prefixes(&self) -> Vec<String> {
        let mut prefixes: Vec<String> = match &self.scope {
            Scope::All => vec![String::new()],
            Scope::ReadOne(only) => vec![only.to_string()],
            Scope::Listed(grants) => {
                grants.read.iter().map(|pattern| pattern.literal_prefix().to_owned()).collect()
            }
        };
        prefixes.sort();
        prefixes.dedup_by(|later, earlier| later.starts_with(earlier.as_str()));
        prefixes
    }

    fn may(&self, access: Access, stream: &StreamName) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::ReadOne(only) => access == Access::Read && stream == only,
            Scope::Listed(Grants { read, write, manage }) => match access {
                Access::Read => fits(read, stream),
                Access::Write => fits(write, stream),
                Access::Manage => fits(manage, stream),
                Access::Create => fits(write, stream) || fits(manage, stream),
            },
        }
    }
}

fn fits(patterns: &[Pattern], stream: &StreamName) -> bool {
    // Most grants are a name or everything: these need no walk.
    let (name, plain) = (stream.as_str(), |text: &str| !text.contains('*'));
    patterns.iter().any(|pattern| match pattern.as_str() {
        "**" => true,
        text if plain(text) => text == name,
        _ => pattern.matches(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> StreamName {
        text.parse().expect("a name")
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().expect("a pattern")).collect()
    }

    fn granted(read: &[&str], write: &[&str], manage: &[&str]) -> Principal {
        let (read, write, manage) = (patterns(read), patterns(write), patterns(manage));
        Principal::new("a", Scope::Listed(Grants { read, write, manage }), 2_000, 1_000)
    }

    #[tokio::test]
    async fn no_access_implies_another() {
        use Access::{Create, Manage, Read, Write};
        for (grants, allowed) in [
            (granted(&["a"], &[], &[]), vec![Read]),
            (granted(&[], &["a"], &[]), vec![Write, Create]),
            (granted(&[], &[], &["a"]), vec![Manage, Create]),
            (granted(&[], &[], &[]), vec![]),
            (granted(&["b"], &["b"], &["b"]), vec![]),
        ] {
            for access in [Read, Write, Manage, Create] {
                let may = grants.check(access, &name("a")).is_ok();
                assert_eq!(may, allowed.contains(&access), "{grants:?} {access:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_star_in_a_name_is_no_pattern_for_a_signed_url() {
        let link = Principal::new("a", Scope::ReadOne(name("*")), 2_000, 1_000);
        assert!(link.check(Access::Read, &name("*")).is_ok());
        assert!(link.check(Access::Read, &name("b")).is_err());
        assert!(link.check(Access::Write, &name("*")).is_err());
        assert_eq!(link.user(), Err(AuthError::NeedsToken));
    }

    #[tokio::test(start_paused = true)]
    async fn access_ends_with_time() {
        let principal = granted(&["**"], &[], &[]);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(principal.check(Access::Read, &name("a")), Ok(()));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(principal.check(Access::Read, &name("a")), Err(AuthError::Expired));
        assert_eq!(principal.check_time(), Err(AuthError::Expired));
        let far = Principal::new("a", Scope::All, u64::MAX, 0);
        assert_eq!(far.check_time(), Ok(()), "a far end does not overflow");
    }

    proptest! {
        #[test]
        fn the_shortcut_agrees_with_the_pattern(
            parts in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**"]), 1..4),
            segments in prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 1..4),
        ) {
            let (pattern, name) = (patterns(&[&parts.join("/")]), name(&segments.join("/")));
            prop_assert_eq!(fits(&pattern, &name), pattern[0].matches(name.as_str()));
        }
    }
}
