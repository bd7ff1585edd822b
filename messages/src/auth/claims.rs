//! What a token says, and what of it this server takes.

use super::{
    AuthError, Grants,
    principal::{Principal, Scope},
};
use crate::{
    limits::{SUBJECT_BYTES_MAX, TOKEN_LEEWAY_SECS},
    model::Pattern,
};
use serde::{Deserialize, Serialize};

/// The claims of a token that this server looks at. Others are for others, and left alone.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    sub: Option<String>,
    /// Seconds since 1970, which may have a fraction.
    exp: Option<f64>,
    nbf: Option<f64>,
    streams: Option<StreamClaims>,
}

/// The grants, as they are read and as `messages token` writes them. A misspelt member is
/// refused, so that a grant is not silently without effect.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamClaims {
    #[serde(default)]
    pub read: Vec<String>,
    #[serde(default)]
    pub write: Vec<String>,
    #[serde(default)]
    pub manage: Vec<String>,
}

impl Claims {
    /// The principal that these claims, whose signature is right, stand for at `now_ms`.
    pub fn principal(self, now_ms: u64) -> Result<Principal, AuthError> {
        let leeway_ms = TOKEN_LEEWAY_SECS * 1000;
        let exp = self.exp.ok_or_else(|| AuthError::invalid("it has no exp"))?;
        let expires_at_ms = millis(exp).saturating_add(leeway_ms);
        if expires_at_ms <= now_ms {
            return Err(AuthError::Expired);
        }
        if self.nbf.is_some_and(|nbf| millis(nbf) > now_ms.saturating_add(leeway_ms)) {
            return Err(AuthError::invalid("it is not valid yet (nbf)"));
        }
        let subject = self.sub.ok_or_else(|| AuthError::invalid("it has no sub"))?;
        check_subject(&subject)?;
        let scope = Scope::Listed(self.streams.unwrap_or_default().grants()?);
        Ok(Principal::new(&subject, scope, expires_at_ms, now_ms))
    }
}

impl From<&Grants> for StreamClaims {
    fn from(grants: &Grants) -> Self {
        let texts = |patterns: &[Pattern]| -> Vec<String> {
            patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect()
        };
        let Grants { read, write, manage } = grants;
        Self { read: texts(read), write: texts(write), manage: texts(manage) }
    }
}

impl StreamClaims {
    pub(super) fn grants(self) -> Result<Grants, AuthError> {
        let parse = |texts: Vec<String>| -> Result<Vec<Pattern>, AuthError> {
            let parse = |text: &String| {
                let parsed = text.parse();
                parsed.map_err(|error| AuthError::invalid(format!("streams: {text:?}: {error}")))
            };
            texts.iter().map(parse).collect()
        };
        let Self { read, write, manage } = self;
        Ok(Grants { read: parse(read)?, write: parse(write)?, manage: parse(manage)? })
    }
}

/// A subject is a name for logs and limits: some text, and not too much of it.
pub(super) fn check_subject(subject: &str) -> Result<(), AuthError> {
    let fits = (1..=SUBJECT_BYTES_MAX).contains(&subject.len());
    if fits && !subject.chars().any(char::is_control) {
        return Ok(());
    }
    let why = format!("its sub is not text of 1 to {SUBJECT_BYTES_MAX} bytes");
    Err(AuthError::invalid(why))
}

/// Out of range is the nearest that is in it.
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_000_000_000;

    fn claims(json: serde_json::Value) -> Result<Principal, AuthError> {
        let claims: Claims = serde_json::from_value(json).expect("claims");
        claims.principal(NOW_MS)
    }

    fn says(result: Result<Principal, AuthError>, words: &str) {
        let text = result.expect_err("refused").to_string();
        assert!(text.contains(words), "{text} does not say {words}");
    }

    #[tokio::test]
    async fn the_times_have_some_leeway() {
        let at = |exp: f64| claims(serde_json::json!({"sub": "a", "exp": exp}));
        assert_eq!(at(1_000_000.0).expect("valid").expires_at_ms(), Some(NOW_MS + 30_000));
        assert!(at(1_000_000.0 - 29.9).is_ok());
        assert_eq!(at(1_000_000.0 - 30.0), Err(AuthError::Expired));
        assert_eq!(at(-5.0), Err(AuthError::Expired));
        assert_eq!(at(1e300).expect("valid").expires_at_ms(), Some(u64::MAX));
        let from = |nbf: f64| claims(serde_json::json!({"sub": "a", "exp": 2e6, "nbf": nbf}));
        assert!(from(1_000_030.0).is_ok());
        says(from(1_000_030.1), "nbf");
    }

    #[tokio::test]
    async fn what_is_missing_or_misspelt_is_named() {
        says(claims(serde_json::json!({"sub": "a"})), "no exp");
        says(claims(serde_json::json!({"exp": 2e6})), "no sub");
        for sub in ["", "a\nb", &"x".repeat(257)] {
            says(claims(serde_json::json!({"sub": sub, "exp": 2e6})), "its sub");
        }
        let streams = serde_json::json!({"sub": "a", "exp": 2e6, "streams": {"read": ["a*"]}});
        says(claims(streams), "\"a*\": a pattern");
        let misspelt = serde_json::json!({"streams": {"raed": []}});
        let error = serde_json::from_value::<Claims>(misspelt).expect_err("refused");
        assert!(error.to_string().contains("raed"), "{error}");
    }
}
