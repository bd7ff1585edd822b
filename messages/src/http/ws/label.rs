//! What clients call their subscriptions and requests.

use crate::{
    chat::ConversationName,
    limits::{PROTOCOL_NUMBER_MAX, SOCKET_LABEL_BYTES_MAX},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

/// A text or a whole number, kept as JSON: it goes back as it came, and two that mean the same are
/// the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Label(Arc<str>);

impl Label {
    /// That of a subscription to a conversation which the client has not called anything.
    pub fn of(name: &ConversationName) -> Self {
        // No character of a name has to be escaped.
        Self(format!("\"{name}\"").into())
    }

    /// Its JSON.
    pub fn json(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Form<'a> {
    Number(u64),
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(serde::de::IgnoredAny),
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = match Form::deserialize(deserializer)? {
            Form::Number(number) if number <= PROTOCOL_NUMBER_MAX => number.to_string(),
            Form::Text(text) if (1..=SOCKET_LABEL_BYTES_MAX).contains(&text.len()) => {
                serde_json::to_string(&text).map_err(D::Error::custom)?
            }
            _ => {
                return Err(D::Error::custom(format_args!(
                    "an id or sub must be a text of 1 to {SOCKET_LABEL_BYTES_MAX} bytes or a whole \
                     number from 0 to 2^53 - 1"
                )));
            }
        };
        Ok(Self(json.into()))
    }
}

impl Serialize for Label {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: Result<Box<RawValue>, _> = RawValue::from_string(self.0.to_string());
        raw.map_err(S::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_as_they_were() {
        let long = format!("\"{}\"", "x".repeat(SOCKET_LABEL_BYTES_MAX));
        for json in ["\"a\"", "0", "9007199254740991", "\"\\n\\\"é\"", &long] {
            let label: Label = serde_json::from_str(json).expect(json);
            assert_eq!(serde_json::to_string(&label).expect("JSON"), json);
        }
        let same: Label = serde_json::from_str("\"\\u0061\"").expect("a label");
        assert_eq!(same.json(), "\"a\"");
        let longer = format!("\"{}\"", "x".repeat(SOCKET_LABEL_BYTES_MAX + 1));
        for bad in ["\"\"", "-1", "1.5", "9007199254740992", "true", "[]", "{\"a\":1}", &longer] {
            assert!(serde_json::from_str::<Label>(bad).is_err(), "{bad}");
        }
    }
}
