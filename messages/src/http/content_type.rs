//! The content type of what is handed out.

use crate::model::media_type;
use axum::http::{HeaderMap, HeaderValue, header};

/// What no browser runs, whatever is in it.
const HARMLESS: [&str; 4] =
    ["text/plain", "application/json", "application/x-ndjson", "application/octet-stream"];

/// The content type of a stream. One that a browser might run is put where it can do no harm.
pub(super) fn insert(headers: &mut HeaderMap, content_type: &str) {
    let binary = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap_or(binary));
    let media_type = media_type(content_type);
    if !HARMLESS.iter().any(|harmless| media_type.eq_ignore_ascii_case(harmless)) {
        let sandbox = HeaderValue::from_static("sandbox");
        headers.insert(header::CONTENT_SECURITY_POLICY, sandbox);
    }
}

/// Whether a text is one content type. What lists several is read differently by different people.
pub(super) fn is_valid(content_type: &str) -> bool {
    let is_token = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !text.is_empty() && text.bytes().all(plain)
    };
    let parts = media_type(content_type).split_once('/');
    parts.is_some_and(|(kind, name)| is_token(kind) && is_token(name))
        && !content_type.contains(',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_one() {
        for valid in ["text/plain", "application/vnd.a+json; charset=utf-8", "x/y"] {
            assert!(is_valid(valid), "{valid}");
        }
        for bad in ["", "text", "text/plain;x=y,text/html", "text/plain, text/html", "/", "a b/c"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
