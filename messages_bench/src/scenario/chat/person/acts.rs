//! What somebody does when they do something.

use std::time::Duration;

use serde_json::{Map, json};

use super::super::known::{Draft, Marks, text};
use super::super::socket::{Lost, Socket};
use super::super::wire::Kind;
use super::{Person, Waiting};
use crate::limits;

/// How people react.
const REACTIONS: [&str; 3] = ["+1", "👍", "a longer reaction"];

/// The longest message in words.
const WORDS: u64 = 20;

impl Person {
    /// Does something; a duration means being away for so long.
    pub(super) async fn act(&mut self, socket: &mut Socket) -> Result<Option<Duration>, Lost> {
        let Some(room) = self.some_room() else {
            return Ok(None);
        };
        match self.random.below(100) {
            0..40 => self.say(socket, room).await?,
            40..45 => {
                // The answer will not be heard.
                self.say(socket, room).await?;
                return Ok(Some(self.random.up_to(limits::BREAK)));
            }
            45..53 => self.edit(socket).await?,
            53..58 => self.delete(socket).await?,
            58..70 => self.react(socket, room).await?,
            70..74 => self.unreact(socket).await?,
            74..86 => self.mark(socket, room).await?,
            86..91 => {
                let on = self.random.one_in(2);
                socket.send(&json!({"type": "typing", "conversation": room, "on": on})).await?;
            }
            91..94 => self.say_again(socket).await?,
            94..98 => return Ok(Some(self.random.up_to(limits::BREAK))),
            _ => return Ok(Some(self.random.up_to(limits::SLEEP))),
        }
        Ok(None)
    }

    /// A conversation, rarely one that they know to be out of.
    fn some_room(&mut self) -> Option<String> {
        let anyhow = self.random.one_in(40);
        let rooms = self.inbox.rooms().iter();
        let rooms: Vec<_> = rooms.filter(|(_, room)| anyhow || room.is_open).collect();
        rooms.get(self.random.below(rooms.len() as u64) as usize).map(|(name, _)| (*name).clone())
    }

    async fn say(&mut self, socket: &mut Socket, conversation: String) -> Result<(), Lost> {
        let number = self.run.number();
        let text = text::text(number, self.random.below(WORDS));
        let more = self.about(&conversation);
        self.outbox.add(number, Draft { conversation, text, more, ..Draft::default() });
        self.send(socket, number).await
    }

    /// Whom a message mentions, or in which thread it is.
    fn about(&mut self, conversation: &str) -> Map<String, serde_json::Value> {
        let mut more = Map::new();
        let steady = &self.steady[conversation];
        match self.random.below(10) {
            0 => {
                if let Some(user) = steady.get(self.random.below(steady.len() as u64) as usize) {
                    more.insert("mentions".to_owned(), json!([user]));
                }
            }
            1 => {
                // A message in the main line, which is what a thread grows from.
                let target = self.some_message(conversation);
                if let Some((target, true)) = target {
                    more.insert("thread".to_owned(), json!(format!("{conversation}:{target}")));
                }
            }
            _ => (),
        }
        more
    }

    /// Any message that they have seen, and whether it is in the main line.
    fn some_message(&mut self, conversation: &str) -> Option<(u64, bool)> {
        let log = self.inbox.rooms().get(conversation)?.seen.log();
        let entry = log.get(self.random.below(log.len() as u64) as usize)?;
        let event = &entry.event;
        (event.kind == Kind::Message).then_some((event.position, event.thread.is_none()))
    }

    /// A message of their own that is there.
    fn own_message(&mut self) -> Option<(String, u64, u64)> {
        let own: Vec<_> = self.outbox.acknowledged().collect();
        let (number, position) = *own.get(self.random.below(own.len() as u64) as usize)?;
        Some((self.outbox.drafts()[&number].conversation.clone(), position, number))
    }

    async fn edit(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        let Some((conversation, target, _)) = self.own_message() else {
            return Ok(());
        };
        let text = text::text(self.run.number(), self.random.below(WORDS));
        let message = format!("{conversation}:{target}");
        let id = self.ask(Waiting::Act { conversation, kind: Kind::Edit, target, reaction: None });
        socket.send(&json!({"type": "edit", "id": id, "message": message, "text": text})).await
    }

    async fn delete(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        let Some((conversation, target, _)) = self.own_message() else {
            return Ok(());
        };
        let message = format!("{conversation}:{target}");
        let id =
            self.ask(Waiting::Act { conversation, kind: Kind::Delete, target, reaction: None });
        socket.send(&json!({"type": "delete", "id": id, "message": message})).await
    }

    async fn react(&mut self, socket: &mut Socket, conversation: String) -> Result<(), Lost> {
        let reaction = REACTIONS[self.random.below(REACTIONS.len() as u64) as usize];
        let Some((target, _)) = self.some_message(&conversation) else {
            return Ok(());
        };
        // One that is there already makes no event.
        if !self.tried.insert((conversation.clone(), target, reaction)) {
            return Ok(());
        }
        let message = format!("{conversation}:{target}");
        let reacts =
            Waiting::Act { conversation, kind: Kind::React, target, reaction: Some(reaction) };
        let id = self.ask(reacts);
        let frame = json!({"type": "react", "id": id, "message": message, "reaction": reaction});
        socket.send(&frame).await
    }

    async fn unreact(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        let Some((conversation, target, reaction)) = self.reacted.pop() else {
            return Ok(());
        };
        let message = format!("{conversation}:{target}");
        let id =
            self.ask(Waiting::Act { conversation, kind: Kind::Unreact, target, reaction: None });
        let frame = json!({"type": "unreact", "id": id, "message": message, "reaction": reaction});
        socket.send(&frame).await
    }

    /// Says how far they have come.
    async fn mark(&mut self, socket: &mut Socket, conversation: String) -> Result<(), Lost> {
        let known = self.marks.get(&conversation).copied().unwrap_or_default();
        let at = self.inbox.rooms()[&conversation].seen.at();
        let is_read = self.random.below(4) > 0;
        let before = if is_read { known.read } else { known.delivered };
        let position = before + self.random.below(at.saturating_sub(before) + 1);
        if position == 0 {
            return Ok(());
        }
        let marks = match is_read {
            true => Marks { read: position, ..known },
            false => Marks { delivered: position, ..known },
        };
        self.marks.insert(conversation.clone(), marks);
        let kind = if is_read { "read" } else { "delivered" };
        let mut frame = json!({"type": kind, "conversation": conversation, "position": position});
        if self.random.one_in(2) {
            frame["id"] = self.ask(Waiting::Mark { conversation, marks: known }).into();
        }
        socket.send(&frame).await
    }

    /// Has both marks of a conversation confirmed.
    pub(super) async fn settle(
        &mut self,
        socket: &mut Socket,
        conversation: String,
        marks: Marks,
    ) -> Result<(), Lost> {
        let both = [("delivered", marks.delivered), ("read", marks.read)];
        for (kind, position) in both.into_iter().filter(|(_, position)| *position > 0) {
            let id = self.ask(Waiting::Mark { conversation: conversation.clone(), marks });
            let frame =
                json!({"type": kind, "id": id, "conversation": conversation, "position": position});
            socket.send(&frame).await?;
        }
        Ok(())
    }

    /// Sends a message once more that has been acknowledged.
    async fn say_again(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        match self.own_message() {
            Some((_, _, number)) => self.send(socket, number).await,
            None => Ok(()),
        }
    }
}
