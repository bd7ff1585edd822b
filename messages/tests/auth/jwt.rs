//! Tokens as somebody else makes them, of every kind, right and wrong.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    },
};
use serde_json::{Value, json};

/// A key that signs tokens.
pub struct Key {
    id: Option<String>,
    alg: &'static str,
    pair: Pair,
}

enum Pair {
    Shared(Vec<u8>),
    Rsa(Box<rsa::KeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Key {
    pub fn shared(secret: &[u8]) -> Self {
        Self { id: None, alg: "HS256", pair: Pair::Shared(secret.into()) }
    }

    /// Always the same: making one takes long, and `ring` cannot.
    pub fn rsa() -> Self {
        let pair = rsa::KeyPair::from_pkcs8(include_bytes!("../fixtures/rsa-for-tests.pk8"));
        Self { id: None, alg: "RS256", pair: Pair::Rsa(Box::new(pair.expect("a key"))) }
    }

    pub fn ec() -> Self {
        let (alg, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(alg, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(alg, pkcs8.as_ref(), &random).expect("a key");
        Self { id: None, alg: "ES256", pair: Pair::Ec(pair) }
    }

    pub fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
        Self { id: None, alg: "EdDSA", pair: Pair::Ed(pair) }
    }

    /// With a name, in its tokens and in a set.
    pub fn named(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }

    pub fn alg(&self) -> &'static str {
        self.alg
    }

    /// The public half, as a JWK.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Shared(secret) => json!({"kty": "oct", "k": text(secret), "alg": "HS256"}),
            Pair::Rsa(pair) => {
                let public = rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                let (n, e) = (text(&public.n), text(&public.e));
                json!({"kty": "RSA", "n": n, "e": e, "use": "sig"})
            }
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (text(&point[1..33]), text(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())})
            }
        };
        if let Some(id) = &self.id {
            jwk["kid"] = id.as_str().into();
        }
        jwk
    }

    /// What somebody could take for a secret: the public half as bytes.
    pub fn public_bytes(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Shared(secret) => secret.clone(),
            Pair::Rsa(pair) => pair.public().as_ref().to_vec(),
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let mut header = json!({"typ": "JWT", "alg": self.alg});
        if let Some(id) = &self.id {
            header["kid"] = id.as_str().into();
        }
        self.token_with(&header, claims)
    }

    /// A token whose header may lie.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| text(value.to_string().as_bytes());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.sign(message.as_bytes());
        format!("{message}.{}", text(&signature))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Shared(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("signed");
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, message).expect("signed").as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// A set of public keys.
pub fn set(keys: &[&Key]) -> String {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string()
}

/// Now, in seconds since 1970.
#[allow(clippy::disallowed_methods, reason = "tokens are about the time of day")]
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs() as i64
}

/// Claims that are good for an hour, with all grants there are.
pub fn claims(subject: &str) -> Value {
    let all = json!(["**"]);
    let streams = json!({"read": all, "write": all, "manage": all});
    json!({"sub": subject, "exp": now() + 3600, "streams": streams})
}

/// A token of the shared secret with these grants.
pub fn granting(read: &[&str], write: &[&str], manage: &[&str]) -> String {
    let mut claims = claims("alice");
    claims["streams"] = json!({"read": read, "write": write, "manage": manage});
    Key::shared(super::SECRET.as_bytes()).token(&claims)
}

/// A token of the shared secret with all grants there are.
pub fn everything() -> String {
    Key::shared(super::SECRET.as_bytes()).token(&claims("alice"))
}
