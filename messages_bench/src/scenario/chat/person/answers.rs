//! What somebody makes of the frames that they get.

use std::sync::atomic::Ordering;

use super::super::known::{Deed, Fault};
use super::super::run::count;
use super::super::wire::{Frame, FrameKind, Kind, Message};
use super::{Person, Waiting};

impl Person {
    /// Takes a frame.
    pub(super) fn take(&mut self, text: &str) {
        let frame: Frame<'_> = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => return self.fault(Fault::new("no frame", format!("{error}: {text}"))),
        };
        let faults = self.inbox.take(&frame);
        if !faults.is_empty() {
            self.run.faults.add_all(&self.place(), faults);
        }
        let counts = &self.run.counts;
        match frame.kind {
            FrameKind::Data => {
                counts.events.fetch_add(frame.messages.len() as u64, Ordering::Relaxed);
            }
            FrameKind::Typing => count(&counts.typing),
            FrameKind::Receipts => count(&counts.receipts),
            FrameKind::Sent | FrameKind::Done | FrameKind::Following => self.answered(&frame),
            FrameKind::Error if frame.sub.is_none() => self.refused(&frame),
            _ => (),
        }
    }

    fn waited(&mut self, frame: &Frame<'_>) -> Option<Waiting> {
        let waiting = frame.id.and_then(|id| self.waiting.remove(&id));
        if waiting.is_none() {
            let text = format!("{:?} {:?} {}", frame.kind, frame.id, frame.problem());
            self.fault(Fault::new("an answer to nothing", text));
        }
        waiting
    }

    fn answered(&mut self, frame: &Frame<'_>) {
        let wrong = |waiting| Fault::new("a wrong answer", format!("{frame:?} to {waiting:?}"));
        let fault = match (self.waited(frame), frame.kind) {
            (Some(Waiting::Message(number)), FrameKind::Sent) => {
                let answer = frame.message.map(|raw| serde_json::from_str(raw.get()));
                match answer {
                    Some(Ok(answer)) => {
                        self.acknowledged(number, &answer, frame.duplicate);
                        None
                    }
                    _ => Some(wrong(Waiting::Message(number))),
                }
            }
            (Some(Waiting::Act { conversation, kind, target, reaction }), FrameKind::Done) => {
                count(&self.run.counts.deeds);
                if let (Kind::React, Some(reaction)) = (kind, reaction) {
                    self.reacted.push((conversation.clone(), target, reaction));
                }
                let user = self.user.clone();
                let deed = |position| Deed { user, conversation, kind, target, position };
                self.deeds.extend(frame.position.map(deed));
                None
            }
            (Some(Waiting::Mark { conversation, marks }), FrameKind::Done) => {
                self.settled.insert(conversation, marks);
                None
            }
            (Some(Waiting::Follow), FrameKind::Following) | (None, _) => None,
            (Some(waiting), _) => Some(wrong(waiting)),
        };
        fault.into_iter().for_each(|fault| self.fault(fault));
    }

    /// A message was acknowledged with this answer.
    pub(super) fn acknowledged(&mut self, number: u64, answer: &Message, duplicate: bool) {
        let first = self.outbox.open().contains(&number);
        count(match (first, duplicate) {
            (true, false) => &self.run.counts.sent,
            (true, true) => &self.run.counts.found,
            (false, _) => &self.run.counts.late,
        });
        let fault = self.outbox.sent(number, answer, duplicate);
        fault.into_iter().for_each(|fault| self.fault(fault));
    }

    fn refused(&mut self, frame: &Frame<'_>) {
        let status = frame.status.unwrap_or(0);
        let is_out = status == 403 && !self.drifts.is_empty();
        if frame.id.is_none() && (is_out || matches!(status, 429 | 503)) {
            // To "typing", which wants no answer, from somebody who does not take part any more or at a
            // moment when nobody knows.
            return count(&self.run.counts.refused);
        }
        if let Some(waiting) = self.waited(frame) {
            self.refuse(&waiting, status, &frame.problem());
        }
    }

    /// Something was refused; that can be right when others were faster.
    pub(super) fn refuse(&mut self, waiting: &Waiting, status: u16, problem: &str) {
        let is_busy = matches!(status, 429 | 503);
        let right = is_busy || self.may_refuse(waiting, status);
        if let Waiting::Message(number) = waiting {
            // One that was refused for the moment may be there nevertheless.
            let fault = match is_busy {
                true => {
                    self.outbox.lost(*number);
                    None
                }
                false => self.outbox.refused(*number).filter(|_| !right),
            };
            fault.into_iter().for_each(|fault| self.fault(fault));
        }
        if right {
            return count(&self.run.counts.refused);
        }
        let text = format!("{problem} to {waiting:?}");
        self.fault(Fault::new("refused without a reason", text));
    }

    fn may_refuse(&self, waiting: &Waiting, status: u16) -> bool {
        let drifts = |room: &String| status == 403 && self.drifts.contains(room);
        match waiting {
            Waiting::Message(number) => self.outbox.drafts().get(number).is_some_and(|draft| {
                // What a thread was to grow from may have been deleted.
                let is_late = draft.more.contains_key("thread") && status == 400;
                is_late || drifts(&draft.conversation)
            }),
            Waiting::Act { conversation, .. } => {
                drifts(conversation) || matches!(status, 404 | 409 | 410 | 412)
            }
            Waiting::Mark { conversation, .. } => drifts(conversation),
            Waiting::Follow => false,
        }
    }
}
