//! What a subscription is asked to be: checked, normalised and hashed.

use crate::{
    limits::{DESCRIPTION_BYTES_MAX, LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN, LINKS_MAX},
    model::{InvalidName, Pattern, StreamName},
};
use ring::digest;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// The lease of a subscription that asks for none.
const LEASE_TTL_MS_DEFAULT: u64 = 30_000;

/// The first segment of paths that belong to the server itself.
const RESERVED: &str = "__ds";

/// What a subscription is called. The same rules as for names of streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(StreamName);

impl SubscriptionId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SubscriptionId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.parse().map(Self)
    }
}

/// How a subscription wakes its workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A request to this URL.
    Webhook(String),
    /// A message in this stream, and workers that claim.
    PullWake(StreamName),
}

/// The configuration of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How it wakes.
    pub delivery: Delivery,
    /// Streams whose names fit are linked.
    pub pattern: Option<Pattern>,
    /// Streams that are linked by name from the beginning.
    pub streams: BTreeSet<StreamName>,
    /// How long a worker may be silent.
    pub lease_ttl_ms: u64,
    /// For people.
    pub description: Option<String>,
}

/// The wire form, and in this order of members the normal form.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Document {
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    #[serde(deserialize_with = "null_is_none")]
    streams: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<Webhook>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wake_stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Webhook {
    url: String,
}

fn null_is_none<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Why a configuration is refused, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidConfig(String);

impl Config {
    /// Reads the JSON document that asks for a subscription.
    ///
    /// # Errors
    /// It is no such document.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidConfig> {
        let document: Document = serde_json::from_slice(json)
            .map_err(|error| InvalidConfig(format!("the body is no subscription: {error}")))?;
        let refuse = |what: &str| Err(InvalidConfig(what.into()));
        let delivery = match (document.r#type.as_str(), document.webhook, document.wake_stream) {
            ("webhook", Some(Webhook { url }), _) => Delivery::Webhook(url),
            ("webhook", None, _) => return refuse("type webhook needs webhook.url"),
            ("pull-wake", _, Some(stream)) => Delivery::PullWake(path(&stream)?),
            ("pull-wake", _, None) => return refuse("type pull-wake needs wake_stream"),
            _ => return refuse("type must be webhook or pull-wake"),
        };
        let pattern = document.pattern.as_deref().map(trim).filter(|text| !text.is_empty());
        let pattern = pattern.map(str::parse::<Pattern>).transpose();
        let pattern = pattern.map_err(|error| InvalidConfig(format!("pattern: {error}")))?;
        let streams = paths(&document.streams)?;
        if pattern.is_none() && streams.is_empty() {
            return refuse("pattern or streams must say which streams are meant");
        }
        if matches!(&delivery, Delivery::PullWake(stream) if streams.contains(stream)) {
            return Err(Self::own_wake_stream());
        }
        let lease_ttl_ms = document.lease_ttl_ms.unwrap_or(LEASE_TTL_MS_DEFAULT);
        if !(LEASE_TTL_MS_MIN..=LEASE_TTL_MS_MAX).contains(&lease_ttl_ms) {
            let range = format!("{LEASE_TTL_MS_MIN} to {LEASE_TTL_MS_MAX}");
            return Err(InvalidConfig(format!("lease_ttl_ms must be from {range}")));
        }
        let description = document.description;
        if description.as_ref().is_some_and(|text| text.len() > DESCRIPTION_BYTES_MAX) {
            let what = format!("description has more than {DESCRIPTION_BYTES_MAX} bytes");
            return Err(InvalidConfig(what));
        }
        Ok(Self { delivery, pattern, streams, lease_ttl_ms, description })
    }

    /// A subscription that is asked to link its own wake stream.
    pub(super) fn own_wake_stream() -> InvalidConfig {
        InvalidConfig("the wake stream cannot be one of the streams: it would wake itself".into())
    }

    /// The normal form, which [`Config::parse`] reads. Stored and hashed: never change it.
    #[must_use]
    pub fn normal_form(&self) -> String {
        let (kind, webhook, wake_stream) = match &self.delivery {
            Delivery::Webhook(url) => ("webhook", Some(Webhook { url: url.clone() }), None),
            Delivery::PullWake(stream) => ("pull-wake", None, Some(stream.to_string())),
        };
        let document = Document {
            r#type: kind.into(),
            pattern: self.pattern.as_ref().map(Pattern::to_string),
            streams: self.streams.iter().map(StreamName::to_string).collect(),
            webhook,
            wake_stream,
            lease_ttl_ms: Some(self.lease_ttl_ms),
            description: self.description.clone(),
        };
        serde_json::to_string(&document).unwrap_or_default()
    }

    /// The hash of the normal form. Who asks for a subscription again must ask for the same.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let digest = digest::digest(&digest::SHA256, self.normal_form().as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        hash
    }

    /// The stream that takes the wake events.
    #[must_use]
    pub fn wake_stream(&self) -> Option<&StreamName> {
        match &self.delivery {
            Delivery::Webhook(_) => None,
            Delivery::PullWake(stream) => Some(stream),
        }
    }

    /// Whether the pattern links a stream of this name. Its own wake stream never is: each event
    /// would cause the next one.
    #[must_use]
    pub fn matches(&self, name: &StreamName) -> bool {
        self.wake_stream() != Some(name)
            && !is_reserved(name.as_str())
            // Who takes part in a conversation is no matter of names.
            && name.in_chat().is_none()
            && self.pattern.as_ref().is_some_and(|pattern| pattern.matches(name.as_str()))
    }
}

