//! Appending exactly once, whatever breaks in between.

use super::{
    client::{Ask, Client, header, stream_path},
    exit::{Exit, Failure},
};
use crate::model::Offset;
use bytes::Bytes;
use http::Method;
use uuid::Uuid;

/// What a stream is called that nobody said anything else of.
pub(super) const BINARY: &str = "application/octet-stream";

/// What there is under a name.
pub(super) struct Found {
    pub content_type: String,
    pub tail: Offset,
    pub closed: bool,
}

/// Looks what there is; `None` for nothing.
pub(super) async fn look(client: &Client, name: &str) -> Result<Option<Found>, Failure> {
    let response = match client.insist(&Ask::new(Method::HEAD, &stream_path(name))).await {
        Ok(response) => response,
        Err(failure) if failure.exit() == Exit::NotFound => return Ok(None),
        Err(failure) => return Err(failure.of(name)),
    };
    let headers = response.headers();
    Ok(Some(Found {
        content_type: header(headers, "content-type").to_owned(),
        tail: header(headers, "stream-next-offset").parse().unwrap_or_default(),
        closed: header(headers, "stream-closed") == "true",
    }))
}

/// An idempotent producer of one stream: the server knows a repetition, so every append may be tried
/// until there is an answer.
pub(super) struct Appender<'a> {
    client: &'a Client,
    name: String,
    target: String,
    content_type: String,
    producer: String,
    seq: u64,
    /// Where the input is, when the server is to see to it that nothing is appended twice by two
    /// programs that read the same input.
    at: Option<u64>,
}

impl<'a> Appender<'a> {
    /// For a stream that is there.
    pub fn new(client: &'a Client, name: &str, content_type: &str) -> Self {
        Self {
            client,
            name: name.into(),
            target: stream_path(name),
            content_type: content_type.into(),
            producer: format!("messages-{}", Uuid::now_v7().simple()),
            seq: 0,
            at: None,
        }
    }

    /// Numbers what is appended by its place in the input, which goes on at `at`.
    pub fn placed(self, at: u64) -> Self {
        Self { at: Some(at), ..self }
    }

    /// Appends `body`, closes, or both. It is `units` of the input: bytes, or messages. Returns where the
    /// stream ends.
    ///
    /// # Errors
    /// It is refused, or there was no answer for too long.
    pub async fn append(
        &mut self,
        body: Bytes,
        units: u64,
        close: bool,
    ) -> Result<String, Failure> {
        let (seq, at) = (self.seq.to_string(), self.at.map(|at| format!("{at:020}")));
        let mut headers = vec![
            ("producer-id", self.producer.as_str()),
            ("producer-epoch", "0"),
            ("producer-seq", seq.as_str()),
        ];
        headers.extend(at.as_deref().map(|at| ("stream-seq", at)));
        if !body.is_empty() {
            headers.push(("content-type", self.content_type.as_str()));
        }
        if close {
            headers.push(("stream-closed", "true"));
        }
        let ask = Ask { method: Method::POST, target: &self.target, headers: &headers, body };
        let answer = self.client.insist(&ask).await.map_err(|failure| failure.of(&self.name))?;
        self.seq += 1;
        self.at = self.at.map(|at| at + units);
        Ok(header(answer.headers(), "stream-next-offset").to_owned())
    }
}
