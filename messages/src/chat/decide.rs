//! What may happen in a conversation next. Pure: a function of its state, what is asked for and by
//! whom, what is known of the messages concerned, and the time.

use super::{
    ChatError,
    event::{Edit, Extra, Kind, Message, Participant, Shape},
    name::{self, MessageId},
    role::{Permission, Role},
    settings::{Joining, Reactions, Settings},
    state::{Person, State},
};
use crate::{
    limits::{
        ATTACHMENTS_MAX, CHAT_TEXT_BYTES_MAX, MENTIONS_MAX, META_BYTES_MAX, PARTICIPANTS_MAX,
        PINS_MAX, REACTION_BYTES_MAX, REASON_BYTES_MAX, TITLE_BYTES_MAX, TXN_BYTES_MAX,
        URL_BYTES_MAX,
    },
    model::{FOREVER_MS, Offset, Standing},
};
use serde_json::Value;
use std::sync::Arc;

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
            let me = state.member(actor).ok_or(ChatError::NotAParticipant)?;
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
    let mut all = vec![Participant { user: owner.clone(), role: Role::Owner }];
    for user in participants {
        name::user(user)?;
        if all.iter().all(|known| *known.user != **user) {
            all.push(Participant { user: user.as_str().into(), role: Role::Member });
        }
    }
    if all.len() > PARTICIPANTS_MAX {
        return Err(ChatError::TooMany("the conversation would have too many participants"));
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
            Action::Part { text } => self.part(text).map(Some),
            Action::Edit { text, extra, rev } => self.edit(me, text, extra, *rev).map(Some),
            Action::Delete { reason } => self.delete(me, reason.as_deref()),
            Action::React { reaction } => self.react(me, reaction).map(Some),
            Action::Unreact { reaction } => self.unreact(reaction).map(Some),
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

    /// The message that something is done to, if they may see it.
    fn target(&self, me: &Person) -> Result<&Known, ChatError> {
        let seen = |known: &&Known| known.position > me.visible_from.records;
        let target = self.facts.target.as_ref().filter(seen).ok_or(ChatError::NoMessage)?;
        if target.deleted { Err(ChatError::Deleted) } else { Ok(target) }
    }

    fn send(&self, me: &Person, message: &NewMessage) -> Result<Kind, ChatError> {
        self.check(me, Permission::Send)?;
        self.check_voice(me)?;
        self.check_pace(me)?;
        check_text(&message.text, &message.extra, message.streaming)?;
        if message.txn.as_ref().is_some_and(|txn| txn.is_empty() || txn.len() > TXN_BYTES_MAX) {
            return Err(ChatError::Invalid(format!("txn must have 1 to {TXN_BYTES_MAX} bytes")));
        }
        self.check_mentions(me, &message.extra)?;
        let seen = |known: &&Known| known.position > me.visible_from.records && !known.deleted;
        if message.reply_to.is_some() && self.facts.reply_to.as_ref().filter(seen).is_none() {
            return Err(ChatError::BadReply);
        }
        let root = self.facts.thread.as_ref().filter(seen).filter(|root| !root.in_thread);
        if message.thread.is_some() && root.is_none() {
            return Err(ChatError::BadThread);
        }
        let position = self.state.position() + 1;
        let counts = message.thread.is_none();
        Ok(Kind::Message(Message {
            id: self.id(position),
            n: self.state.n + u64::from(counts),
            text: Some(message.text.clone()),
            reply_to: message.reply_to.clone(),
            txn: message.txn.clone(),
            thread: message.thread.clone(),
            extra: message.extra.clone(),
            streaming: message.streaming,
            imported: false,
        }))
    }

    fn id(&self, position: u64) -> String {
        format!("{}:{position}", self.state.name)
    }

    fn check_pace(&self, me: &Person) -> Result<(), ChatError> {
        let slow_secs = self.state.settings.slow_secs;
        let next_ms = me.sent_ms.saturating_add(slow_secs * 1000);
        if slow_secs > 0 && me.role <= Role::Member && self.now_ms < next_ms {
            return Err(ChatError::Slow { slow_secs, wait_ms: next_ms - self.now_ms });
        }
        Ok(())
    }

    fn check_mentions(&self, me: &Person, extra: &Extra) -> Result<(), ChatError> {
        for user in &extra.mentions {
            if user == EVERYBODY {
                self.check(me, Permission::MentionAll)?;
            } else if self.state.member(user).is_none() {
                return Err(ChatError::BadMention(user.clone()));
            }
        }
        Ok(())
    }

    fn part(&self, text: &str) -> Result<Kind, ChatError> {
        let target = self.facts.target.as_ref().ok_or(ChatError::NoMessage)?;
        if target.deleted {
            return Err(ChatError::Deleted);
        }
        if target.source != *self.actor {
            return Err(ChatError::NotYours);
        }
        if !target.streaming {
            return Err(ChatError::Growing);
        }
        Ok(Kind::Part { target: target.position, text: Some(text.to_owned()) })
    }

    fn finish(&self, interrupted: bool) -> Result<Option<Kind>, ChatError> {
        let target = self.facts.target.as_ref().ok_or(ChatError::NoMessage)?;
        let grows = target.streaming && !target.deleted;
        Ok(grows.then_some(Kind::Finish { target: target.position, interrupted }))
    }

    fn edit(
        &self,
        me: &Person,
        text: &str,
        extra: &Extra,
        rev: Option<u64>,
    ) -> Result<Kind, ChatError> {
        let target = self.target(me)?;
        if target.source != *self.actor {
            return Err(ChatError::NotYours);
        }
        self.check(me, Permission::Edit)?;
        self.check_voice(me)?;
        check_text(text, extra, false)?;
        self.check_mentions(me, extra)?;
        if target.streaming {
            return Err(ChatError::Growing);
        }
        if rev.is_some_and(|rev| rev != target.rev) {
            return Err(ChatError::EditedMeanwhile { rev: target.rev });
        }
        Ok(Kind::Edit(Edit {
            target: target.position,
            rev: target.rev + 1,
            text: Some(text.to_owned()),
            extra: extra.clone(),
        }))
    }

    fn delete(&self, me: &Person, reason: Option<&str>) -> Result<Option<Kind>, ChatError> {
        check_reason(reason)?;
        let target = match self.target(me) {
            // It is what was asked for.
            Err(ChatError::Deleted) => return Ok(None),
            target => target?,
        };
        let own = target.source == *self.actor;
        self.check(me, if own { Permission::Delete } else { Permission::DeleteAny })?;
        let (counted, reason) = (target.counted, reason.map(str::to_owned));
        Ok(Some(Kind::Delete { target: target.position, counted, reason }))
    }

    fn react(&self, me: &Person, reaction: &str) -> Result<Kind, ChatError> {
        let target = self.target(me)?.position;
        self.check(me, Permission::React)?;
        self.check_voice(me)?;
        let fits = (1..=REACTION_BYTES_MAX).contains(&reaction.len());
        if !fits || reaction.chars().any(char::is_control) {
            let what = format!("a reaction is a text of 1 to {REACTION_BYTES_MAX} bytes");
            return Err(ChatError::Invalid(what));
        }
        let replaces = self.state.settings.reactions == Reactions::Unique;
        Ok(Kind::React { target, reaction: reaction.to_owned(), replaces })
    }

    fn unreact(&self, reaction: &str) -> Result<Kind, ChatError> {
        let target = self.facts.target.as_ref().ok_or(ChatError::NoMessage)?;
        if target.deleted {
            return Err(ChatError::Deleted);
        }
        Ok(Kind::Unreact { target: target.position, reaction: reaction.to_owned() })
    }

    fn pin(&self, me: &Person) -> Result<Option<Kind>, ChatError> {
        let target = self.target(me)?.position;
        self.check(me, Permission::Pin)?;
        if self.state.pins.contains(&target) {
            return Ok(None);
        }
        if self.state.pins.len() >= PINS_MAX {
            return Err(ChatError::TooMany("as many messages are pinned as may be; unpin another"));
        }
        Ok(Some(Kind::Pin { target }))
    }

    fn unpin(&self, me: &Person) -> Result<Option<Kind>, ChatError> {
        self.check(me, Permission::Pin)?;
        let target = self.facts.target.as_ref().ok_or(ChatError::NoMessage)?.position;
        Ok(self.state.pins.contains(&target).then_some(Kind::Unpin { target }))
    }

    fn change(
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

    fn join(&self) -> Result<Option<Kind>, ChatError> {
        let known = self.state.people.get(self.actor);
        self.check_ban(known)?;
        let role = match known {
            Some(person) if person.standing == Standing::Member => return Ok(None),
            Some(person) if person.standing == Standing::Invited => person.role,
            _ if self.state.settings.join == Joining::Open && !self.state.direct => Role::Member,
            // Whether there is such a conversation is nobody else's business.
            _ => return Err(ChatError::NotInvited),
        };
        self.check_room()?;
        Ok(Some(self.joining(self.actor, role)))
    }

    fn joining(&self, user: &Arc<str>, role: Role) -> Kind {
        Kind::Join { user: user.clone(), role, history: self.state.settings.history }
    }

    fn check_room(&self) -> Result<(), ChatError> {
        if self.state.people.len() >= PARTICIPANTS_MAX {
            return Err(ChatError::TooMany("the conversation has as many participants as it may"));
        }
        Ok(())
    }

    fn check_ban(&self, person: Option<&Person>) -> Result<(), ChatError> {
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

    fn add(
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
        self.check_ban(known)?;
        self.check_room()?;
        if invite {
            return Ok(Some(Kind::Invite { user: user.clone(), role }));
        }
        Ok(Some(self.joining(user, role)))
    }

    fn give_role(
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

    fn check_owner_stays(&self, user: &str, person: &Person) -> Result<(), ChatError> {
        if person.role == Role::Owner && !self.state.has_other_owner(user) {
            return Err(ChatError::LastOwner);
        }
        Ok(())
    }

    fn leave(&self) -> Result<Option<Kind>, ChatError> {
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

    /// Whether something may be done to somebody: to those below, and by owners to everybody.
    fn check_rank(&self, me: &Person, user: &str, other: &Person) -> Result<(), ChatError> {
        if other.role >= me.role && me.role != Role::Owner {
            return Err(ChatError::Rank);
        }
        if other.standing == Standing::Member {
            self.check_owner_stays(user, other)?;
        }
        Ok(())
    }

    fn kick(&self, me: &Person, user: &Arc<str>) -> Result<Kind, ChatError> {
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

    fn ban(
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
        if let Some(other) = self.state.people.get(user).filter(|_| !self.state.direct) {
            self.check_rank(me, user, other)?;
        }
        Ok(Kind::Ban { user: user.clone(), until, reason: reason.map(str::to_owned) })
    }

    fn unban(&self, me: &Person, user: &Arc<str>) -> Result<Option<Kind>, ChatError> {
        let banned = |person: &&Person| person.standing == Standing::Banned;
        let is_banned = self.state.people.get(user).filter(banned).is_some();
        if self.state.direct {
            // They are back at once: there is nobody else who could let them in.
            let back = Kind::Join {
                user: user.clone(),
                role: Role::Member,
                history: self.state.settings.history,
            };
            return Ok(is_banned.then_some(back));
        }
        self.check(me, Permission::Ban)?;
        Ok(is_banned.then_some(Kind::Unban { user: user.clone() }))
    }

    fn mute(
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

    fn unmute(&self, me: &Person, user: &Arc<str>) -> Result<Option<Kind>, ChatError> {
        self.check(me, Permission::Mute)?;
        let muted = self.state.people.get(user).is_some_and(|other| other.muted_until.is_some());
        Ok(muted.then_some(Kind::Unmute { user: user.clone() }))
    }

    fn close(&self, me: &Person) -> Result<Kind, ChatError> {
        if self.state.direct {
            return Err(ChatError::Direct);
        }
        if me.role != Role::Owner {
            return Err(ChatError::Forbidden(Permission::Manage));
        }
        Ok(Kind::Closed)
    }

    fn trim(&self, low: Offset, n: u64) -> Option<Kind> {
        let is_news = low.records > self.state.low.records && low.bytes <= self.state.tail.bytes;
        let (low, low_bytes) = (low.records, low.bytes);
        is_news.then_some(Kind::Trim { low, low_bytes, n })
    }

    fn import(&self, messages: &[Imported]) -> Result<Vec<Step>, ChatError> {
        let me = self.state.member(self.actor).ok_or(ChatError::NotAParticipant)?;
        if me.role != Role::Owner {
            return Err(ChatError::Forbidden(Permission::Manage));
        }
        let mut steps = Vec::with_capacity(messages.len());
        for (position, message) in (self.state.position() + 1..).zip(messages) {
            name::user(&message.source)?;
            check_text(&message.text, &message.extra, false)?;
            let kind = Kind::Message(Message {
                id: self.id(position),
                n: self.state.n,
                text: Some(message.text.clone()),
                reply_to: message.reply_to.clone(),
                txn: None,
                thread: None,
                extra: message.extra.clone(),
                streaming: false,
                imported: true,
            });
            let (source, created) = (message.source.clone(), message.created.min(self.now_ms));
            steps.push(Step { kind, source, created });
        }
        Ok(steps)
    }
}

fn check_title(title: Option<&str>) -> Result<(), ChatError> {
    if title.is_some_and(|title| title.len() > TITLE_BYTES_MAX || has_nul(title)) {
        return Err(ChatError::Invalid(format!("title may have at most {TITLE_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn check_reason(reason: Option<&str>) -> Result<(), ChatError> {
    if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX || has_nul(reason)) {
        return Err(ChatError::Invalid(format!(
            "reason may have at most {REASON_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

/// What no database would keep in a text.
fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

fn check_text(text: &str, extra: &Extra, may_be_empty: bool) -> Result<(), ChatError> {
    let bad = |what: String| Err(ChatError::Invalid(what));
    if text.is_empty() && extra.attachments.is_empty() && !may_be_empty {
        return bad("text: there is nothing in the message".into());
    }
    if text.len() > CHAT_TEXT_BYTES_MAX || has_nul(text) {
        return bad(format!("text may have at most {CHAT_TEXT_BYTES_MAX} bytes, and no NUL"));
    }
    if extra.mentions.len() > MENTIONS_MAX {
        return bad(format!("mentions: at most {MENTIONS_MAX}"));
    }
    if extra.attachments.len() > ATTACHMENTS_MAX {
        return bad(format!("attachments: at most {ATTACHMENTS_MAX}"));
    }
    let long = |url: &str| url.is_empty() || url.len() > URL_BYTES_MAX;
    if extra.attachments.iter().any(|one| long(&one.url)) {
        return bad(format!("attachments: a url has 1 to {URL_BYTES_MAX} bytes"));
    }
    let meta = extra.meta.as_ref().map_or(0, |meta| meta.to_string().len());
    if meta > META_BYTES_MAX {
        return bad(format!("meta may have at most {META_BYTES_MAX} bytes"));
    }
    let whole = extra.text().unwrap_or_default();
    if whole.contains("\\u0000") {
        return bad("no text in a message may have a NUL".into());
    }
    Ok(())
}

/// The message that a text names in `conversation`; `None` when it names none there.
#[must_use]
pub fn message_of(conversation: &str, id: &str) -> Option<u64> {
    let id: MessageId = id.parse().ok()?;
    (id.conversation.as_str() == conversation).then_some(id.position)
}
