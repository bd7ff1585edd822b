//! Doing something in a conversation: decided in turn, durable before it is answered.

use super::{
    Chat, ChatError,
    conversation::{Asked, AtHand, Conversation, Live, Placed},
    decide::{Action, Known, NewMessage, decide},
    event::{Event, Kind},
    name::{ConversationName, MessageId},
    view::MessageView,
};
use crate::{
    limits::LOG_PATIENCE_MS,
    model::{CloseReason, Expected, Offset, Target},
    store::{MessageQuery, StoredMessage},
    stream::{Addition, PendingAppend, StreamError},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// What has been done.
#[derive(Clone, Debug)]
pub struct Done {
    /// The events, each with the end of its record. None where nothing had to be done.
    pub events: Vec<(Arc<Event>, Offset)>,
    /// The position of the last event of the conversation, with these.
    pub position: u64,
}

/// A message that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The message.
    pub message: MessageView,
    /// It had been sent before.
    pub duplicate: bool,
}

/// Something that has its place, and is on its way to being durable.
pub struct Begun {
    conversation: Arc<Conversation>,
    /// `None` where nothing had to be done.
    pending: Option<PendingAppend>,
    events: Vec<(Arc<Event>, Offset)>,
    position: u64,
    /// What had been done before.
    earlier: Option<Box<MessageView>>,
}

/// What has come of an attempt.
enum Tried {
    Begun(Begun),
    /// Another node was faster: it has to be decided anew.
    Moved,
}

/// What somebody asks for, and what is known of it.
struct Question<'a> {
    user: &'a Arc<str>,
    action: &'a Action,
    asked: &'a Asked,
    /// What the tables say,
    found: HashMap<u64, Known>,
    /// where what was not in them then is remembered behind this.
    floor: u64,
}

/// What was decided.
enum Stepped {
    Placed(Step),
    /// The message was sent before.
    Sent(Arc<Event>),
    /// Some of what is not remembered any more was not in the tables when they were asked.
    Forgotten,
    /// Another node was faster: the conversation does not end where it was decided on.
    Moved {
        from: Offset,
    },
}

/// What has its place.
struct Step {
    /// `None` where nothing had to be done.
    pending: Option<PendingAppend>,
    events: Vec<(Arc<Event>, Offset)>,
    position: u64,
}

impl Chat {
    /// Sends a message to a conversation.
    ///
    /// # Errors
    /// It was not sent.
    pub async fn send(
        &self,
        user: &Arc<str>,
        name: &ConversationName,
        message: NewMessage,
    ) -> Result<Sent, ChatError> {
        let begun = self.begin_send(user, name, message).await?;
        self.sent(begun).await
    }

    /// Sends a message to another user.
    ///
    /// # Errors
    /// It was not sent.
    pub async fn send_to(
        &self,
        user: &Arc<str>,
        peer: &str,
        message: NewMessage,
    ) -> Result<Sent, ChatError> {
        let begun = self.begin_send_to(user, peer, message).await?;
        self.sent(begun).await
    }

    /// The first half of [`Chat::send`]: the message has its place. Whatever is begun after this
    /// comes behind it.
    ///
    /// # Errors
    /// It is not sent.
    pub async fn begin_send(
        &self,
        user: &Arc<str>,
        name: &ConversationName,
        message: NewMessage,
    ) -> Result<Begun, ChatError> {
        let at_hand = self.at_hand(name).await?;
        self.begin_act(at_hand, user, Action::Send(message), None).await
    }

    /// The first half of [`Chat::send_to`].
    ///
    /// # Errors
    /// It is not sent.
    pub async fn begin_send_to(
        &self,
        user: &Arc<str>,
        peer: &str,
        message: NewMessage,
    ) -> Result<Begun, ChatError> {
        let action = Action::Send(message);
        let at_hand = self.direct(user, peer, &action).await?;
        self.begin_act(at_hand, user, action, None).await
    }

