//! What events mean for the tables. Pure: the flusher asks, and writes both in one transaction.

use super::{
    event::{Event, Kind, Message, Shape},
    name::ConversationName,
    receipts::{RECEIPTS, Report, Said},
    role::Role,
    settings::{History, Settings},
};
use crate::{
    flusher::Project,
    model::{
        ChatWrite, Chunk, ConversationRow, FOREVER_MS, Flush, MessageRow, Offset, ParticipantRow,
        Place, ReceiptRow, Standing, StreamId, Target,
    },
};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Projection;

impl Project for Projection {
    fn project(&self, flush: &mut Flush) {
        let Some(name) = flush.stream.name.in_chat() else { return };
        if name == RECEIPTS {
            flush.writes = flush.chunks.iter().flat_map(said).collect();
            flush.transient = true;
            return;
        }
        let Some(name) = ConversationName::of_stream(&flush.stream.name) else { return };
        let mut writer = Writer { stream: flush.stream.id, writes: Vec::new(), head: None };
        for chunk in &flush.chunks {
            each::<Event>(chunk, |event, place, from, end| writer.take(&event, place, from, end));
        }
        if let Some((position, n)) = writer.head {
            let conversation = name.text().clone();
            writer.writes.push(ChatWrite::Head { conversation, position, n });
        }
        flush.writes = writer.writes;
    }
}

/// Every record of `chunk` that can be understood, with its place, its beginning and its end.
pub(super) fn each<T: DeserializeOwned>(
    chunk: &Chunk,
    mut take: impl FnMut(T, Place, Offset, Offset),
) {
    let mut from = chunk.at;
    for end in chunk.ends() {
        let (at, bytes) = (from.bytes - chunk.at.bytes, end.bytes - from.bytes);
        let record = &chunk.body[at as usize..(at + bytes) as usize];
        match serde_json::from_slice(record.strip_suffix(b",").unwrap_or(record)) {
            Ok(value) => take(value, Place { at: from.bytes, bytes: bytes as u32 }, from, end),
            // It stays in its stream; there is nobody who could be told.
            Err(error) => tracing::error!(%error, position = %from, "an event of chat is damaged"),
        }
        from = end;
    }
}

fn said(chunk: &Chunk) -> Vec<ChatWrite> {
    let mut writes = Vec::new();
    each::<Said>(chunk, |said, _, _, _| {
        writes.push(match said {
            Said::Receipt(receipt) => ChatWrite::Receipt(ReceiptRow {
                conversation: receipt.conversation,
                participant: receipt.participant.to_string(),
                delivered: receipt.delivered,
                delivered_at: receipt.delivered_at,
                read: receipt.read,
                read_at: receipt.read_at,
            }),
            Said::Report(Report {
                conversation,
                target: position,
                participant,
                reason,
                created,
            }) => ChatWrite::Report {
                target: Target { conversation, position },
                participant: participant.to_string(),
                reason,
                at_ms: created,
            },
        });
    });
    writes
}

struct Writer {
    stream: StreamId,
    writes: Vec<ChatWrite>,
    head: Option<(u64, u64)>,
}

impl Writer {
    fn take(&mut self, event: &Event, place: Place, from: Offset, end: Offset) {
        let n = self.head.map_or(0, |(_, n)| n);
        let n = match &event.kind {
            Kind::Message(message) => message.n,
            _ => n,
        };
        self.head = Some((event.position, n));
        let conversation = event.conversation.clone();
        let target = |position: u64| Target { conversation: event.conversation.clone(), position };
        let at_ms = event.created;
        let write = match &event.kind {
            Kind::Conversation { title, kind, settings, participants } => {
                self.begin(event, title, *kind, settings);
                for one in participants {
                    self.member(event, &one.user, one.role, Offset::ZERO);
                }
                return;
            }
            Kind::Settings { title, settings } => ChatWrite::Settings {
                conversation,
                title: title.clone(),
                settings: settings.text(),
                retention: settings.has_retention(),
            },
            Kind::Message(message) => ChatWrite::Message(row(event, message, place)),
            Kind::Part { target: position, text } => ChatWrite::Part {
                target: target(*position),
                place,
                text: text.clone().unwrap_or_default(),
            },
            Kind::Finish { target: position, interrupted } => {
                ChatWrite::Finish { target: target(*position), interrupted: *interrupted }
            }
            Kind::Edit(edit) => ChatWrite::Edit {
                target: target(edit.target),
                place,
                rev: edit.rev,
                source: event.source.to_string(),
                text: edit.text.clone().unwrap_or_default(),
                extra: edit.extra.text(),
                mentions: edit.extra.mentions.clone(),
                at_ms,
            },
            Kind::Delete { target: position, .. } => ChatWrite::Delete {
                target: target(*position),
                stream: self.stream,
                source: event.source.to_string(),
                at_ms,
            },
            Kind::React { target: position, reaction, replaces } => ChatWrite::React {
                target: target(*position),
                reaction: reaction.clone(),
                participant: event.source.to_string(),
                alone: *replaces,
                at_ms,
            },
            Kind::Unreact { target: position, reaction } => ChatWrite::Unreact {
                target: target(*position),
                reaction: reaction.clone(),
                participant: event.source.to_string(),
            },
            Kind::Pin { target: position } => ChatWrite::Pin {
                target: target(*position),
                participant: event.source.to_string(),
                at_ms,
            },
            Kind::Unpin { target: position } => ChatWrite::Unpin { target: target(*position) },
            Kind::Trim { low, low_bytes, n } => ChatWrite::Trim {
                conversation,
                stream: self.stream,
                low: Offset { records: *low, bytes: *low_bytes },
                n: *n,
            },
            Kind::Closed => {
                ChatWrite::Closed { conversation, stream: self.stream, tail: end, at_ms }
            }
            _ => return self.people(event, from),
        };
        self.writes.push(write);
    }

