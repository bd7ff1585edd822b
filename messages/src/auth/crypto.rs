//! All cryptography of this program except TLS, over `ring`: a provider for `jsonwebtoken`, which
//! brings none of its own, and the few functions that tickets and signed URLs need.
//!
//! The providers that `jsonwebtoken` offers are a second C library, or an RSA in Rust with a known
//! timing leak. Changing the library means changing this file.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
    signature::{Error as BadSignature, Signer, Verifier},
};
use ring::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey, VerificationAlgorithm,
    },
};

/// Verifies HS256, RS256, ES256 and EdDSA, signs HS256, and knows nothing else.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // For thumbprints and for making JWKs, which nobody does here.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` usable. May be called again.
pub(super) fn install() {
    // The other one is this one.
    let _ = PROVIDER.install_default();
}

struct SharedKey(hmac::Key);

impl SharedKey {
    fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

impl Signer<Vec<u8>> for SharedKey {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, BadSignature> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for SharedKey {
    /// In constant time.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), BadSignature> {
        hmac::verify(&self.0, message, signature).map_err(|_| BadSignature::new())
    }
}

impl JwtSigner for SharedKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for SharedKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

struct PublicKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for PublicKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), BadSignature> {
        let raw = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature)
        };
        let verified = match (self.algorithm, self.key.kind()) {
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(key)) => {
                raw(&ECDSA_P256_SHA256_FIXED, key)
            }
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(key)) => raw(&ED25519, key),
            _ => return Err(BadSignature::new()),
        };
        verified.map_err(|_| BadSignature::new())
    }
}

impl JwtVerifier for PublicKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => Ok(Box::new(SharedKey::new(key.as_bytes()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    match (algorithm, key.family()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac) => {
            Ok(Box::new(SharedKey::new(key.try_get_as_bytes()?)))
        }
        (Algorithm::RS256, AlgorithmFamily::Rsa)
        | (Algorithm::ES256, AlgorithmFamily::Ec)
        | (Algorithm::EdDSA, AlgorithmFamily::Ed) => {
            Ok(Box::new(PublicKey { algorithm: *algorithm, key: key.clone() }))
        }
        // A key is good for one algorithm, whatever a token says.
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

/// Bytes that nobody can guess.
///
/// # Errors
/// The system has none.
pub(super) fn random() -> std::result::Result<[u8; 32], NoRandomness> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

/// The fingerprint of something that shall not be kept itself.
pub(super) fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    fingerprint
}

/// Signs what this server will be shown again.
pub(super) struct Seal(hmac::Key);

impl Seal {
    /// With a key of its own for `purpose`, so that nothing that was made for one purpose, and no
    /// token, is taken for another.
    pub fn new(secret: &[u8], purpose: &str) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&secret, purpose.as_bytes());
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    /// `message.signature`, both as text for a URL.
    pub fn seal(&self, message: &[u8]) -> String {
        let signature = hmac::sign(&self.0, message);
        format!("{}.{}", to_text(message), to_text(signature.as_ref()))
    }

    /// The message, when the signature fits; compared in constant time.
    pub fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let (message, signature) = sealed.split_once('.')?;
        let (message, signature) = (from_text(message)?, from_text(signature)?);
        hmac::verify(&self.0, &message, &signature).ok()?;
        Some(message)
    }
}

/// Bytes as text for URLs.
pub(super) fn to_text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn from_text(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_seal_is_for_one_secret_and_one_purpose() {
        let seal = Seal::new(b"secret", "one");
        let sealed = seal.seal(b"message");
        assert_eq!(seal.open(&sealed), Some(b"message".to_vec()));
        assert_eq!(Seal::new(b"secret", "two").open(&sealed), None);
        assert_eq!(Seal::new(b"Secret", "one").open(&sealed), None);
        for bad in ["", ".", "a.b", "bWVzc2FnZQ", "bWVzc2FnZQ."] {
            assert_eq!(seal.open(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_change_breaks_a_seal(at in 0_usize..64, to in "[A-Za-z0-9_.-]") {
            let seal = Seal::new(b"secret", "one");
            let sealed = seal.seal(b"a message of some length");
            let mut changed = sealed.clone();
            let at = at % sealed.len();
            changed.replace_range(at..=at, &to);
            prop_assert!(changed == sealed || seal.open(&changed).is_none());
        }
    }
}
