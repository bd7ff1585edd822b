//! What can be set about a conversation.

use super::{ChatError, role::Overrides};
use crate::limits::{RETENTION_SECS_MAX, SLOW_SECS_MAX};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// See `docs/chat.md`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How one comes in.
    pub join: Joining,
    /// What somebody who comes in sees of what was before.
    pub history: History,
    /// So long a member waits between two messages.
    pub slow_secs: u64,
    /// How many reactions to one message somebody may have.
    pub reactions: Reactions,
    /// Older messages go away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_secs: Option<u64>,
    /// Those before the last so many go away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_messages: Option<u64>,
    /// What roles may do otherwise than by default.
    #[serde(skip_serializing_if = "Overrides::is_empty")]
    pub permissions: Overrides,
}

/// How one comes into a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Joining {
    /// Somebody who takes part lets one in.
    #[default]
    Invite,
    /// Whoever knows the name.
    Open,
}

/// What somebody who comes in sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// Everything.
    #[default]
    Shared,
    /// What comes from then on.
    SinceJoin,
}

/// How many reactions to one message somebody may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reactions {
    /// Several different ones.
    #[default]
    Distinct,
    /// One; another takes its place.
    Unique,
}

impl Settings {
    /// With some members changed; `null` takes one back.
    ///
    /// # Errors
    /// These are no settings.
    pub fn patched(&self, patch: Value) -> Result<Self, ChatError> {
        let bad = |what: String| ChatError::Invalid(format!("settings: {what}"));
        let Value::Object(patch) = patch else { return Err(bad("must be an object".into())) };
        let mut members = match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => return Err(bad("cannot be changed".into())),
        };
        for (member, value) in patch {
            if value.is_null() {
                members.remove(&member);
            } else {
                members.insert(member, value);
            }
        }
        let settings: Self = serde_json::from_value(Value::Object(members))
            .map_err(|error| bad(error.to_string()))?;
        settings.check().map_err(bad)?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), String> {
        if self.slow_secs > SLOW_SECS_MAX {
            return Err(format!("slow_secs may be at most {SLOW_SECS_MAX}"));
        }
        if self.retention_secs.is_some_and(|secs| secs == 0 || secs > RETENTION_SECS_MAX) {
            return Err(format!("retention_secs must be from 1 to {RETENTION_SECS_MAX}"));
        }
        if self.retention_messages == Some(0) {
            return Err("retention_messages must be at least 1".into());
        }
        Ok(())
    }

    /// Whether messages go away by themselves.
    #[must_use]
    pub fn has_retention(&self) -> bool {
        self.retention_secs.is_some() || self.retention_messages.is_some()
    }

    /// As the tables have them.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_changes_what_it_names() {
        let settings = Settings::default();
        let open = settings.patched(json!({"join": "open", "slow_secs": 5})).expect("settings");
        assert_eq!((open.join, open.slow_secs), (Joining::Open, 5));
        let back = open.patched(json!({"join": null})).expect("settings");
        assert_eq!((back.join, back.slow_secs), (Joining::Invite, 5));
        for bad in [
            json!(5),
            json!({"join": "shut"}),
            json!({"slow": 5}),
            json!({"slow_secs": -1}),
            json!({"retention_messages": 0}),
            json!({"permissions": {"member": {"fly": true}}}),
        ] {
            assert!(settings.patched(bad.clone()).is_err(), "{bad}");
        }
        let text = back.text();
        assert_eq!(serde_json::from_str::<Settings>(&text).expect("JSON"), back);
    }
}
