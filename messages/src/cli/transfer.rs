//! What stands in an export: a JSON document on each line, so that any tool reads it and a break shows.

use base64::{Engine, engine::general_purpose::STANDARD};
use indicatif::{ProgressBar, ProgressStyle};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The layout. A change needs a new number.
pub(super) const VERSION: u32 = 1;

/// One line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    /// The first: the number of the layout.
    MessagesExport(u32),
    /// A stream begins.
    Stream(Head),
    /// A message of it.
    Message(Box<RawValue>),
    /// Bytes of it, in base64.
    Bytes(String),
    /// It ends.
    End(End),
    /// The last: how many streams there were.
    Streams(u64),
}

/// What a stream is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Head {
    pub name: String,
    pub content_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// What there was of it.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct End {
    pub closed: bool,
    /// Bytes, or messages.
    pub units: u64,
    /// Of the bytes, or of the messages with a line break behind each.
    pub sha256: String,
}

/// Counts content and makes the sum of it.
pub(super) struct Tally {
    pub units: u64,
    sum: Context,
}

impl Tally {
    pub fn new() -> Self {
        Self { units: 0, sum: Context::new(&SHA256) }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.units += bytes.len() as u64;
        self.sum.update(bytes);
    }

    pub fn message(&mut self, message: &[u8]) {
        self.units += 1;
        self.sum.update(message);
        self.sum.update(b"\n");
    }

    pub fn end(self, closed: bool) -> End {
        let sum = self.sum.finish();
        let sha256 = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        End { closed, units: self.units, sha256 }
    }
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// How far it is, for people: nothing where there is no terminal.
pub(super) fn progress(doing: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template(
        "{spinner} {prefix} {bytes}, {binary_bytes_per_sec}: {wide_msg}",
    );
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.with_prefix(doing)
}
