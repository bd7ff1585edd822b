//! The keys that tokens are checked with. A key is good for one algorithm, and it says which: what
//! a token says about itself only chooses among keys.

use super::{claims::Claims, secret::Secret};
use crate::limits::JWKS_KEYS_MAX;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use std::borrow::Cow;

/// What a token must be made for, and by whom, where that is configured.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub audience: Option<String>,
    pub issuer: Option<String>,
}

/// One key with everything that a check needs.
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
    validation: Validation,
}

/// All keys at one time.
pub(super) struct Keys {
    shared: Option<Key>,
    public: Vec<Key>,
}

/// Why a token does not pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// No key fits; perhaps a newer set has it.
    UnknownKey,
    /// Never.
    Invalid(Cow<'static, str>),
}

/// Why a set of keys is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No JSON, or another one.
    #[error("it is no JSON Web Key Set: {0}")]
    NotASet(serde_json::Error),
    /// Nothing in it can check a token.
    #[error("it has no key for RS256, ES256 or EdDSA signatures")]
    NoKeys,
    /// More than is sensible.
    #[error("it has more than {JWKS_KEYS_MAX} keys")]
    TooMany,
}

impl Keys {
    /// With the shared secret alone.
    pub fn new(secret: Option<&Secret>, expected: &Expected) -> Self {
        let shared = secret.map(|secret| {
            let key = DecodingKey::from_secret(secret.expose());
            Key::new(None, Algorithm::HS256, key, expected)
        });
        Self { shared, public: Vec::new() }
    }

    /// With the public keys of a JSON Web Key Set beside it. Keys for other purposes are left out.
    pub fn with_set(mut self, json: &[u8], expected: &Expected) -> Result<Self, KeysError> {
        #[derive(serde::Deserialize)]
        struct Set {
            // One by one: a kind of key that is not known yet does not spoil the others.
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(KeysError::NotASet)?;
        if set.keys.len() > JWKS_KEYS_MAX {
            return Err(KeysError::TooMany);
        }
        let jwks = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        self.public = jwks.filter_map(|jwk| public(&jwk, expected)).collect();
        if self.public.is_empty() { Err(KeysError::NoKeys) } else { Ok(self) }
    }

    /// How many public keys there are.
    pub fn public_count(&self) -> usize {
        self.public.len()
    }

    /// The claims of a token that one of these keys has signed.
    pub fn check(&self, token: &str) -> Result<Claims, Rejected> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| Rejected::Invalid("it is no JSON Web Token of a known kind".into()))?;
        if header.crit.is_some() {
            return Err(Rejected::Invalid("it has critical extensions".into()));
        }
        let fits = |key: &&Key| {
            let named = header.kid.is_none() || key.id.is_none() || header.kid == key.id;
            named && key.algorithm == header.alg
        };
        let mut rejected = Rejected::UnknownKey;
        for key in self.public.iter().chain(&self.shared).filter(fits) {
            match jsonwebtoken::decode::<Claims>(token, &key.key, &key.validation) {
                Ok(token) => return Ok(token.claims),
                Err(error) => rejected = Rejected::Invalid(explain(error.kind())),
            }
        }
        Err(rejected)
    }
}

impl Key {
    fn new(
        id: Option<String>,
        algorithm: Algorithm,
        key: DecodingKey,
        expected: &Expected,
    ) -> Self {
        let mut validation = Validation::new(algorithm);
        // The times are compared with our own clock.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        validation.validate_aud = expected.audience.is_some();
        if let Some(audience) = &expected.audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".into());
        }
        if let Some(issuer) = &expected.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".into());
        }
        Self { id, algorithm, key, validation }
    }
}

/// A key for signatures, of a kind that is known.
fn public(jwk: &Jwk, expected: &Expected) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        // Above all no shared secret: who can read the set could sign with it.
        _ => return None,
    };
    let (algorithm, word) = algorithm;
    let signs = !matches!(&jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
    let right = jwk.common.key_algorithm.is_none_or(|named| named == word);
    let key = DecodingKey::from_jwk(jwk).ok()?;
    (signs && right).then(|| Key::new(jwk.common.key_id.clone(), algorithm, key, expected))
}

fn explain(error: &ErrorKind) -> Cow<'static, str> {
    match error {
        ErrorKind::InvalidSignature => "its signature does not fit".into(),
        ErrorKind::InvalidAudience => "it is for somebody else (aud)".into(),
        ErrorKind::InvalidIssuer => "it is from somebody else (iss)".into(),
        ErrorKind::MissingRequiredClaim(claim) => format!("it has no {claim}").into(),
        // It is signed: whoever made it may know what is wrong with it.
        ErrorKind::Json(error) => format!("its claims cannot be read: {error}").into(),
        _ => "it cannot be read".into(),
    }
}
