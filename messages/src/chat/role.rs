//! Roles and what they may do.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What somebody is among those who take part, from the least to the most.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads only.
    Reader,
    /// Anybody.
    #[default]
    Member,
    /// Sees to it that the others behave.
    Moderator,
    /// May do everything.
    Owner,
}

impl Role {
    const ALL: [(Self, &str); 4] = [
        (Self::Reader, "reader"),
        (Self::Member, "member"),
        (Self::Moderator, "moderator"),
        (Self::Owner, "owner"),
    ];

    /// The word for it on the wire and in the database. Stored: never change one.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(role, _)| *role == self).map_or("", |(_, word)| word)
    }

    /// What a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(role, _)| *role)
    }
}

/// Something that not everybody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Write messages.
    Send,
    /// React to them.
    React,
    /// Edit one's own.
    Edit,
    /// Delete one's own.
    Delete,
    /// Delete those of others.
    DeleteAny,
    /// Pin messages.
    Pin,
    /// Bring others in.
    Invite,
    /// Send others away.
    Kick,
    /// Keep them away.
    Ban,
    /// Let them only read.
    Mute,
    /// Mention everybody at once.
    MentionAll,
    /// See what others complain about.
    Reports,
    /// Change title and settings.
    Manage,
    /// Change roles.
    Roles,
}

impl Permission {
    /// The least role that has it where nothing else is said.
    fn least(self) -> Role {
        match self {
            Self::Send | Self::React | Self::Edit | Self::Delete | Self::Invite => Role::Member,
            Self::DeleteAny
            | Self::Pin
            | Self::Kick
            | Self::Ban
            | Self::Mute
            | Self::MentionAll
            | Self::Reports => Role::Moderator,
            Self::Manage | Self::Roles => Role::Owner,
        }
    }
}

/// Where roles may do otherwise than by default.
pub type Overrides = BTreeMap<Role, BTreeMap<Permission, bool>>;

/// Whether a role may do this. Owners may do everything, so that nobody can lock all out.
#[must_use]
pub fn allows(overrides: &Overrides, role: Role, permission: Permission) -> bool {
    let said = overrides.get(&role).and_then(|said| said.get(&permission)).copied();
    role == Role::Owner || said.unwrap_or(role >= permission.least())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_contain_those_below_until_something_else_is_said() {
        let none = Overrides::new();
        assert!(allows(&none, Role::Member, Permission::Send));
        assert!(!allows(&none, Role::Reader, Permission::Send));
        assert!(allows(&none, Role::Moderator, Permission::Kick));
        assert!(!allows(&none, Role::Moderator, Permission::Manage));
        let said: Overrides = serde_json::from_str(
            r#"{"member":{"invite":false,"pin":true},"owner":{"manage":false}}"#,
        )
        .expect("JSON");
        assert!(!allows(&said, Role::Member, Permission::Invite));
        assert!(allows(&said, Role::Member, Permission::Pin));
        assert!(allows(&said, Role::Moderator, Permission::Invite), "of members only");
        assert!(allows(&said, Role::Owner, Permission::Manage), "nobody locks the owner out");
    }

    #[test]
    fn words_of_roles_stay() {
        for (role, word) in Role::ALL {
            assert_eq!(Role::from_word(word), Some(role));
            assert_eq!(serde_json::to_value(role).expect("JSON"), word);
        }
    }
}
