//! Who may come and go, and what may be done to them.

use super::{
    super::{
        ChatError,
        event::Kind,
        name,
        role::{Permission, Role},
        settings::Joining,
        state::Person,
    },
    Desk,
    checks::{check_reason, check_title},
};
use crate::{limits::PARTICIPANTS_MAX, model::Standing};
use serde_json::Value;
use std::sync::Arc;

impl Desk<'_> {
    pub(super) fn change(
        &self,
        me: &Person,
        title: &Option<Option<String>>,
        settings: Option<&Value>,
    ) -> Result<Option<Kind>, ChatError> {
        self.check(me, Permission::Manage)?;
        if self.state.direct {
            return Err(ChatError::Direct);
        }
        let title = title.as_ref().unwrap_or(&self.state.title).clone();
        check_title(title.as_deref())?;
        let settings = match settings {
            Some(patch) => self.state.settings.patched(patch.clone())?,
            None => self.state.settings.clone(),
        };
        let same = title == self.state.title && settings == self.state.settings;
        Ok((!same).then_some(Kind::Settings { title, settings }))
    }

    pub(super) fn join(&self) -> Result<Option<Kind>, ChatError> {
        let known = self.state.people.get(self.actor);
        self.check_ban(known)?;
        let role = match known {
            Some(person) if person.standing == Standing::Member => return Ok(None),
            Some(person) if person.standing == Standing::Invited => person.role,
            // Of a direct conversation, after a ban that is over: nobody else could let them in.
            Some(_) if self.state.direct => Role::Member,
            _ if self.state.settings.join == Joining::Open && !self.state.direct => Role::Member,
            // Whether there is such a conversation is nobody else's business.
            _ => return Err(ChatError::NotInvited),
        };
        self.check_room()?;
        Ok(Some(self.joining(self.actor, role)))
    }

    pub(super) fn joining(&self, user: &Arc<str>, role: Role) -> Kind {
        Kind::Join { user: user.clone(), role, history: self.state.settings.history }
    }

    pub(super) fn check_room(&self) -> Result<(), ChatError> {
        if self.state.people.len() >= PARTICIPANTS_MAX {
            return Err(ChatError::TooMany("the conversation has as many participants as it may"));
        }
        Ok(())
    }

    pub(super) fn check_ban(&self, person: Option<&Person>) -> Result<(), ChatError> {
        match person {
            Some(person)
                if person.standing == Standing::Banned
                    && person.banned_until.is_none_or(|until| until > self.now_ms) =>
            {
                Err(ChatError::Banned { until: person.banned_until })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn add(
        &self,
        me: &Person,
        user: &Arc<str>,
        role: Option<Role>,
        invite: bool,
    ) -> Result<Option<Kind>, ChatError> {
        name::user(user)?;
        if self.state.direct {
            return Err(ChatError::Direct);
        }
        let known = self.state.people.get(user);
        if let Some(other) = known.filter(|person| person.standing == Standing::Member) {
            return self.give_role(me, user, other, role.unwrap_or(other.role));
        }
        self.check(me, Permission::Invite)?;
        let role = role.unwrap_or_default();
        if role != Role::Member {
            self.check(me, Permission::Roles)?;
        }
        if role > me.role {
            return Err(ChatError::Rank);
        }
        self.check_ban(known)?;
        self.check_room()?;
        if invite {
            return Ok(Some(Kind::Invite { user: user.clone(), role }));
        }
        Ok(Some(self.joining(user, role)))
    }

    pub(super) fn give_role(
        &self,
        me: &Person,
        user: &Arc<str>,
        other: &Person,
        role: Role,
    ) -> Result<Option<Kind>, ChatError> {
        if role == other.role {
            return Ok(None);
        }
        self.check(me, Permission::Roles)?;
        let own = user == self.actor;
        if !own && other.role >= me.role && me.role != Role::Owner || role > me.role {
            return Err(ChatError::Rank);
        }
        self.check_owner_stays(user, other)?;
        Ok(Some(Kind::Role { user: user.clone(), role }))
    }

    pub(super) fn check_owner_stays(&self, user: &str, person: &Person) -> Result<(), ChatError> {
        if person.role == Role::Owner && !self.state.has_other_owner(user) {
            return Err(ChatError::LastOwner);
        }
        Ok(())
    }

    pub(super) fn leave(&self) -> Result<Option<Kind>, ChatError> {
        let me = self.state.people.get(self.actor).ok_or(ChatError::NotAParticipant)?;
        match me.standing {
            Standing::Invited => {}
            Standing::Member if self.state.direct => return Err(ChatError::Direct),
            // The last one may go: nobody is left who could be helpless.
            Standing::Member if self.state.members().count() > 1 => {
                self.check_owner_stays(self.actor, me)?;
            }
            Standing::Member => {}
            Standing::Left | Standing::Banned => return Err(ChatError::NotAParticipant),
        }
        Ok(Some(Kind::Leave { user: self.actor.clone() }))
    }

    /// Whether somebody is below, or oneself an owner.
    fn check_above(&self, me: &Person, other: &Person) -> Result<(), ChatError> {
        if other.role >= me.role && me.role != Role::Owner {
            return Err(ChatError::Rank);
        }
        Ok(())
    }

    /// Whether something may be done to somebody: to those below, and by owners to everybody.
    pub(super) fn check_rank(
        &self,
        me: &Person,
        user: &str,
        other: &Person,
    ) -> Result<(), ChatError> {
        self.check_above(me, other)?;
        if other.standing == Standing::Member {
            self.check_owner_stays(user, other)?;
        }
        Ok(())
    }

    pub(super) fn kick(&self, me: &Person, user: &Arc<str>) -> Result<Kind, ChatError> {
        if self.state.direct {
            return Err(ChatError::Direct);
        }
        self.check(me, Permission::Kick)?;
        let there =
            |person: &&Person| matches!(person.standing, Standing::Member | Standing::Invited);
        let other = self.state.people.get(user).filter(there);
        self.check_rank(me, user, other.ok_or(ChatError::NoSuchParticipant)?)?;
        Ok(Kind::Leave { user: user.clone() })
    }

    pub(super) fn ban(
        &self,
        me: &Person,
        user: &Arc<str>,
        until: Option<u64>,
        reason: Option<&str>,
    ) -> Result<Kind, ChatError> {
        name::user(user)?;
        check_reason(reason)?;
        if self.state.direct {
            // Either of the two may shut the other out.
            if user == self.actor || !self.state.people.contains_key(user) {
                return Err(ChatError::Direct);
            }
        } else {
            self.check(me, Permission::Ban)?;
        }
        match self.state.people.get(user).filter(|_| !self.state.direct) {
            Some(other) => self.check_rank(me, user, other)?,
            None => self.check_room()?,
        }
        Ok(Kind::Ban { user: user.clone(), until, reason: reason.map(str::to_owned) })
    }

    pub(super) fn unban(&self, me: &Person, user: &Arc<str>) -> Result<Option<Kind>, ChatError> {
        let banned = |person: &&Person| person.standing == Standing::Banned;
        let other = self.state.people.get(user).filter(banned);
        if self.state.direct {
            // They are back at once: there is nobody else who could let them in.
            let back = Kind::Join {
                user: user.clone(),
                role: Role::Member,
                history: self.state.settings.history,
            };
            return Ok(other.map(|_| back));
        }
        self.check(me, Permission::Ban)?;
        let Some(other) = other else { return Ok(None) };
        self.check_above(me, other)?;
        Ok(Some(Kind::Unban { user: user.clone() }))
    }

    pub(super) fn mute(
        &self,
        me: &Person,
        user: &Arc<str>,
        until: Option<u64>,
        reason: Option<&str>,
    ) -> Result<Kind, ChatError> {
        self.check(me, Permission::Mute)?;
        check_reason(reason)?;
        let other = self.state.member(user).ok_or(ChatError::NoSuchParticipant)?;
        self.check_rank(me, user, other)?;
        Ok(Kind::Mute { user: user.clone(), until, reason: reason.map(str::to_owned) })
    }

    pub(super) fn unmute(&self, me: &Person, user: &Arc<str>) -> Result<Option<Kind>, ChatError> {
        self.check(me, Permission::Mute)?;
        let muted = |person: &&Person| person.muted_until.is_some();
        let Some(other) = self.state.people.get(user).filter(muted) else { return Ok(None) };
        self.check_above(me, other)?;
        Ok(Some(Kind::Unmute { user: user.clone() }))
    }

    pub(super) fn close(&self, me: &Person) -> Result<Kind, ChatError> {
        if self.state.direct {
            return Err(ChatError::Direct);
        }
        if me.role != Role::Owner {
            return Err(ChatError::Forbidden(Permission::Manage));
        }
        Ok(Kind::Closed)
    }
}
