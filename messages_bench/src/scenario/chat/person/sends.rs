//! Sends messages until they are acknowledged: by frames, and after a break sometimes by requests.

use std::collections::BTreeSet;

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::super::known::Outbox;
use super::super::run::count;
use super::super::socket::{Lost, Socket};
use super::super::wire::Message;
use super::{Person, Waiting};

/// One in so many messages that are sent again is sent by a request.
const BY_REQUEST: u64 = 4;

/// What a request is answered.
#[derive(Deserialize)]
struct Sent {
    #[serde(flatten)]
    message: Message,
    #[serde(default)]
    duplicate: bool,
}

impl Person {
    /// Sends what is not acknowledged once more.
    pub(super) async fn send_open(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        let under_way: BTreeSet<u64> = self.waiting.values().filter_map(Waiting::message).collect();
        for number in self.outbox.open() {
            if !under_way.contains(&number) {
                count(&self.run.counts.resent);
                match self.random.one_in(BY_REQUEST) {
                    true => self.request(number).await,
                    false => self.send(socket, number).await?,
                }
            }
        }
        Ok(())
    }

    /// Sends a message by a frame.
    pub(super) async fn send(&mut self, socket: &mut Socket, number: u64) -> Result<(), Lost> {
        let Some((conversation, body)) = self.outbox.attempt(number) else {
            return Ok(());
        };
        let id = self.ask(Waiting::Message(number));
        let mut frame = json!({
            "type": "send", "id": id, "conversation": conversation, "txn": Outbox::txn(number),
        });
        if let serde_json::Value::Object(members) = &mut frame {
            members.extend(body);
        }
        socket.send(&frame).await
    }

    /// Sends a message by a request, under the same name.
    async fn request(&mut self, number: u64) {
        let Some((conversation, body)) = self.outbox.attempt(number) else {
            return;
        };
        let path = format!("/conversations/{conversation}/messages/{}", Outbox::txn(number));
        let answer = match self.rest.ask(Method::PUT, &path, Some(&body.into())).await {
            Ok(answer) => answer,
            Err(_) => {
                let other = self.random.below(self.run.endpoints.len() as u64);
                self.rest.visit(&self.run.endpoints, other as usize);
                return self.outbox.lost(number);
            }
        };
        match answer.json::<Sent>() {
            Ok(Sent { message, duplicate }) => self.acknowledged(number, &message, duplicate),
            Err(failure) => {
                let (waiting, status) = (Waiting::Message(number), answer.status.as_u16());
                self.refuse(&waiting, status, &failure.to_string());
            }
        }
    }
}
