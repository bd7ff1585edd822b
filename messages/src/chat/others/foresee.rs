//! What comes in streams of chat, before anybody can read it here.

use super::{
    super::{
        Chat,
        conversation::{Live, Placing},
        event::{Event, Kind},
        name::ConversationName,
        projection::each,
        receipts::{RECEIPTS, Receipt, Said},
        state::Marks,
    },
    Letter, Others,
};
use crate::{
    channel::Channel,
    model::{Chunk, Offset, StreamName},
    stream::Foresight,
};
use std::{collections::HashMap, sync::Arc};

/// How the records begin whose flush erases what was said before.
const ERASES: [&[u8]; 3] =
    [b"{\"type\":\"delete\"", b"{\"type\":\"trim\"", b"{\"type\":\"closed\""];

impl Chat {
    /// Has itself told of what comes.
    pub(in crate::chat) fn foresee(self: &Arc<Self>) {
        if let Some(others) = &self.others {
            let foresight: Arc<dyn Foresight> = self.clone();
            others.shared.foresee_with(Arc::downgrade(&foresight));
        }
    }

    fn foresee_events(&self, others: &Others, channel: &Arc<Channel>, chunk: &Chunk, is_own: bool) {
        let Some(name) = ConversationName::of_stream(channel.name()) else { return };
        let erases = erases(chunk);
        if !is_own && !erases && !others.is_present(&name) {
            return;
        }
        let mut events: Vec<Placing> = Vec::new();
        each::<Event>(chunk, |event, _, from, end| {
            events.push(Placing { event: Arc::new(event), from, end });
        });
        if erases {
            channel.erase_before(chunk.end());
            events.iter().filter_map(|one| low(&one.event)).for_each(|low| channel.set_low(low));
        }
        let own: Vec<Arc<Event>> = match is_own {
            true => events.iter().map(|one| one.event.clone()).collect(),
            false => Vec::new(),
        };
        others.take_up(&name, channel.id(), events, chunk.end());
        let joined = Live::joined(own.iter());
        if !joined.is_empty() {
            self.tell_joined(&name, &joined);
            let (conversation, users) = (name.text().clone(), joined);
            others.post.send(Letter::Joined { conversation, users });
        }
    }

    fn foresee_marks(&self, others: &Others, chunk: &Chunk) {
        let mut changed = HashMap::new();
        each::<Said>(chunk, |said, _, _, _| {
            let Said::Receipt(Receipt { conversation, participant, .. }) = &said else { return };
            let Ok(name) = conversation.parse::<ConversationName>() else { return };
            let Some(marks) = marks(&said) else { return };
            if let Some(conversation) = others.take_up_mark(&name, participant, &marks) {
                let entry = changed.entry(name).or_insert_with(|| (conversation, Vec::new()));
                entry.1.push(participant.clone());
            }
        });
        for (conversation, users) in changed.into_values() {
            conversation.tell_receipts(Some(&users));
        }
    }
}

impl Foresight for Chat {
    fn foresee(&self, channel: &Arc<Channel>, chunk: &Chunk, is_own: bool) {
        let Some(others) = &self.others else { return };
        if channel.name().in_chat() == Some(RECEIPTS) {
            self.foresee_marks(others, chunk);
        } else {
            self.foresee_events(others, channel, chunk, is_own);
        }
    }

    fn cares(&self, channel: &Channel) -> bool {
        let Some(others) = &self.others else { return false };
        let is_present = |name| others.is_present(&name);
        channel.name().in_chat() == Some(RECEIPTS)
            || ConversationName::of_stream(channel.name()).is_some_and(is_present)
    }

    fn miss(&self, name: &StreamName) {
        let Some(others) = &self.others else { return };
        if name.in_chat() == Some(RECEIPTS) {
            others.miss_early();
            others.marks.miss();
        } else if let Some(name) = ConversationName::of_stream(name)
            && let Some(conversation) = others.miss(&name)
        {
            tracing::warn!(conversation = %name, "some of it was missed; it is loaded anew");
            self.retire(&conversation);
        }
    }
}

fn erases(chunk: &Chunk) -> bool {
    let mut from = 0;
    chunk.ends().any(|end| {
        let record = &chunk.body[from..];
        from = (end.bytes - chunk.at.bytes) as usize;
        ERASES.iter().any(|erases| record.starts_with(erases))
    })
}

fn low(event: &Event) -> Option<Offset> {
    match event.kind {
        Kind::Trim { low, low_bytes, .. } => Some(Offset { records: low, bytes: low_bytes }),
        _ => None,
    }
}

fn marks(said: &Said) -> Option<Marks> {
    match *said {
        Said::Receipt(Receipt { delivered, delivered_at, read, read_at, .. }) => {
            Some(Marks { delivered, delivered_at, read, read_at })
        }
        Said::Report(_) => None,
    }
}
