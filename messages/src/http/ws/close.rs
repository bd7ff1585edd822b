//! Why a socket is closed, as a code that tells the client what to do. Stable.

use axum::extract::ws::{CloseFrame, Utf8Bytes};

/// How the server ends a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// The other side has broken the rules of WebSocket.
    Protocol,
    /// A frame was larger than it may be.
    TooLarge,
    /// The server stops. Come back, to this one or to another.
    Restart,
    /// Too many frames made no sense. Coming back with the same program is of no use.
    BadFrames,
    /// The token has expired. Come back with a new one.
    Expired,
    /// Nothing was heard of the client for too long. Come back.
    Silent,
}

impl Close {
    /// The code and some words for people.
    pub fn frame(self) -> CloseFrame {
        let (code, reason) = match self {
            Self::Protocol => (1002, "not the WebSocket protocol"),
            Self::TooLarge => (1009, "a frame was too large; hello tells the limit"),
            Self::Restart => (1012, "the server stops; reconnect in a moment and go on"),
            Self::BadFrames => (4400, "too many frames that make no sense"),
            Self::Expired => (4401, "the token has expired; reconnect with a new one and go on"),
            Self::Silent => (4408, "nothing was heard for too long; reconnect and go on"),
        };
        CloseFrame { code, reason: Utf8Bytes::from_static(reason) }
    }
}