    /// The second half of [`Chat::send`]: waits until the message is durable. Cancel safe.
    ///
    /// # Errors
    /// Nobody knows whether it will be.
    pub async fn sent(&self, begun: Begun) -> Result<Sent, ChatError> {
        let earlier = begun.earlier.clone();
        let done = self.done(begun).await?;
        let stats = self.streams.stats();
        if let Some(message) = earlier {
            stats.message_duplicates.one();
            return Ok(Sent { message: *message, duplicate: true });
        }
        stats.messages.one();
        let sent = done.events.last();
        let message = sent.and_then(|(event, end)| MessageView::sent(event, Some(*end)));
        message.map(|message| Sent { message, duplicate: false }).ok_or(ChatError::NoMessage)
    }

    /// Does something in a conversation.
    ///
    /// # Errors
    /// It did not happen.
    pub async fn act(
        &self,
        user: &Arc<str>,
        name: &ConversationName,
        action: Action,
    ) -> Result<Done, ChatError> {
        let at_hand = self.at_hand(name).await?;
        let begun = self.begin_act(at_hand, user, action, None).await?;
        self.done(begun).await
    }

    /// Does something with a message.
    ///
    /// # Errors
    /// It did not happen.
    pub async fn act_on(
        &self,
        user: &Arc<str>,
        message: &MessageId,
        action: Action,
    ) -> Result<Done, ChatError> {
        let begun = self.begin_act_on(user, message, action).await?;
        self.done(begun).await
    }

    /// The first half of [`Chat::act_on`].
    ///
    /// # Errors
    /// It does not happen.
    pub async fn begin_act_on(
        &self,
        user: &Arc<str>,
        message: &MessageId,
        action: Action,
    ) -> Result<Begun, ChatError> {
        let at_hand = self.at_hand(&message.conversation).await?;
        self.begin_act(at_hand, user, action, Some(message.position)).await
    }

    /// The second half: waits until what was done is durable. Cancel safe: it happens, and those whom
    /// it brings in are told, whether or not anybody waits.
    ///
    /// # Errors
    /// Nobody knows whether it will be.
    pub async fn done(&self, begun: Begun) -> Result<Done, ChatError> {
        let Begun { conversation, pending, events, position, .. } = begun;
        let Some(pending) = pending else {
            self.streams.settled().await?;
            return Ok(Done { events, position });
        };
        let erases = |(event, _): &(Arc<Event>, Offset)| {
            matches!(event.kind, Kind::Delete { .. } | Kind::Trim { .. } | Kind::Closed)
        };
        let erases = events.iter().any(erases);
        self.streams.appended(pending).await?;
        if erases {
            // The text is gone everywhere when this is answered.
            self.wait_for_tables(&conversation).await?;
            self.tell_erased(&conversation).await?;
            // The flusher says this, too, unless it could not know whether what it wrote was taken.
            let low = conversation.live().state.low;
            conversation.channel().set_low(low);
        }
        Ok(Done { events, position })
    }

    /// Decides on what is known here. What was refused by that, and what another node was faster with,
    /// is decided again on what is true then.
    pub(super) async fn begin_act(
        &self,
        at_hand: AtHand,
        user: &Arc<str>,
        action: Action,
        target: Option<u64>,
    ) -> Result<Begun, ChatError> {
        self.attachments.check(&action)?;
        let AtHand { mut conversation, mut is_fresh } = at_hand;
        let asked = Asked::of(conversation.name().as_str(), &action, target);
        let until = Instant::now() + Duration::from_millis(LOG_PATIENCE_MS);
        loop {
            match self.try_act(&conversation, user, &action, &asked).await {
                Ok(Tried::Begun(begun)) if is_fresh || begun.pending.is_some() => return Ok(begun),
                Ok(Tried::Moved) if Instant::now() > until => {
                    return Err(StreamError::Overloaded.into());
                }
                Ok(_) => {}
                Err(error) if is_fresh || matches!(error, ChatError::Stream(_)) => {
                    return Err(error);
                }
                Err(_) => {}
            }
            conversation = self.conversation(conversation.name()).await?;
            is_fresh = true;
        }
    }

