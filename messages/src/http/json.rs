//! Documents and frames of clients: JSON objects.

use serde::{Deserialize, de::Error};

/// What a JSON object says. Nothing else is one: what serde derives would also take an array, of the
/// members in the order in which the code happens to name them.
///
/// # Errors
/// It is no JSON, not an object, or not one that says a `T`.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> serde_json::Result<T> {
    match json.trim_ascii_start().first() {
        Some(b'{') | None => serde_json::from_slice(json),
        Some(_) => Err(Error::custom("it has to be an object, in braces")),
    }
}
