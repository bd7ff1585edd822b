//! How far readers on other nodes are. Their marks are in one stream, which every node follows. Where that
//! goes on in the database, its records are not there any more: then the tables say where everybody is.

use super::{
    super::{
        Chat, ChatError, conversation::Conversation, name::ConversationName, receipts::RECEIPTS,
        state::Marks,
    },
    Others,
};
use crate::{
    limits::{LOG_PATIENCE_MS, MARKS_LOOK_MS},
    model::{ReceiptRow, StreamName},
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};

/// Marks that were missed here.
#[derive(Default)]
pub(in crate::chat) struct MissedMarks {
    /// So often.
    times: AtomicU64,
    news: Notify,
}

impl MissedMarks {
    /// Some were, by now.
    pub fn miss(&self) {
        self.times.fetch_add(1, Ordering::AcqRel);
        self.news.notify_one();
    }

    /// How often that has been.
    pub fn times(&self) -> u64 {
        self.times.load(Ordering::Acquire)
    }
}

impl Others {
    /// Takes up what the stream of marks has by now. What is between the database and the log is missed
    /// then, and counted.
    pub async fn look_for_marks(&self) -> Result<(), ChatError> {
        let name = StreamName::of_chat(RECEIPTS).map_err(|_| ChatError::BadName)?;
        self.shared.look_now(&name).await?;
        Ok(())
    }
}

impl Chat {
    /// Sees to it that this node is told how far readers on others are.
    pub(super) async fn hear_marks(&self, others: &Others) {
        let Ok(name) = StreamName::of_chat(RECEIPTS) else { return };
        let mut held = None;
        loop {
            let found = self.streams.find_or_create(&name, "application/json", false).await;
            match found {
                Ok((channel, _)) => {
                    if let Err(error) = others.shared.follow(&channel).await {
                        tracing::debug!(%error, "marks of other nodes are not heard yet");
                    }
                    // As long as it is held it is followed.
                    held = Some(channel);
                }
                Err(error) => tracing::debug!(%error, held = held.is_some(), "no stream of marks"),
            }
            sleep(Duration::from_millis(MARKS_LOOK_MS)).await;
        }
    }

    /// Takes up how far readers of a conversation are, whatever node they are on. To be called before the
    /// conversation is asked for: one that nobody finds any more takes up nothing.
    ///
    /// # Errors
    /// The log of the nodes does not answer, or the tables, where this node has missed marks.
    pub async fn take_up_marks(&self, name: &ConversationName) -> Result<(), ChatError> {
        let Some(others) = &self.others else { return Ok(()) };
        others.look_for_marks().await?;
        match others.loaded(name) {
            Some(conversation) => self.read_missed_marks(others, &conversation).await,
            // The tables say it when it is loaded.
            None => Ok(()),
        }
    }

    /// Lets those who watch know what was missed.
    pub(super) async fn look_at_marks_again(&self, others: &Others) {
        loop {
            others.marks.news.notified().await;
            while let Err(error) = self.read_all_missed_marks(others).await {
                tracing::debug!(%error, "marks of readers that were missed cannot be read yet");
                sleep(Duration::from_millis(LOG_PATIENCE_MS)).await;
            }
        }
    }

    async fn read_all_missed_marks(&self, others: &Others) -> Result<(), ChatError> {
        for conversation in others.all_loaded() {
            self.read_missed_marks(others, &conversation).await?;
        }
        Ok(())
    }

    /// Reads the marks of a conversation from the tables, if some may have been missed since the last time.
    async fn read_missed_marks(
        &self,
        others: &Others,
        conversation: &Conversation,
    ) -> Result<(), ChatError> {
        let missed = others.marks.times();
        if conversation.live().marks_missed >= missed {
            return Ok(());
        }
        self.wait_for_all_tables().await?;
        let stored = self.store.conversation(conversation.name().as_str()).await?;
        let mut changed = Vec::new();
        {
            let mut live = conversation.live();
            for row in stored.into_iter().flat_map(|stored| stored.receipts) {
                let ReceiptRow { participant, delivered, delivered_at, read, read_at, .. } = row;
                let (user, marks) =
                    (participant.into(), Marks { delivered, delivered_at, read, read_at });
                let before = live.state.people.get(&user).map(|person| person.marks);
                live.take_up_marks(&user, &marks);
                if live.state.people.get(&user).map(|person| person.marks) != before {
                    changed.push(user);
                }
            }
            live.marks_missed = live.marks_missed.max(missed);
        }
        if !changed.is_empty() {
            conversation.tell_receipts(Some(&changed));
        }
        Ok(())
    }
}
