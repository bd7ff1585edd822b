//! Tokens into principals. Checking a signature costs more than an append, so what was found out
//! is kept for as long as it can be true.

use super::{
    AuthError, Principal,
    crypto::fingerprint,
    jwks::Jwks,
    keys::{Keys, Rejected},
};
use crate::{
    clock::Clock,
    limits::{CACHED_TOKENS_MAX, TOKEN_BYTES_MAX},
};
use quick_cache::sync::Cache;
use std::sync::Arc;

/// Checks tokens.
pub(super) struct Tokens {
    keys: Jwks,
    /// By the fingerprint of the token, which itself is not kept.
    known: Cache<[u8; 32], Known>,
    clock: Arc<dyn Clock>,
}

/// What a token was found to be with the keys of one generation.
#[derive(Clone)]
struct Known {
    principal: Arc<Principal>,
    generation: u64,
}

impl Tokens {
    pub fn new(keys: Jwks, clock: Arc<dyn Clock>) -> Self {
        Self { keys, known: Cache::new(CACHED_TOKENS_MAX), clock }
    }

    /// Where the keys come from.
    pub fn keys(&self) -> &Jwks {
        &self.keys
    }

    /// Whoever a token stands for.
    pub async fn check(&self, token: &str) -> Result<Arc<Principal>, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            let why = format!("it is longer than {TOKEN_BYTES_MAX} bytes");
            return Err(AuthError::invalid(why));
        }
        let fingerprint = fingerprint(token.as_bytes());
        if let Some(known) = self.known.get(&fingerprint)
            && known.generation == self.keys.generation()
        {
            known.principal.check_time()?;
            return Ok(known.principal);
        }
        let (generation, keys) = self.keys.current();
        let (generation, principal) = match self.principal(&keys, token) {
            Err(Failed::UnknownKey) => {
                let (generation, keys) = self.keys.newer_than(generation).await;
                (generation, self.principal(&keys, token))
            }
            result => (generation, result),
        };
        let principal = Arc::new(principal.map_err(Failed::into_error)?);
        self.known.insert(fingerprint, Known { principal: principal.clone(), generation });
        Ok(principal)
    }

    fn principal(&self, keys: &Keys, token: &str) -> Result<Principal, Failed> {
        let claims = keys.check(token).map_err(|rejected| match rejected {
            Rejected::UnknownKey => Failed::UnknownKey,
            Rejected::Invalid(why) => Failed::For(AuthError::Invalid(why)),
        })?;
        claims.principal(self.clock.now_ms()).map_err(Failed::For)
    }
}

enum Failed {
    UnknownKey,
    For(AuthError),
}

impl Failed {
    fn into_error(self) -> AuthError {
        match self {
            Self::UnknownKey => AuthError::invalid("no key of this server fits it (alg, kid)"),
            Self::For(error) => error,
        }
    }
}
