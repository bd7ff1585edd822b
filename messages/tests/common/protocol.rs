//! Requests of the Durable Streams protocol, and a reader of its events that takes them as the HTML
//! standard says.

use super::{Answer, Reader, TestServer, request};
use bytes::Bytes;
use http::Method;
use serde_json::Value;

/// The target of a stream with `rest` behind its name.
pub fn at(name: &str, rest: &str) -> String {
    format!("/v1/stream/{name}{rest}")
}

/// The headers of an append by an idempotent producer.
pub fn stamp(id: &str, epoch: u64, seq: u64) -> [(&'static str, String); 3] {
    [
        ("producer-id", id.to_owned()),
        ("producer-epoch", epoch.to_string()),
        ("producer-seq", seq.to_string()),
    ]
}

impl TestServer {
    /// Any request to a stream.
    pub async fn ask(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        self.send(request(method, &at(target, ""), headers, body.into())).await
    }

    /// Creates a stream, which must be new.
    pub async fn create(&self, name: &str, content_type: &str, body: impl Into<Bytes>) -> Answer {
        let answer =
            self.ask(Method::PUT, name, &[("content-type", content_type)], body.into()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer
    }

    /// Appends, which must be news, and returns where the stream ends.
    pub async fn append(&self, name: &str, content_type: &str, body: impl Into<Bytes>) -> String {
        let headers = [("content-type", content_type)];
        let answer = self.ask(Method::POST, name, &headers, body.into()).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        answer.header("stream-next-offset").to_owned()
    }

    /// Appends as an idempotent producer.
    pub async fn append_as(
        &self,
        name: &str,
        content_type: &str,
        (id, epoch, seq): (&str, u64, u64),
        body: impl Into<Bytes>,
    ) -> Answer {
        let stamp = stamp(id, epoch, seq);
        let mut headers: Vec<(&str, &str)> = stamp.iter().map(|(n, v)| (*n, v.as_str())).collect();
        headers.push(("content-type", content_type));
        self.ask(Method::POST, name, &headers, body.into()).await
    }

    /// Closes a stream.
    pub async fn close(&self, name: &str) {
        let answer = self.ask(Method::POST, name, &[("stream-closed", "true")], "").await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// Reads whatever `target` asks for, whole.
    pub async fn fetch(&self, target: &str) -> Answer {
        self.ask(Method::GET, target, &[], "").await
    }

    /// Follows a stream from `offset` on.
    pub async fn events(&self, name: &str, offset: &str) -> Events {
        self.events_with(name, offset, &[]).await
    }

    /// As [`TestServer::events`], with headers.
    pub async fn events_with(&self, name: &str, offset: &str, headers: &[(&str, &str)]) -> Events {
        let target = at(name, &format!("?offset={offset}&live=sse"));
        let reader = self.open(request(Method::GET, &target, headers, Bytes::new())).await;
        assert_eq!(reader.status, 200);
        Events::new(reader)
    }
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `data` or `control`; empty for what is no event: comments and `retry`.
    pub name: String,
    /// Its lines.
    pub data: String,
    /// Where a browser is behind it.
    pub id: Option<String>,
    /// How soon to come back, in milliseconds.
    pub retry: Option<u64>,
}

impl Event {
    /// What a control event says.
    #[track_caller]
    pub fn control(&self) -> Value {
        assert_eq!(self.name, "control", "{self:?}");
        serde_json::from_str(&self.data).expect("JSON")
    }

    /// The offset of a control event.
    #[track_caller]
    pub fn offset(&self) -> String {
        self.control()["streamNextOffset"].as_str().expect("an offset").to_owned()
    }
}

/// Events as they come.
pub struct Events {
    /// The response.
    pub reader: Reader,
    buffer: Vec<u8>,
}

impl Events {
    /// The events of a response.
    pub fn new(reader: Reader) -> Self {
        Self { reader, buffer: Vec::new() }
    }

    /// The next event, comment or setting; `None` at the proper end.
    pub async fn any(&mut self) -> Option<Event> {
        loop {
            let end = self.buffer.windows(2).position(|two| two == b"\n\n");
            if let Some(end) = end {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let text = String::from_utf8(block).expect("events are UTF-8");
                assert!(!text.contains('\r'), "a line ends with LF here: {text:?}");
                return Some(parse(&text));
            }
            match self.reader.piece().await {
                Ok(piece) => self.buffer.extend_from_slice(&piece),
                Err(end) => {
                    assert_eq!(end, super::End::Clean);
                    assert!(self.buffer.is_empty(), "half an event: {:?}", self.buffer);
                    return None;
                }
            }
        }
    }

    /// The next event with a name; `None` at the proper end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.any().await?;
            if !event.name.is_empty() {
                return Some(event);
            }
        }
    }

    /// The data of the next event, which must be one with data, and the control event behind it.
    pub async fn data(&mut self) -> (String, Event) {
        let data = self.next().await.expect("an event");
        assert_eq!(data.name, "data", "{data:?}");
        let control = self.next().await.expect("an event behind it");
        assert_eq!(control.name, "control", "{control:?}");
        (data.data, control)
    }

    /// Reads until as much data has come as `want` is long, which must be that.
    pub async fn expect(&mut self, want: &str) -> Event {
        let mut got = String::new();
        loop {
            let (data, control) = self.data().await;
            got.push_str(&data);
            assert!(want.starts_with(&got), "{got:?} instead of {want:?}");
            if got == want {
                return control;
            }
        }
    }

    /// Everything up to the end: all data as one, and the last control event.
    pub async fn rest(mut self) -> (String, Event) {
        let (mut data, mut last) = (String::new(), Event::default());
        while let Some(event) = self.next().await {
            if event.name == "data" {
                data.push_str(&event.data);
            } else {
                last = event;
            }
        }
        (data, last)
    }
}

/// One block of lines.
fn parse(block: &str) -> Event {
    let (mut event, mut data) = (Event::default(), Vec::new());
    for line in block.trim_end_matches('\n').split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event.name = value.to_owned(),
            "data" => data.push(value),
            "id" => event.id = Some(value.to_owned()),
            "retry" => event.retry = value.parse().ok(),
            _ => {}
        }
    }
    event.data = data.join("\n");
    event
}
