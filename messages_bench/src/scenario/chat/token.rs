//! Tokens for the people of a run: JWTs signed with the secret of the server.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::json;

use crate::limits;

/// Makes tokens.
pub struct Tokens {
    key: hmac::Key,
    /// When they expire, in seconds since 1970.
    expiry: u64,
}

impl Tokens {
    /// For a server with this secret; `now` is the time since 1970.
    pub fn new(secret: &str, now: Duration) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Self { key, expiry: (now + limits::TOKEN).as_secs() }
    }

    /// A token of `user`.
    pub fn of(&self, user: &str) -> String {
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = json!({"sub": user, "exp": self.expiry}).to_string();
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
        let sum = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_any_library_makes() {
        let token = Tokens::new("a secret that everybody may know", Duration::ZERO).of("alice");
        let parts: Vec<_> = token.split('.').collect();
        let read = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64");
        assert_eq!(read(parts[1]), br#"{"exp":14400,"sub":"alice"}"#);
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a secret that everybody may know");
        let signed = format!("{}.{}", parts[0], parts[1]);
        assert!(hmac::verify(&key, signed.as_bytes(), &read(parts[2])).is_ok());
        assert!(hmac::verify(&key, parts[0].as_bytes(), &read(parts[2])).is_err());
    }
}
