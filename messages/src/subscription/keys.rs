//! The secrets of the server: the key that signs webhooks and the key that makes tokens.

use super::{Fence, SubscriptionId};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    digest, hmac,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde::Serialize;

/// A secret cannot be made, or what the store has is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key {0} in the database is damaged")]
pub struct BadKey(&'static str);

/// What the store keeps the keys under.
pub(super) const SIGNING: &str = "webhook-ed25519";
pub(super) const TOKENS: &str = "token-hmac-sha256";

const TOKEN_KEY_BYTES: usize = 32;

/// Both keys. Says nothing of them.
pub struct Keys {
    signing: Ed25519KeyPair,
    kid: String,
    tokens: hmac::Key,
}

/// The keys that verify webhooks, as a JSON Web Key Set.
#[derive(Clone, Debug, Serialize)]
pub struct KeySet {
    keys: [PublicKey; 1],
}

#[derive(Clone, Debug, Serialize)]
struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    kid: String,
    r#use: &'static str,
    alg: &'static str,
    x: String,
}

impl Keys {
    /// The keys in the form that the store keeps: PKCS#8, and bytes.
    ///
    /// # Errors
    /// They are not in that form.
    pub fn new(signing: &[u8], tokens: &[u8]) -> Result<Self, BadKey> {
        let signing = Ed25519KeyPair::from_pkcs8(signing).map_err(|_| BadKey(SIGNING))?;
        if tokens.len() != TOKEN_KEY_BYTES {
            return Err(BadKey(TOKENS));
        }
        let x = BASE64.encode(signing.public_key());
        // RFC 7638 and 8037: the required members in this order, without white space.
        let thumbprint = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let thumbprint = digest::digest(&digest::SHA256, thumbprint.as_bytes());
        let kid = format!("ds_{}", BASE64.encode(thumbprint));
        Ok(Self { signing, kid, tokens: hmac::Key::new(hmac::HMAC_SHA256, tokens) })
    }

    /// New keys, in the form that the store keeps.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn generate() -> Result<(Vec<u8>, Vec<u8>), BadKey> {
        let random = SystemRandom::new();
        let signing = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| BadKey(SIGNING))?;
        let tokens: ring::rand::Random<[u8; TOKEN_KEY_BYTES]> =
            ring::rand::generate(&random).map_err(|_| BadKey(TOKENS))?;
        Ok((signing.as_ref().to_vec(), tokens.expose().to_vec()))
    }

    /// The name of the key that signs.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What receivers verify with.
    #[must_use]
    pub fn public(&self) -> KeySet {
        let x = BASE64.encode(self.signing.public_key());
        let kid = self.kid.clone();
        let (kty, crv, r#use, alg) = ("OKP", "Ed25519", "sig", "EdDSA");
        KeySet { keys: [PublicKey { kty, crv, kid, r#use, alg, x }] }
    }

    /// The header that proves that `body` was sent by this server at this second.
    #[must_use]
    pub fn sign(&self, at_secs: u64, body: &[u8]) -> String {
        let mut signed = format!("{at_secs}.").into_bytes();
        signed.extend_from_slice(body);
        let signature = BASE64.encode(self.signing.sign(&signed));
        format!("t={at_secs},kid={},ed25519={signature}", self.kid)
    }

    /// The token of a wake. It is the same every time, so that nobody has to remember it. It has
    /// no time in it: it dies with the lease, which every use of it checks.
    #[must_use]
    pub fn token(&self, id: &SubscriptionId, incarnation: u64, generation: u64) -> String {
        let payload = BASE64.encode(format!("{incarnation}.{generation}.{id}"));
        let tag = BASE64.encode(hmac::sign(&self.tokens, payload.as_bytes()));
        format!("{payload}.{tag}")
    }

    /// The fence that a request of a worker has to pass; `None` when its token was not made here for
    /// this subscription. The comparison takes the same time whatever is wrong.
    #[must_use]
    pub fn fence(
        &self,
        id: &SubscriptionId,
        token: &str,
        generation: u64,
        wake_id: String,
    ) -> Option<Fence> {
        let (payload, tag) = token.split_once('.')?;
        let tag = BASE64.decode(tag).ok()?;
        hmac::verify(&self.tokens, payload.as_bytes(), &tag).ok()?;
        let payload = String::from_utf8(BASE64.decode(payload).ok()?).ok()?;
        let mut parts = payload.splitn(3, '.');
        let (token_incarnation, token_generation, of) =
            (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        (of == id.as_str()).then_some(Fence {
            token_incarnation,
            token_generation,
            generation,
            wake_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    fn keys() -> Keys {
        let (signing, tokens) = Keys::generate().expect("random bytes");
        Keys::new(&signing, &tokens).expect("keys")
    }

    #[test]
    fn a_signature_is_verified_with_the_published_key() {
        let keys = keys();
        let header = keys.sign(1_700_000_000, b"{}");
        let rest = header.strip_prefix("t=1700000000,kid=").expect("the time");
        let (kid, signature) = rest.split_once(",ed25519=").expect("a signature");
        let set = serde_json::to_value(keys.public()).expect("JSON");
        assert_eq!(set["keys"][0]["kid"], kid);
        let x = BASE64.decode(set["keys"][0]["x"].as_str().expect("text")).expect("base64");
        let signature = BASE64.decode(signature).expect("base64");
        let public = UnparsedPublicKey::new(&ED25519, x);
        assert!(public.verify(b"1700000000.{}", &signature).is_ok());
        assert!(public.verify(b"1700000001.{}", &signature).is_err());
    }

    /// RFC 8037, appendix A.3.
    #[test]
    fn the_name_of_a_key_is_its_thumbprint() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let text = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let thumbprint = BASE64.encode(digest::digest(&digest::SHA256, text.as_bytes()));
        assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_token_is_good_for_one_subscription_and_generation_of_this_server() {
        let (keys, other) = (keys(), keys());
        let id: SubscriptionId = "a.b".parse().expect("an id");
        let token = keys.token(&id, 7, 3);
        let fence = keys.fence(&id, &token, 9, "w".into()).expect("valid");
        assert_eq!((fence.token_incarnation, fence.token_generation), (7, 3));
        assert!(other.fence(&id, &token, 3, "w".into()).is_none());
        let elsewhere = "a".parse().expect("an id");
        assert!(keys.fence(&elsewhere, &token, 3, "w".into()).is_none());
        for at in 0..token.len() {
            let mut bad = token.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).expect("ASCII");
            assert!(keys.fence(&id, &bad, 3, "w".into()).is_none(), "{at}");
        }
        assert!(keys.fence(&id, "", 3, "w".into()).is_none());
    }
}
