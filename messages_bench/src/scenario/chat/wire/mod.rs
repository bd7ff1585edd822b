//! Chat as it goes over the wire: docs/chat.md in types.

mod event;
mod frame;
mod message;

pub use event::{Event, Kind};
pub use frame::{Frame, FrameKind, Receipt, Standing, position};
pub use message::Message;
