//! A client that only follows its conversations and counts: cheap enough that thousands of them do
//! not burden the machine more than the server does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::super::known::text;
use super::super::socket::{Lost, Socket};
use super::super::wire::{Frame, FrameKind, position};
use crate::client::Endpoint;
use crate::dialect::Patience;
use crate::limits;

/// Where a follower stands in a conversation.
#[derive(Debug, Default)]
struct Place {
    at: u64,
    offset: String,
    is_caught_up: bool,
}

/// What a frame has brought.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// Messages with these numbers.
    Messages(Vec<u64>),
    /// The message with this number was acknowledged.
    Acknowledged(u64),
    /// Nothing that is measured.
    Nothing,
}

/// As much of an event as is measured.
#[derive(Deserialize)]
struct Event<'a> {
    position: u64,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

/// A follower.
#[derive(Debug)]
pub struct Follower {
    token: String,
    places: BTreeMap<String, Place>,
    /// What must not be, of which the first is told.
    pub faults: Vec<String>,
    /// Positions that did not follow the one before.
    pub gaps: u64,
    /// Events that it has got.
    pub events: u64,
}

impl Follower {
    /// Somebody in these conversations, who has seen nothing.
    pub fn new(token: String, rooms: impl IntoIterator<Item = String>) -> Self {
        let places = rooms.into_iter().map(|name| (name, Place::default())).collect();
        Self { token, places, faults: Vec::new(), gaps: 0, events: 0 }
    }

    /// How many conversations it follows.
    pub fn rooms(&self) -> usize {
        self.places.len()
    }

    /// Where it stands in a conversation.
    pub fn at(&self, name: &str) -> u64 {
        self.places.get(name).map_or(0, |place| place.at)
    }

    /// Connects, goes on everywhere, and comes back when everything that was missed is there.
    pub async fn come(&mut self, endpoint: &Endpoint) -> Result<Socket, Lost> {
        let mut socket = Socket::open(endpoint, &self.token, Patience::default()).await?;
        self.places.values_mut().for_each(|place| place.is_caught_up = false);
        let known = self.places.iter().filter(|(_, place)| place.at > 0);
        let from = known.map(|(name, place)| (name.clone(), place.offset.as_str().into()));
        let from: Map<String, Value> = from.collect();
        socket.send(&json!({"type": "follow", "from": from, "default": "-1"})).await?;
        let all = async {
            while !self.places.values().all(|place| place.is_caught_up) {
                let text = socket.next().await?;
                self.take(&text);
            }
            Ok::<(), Lost>(())
        };
        let all = timeout(limits::SETTLE, all).await;
        all.map_err(|_| Lost::Silent("not caught up"))??;
        Ok(socket)
    }

    /// Takes a frame.
    pub fn take(&mut self, text: &str) -> News {
        let frame: Frame<'_> = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => return self.wrong(format!("{error}: {text}")),
        };
        match frame.kind {
            FrameKind::Data => self.data(&frame),
            FrameKind::Sent => frame.id.map_or(News::Nothing, News::Acknowledged),
            FrameKind::CaughtUp | FrameKind::Subscribed => {
                let name = frame.sub.as_deref().unwrap_or_default();
                let offset = frame.offset.as_deref().and_then(position);
                let Some(place) = self.places.get_mut(name) else {
                    return self.wrong(format!("of a conversation of others: {text}"));
                };
                place.is_caught_up = frame.kind == FrameKind::CaughtUp;
                if offset != Some(place.at) {
                    let at = place.at;
                    return self.wrong(format!("stands at {at}: {text}"));
                }
                News::Nothing
            }
            FrameKind::Error => self.wrong(frame.problem()),
            _ => News::Nothing,
        }
    }

    fn wrong(&mut self, fault: String) -> News {
        self.faults.push(fault);
        News::Nothing
    }

    fn data(&mut self, frame: &Frame<'_>) -> News {
        let name = frame.sub.as_deref().unwrap_or_default();
        let Some(place) = self.places.get_mut(name) else {
            return self.wrong(format!("content of {name}, a conversation of others"));
        };
        let mut numbers = Vec::new();
        for message in &frame.messages {
            let Ok(event) = serde_json::from_str::<Event<'_>>(message.get()) else {
                self.faults.push(format!("no event: {message}"));
                continue;
            };
            self.gaps += u64::from(event.position != place.at + 1);
            self.events += 1;
            place.at = event.position;
            numbers.extend(event.text.iter().flat_map(|text| text::numbers(text)));
        }
        frame.offset.as_deref().unwrap_or_default().clone_into(&mut place.offset);
        if position(&place.offset) != Some(place.at) {
            let fault = format!("{name}: {} behind position {}", place.offset, place.at);
            return self.wrong(fault);
        }
        News::Messages(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(positions: &[u64], end: u64) -> String {
        let event =
            |at: &u64| json!({"type": "message", "position": at, "text": text::text(*at, 1)});
        let messages: Vec<_> = positions.iter().map(event).collect();
        let offset = format!("{end:016}_{:016}", end * 9);
        json!({"type": "data", "sub": "team", "offset": offset, "messages": messages}).to_string()
    }

    #[test]
    fn gaps_are_counted() {
        let mut follower = Follower::new(String::new(), ["team".to_owned()]);
        assert_eq!(follower.take(&data(&[1, 2], 2)), News::Messages(vec![1, 2]));
        assert_eq!((follower.gaps, follower.at("team")), (0, 2));
        follower.take(&data(&[4], 4));
        follower.take(&data(&[4], 4));
        assert_eq!((follower.gaps, follower.faults.len()), (2, 0));
        follower.take(&data(&[5], 6));
        follower.take(
            r#"{"type":"caught_up","sub":"team","offset":"0000000000000009_0000000000000009"}"#,
        );
        follower.take(r#"{"type":"error","code":"forbidden"}"#);
        assert_eq!(follower.faults.len(), 3);
    }
}
