//! What may happen in a conversation next. Pure: a function of its state, what is asked for and by
//! whom, what is known of the messages concerned, and the time.

mod checks;
mod messages;
mod people;

use super::{
    ChatError,
    event::{Extra, Kind, Participant, Shape},
    name::{self, MessageId},
    role::{Permission, Role},
    settings::Settings,
    state::{Person, State},
};
use crate::{
    limits::PARTICIPANTS_AT_ONCE_MAX,
    model::{FOREVER_MS, Offset},
};
pub use checks::is_txn;
use checks::{check_foreign, check_text, check_title};
use serde_json::Value;
use std::{collections::HashSet, sync::Arc};

/// Mentions everybody.
pub const EVERYBODY: &str = "@all";

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send a message.
    Send(NewMessage),
    /// Let one of their own grow.
    Part {
        /// What comes behind what there is.
        text: String,
    },
    /// Say that it is complete.
    Finish {
        /// It was to be longer.
        interrupted: bool,
    },
    /// Let one say something else.
    Edit {
        /// What.
        text: String,
        /// What comes with it.
        extra: Extra,
        /// Only if it has been edited so often.
        rev: Option<u64>,
    },
    /// Delete one.
    Delete {
        /// Why.
        reason: Option<String>,
    },
    /// React to one.
    React {
        /// How.
        reaction: String,
    },
    /// Take that back.
    Unreact {
        /// What.
        reaction: String,
    },
    /// Pin one.
    Pin,
    /// Take that back.
    Unpin,
    /// Change title and settings.
    Change {
        /// The title, if it is to change.
        title: Option<Option<String>>,
        /// What of the settings.
        settings: Option<Value>,
    },
    /// Bring somebody in, or give them another role.
    Add {
        /// Whom.
        user: Arc<str>,
        /// As what.
        role: Option<Role>,
        /// They have to want it.
        invite: bool,
    },
    /// Send somebody away; or leave.
    Remove {
        /// Whom.
        user: Arc<str>,
    },
    /// Come in.
    Join,
    /// Keep somebody away.
    Ban {
        /// Whom.
        user: Arc<str>,
        /// Until when.
        until: Option<u64>,
        /// Why.
        reason: Option<String>,
    },
    /// Take that back.
    Unban {
        /// Of whom.
        user: Arc<str>,
    },
    /// Let somebody only read.
    Mute {
        /// Whom.
        user: Arc<str>,
        /// Until when.
        until: Option<u64>,
        /// Why.
        reason: Option<String>,
    },
    /// Take that back.
    Unmute {
        /// Of whom.
        user: Arc<str>,
    },
    /// Take up messages that were sent elsewhere.
    Import(Vec<Imported>),
    /// Let what is old go.
    Trim {
        /// Where what stays begins.
        low: Offset,
        /// How many messages counted up to there.
        n: u64,
    },
    /// Delete the conversation.
    Close,
}

/// A message that somebody wants to send.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewMessage {
    /// What it says.
    pub text: String,
    /// What it answers.
    pub reply_to: Option<String>,
    /// The thread that it is in.
    pub thread: Option<String>,
    /// What its sender calls it.
    pub txn: Option<String>,
    /// What comes with it.
    pub extra: Extra,
    /// It will grow.
    pub streaming: bool,
}

/// A message that was sent elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// By whom.
    pub source: Arc<str>,
    /// What it says.
    pub text: String,
    /// When, in milliseconds since 1970.
    pub created: u64,
    /// What it answers.
    pub reply_to: Option<String>,
    /// What comes with it.
    pub extra: Extra,
}

impl Imported {
    /// Whether it can be a message.
    ///
    /// # Errors
    /// It cannot.
    pub fn check(&self) -> Result<(), ChatError> {
        name::user(&self.source)?;
        check_text(&self.text, &self.extra, false)?;
        let people = self.extra.mentions.iter().filter(|user| *user != EVERYBODY);
        people.map(|user| name::user(user)).try_for_each(|user| user.map(drop))?;
        check_foreign(self.reply_to.as_deref())
    }
}

/// What is known of a message that an action concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its position.
    pub position: u64,
    /// Who sent it.
    pub source: Arc<str>,
    /// How often it was edited.
    pub rev: u64,
    /// Whether it counts in `n`.
    pub counted: bool,
    /// It is in a thread.
    pub in_thread: bool,
    /// It is gone.
    pub deleted: bool,
    /// It grows.
    pub streaming: bool,
}

/// The messages that an action speaks of, as far as they are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The one that it is done to.
    pub target: Option<Known>,
    /// The one that is answered.
    pub reply_to: Option<Known>,
    /// The first of the thread.
    pub thread: Option<Known>,
}

/// Something that is to happen, by whom and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What.
    pub kind: Kind,
    /// Who.
    pub source: Arc<str>,
    /// When, in milliseconds since 1970.
    pub created: u64,
}

