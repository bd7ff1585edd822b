//! What is done without anybody asking: old messages go, and messages whose producer is gone end.

use super::{Chat, ChatError, conversation::AtHand, decide::Action, name::ConversationName};
use crate::limits::{
    ORPHAN_MS, RETENTION_CONVERSATIONS_MAX, RETENTION_INTERVAL_MS, RETENTION_STEP_MESSAGES,
    STREAMING_AT_ONCE_MAX, SWEEP_INTERVAL_MS,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Who does what nobody has asked for.
pub(super) const SERVER: &str = "@server";

impl Chat {
    pub(super) async fn keep_up(self: Arc<Self>) {
        let orphans = async {
            if self.others.is_some() {
                // Another node may let them grow.
                return;
            }
            // Those that only the journal knows. There is no hurry.
            self.streams.all_stored(false).await;
            self.finish_orphans().await;
        };
        tokio::join!(orphans, self.sweep_often(), self.tidy());
    }

    async fn sweep_often(&self) {
        let mut ticks = interval(Duration::from_millis(SWEEP_INTERVAL_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sweep();
        }
    }

    async fn tidy(&self) {
        if let Some(others) = &self.others {
            // Not all nodes at once.
            let part = u64::from(others.shared.node() % 8);
            sleep(Duration::from_millis(RETENTION_INTERVAL_MS / 8 * part)).await;
        }
        let mut ticks = interval(Duration::from_millis(RETENTION_INTERVAL_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.finish_orphans().await;
            if let Err(error) = self.retain().await {
                tracing::warn!(%error, "old messages cannot go now");
            }
        }
    }

    /// Ends messages that grow in the tables and that nobody lets grow, such as those of a server that
    /// is gone.
    pub async fn finish_orphans(&self) {
        if let Err(error) = self.try_finish_orphans().await {
            tracing::warn!(%error, "messages that nobody goes on with cannot be ended now");
        }
    }

    async fn try_finish_orphans(&self) -> Result<(), ChatError> {
        let server: Arc<str> = SERVER.into();
        let mut growing = self.store.streaming(STREAMING_AT_ONCE_MAX).await?;
        growing.retain(|target| !self.growing.contains(target));
        if let Some(others) = &self.others {
            let crew = others.crew().await?;
            growing.retain(|target| crew.has(&target.conversation));
            let now_ms = self.clock.now_ms();
            growing = others.elsewhere.orphans(growing, &crew.others(), now_ms, ORPHAN_MS);
        }
        for target in growing {
            let name: ConversationName = target.conversation.parse()?;
            if let Err(error) = self.finish_orphan(&name, &server, target.position).await {
                tracing::warn!(%error, conversation = %name, "a message grows for now");
            }
        }
        Ok(())
    }

    async fn finish_orphan(
        &self,
        name: &ConversationName,
        server: &Arc<str>,
        position: u64,
    ) -> Result<(), ChatError> {
        let conversation = self.conversation(name).await?;
        let finish = Action::Finish { interrupted: true };
        let begun =
            self.begin_act(AtHand::fresh(conversation), server, finish, Some(position)).await?;
        self.done(begun).await.map(drop)
    }

    /// Lets old messages go, a small step in each conversation at a time.
    ///
    /// # Errors
    /// The store does not answer, or nothing can be appended.
    pub async fn retain(&self) -> Result<(), ChatError> {
        let crew = match &self.others {
            Some(others) => Some(others.crew().await?),
            None => None,
        };
        let mut after: Arc<str> = "".into();
        loop {
            let names = self.store.retaining(&after, RETENTION_CONVERSATIONS_MAX).await?;
            let Some(last) = names.last() else { return Ok(()) };
            after = last.clone();
            let ours = |name: &&Arc<str>| crew.as_ref().is_none_or(|crew| crew.has(name));
            for name in names.iter().filter(ours) {
                let name: ConversationName = name.parse()?;
                // One that cannot be tidied must not keep the others from it.
                loop {
                    match self.retain_one(&name).await {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(error) => {
                            tracing::warn!(%error, conversation = %name, "old messages stay for now");
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Returns whether there may be more.
    async fn retain_one(&self, name: &ConversationName) -> Result<bool, ChatError> {
        let conversation = match self.conversation(name).await {
            Err(ChatError::NotFound) => return Ok(false),
            found => found?,
        };
        self.wait_for_tables(&conversation).await?;
        let (secs, keep) = {
            let settings = &conversation.live().state.settings;
            (settings.retention_secs, settings.retention_messages)
        };
        let older_ms = secs.map(|secs| self.clock.now_ms().saturating_sub(secs * 1000));
        let limit = RETENTION_STEP_MESSAGES;
        let old = self.store.old_part(name.as_str(), older_ms, keep, limit).await?;
        let Some((low, n)) = old else { return Ok(false) };
        let server: Arc<str> = SERVER.into();
        let (at_hand, trim) = (AtHand::fresh(conversation), Action::Trim { low, n });
        let begun = self.begin_act(at_hand, &server, trim, None).await?;
        let done = self.done(begun).await?;
        Ok(!done.events.is_empty())
    }
}
