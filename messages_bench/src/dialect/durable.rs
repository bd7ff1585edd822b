//! The Durable Streams protocol: a path for each stream, catch-up pages, Server-Sent Events.

use http::{HeaderValue, Method, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Append;

/// Text passes through Server-Sent Events as it is; other types would come as base64.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/plain");

/// The URI of a stream with `rest` behind it.
pub fn uri(path: &str, id: &str, rest: &str) -> Uri {
    // Names that need no encoding keep the request as short as the other dialect's.
    let id = utf8_percent_encode(id, NON_ALPHANUMERIC).to_string().replace("%2D", "-");
    format!("{path}/{id}{rest}").parse().expect("percent-encoded text makes a URI")
}

fn request(method: Method, path: &str, id: &str) -> Append {
    Append { method, uri: uri(path, id, ""), content_type: Some(CONTENT_TYPE) }
}

/// Creates a stream.
pub fn create(path: &str, id: &str) -> Append {
    request(Method::PUT, path, id)
}

/// One append.
pub fn append(path: &str, id: &str) -> Append {
    request(Method::POST, path, id)
}

/// A catch-up read, or a live one.
pub fn read(path: &str, id: &str, offset: &str, live: bool) -> Uri {
    let live = if live { "&live=sse" } else { "" };
    uri(path, id, &format!("?offset={offset}{live}"))
}
