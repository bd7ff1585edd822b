//! Where a subscription is between two wakes. Stored: what is written here must be readable for
//! ever.

use crate::model::{Offset, StreamId, StreamName};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// Everything about a subscription that is neither its configuration nor a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Chosen by chance at the creation, so that nothing of an earlier subscription of this id can
    /// be taken for this one.
    pub incarnation: u64,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Scheme and authority under which workers reach this server.
    pub origin: String,
    /// Counts the wakes.
    pub generation: u64,
    /// The present wake; `None` between two.
    pub wake: Option<Wake>,
}

/// One wake, from its decision to the end of the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wake {
    /// Never used twice.
    pub id: String,
    /// What it is about.
    pub marks: Vec<Mark>,
    /// How far it is.
    pub stage: Stage,
}

/// A stream with pending content at the time of a wake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The stream.
    #[serde(serialize_with = "text::serialize", deserialize_with = "kept")]
    pub stream: StreamName,
    /// Its life, as the number of it.
    pub life: u64,
    /// Where it ended.
    #[serde(with = "text")]
    pub tail: Offset,
}

impl Mark {
    /// The life of the stream.
    #[must_use]
    pub fn life(&self) -> StreamId {
        StreamId(self.life)
    }
}

/// How far a wake is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The webhook has to be called, or the wake event to be written.
    Outgoing {
        /// How often that has failed.
        failures: u32,
        /// When to try, in milliseconds since the Unix epoch.
        next_attempt_ms: u64,
    },
    /// The event is written; a worker may claim.
    Offered,
    /// A worker is at it.
    Leased {
        /// Its name, where it has given one.
        holder: Option<String>,
        /// Until when it need not say anything, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
}

/// One of the server's own, too.
fn kept<'de, D: Deserializer<'de>>(from: D) -> Result<StreamName, D::Error> {
    StreamName::kept(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// Values as text, in the form that they have everywhere.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::{fmt::Display, str::FromStr};

    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
