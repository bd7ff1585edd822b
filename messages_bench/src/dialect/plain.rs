//! The plain interface: one resource, the stream in the query, bodies that are the content.

use http::{Method, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Append;
use crate::client::Reply;

fn uri(path: &str, id: &str, rest: &str) -> Uri {
    let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
    let text = format!("{path}/?id={id}{rest}");
    text.parse().expect("percent-encoded text makes a URI")
}

/// One append that leaves the stream open.
pub fn append(path: &str, id: &str) -> Append {
    Append { method: Method::PUT, uri: uri(path, id, "&close=false"), content_type: None }
}

/// Nothing is appended and the stream is closed.
pub fn close(path: &str, id: &str) -> Append {
    Append { method: Method::PUT, uri: uri(path, id, "&close=true"), content_type: None }
}

/// A long body, at an offset if one is given.
pub fn write(path: &str, id: &str, offset: Option<&str>, close: &str) -> Uri {
    let offset = offset.map(|offset| format!("&offset={offset}")).unwrap_or_default();
    uri(path, id, &format!("&close={close}{offset}"))
}

/// A live read from `offset` bytes.
pub fn read(path: &str, id: &str, offset: u64) -> Uri {
    let offset = if offset == 0 { String::new() } else { format!("&offset={offset}") };
    uri(path, id, &offset)
}

/// A production of `max` lines, `freq` a second.
pub fn produce(path: &str, freq: u32, max: u64) -> Uri {
    format!("{path}/?freq={freq}&max={max}").parse().expect("numbers make a URI")
}

/// Where a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Bytes stored.
    pub bytes: u64,
    /// The offset in the server's words.
    pub offset: String,
    /// Whether nothing more will come.
    pub closed: bool,
    /// Whether this was told together with the refusal of an offset.
    pub conflict: bool,
}

impl Tail {
    /// The tail a reply tells: `{records}_{bytes}`.
    pub fn of(reply: &Reply) -> Option<Self> {
        let offset = reply.header("stream-next-offset")?;
        let bytes = offset.rsplit('_').next()?.parse().ok()?;
        let closed = reply.header("stream-closed").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        Some(Self { bytes, offset: offset.to_owned(), closed, conflict: false })
    }
}
