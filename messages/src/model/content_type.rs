//! Content types, as far as they matter here.

/// The media type without its parameters, as `text/plain` in `text/plain; charset=utf-8`.
#[must_use]
pub fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether a stream of this type holds JSON messages instead of bytes.
#[must_use]
pub fn holds_messages(content_type: &str) -> bool {
    media_type(content_type).eq_ignore_ascii_case("application/json")
}

/// Whether two types are the same for whoever reads: letter case and white space between the
/// parameters do not count.
#[must_use]
pub fn same_type(one: &str, other: &str) -> bool {
    let parts = |text: &str| -> Vec<String> {
        text.split(';').map(|part| part.trim().to_ascii_lowercase()).collect()
    };
    one == other || parts(one) == parts(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_letter_case() {
        assert!(holds_messages("Application/JSON; charset=utf-8"));
        assert!(!holds_messages("application/x-ndjson") && !holds_messages("application/foo+json"));
        assert_eq!(media_type(" text/plain ; charset=utf-8"), "text/plain");
        assert!(same_type("text/plain;charset=UTF-8", "Text/Plain; charset=utf-8"));
        assert!(!same_type("text/plain", "text/plain; charset=utf-8"));
    }
}
