//! What other nodes say.

use super::{
    super::{Chat, hub::Notice, name::ConversationName},
    Letter, Others,
    letter::{Mail, Whereabouts},
    post::TOPIC,
};
use crate::{
    limits::{CHAT_NODE_TTL_MS, CHAT_NODES_LOOK_MS, LOG_PATIENCE_MS, MISSED_PER_SEC_MAX},
    stream::Said,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

impl Chat {
    /// Hears other nodes, and lets them know of this one, until `stop`.
    pub(in crate::chat) async fn hear_others(self: Arc<Self>, stop: CancellationToken) {
        let Some(others) = self.others.clone() else { return };
        let hearing = async {
            tokio::join!(
                self.hear(&others),
                self.hear_marks(&others),
                self.look_at_marks_again(&others),
                self.spread_missed(&others),
            )
        };
        let hearing = async {
            tokio::select! {
                _ = hearing => {}
                () = stop.cancelled() => {}
            }
        };
        tokio::join!(hearing, self.send_letters(&others, &stop));
    }

    async fn hear(self: &Arc<Self>, others: &Arc<Others>) {
        let mut said = others.shared.said();
        while let Err(error) = others.shared.listen(TOPIC).await {
            tracing::warn!(%error, "other nodes cannot be heard yet");
            sleep(Duration::from_millis(LOG_PATIENCE_MS)).await;
        }
        others.post.send(Letter::Hello);
        let mut looks = interval(Duration::from_millis(CHAT_NODES_LOOK_MS));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                said = said.recv() => match said {
                    Ok(Said { topic, words: Some(words) }) if &*topic == TOPIC => {
                        self.take_mail(others, &words);
                    }
                    Ok(Said { words: Some(_), .. }) => {}
                    Ok(Said { words: None, .. }) | Err(RecvError::Lagged(_)) => {
                        others.post.send(Letter::Hello);
                        others.missed.notify_one();
                    }
                    Err(RecvError::Closed) => return,
                },
                _ = looks.tick() => self.look_for_silent(others),
            }
        }
    }

    fn take_mail(self: &Arc<Self>, others: &Arc<Others>, words: &Bytes) {
        let Mail { node, letters } = match serde_json::from_slice(words) {
            Ok(mail) => mail,
            Err(error) => {
                tracing::debug!(%error, "another node says what makes no sense here");
                return;
            }
        };
        if node == others.shared.node() {
            return;
        }
        if others.elsewhere.hear(node, self.clock.now_ms()) {
            // It may know nothing of this one either.
            others.post.send(Letter::Hello);
            others.post.state_all();
        }
        for letter in letters {
            self.take_letter(others, node, letter);
        }
    }

    fn take_letter(self: &Arc<Self>, others: &Arc<Others>, node: u32, letter: Letter) {
        match letter {
            Letter::Hello => others.post.state_all(),
            Letter::Beat => {}
            Letter::Bye => self.node_went(others, node, self.clock.now_ms()),
            Letter::Missed => others.missed.notify_one(),
            Letter::Joined { conversation, users } => {
                if let Ok(name) = conversation.parse() {
                    self.tell_joined(&name, &users);
                }
            }
            Letter::Typing { conversation, user, on } => {
                let name = conversation.parse().ok();
                let loaded = name.and_then(|name: ConversationName| others.loaded(&name));
                if let Some(conversation) = loaded {
                    conversation.tell_typing(&user, on);
                }
            }
            Letter::Erased { conversation } => {
                if let Ok(name) = conversation.parse() {
                    self.forget_erased(others, &name);
                }
            }
            Letter::People { people } => {
                for Whereabouts { user, online, last_seen } in people {
                    others.elsewhere.person(node, &user, online);
                    self.person_moved(&user, node, online, last_seen);
                }
            }
            Letter::All(statement) => {
                let moved = others.elsewhere.state(node, statement);
                let now_ms = self.clock.now_ms();
                moved.came.iter().for_each(|user| self.person_moved(user, node, true, None));
                moved.went.iter().for_each(|user| {
                    self.person_moved(user, node, false, Some(now_ms));
                });
            }
        }
    }

    fn person_moved(&self, user: &Arc<str>, node: u32, online: bool, last_seen: Option<u64>) {
        if self.hub.set_elsewhere(user, node, online, last_seen) {
            self.tell_presence(user);
        }
    }

    fn node_went(&self, others: &Others, node: u32, when_ms: u64) {
        for user in others.elsewhere.forget(node) {
            self.person_moved(&user, node, false, Some(when_ms));
        }
    }

    fn look_for_silent(&self, others: &Others) {
        let before_ms = self.clock.now_ms().saturating_sub(CHAT_NODE_TTL_MS);
        for (node, heard_ms) in others.elsewhere.silent(before_ms) {
            tracing::warn!(node, "nothing is heard of a node any more: its users are gone");
            self.node_went(others, node, heard_ms);
            // What it has done last it may not have told.
            others.missed.notify_one();
        }
    }

    /// Tells sockets of this node that their users have come into a conversation.
    pub(in crate::chat) fn tell_joined(&self, name: &ConversationName, users: &[Arc<str>]) {
        users.iter().for_each(|user| self.hub.tell(user, &Notice::Joined(name.clone())));
    }

    /// What the database does not have any more must not stay in the memory of this node.
    fn forget_erased(&self, others: &Arc<Others>, name: &ConversationName) {
        let Some(conversation) = others.loaded(name) else { return };
        let others = others.clone();
        tokio::spawn(async move {
            let looked = others.shared.look_now(conversation.channel().name()).await;
            if let Err(error) = looked {
                // When the log answers, this is looked at again.
                tracing::debug!(%error, "what is erased stays in memory for a moment");
            }
        });
    }

    /// Lets all sockets of this node ask anew for what they may not have been told, some at a time.
    async fn spread_missed(&self, others: &Others) {
        loop {
            others.missed.notified().await;
            for some in self.hub.mailboxes().chunks(MISSED_PER_SEC_MAX / 10) {
                some.iter().for_each(|mailbox| mailbox.miss());
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
