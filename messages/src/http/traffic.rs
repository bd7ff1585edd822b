//! What comes in and how it is answered, counted by kind. A kind is a part of the interface and never a
//! name that somebody chose: there are always as many numbers.

use super::problem::Code;
use crate::stats::{Count, Doors, Held, Level, Spread};
use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Append,
    Read,
    Create,
    Head,
    Delete,
    Plain,
    Subscriptions,
    Chat,
    Socket,
    Operation,
}

/// All of them with their names.
pub(super) const KINDS: [(Kind, &str); 10] = [
    (Kind::Append, "append"),
    (Kind::Read, "read"),
    (Kind::Create, "create"),
    (Kind::Head, "head"),
    (Kind::Delete, "delete"),
    (Kind::Plain, "plain"),
    (Kind::Subscriptions, "subscriptions"),
    (Kind::Chat, "chat"),
    (Kind::Socket, "socket"),
    (Kind::Operation, "operation"),
];

/// How a read goes on behind what there is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Transport {
    Http,
    LongPoll,
    Events,
    Socket,
    Once,
}

/// All of them with their names.
pub(super) const TRANSPORTS: [(Transport, &str); 5] = [
    (Transport::Http, "http"),
    (Transport::LongPoll, "long_poll"),
    (Transport::Events, "sse"),
    (Transport::Socket, "websocket"),
    (Transport::Once, "once"),
];

/// Answers by the first digit of their status, from 1 to 5.
#[derive(Debug, Default)]
pub(super) struct Answers([Count; 5]);

/// See the module.
#[derive(Debug)]
pub(super) struct Traffic {
    answers: [Answers; KINDS.len()],
    times: [Spread; KINDS.len()],
    problems: Mutex<BTreeMap<&'static str, u64>>,
    readers: [Arc<Level>; TRANSPORTS.len()],
    /// Connections.
    pub connections: Arc<Doors>,
    /// Sockets that are open.
    pub sockets: Arc<Level>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            answers: Default::default(),
            times: std::array::from_fn(|_| Spread::of_times()),
            problems: Mutex::default(),
            readers: Default::default(),
            connections: Arc::default(),
            sockets: Arc::default(),
        }
    }
}

impl Kind {
    /// Of a request.
    pub fn of(method: &Method, path: &str) -> Self {
        if let Some(name) = path.strip_prefix("/v1/stream/") {
            let is_stream = !name.starts_with("__ds");
            return if is_stream { Self::of_stream(method) } else { Self::Subscriptions };
        }
        match path.get(1..).unwrap_or_default().split('/').next().unwrap_or_default() {
            "" => Self::Plain,
            "ws" => Self::Socket,
            "conversations" | "messages" | "inbox" | "search" | "unread" => Self::Chat,
            _ => Self::Operation,
        }
    }

    fn of_stream(method: &Method) -> Self {
        match *method {
            Method::POST => Self::Append,
            Method::PUT => Self::Create,
            Method::DELETE => Self::Delete,
            Method::GET => Self::Read,
            _ => Self::Head,
        }
    }
}

impl Answers {
    /// How many there were of each.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(self.0.iter().map(Count::get))
    }
}

impl Traffic {
    /// A request was answered after `time`, which is until its head was there.
    pub fn answered(&self, kind: Kind, response: &Response, time: Duration) {
        let class = usize::from(response.status().as_u16() / 100).clamp(1, 5) - 1;
        self.answers[kind as usize].0[class].one();
        self.times[kind as usize].time(time);
        self.refused(response);
    }

    /// Counts what went wrong, if something did: by itself where another node tells the client.
    pub fn refused(&self, response: &Response) {
        if response.status() >= StatusCode::BAD_REQUEST
            && let Some(Code(code)) = response.extensions().get()
        {
            *self.problems().entry(code).or_default() += 1;
        }
    }

    fn problems(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody reads this way, as long as the answer is kept.
    pub fn reads(&self, transport: Transport) -> Held {
        self.readers[transport as usize].hold()
    }

    /// The answers to requests of a kind.
    pub fn answers(&self, kind: Kind) -> &Answers {
        &self.answers[kind as usize]
    }

    /// How long those took.
    pub fn times(&self, kind: Kind) -> &Spread {
        &self.times[kind as usize]
    }

    /// How often each problem was answered.
    pub fn problem_counts(&self) -> Vec<(&'static str, u64)> {
        self.problems().iter().map(|(code, count)| (*code, *count)).collect()
    }

    /// How many read this way.
    pub fn readers(&self, transport: Transport) -> i64 {
        self.readers[transport as usize].get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_method_and_path() {
        for (method, path, kind) in [
            (Method::POST, "/v1/stream/a/b", Kind::Append),
            (Method::GET, "/v1/stream/a", Kind::Read),
            (Method::OPTIONS, "/v1/stream/a", Kind::Head),
            (Method::PUT, "/v1/stream/__ds/subscriptions/x", Kind::Subscriptions),
            (Method::GET, "/", Kind::Plain),
            (Method::GET, "", Kind::Plain),
            (Method::GET, "/ws/", Kind::Socket),
            (Method::GET, "/conversations/a/events", Kind::Chat),
            (Method::GET, "/metrics", Kind::Operation),
            (Method::GET, "/whatever/anybody/asks", Kind::Operation),
        ] {
            assert_eq!(Kind::of(&method, path), kind, "{method} {path}");
        }
        for (place, (kind, _)) in KINDS.iter().enumerate() {
            assert_eq!(*kind as usize, place);
        }
        for (place, (transport, _)) in TRANSPORTS.iter().enumerate() {
            assert_eq!(*transport as usize, place);
        }
    }
}