/// A path of a stream as bodies and URLs have it, with or without slashes around it.
///
/// # Errors
/// It names no stream that an application may have.
pub fn path(text: &str) -> Result<StreamName, InvalidConfig> {
    let text = trim(text);
    if is_reserved(text) {
        return Err(InvalidConfig(format!("{text}: paths under {RESERVED} are the server's own")));
    }
    text.parse().map_err(|error: InvalidName| {
        let error = error.to_string().replace("the id", "the path of a stream");
        InvalidConfig(error)
    })
}

/// Several paths.
///
/// # Errors
/// There are too many, or one is wrong.
pub fn paths(texts: &[String]) -> Result<BTreeSet<StreamName>, InvalidConfig> {
    if texts.len() > LINKS_MAX {
        return Err(InvalidConfig(format!("streams has more than {LINKS_MAX} members")));
    }
    texts.iter().map(|text| path(text)).collect()
}

/// Whether a path is the server's own and can never name a stream of an application.
#[must_use]
pub fn is_reserved(path: &str) -> bool {
    path.split('/').next() == Some(RESERVED)
}

fn trim(path: &str) -> &str {
    path.trim_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Config, InvalidConfig> {
        Config::parse(json.as_bytes())
    }

    #[test]
    fn what_means_the_same_has_the_same_hash() {
        let hook = r#""type":"webhook","webhook":{"url":"https://a.example/"}"#;
        let with = |rest: &str| parse(&format!("{{{hook},{rest}}}")).expect("valid").hash();
        let base = with(r#""streams":["b","a"]"#);
        assert_eq!(base, with(r#""streams":["/a/","b","a"],"lease_ttl_ms":30000,"pattern":null"#));
        assert_eq!(base, with(r#""streams":["a","b"],"wake_stream":"ignored","other":1"#));
        for other in [
            r#""streams":["a"]"#,
            r#""streams":["a","b"],"pattern":"c/*""#,
            r#""streams":["a","b"],"lease_ttl_ms":1000"#,
            r#""streams":["a","b"],"description":"x""#,
        ] {
            assert_ne!(base, with(other), "{other}");
        }
    }

    #[test]
    fn the_normal_form_is_read_again() {
        for json in [
            r#"{"type":"webhook","pattern":"events/*","webhook":{"url":"https://a.example/"}}"#,
            r#"{"type":"pull-wake","streams":["x/y"],"wake_stream":"/wake/pool","description":"d"}"#,
        ] {
            let config = parse(json).expect("valid");
            assert_eq!(parse(&config.normal_form()).as_ref(), Ok(&config));
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for bad in [
            "",
            "[]",
            r#"{"type":"push","pattern":"a"}"#,
            r#"{"type":"webhook","pattern":"a"}"#,
            r#"{"type":"webhook","webhook":{},"pattern":"a"}"#,
            r#"{"type":"pull-wake","pattern":"a"}"#,
            r#"{"type":"pull-wake","wake_stream":"w"}"#,
            r#"{"type":"pull-wake","wake_stream":"w","streams":[]}"#,
            r#"{"type":"pull-wake","wake_stream":"w","streams":[1]}"#,
            r#"{"type":"pull-wake","wake_stream":"w","streams":[""]}"#,
            r#"{"type":"pull-wake","wake_stream":"w","streams":["w"]}"#,
            r#"{"type":"pull-wake","wake_stream":"w","streams":["__ds/x"]}"#,
            r#"{"type":"pull-wake","wake_stream":"__ds","streams":["a"]}"#,
            r#"{"type":"pull-wake","wake_stream":"w","pattern":"a*"}"#,
            r#"{"type":"pull-wake","wake_stream":"w","pattern":"a","lease_ttl_ms":999}"#,
            r#"{"type":"pull-wake","wake_stream":"w","pattern":"a","lease_ttl_ms":600001}"#,
            r#"{"type":"pull-wake","wake_stream":"w","pattern":"a","lease_ttl_ms":"1000"}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wake_stream_does_not_match_its_own_pattern() {
        let config = parse(r#"{"type":"pull-wake","wake_stream":"w","pattern":"**"}"#);
        let config = config.expect("valid");
        assert!(config.matches(&"a".parse().expect("a name")));
        assert!(!config.matches(&"w".parse().expect("a name")));
    }
}