    fn begin(&mut self, event: &Event, title: &Option<String>, kind: Shape, settings: &Settings) {
        self.writes.push(ChatWrite::Conversation(ConversationRow {
            name: event.conversation.clone(),
            title: title.clone(),
            admin: event.source.to_string(),
            created: event.created,
            direct: kind == Shape::Direct,
            stream: self.stream,
            settings: settings.text(),
            retention: settings.has_retention(),
        }));
    }

    fn people(&mut self, event: &Event, from: Offset) {
        match &event.kind {
            Kind::Join { user, role, history } => {
                let visible_from = match history {
                    History::Shared => Offset::ZERO,
                    History::SinceJoin => from,
                };
                self.member(event, user, *role, visible_from);
                self.writes.push(ChatWrite::Receipt(ReceiptRow {
                    conversation: event.conversation.clone(),
                    participant: user.to_string(),
                    delivered: event.position,
                    delivered_at: Some(event.created),
                    read: event.position,
                    read_at: Some(event.created),
                }));
            }
            Kind::Invite { user, role } => {
                self.stand(
                    event,
                    user,
                    Change { role: Some(*role), ..Change::to(Standing::Invited) },
                );
            }
            Kind::Leave { user } | Kind::Unban { user } => {
                self.stand(event, user, Change::to(Standing::Left));
            }
            Kind::Ban { user, until, .. } => {
                self.stand(event, user, Change { until: *until, ..Change::to(Standing::Banned) });
            }
            Kind::Mute { user, until, .. } => {
                self.voice(event, user, Some(until.unwrap_or(FOREVER_MS)));
            }
            Kind::Unmute { user } => self.voice(event, user, None),
            Kind::Role { user, role } => self.writes.push(ChatWrite::Role {
                conversation: event.conversation.clone(),
                participant: user.to_string(),
                role: role.as_str(),
            }),
            _ => {}
        }
    }

    fn member(&mut self, event: &Event, user: &Arc<str>, role: Role, visible_from: Offset) {
        self.writes.push(ChatWrite::Participant(ParticipantRow {
            conversation: event.conversation.clone(),
            participant: user.to_string(),
            role: role.as_str().to_owned(),
            standing: Standing::Member,
            since: event.position,
            visible_from,
            muted_until: None,
            banned_until: None,
            created: event.created,
        }));
    }

    fn stand(&mut self, event: &Event, user: &Arc<str>, change: Change) {
        self.writes.push(ChatWrite::Standing {
            conversation: event.conversation.clone(),
            participant: user.to_string(),
            role: change.role.map(Role::as_str),
            standing: change.standing,
            since: event.position,
            banned_until: change.until,
            at_ms: event.created,
        });
    }

    fn voice(&mut self, event: &Event, user: &Arc<str>, muted_until: Option<u64>) {
        self.writes.push(ChatWrite::Voice {
            conversation: event.conversation.clone(),
            participant: user.to_string(),
            muted_until,
        });
    }
}

/// What becomes of somebody.
struct Change {
    standing: Standing,
    role: Option<Role>,
    until: Option<u64>,
}

impl Change {
    fn to(standing: Standing) -> Self {
        Self { standing, role: None, until: None }
    }
}

fn row(event: &Event, message: &Message, place: Place) -> MessageRow {
    let thread = message.thread.as_deref();
    MessageRow {
        target: Target { conversation: event.conversation.clone(), position: event.position },
        n: message.n,
        counted: message.counts(),
        id: message.id.clone(),
        source: event.source.to_string(),
        text: message.text.clone().unwrap_or_default(),
        reply_to: message.reply_to.clone(),
        created: event.created,
        txn: message.txn.clone(),
        thread: thread.and_then(|id| super::decide::message_of(&event.conversation, id)),
        extra: message.extra.text(),
        mentions: message.extra.mentions.clone(),
        streaming: message.streaming,
        imported: message.imported,
        place,
    }
}
