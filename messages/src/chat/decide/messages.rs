//! What may be done with messages.

use super::{
    super::{
        ChatError,
        event::{Edit, Extra, Kind, Message},
        role::{Permission, Role},
        settings::Reactions,
        state::Person,
    },
    Desk, EVERYBODY, Imported, Known, NewMessage, Step,
    checks::{check_reaction, check_reason, check_text, is_txn},
};
use crate::{
    limits::{PINS_MAX, TXN_BYTES_MAX},
    model::Offset,
};

impl Desk<'_> {
    /// The message that something is done to, if they may see it.
    pub(super) fn target(&self, me: &Person) -> Result<&Known, ChatError> {
        let seen = |known: &&Known| known.position > me.visible_from.records;
        let target = self.facts.target.as_ref().filter(seen).ok_or(ChatError::NoMessage)?;
        if target.deleted { Err(ChatError::Deleted) } else { Ok(target) }
    }

    pub(super) fn send(&self, me: &Person, message: &NewMessage) -> Result<Kind, ChatError> {
        self.check(me, Permission::Send)?;
        self.check_voice(me)?;
        self.check_pace(me)?;
        check_text(&message.text, &message.extra, message.streaming)?;
        if message.txn.as_ref().is_some_and(|txn| !is_txn(txn)) {
            let what =
                format!("txn must have 1 to {TXN_BYTES_MAX} bytes, and no control characters");
            return Err(ChatError::Invalid(what));
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

    pub(super) fn id(&self, position: u64) -> String {
        format!("{}:{position}", self.state.name)
    }

    pub(super) fn check_pace(&self, me: &Person) -> Result<(), ChatError> {
        let slow_secs = self.state.settings.slow_secs;
        let next_ms = me.sent_ms.unwrap_or(0).saturating_add(slow_secs * 1000);
        if slow_secs > 0 && me.role <= Role::Member && self.now_ms < next_ms {
            return Err(ChatError::Slow { slow_secs, wait_ms: next_ms - self.now_ms });
        }
        Ok(())
    }

    pub(super) fn check_mentions(&self, me: &Person, extra: &Extra) -> Result<(), ChatError> {
        for user in &extra.mentions {
            if user == EVERYBODY {
                self.check(me, Permission::MentionAll)?;
            } else if self.state.member(user).is_none() {
                return Err(ChatError::BadMention(user.clone()));
            }
        }
        Ok(())
    }

    pub(super) fn part(&self, me: &Person, text: &str) -> Result<Kind, ChatError> {
        self.check(me, Permission::Send)?;
        self.check_voice(me)?;
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

    pub(super) fn finish(&self, interrupted: bool) -> Result<Option<Kind>, ChatError> {
        let target = self.facts.target.as_ref().ok_or(ChatError::NoMessage)?;
        let grows = target.streaming && !target.deleted;
        Ok(grows.then_some(Kind::Finish { target: target.position, interrupted }))
    }

    pub(super) fn edit(
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

    pub(super) fn delete(
        &self,
        me: &Person,
        reason: Option<&str>,
    ) -> Result<Option<Kind>, ChatError> {
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

    pub(super) fn react(&self, me: &Person, reaction: &str) -> Result<Kind, ChatError> {
        let target = self.target(me)?.position;
        self.check(me, Permission::React)?;
        self.check_voice(me)?;
        check_reaction(reaction)?;
        let replaces = self.state.settings.reactions == Reactions::Unique;
        Ok(Kind::React { target, reaction: reaction.to_owned(), replaces })
    }

    pub(super) fn unreact(&self, me: &Person, reaction: &str) -> Result<Kind, ChatError> {
        let target = self.target(me)?.position;
        check_reaction(reaction)?;
        Ok(Kind::Unreact { target, reaction: reaction.to_owned() })
    }

    pub(super) fn pin(&self, me: &Person) -> Result<Option<Kind>, ChatError> {
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

    pub(super) fn unpin(&self, me: &Person) -> Result<Option<Kind>, ChatError> {
        self.check(me, Permission::Pin)?;
        let target = self.facts.target.as_ref().ok_or(ChatError::NoMessage)?.position;
        Ok(self.state.pins.contains(&target).then_some(Kind::Unpin { target }))
    }

    pub(super) fn trim(&self, low: Offset, n: u64) -> Option<Kind> {
        let is_news = low.records > self.state.low.records && low.bytes <= self.state.tail.bytes;
        let (low, low_bytes) = (low.records, low.bytes);
        is_news.then_some(Kind::Trim { low, low_bytes, n })
    }

    pub(super) fn import(&self, messages: &[Imported]) -> Result<Vec<Step>, ChatError> {
        let me = self.state.insider(self.actor)?;
        if me.role != Role::Owner {
            return Err(ChatError::Forbidden(Permission::Manage));
        }
        let mut steps = Vec::with_capacity(messages.len());
        for (position, message) in (self.state.position() + 1..).zip(messages) {
            message.check()?;
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
