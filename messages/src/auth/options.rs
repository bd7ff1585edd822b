//! The settings of access control.

use super::secret::Secret;
use clap::Args;
use std::path::PathBuf;

/// Who may use the server.
#[derive(Clone, Debug, Default, Args)]
pub struct AuthOptions {
    /// What tokens are checked with and made with.
    #[command(flatten)]
    pub keys: KeyOptions,

    /// Public keys for tokens that somebody else makes: a JSON Web Key Set, as a file or an https
    /// URL (http on this machine). RS256, ES256 and EdDSA. Read at start and again from time to
    /// time.
    #[arg(long, env = "AUTH_JWKS", value_name = "FILE|URL", hide_env_values = true)]
    pub auth_jwks: Option<String>,

    /// Seconds between two looks at --auth-jwks. A token with an unknown key causes one, too.
    #[arg(long, env = "AUTH_JWKS_REFRESH_SECS", default_value_t = 300, value_name = "SECS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub auth_jwks_refresh_secs: u64,

    /// Listen beyond this machine although no keys are configured: everybody who reaches the
    /// address may do everything. For a container whose port is published on loopback only, or
    /// behind a proxy that lets nobody else in. Without effect when there are keys.
    #[arg(long, env = "ALLOW_OPEN", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub allow_open: bool,
}

/// The keys of this server itself.
#[derive(Clone, Debug, Default, Args)]
pub struct KeyOptions {
    /// Shared secret for HS256 tokens and for signed URLs, at least 32 bytes (openssl rand -hex
    /// 32). Other users of the machine see flags: better use the variable or the file.
    #[arg(long, env = "AUTH_SECRET", value_name = "SECRET", hide_env_values = true,
          value_parser = |text: &str| Ok::<_, std::convert::Infallible>(Secret::from(text)))]
    pub auth_secret: Option<Secret>,

    /// File with the shared secret.
    #[arg(long, env = "AUTH_SECRET_FILE", value_name = "FILE")]
    pub auth_secret_file: Option<PathBuf>,

    /// Tokens must be for this audience (aud).
    #[arg(long, env = "AUTH_AUDIENCE", value_name = "TEXT")]
    pub auth_audience: Option<String>,

    /// Tokens must be from this issuer (iss).
    #[arg(long, env = "AUTH_ISSUER", value_name = "TEXT")]
    pub auth_issuer: Option<String>,
}

/// Why there is no secret to work with.
#[derive(Debug, thiserror::Error)]
pub enum BadSecret {
    /// Two may differ.
    #[error("give --auth-secret or --auth-secret-file (AUTH_SECRET, AUTH_SECRET_FILE), not both")]
    Both,
    /// Easy to guess.
    #[error(
        "the secret of --auth-secret (AUTH_SECRET) has {0} bytes; it needs at least {min}, as `openssl rand -hex 32` makes them",
        min = KeyOptions::SECRET_BYTES_MIN
    )]
    Short(usize),
    /// No file.
    #[error("cannot read --auth-secret-file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl KeyOptions {
    /// HS256 needs a key as long as its output.
    const SECRET_BYTES_MIN: usize = 32;

    /// The secret, when one is configured.
    ///
    /// # Errors
    /// It is not there, or too short.
    pub fn secret(&self) -> Result<Option<Secret>, BadSecret> {
        let given = self.auth_secret.clone().filter(|secret| !secret.is_empty());
        let secret = match (given, set(self.auth_secret_file.as_ref())) {
            (Some(_), Some(_)) => return Err(BadSecret::Both),
            (Some(secret), None) => secret,
            (None, None) => return Ok(None),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path);
                let path = path.clone();
                Secret::from(&*text.map_err(|source| BadSecret::File { path, source })?)
            }
        };
        match secret.expose().len() {
            len if len < Self::SECRET_BYTES_MIN => Err(BadSecret::Short(len)),
            _ => Ok(Some(secret)),
        }
    }

    /// Whether a secret is configured at all.
    #[must_use]
    pub fn is_set(&self) -> bool {
        let secret = self.auth_secret.as_ref().is_some_and(|secret| !secret.is_empty());
        secret || set(self.auth_secret_file.as_ref()).is_some()
    }

    pub(super) fn audience(&self) -> Option<&String> {
        self.auth_audience.as_ref().filter(|text| !text.is_empty())
    }

    pub(super) fn issuer(&self) -> Option<&String> {
        self.auth_issuer.as_ref().filter(|text| !text.is_empty())
    }
}

impl AuthOptions {
    /// Whether no keys are configured.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.keys.is_set() && self.jwks().is_none()
    }

    pub(super) fn jwks(&self) -> Option<&String> {
        self.auth_jwks.as_ref().filter(|text| !text.is_empty())
    }
}

/// A variable that is set to nothing is not set.
fn set(path: Option<&PathBuf>) -> Option<&PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> KeyOptions {
        KeyOptions { auth_secret: Some(text.into()), ..KeyOptions::default() }
    }

    #[test]
    fn a_secret_must_be_long_and_does_not_show() {
        let long = "0123456789abcdef0123456789abcdef";
        assert!(secret(long).secret().expect("valid").is_some());
        assert!(secret("").secret().expect("none").is_none());
        let error = secret(&long[1..]).secret().expect_err("too short").to_string();
        assert!(error.contains("31 bytes") && !error.contains(&long[1..]), "{error}");
        let debug = format!("{:?}", AuthOptions { keys: secret(long), ..AuthOptions::default() });
        assert!(!debug.contains(long), "{debug}");
    }

    #[test]
    fn a_secret_may_be_in_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("secret");
        let options = |path: PathBuf| KeyOptions { auth_secret_file: Some(path), ..secret("") };
        assert!(matches!(options(path.clone()).secret(), Err(BadSecret::File { .. })));
        std::fs::write(&path, "x".repeat(32) + "\n").expect("written");
        let read = options(path.clone()).secret().expect("valid").expect("a secret");
        assert_eq!(read.expose(), "x".repeat(32).as_bytes());
        let both = KeyOptions { auth_secret_file: Some(path), ..secret(&"y".repeat(32)) };
        assert!(matches!(both.secret(), Err(BadSecret::Both)));
    }
}
