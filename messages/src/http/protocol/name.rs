//! Which stream a path means.

use super::{super::problem::Problem, ROOT};
use crate::model::{InvalidName, StreamName};
use axum::http::StatusCode;
use percent_encoding::percent_decode_str;

/// The stream that a path of the protocol names: all behind the root, slashes included.
///
/// # Errors
/// There can be no such stream.
pub(in crate::http) fn stream_name(path: &str) -> Result<StreamName, Problem> {
    let encoded = path.strip_prefix(ROOT).unwrap_or_default();
    let text = percent_decode_str(encoded).decode_utf8();
    let bad = |_| Problem::bad_request("bad_name", "the name of a stream is UTF-8");
    parse_name(&text.map_err(bad)?)
}

/// A name as clients send it.
///
/// # Errors
/// There can be no such stream.
pub(in crate::http) fn parse_name(text: &str) -> Result<StreamName, Problem> {
    text.parse().map_err(|error: InvalidName| match error {
        InvalidName::Reserved => {
            let detail = "there is nothing here; names that begin with __ds/ are reserved";
            Problem::new(StatusCode::NOT_FOUND, "reserved_name", detail)
        }
        error => Problem::bad_request("bad_name", error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_and_keep_their_slashes() {
        for (path, want) in [
            ("/v1/stream/a", "a"),
            ("/v1/stream/a/b%2Fc", "a/b/c"),
            ("/v1/stream/%C3%B6%20x", "ö x"),
        ] {
            assert_eq!(stream_name(path).expect("a name").as_str(), want);
        }
        for bad in ["/v1/stream/", "/v1/stream/%FF", "/v1/stream/a%00", "/v1/stream/__ds/x"] {
            assert!(stream_name(bad).is_err(), "{bad}");
        }
    }
}
