//! The vocabulary: values that every other module speaks. It depends on nothing.

mod change;
mod chat;
mod chunk;
mod content_type;
mod flush;
mod lifetime;
mod offset;
mod pattern;
mod records;
mod stream;
mod writers;

pub use change::{Append, Change, Create, Delete};
pub use chat::{
    ChatWrite, ConversationRow, FOREVER_MS, MessageRow, ParticipantRow, Place, ReceiptRow,
    Standing, Target, erased,
};
pub use chunk::{Chunk, Lengths};
pub use content_type::{holds_messages, media_type, same_type};
pub use flush::Flush;
pub use lifetime::{Fork, ForkPoint, Lifetime};
pub use offset::{Expected, InvalidOffset, Offset};
pub use pattern::{InvalidPattern, Pattern};
pub use records::Records;
pub use stream::{CloseReason, InvalidName, StoredStream, StreamId, StreamName};
pub use writers::{Producer, Stamp, Writer, Writers, is_writer_text};