    async fn try_act(
        &self,
        conversation: &Arc<Conversation>,
        user: &Arc<str>,
        action: &Action,
        asked: &Asked,
    ) -> Result<Tried, ChatError> {
        if matches!(action, Action::Send(_)) {
            self.remember_last(conversation, user).await?;
        }
        let until = Instant::now() + Duration::from_millis(LOG_PATIENCE_MS);
        loop {
            let (floor, unknown) = {
                let live = conversation.live();
                (live.recent.floor, live.unknown(asked))
            };
            // Before the turn, which others wait for.
            if let Some(begun) = self.sent_before(conversation, user, asked, action).await? {
                return Ok(Tried::Begun(begun));
            }
            let found = self.known(conversation, &unknown).await?;
            let question = Question { user, action, asked, found, floor };
            let turn = conversation.turn.lock().await;
            let stepped = loop {
                match self.step(conversation, &question).await {
                    // What the other node has done is taken up by now.
                    Ok(Stepped::Moved { from })
                        if conversation.live().state.tail != from && Instant::now() < until => {}
                    stepped => break stepped,
                }
            };
            match stepped {
                Ok(Stepped::Placed(step)) => {
                    drop(turn);
                    return Ok(Tried::Begun(self.begun(conversation, step)));
                }
                Ok(Stepped::Sent(event)) => {
                    let message = MessageView::sent(&event, None);
                    return earlier(conversation, message, action).map(Tried::Begun);
                }
                Ok(Stepped::Moved { .. }) => return Ok(Tried::Moved),
                Ok(Stepped::Forgotten) => {}
                Err(error @ ChatError::Stream(_)) => return Err(error),
                Err(refused) => {
                    drop(turn);
                    // It may lean on what is not durable yet.
                    self.streams.settled().await?;
                    return Err(refused);
                }
            }
        }
    }

    /// Decides, and gives what is to happen its place. For whoever has the turn.
    async fn step(
        &self,
        conversation: &Arc<Conversation>,
        question: &Question<'_>,
    ) -> Result<Stepped, ChatError> {
        let (position, placed) = {
            // All from one state: what other nodes do comes at any moment.
            let live = conversation.live();
            let Question { user, action, asked, found, floor } = question;
            if live.recent.floor != *floor {
                return Ok(Stepped::Forgotten);
            }
            if let Some(event) = asked.txn.as_ref().and_then(|txn| live.sent(user, txn)) {
                return Ok(Stepped::Sent(event));
            }
            let facts = live.facts(asked, found);
            let steps = decide(&live.state, user, action, &facts, self.clock.now_ms())?;
            (live.state.position(), live.place(steps))
        };
        let Placed { events, records, at } = placed;
        let position = events.last().map_or(position, |(event, _)| event.position);
        if events.is_empty() {
            return Ok(Stepped::Placed(Step { pending: None, events, position }));
        }
        let closes = events.iter().any(|(event, _)| event.kind == Kind::Closed);
        let addition = Addition {
            records,
            at: Some(Expected::Exact(at)),
            close: closes.then_some(CloseReason::Finished),
            ..Addition::default()
        };
        let pending = self.streams.begin_append(conversation.channel(), addition).await?;
        if !pending.is_accepted() {
            if self.others.is_some() {
                return Ok(Stepped::Moved { from: at });
            }
            self.streams.appended(pending).await?;
            return Err(StreamError::Replaced.into());
        }
        // Nothing is waited for between this and the append, so both have happened or neither. Where
        // there are other nodes, it was taken up before anybody could see it, as what they do is.
        if self.others.is_none() && conversation.live().apply(&events) {
            // Those who have read everything have to learn that this was the end.
            conversation.channel().wake();
        }
        events.iter().for_each(|(event, _)| self.note_growth(event));
        Ok(Stepped::Placed(Step { pending: Some(pending), events, position }))
    }

