//! The content type of what is handed out.

use axum::http::{HeaderMap, HeaderValue, header};

/// The content type of a stream. One that a browser would run is put where it can do no harm.
pub(super) fn insert(headers: &mut HeaderMap, content_type: &str) {
    let binary = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap_or(binary));
    let media_type = crate::model::media_type(content_type).to_ascii_lowercase();
    if ["html", "xml", "svg"].iter().any(|active| media_type.contains(active)) {
        let sandbox = HeaderValue::from_static("sandbox");
        headers.insert(header::CONTENT_SECURITY_POLICY, sandbox);
    }
}
