//! What caches may do with the answer to a read (PROTOCOL.md, 10.1).

use crate::model::{Lifetime, StreamId};
use axum::http::{HeaderMap, HeaderValue, header};

/// Seconds for which a cache may use an answer without asking.
const FRESH_SECS: u64 = 60;

/// The tag of what a stream holds between two byte positions. Closing changes it, and so does a new
/// life of the name.
pub(super) fn etag(stream: StreamId, from: u64, to: u64, closed: bool) -> String {
    let closed = if closed { ":c" } else { "" };
    format!("\"{:x}:{from}:{to}{closed}\"", stream.0)
}

/// Whether the client has just what `etag` names, by the weak comparison of RFC 9110, 13.1.2.
pub(in crate::http) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let tags =
        headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|tags| tags.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// How long an answer with content stays good: what is at a position never changes. `shared` caches
/// may keep it only where everybody may read everything.
pub(super) fn control(lifetime: Lifetime, shared: bool) -> HeaderValue {
    let whose = if shared { "public" } else { "private" };
    let text = match lifetime {
        Lifetime::Unlimited => {
            format!("{whose}, max-age={FRESH_SECS}, stale-while-revalidate=300")
        }
        Lifetime::Idle { secs } => format!("{whose}, max-age={}", secs.min(FRESH_SECS)),
        // It may be over any moment.
        Lifetime::Until { .. } => format!("{whose}, no-cache"),
    };
    HeaderValue::from_str(&text).unwrap_or(NO_STORE)
}

pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_and_in_lists() {
        let tag = etag(StreamId(255), 0, 12, false);
        assert_eq!(tag, "\"ff:0:12\"");
        assert_ne!(tag, etag(StreamId(255), 0, 12, true));
        let known = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().expect("a value"));
            is_known(&headers, &tag)
        };
        assert!(known("\"ff:0:12\"") && known("W/\"ff:0:12\"") && known("*"));
        assert!(known("\"other\", W/\"ff:0:12\""));
        assert!(!known("\"other\"") && !known("ff:0:12"));
    }
}