/// What may happen for `actor`, who asks for `action` at `now_ms`. Nothing where it has happened
/// already.
///
/// # Errors
/// It may not.
pub fn decide(
    state: &State,
    actor: &Arc<str>,
    action: &Action,
    facts: &Facts,
    now_ms: u64,
) -> Result<Vec<Step>, ChatError> {
    if state.closed {
        return Err(ChatError::NotFound);
    }
    let desk = Desk { state, actor, facts, now_ms };
    let step = |kind| Step { kind, source: actor.clone(), created: now_ms };
    let one = |kind: Result<Option<Kind>, ChatError>| {
        Ok(kind?.map(step).into_iter().collect::<Vec<Step>>())
    };
    match action {
        Action::Join => one(desk.join()),
        Action::Remove { user } if user == actor => one(desk.leave()),
        Action::Trim { low, n } => one(Ok(desk.trim(*low, *n))),
        // Of the server itself, whatever has become of the sender.
        Action::Finish { interrupted } => one(desk.finish(*interrupted)),
        Action::Import(messages) => desk.import(messages),
        action => {
            let me = state.insider(actor)?;
            one(desk.take_part(me, action))
        }
    }
}

/// The beginning of a conversation of `participants`.
///
/// # Errors
/// It may not be so.
pub fn found(
    owner: &Arc<str>,
    title: Option<String>,
    settings: Settings,
    participants: &[String],
) -> Result<Kind, ChatError> {
    check_title(title.as_deref())?;
    if participants.is_empty() {
        return Err(ChatError::Invalid("participants: there must be at least one".into()));
    }
    if participants.len() > PARTICIPANTS_AT_ONCE_MAX {
        return Err(ChatError::TooMany("that many participants have to be added one by one"));
    }
    let mut known = HashSet::from([&**owner]);
    let mut all = vec![Participant { user: owner.clone(), role: Role::Owner }];
    for user in participants {
        if known.insert(name::user(user)?) {
            all.push(Participant { user: user.as_str().into(), role: Role::Member });
        }
    }
    Ok(Kind::Conversation { title, kind: Shape::Group, settings, participants: all })
}

/// The beginning of the conversation that two users have with each other.
#[must_use]
pub fn found_direct(one: &Arc<str>, other: &Arc<str>) -> Kind {
    let member = |user: &Arc<str>| Participant { user: user.clone(), role: Role::Member };
    let mut participants = vec![member(one)];
    if one != other {
        participants.push(member(other));
    }
    let (settings, kind) = (Settings::default(), Shape::Direct);
    Kind::Conversation { title: None, kind, settings, participants }
}

/// Everything that a decision is made from.
struct Desk<'a> {
    state: &'a State,
    actor: &'a Arc<str>,
    facts: &'a Facts,
    now_ms: u64,
}

impl Desk<'_> {
    /// What only those who take part can do.
    fn take_part(&self, me: &Person, action: &Action) -> Result<Option<Kind>, ChatError> {
        match action {
            Action::Send(message) => self.send(me, message).map(Some),
            Action::Part { text } => self.part(me, text).map(Some),
            Action::Edit { text, extra, rev } => self.edit(me, text, extra, *rev).map(Some),
            Action::Delete { reason } => self.delete(me, reason.as_deref()),
            Action::React { reaction } => self.react(me, reaction).map(Some),
            Action::Unreact { reaction } => self.unreact(me, reaction).map(Some),
            Action::Pin => self.pin(me),
            Action::Unpin => self.unpin(me),
            Action::Change { title, settings } => self.change(me, title, settings.as_ref()),
            Action::Add { user, role, invite } => self.add(me, user, *role, *invite),
            Action::Remove { user } => self.kick(me, user).map(Some),
            Action::Ban { user, until, reason } => {
                self.ban(me, user, *until, reason.as_deref()).map(Some)
            }
            Action::Unban { user } => self.unban(me, user),
            Action::Mute { user, until, reason } => {
                self.mute(me, user, *until, reason.as_deref()).map(Some)
            }
            Action::Unmute { user } => self.unmute(me, user),
            Action::Close => self.close(me).map(Some),
            Action::Join | Action::Finish { .. } | Action::Import(_) | Action::Trim { .. } => {
                Ok(None)
            }
        }
    }

    fn check(&self, me: &Person, permission: Permission) -> Result<(), ChatError> {
        if self.state.may(me, permission) {
            return Ok(());
        }
        Err(ChatError::Forbidden(permission))
    }

    fn check_voice(&self, me: &Person) -> Result<(), ChatError> {
        match me.muted_until {
            Some(until) if until > self.now_ms => {
                Err(ChatError::Muted { until: (until < FOREVER_MS).then_some(until) })
            }
            _ => Ok(()),
        }
    }
}

/// The message that a text names in `conversation`; `None` when it names none there.
#[must_use]
pub fn message_of(conversation: &str, id: &str) -> Option<u64> {
    let id: MessageId = id.parse().ok()?;
    (id.conversation.as_str() == conversation).then_some(id.position)
}
