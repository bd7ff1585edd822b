//! The vocabulary: values that every other module speaks. It depends on nothing.

mod change;
mod chunk;
mod flush;
mod offset;
mod pattern;
mod stream;

pub use change::{Append, Change, Create};
pub use chunk::{Chunk, Lengths};
pub use flush::Flush;
pub use offset::{Expected, InvalidOffset, Offset};
pub use pattern::{InvalidPattern, Pattern};
pub use stream::{CloseReason, InvalidName, StoredStream, StreamId, StreamName};