    fn begun(&self, conversation: &Arc<Conversation>, step: Step) -> Begun {
        let Step { pending, events, position } = step;
        if self.others.is_none() && pending.is_some() {
            let joined = Live::joined(events.iter().map(|(event, _)| event));
            self.announce(conversation.name(), joined);
            if conversation.remembers_much() {
                conversation.forget_stored();
            }
        }
        Begun { conversation: conversation.clone(), pending, events, position, earlier: None }
    }

    /// Where members have to wait between two messages: finds out when `user` sent the last one, if
    /// that was before the conversation was loaded.
    async fn remember_last(
        &self,
        conversation: &Conversation,
        user: &Arc<str>,
    ) -> Result<(), ChatError> {
        {
            let live = conversation.live();
            let known = live.state.member(user).is_none_or(|person| person.sent_ms.is_some());
            if known || live.state.settings.slow_secs == 0 {
                return Ok(());
            }
        }
        let query = MessageQuery::last_of(conversation.name().text(), user);
        let last = self.store.messages(&query).await?;
        let sent_ms = last.first().map_or(0, |message| message.created);
        if let Some(person) = conversation.live().state.people.get_mut(user) {
            person.sent_ms.get_or_insert(sent_ms);
        }
        Ok(())
    }

    /// Keeps in mind which messages grow, so that nobody takes them for those of an earlier run.
    fn note_growth(&self, event: &Event) {
        if matches!(&event.kind, Kind::Message(message) if message.streaming) {
            let (conversation, position) = (event.conversation.clone(), event.position);
            self.growing.insert(Target { conversation, position });
        }
    }

    /// Nobody lets a message grow any more, whatever has become of it.
    pub fn stop_growing(&self, message: &MessageId) {
        self.growing.remove(&message.target());
    }

    /// What the tables know of messages.
    async fn known(
        &self,
        conversation: &Conversation,
        positions: &[u64],
    ) -> Result<HashMap<u64, Known>, ChatError> {
        let mut found = HashMap::new();
        for position in positions {
            let conversation = conversation.name().text().clone();
            let target = Target { conversation, position: *position };
            if let Some(message) = self.store.message(&target).await? {
                found.insert(*position, known(&message));
            }
        }
        Ok(found)
    }

    /// Whether the tables know a message that `user` calls as this one.
    async fn sent_before(
        &self,
        conversation: &Arc<Conversation>,
        user: &Arc<str>,
        asked: &Asked,
        action: &Action,
    ) -> Result<Option<Begun>, ChatError> {
        let Some(txn) = &asked.txn else { return Ok(None) };
        if conversation.live().sent(user, txn).is_some() {
            return Ok(None);
        }
        // Not for somebody who may not even know that there is such a conversation.
        conversation.member(user)?;
        let name = conversation.name().as_str();
        match self.store.message_by_txn(name, user, txn).await? {
            Some(message) => {
                earlier(conversation, Some(MessageView::stored(message)), action).map(Some)
            }
            None => Ok(None),
        }
    }
}

/// The answer to somebody who sends a message again.
fn earlier(
    conversation: &Arc<Conversation>,
    message: Option<MessageView>,
    action: &Action,
) -> Result<Begun, ChatError> {
    let (Some(message), Action::Send(new)) = (message, action) else {
        return Err(ChatError::NoMessage);
    };
    // What has been done to it since is no matter of what was sent.
    let untouched = message.rev == 0 && message.deleted.is_none() && !new.streaming;
    let same = message.reply_to == new.reply_to
        && message.thread == new.thread
        && (!untouched || (message.text == new.text && message.extra == new.extra));
    if !same {
        return Err(ChatError::TxnReused);
    }
    Ok(Begun {
        conversation: conversation.clone(),
        pending: None,
        events: Vec::new(),
        position: message.position,
        earlier: Some(Box::new(message)),
    })
}

fn known(message: &StoredMessage) -> Known {
    Known {
        position: message.target.position,
        source: message.source.as_str().into(),
        rev: message.rev,
        counted: message.counted,
        in_thread: message.thread.is_some(),
        deleted: message.deleted.is_some(),
        streaming: message.streaming,
    }
}
