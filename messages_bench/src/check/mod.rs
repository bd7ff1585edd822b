//! Decides whether what was read is what must have been written. Pure: no clock, no network.

mod lines;
mod records;
mod truth;

pub use lines::{LineCheck, lines_len};
pub use records::{Ledger, Ledgers, RecordCheck};
pub use truth::Truth;

use crate::limits::EXCERPT_BYTES;

/// The first bytes of `bytes`, readable.
pub fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(EXCERPT_BYTES)];
    let dots = if shown.len() < bytes.len() { "…" } else { "" };
    format!("\"{}{dots}\"", shown.escape_ascii())
}
