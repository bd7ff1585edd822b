//! The socket itself: reading and writing by one task, each when it is possible.

use axum::{
    Error,
    extract::ws::{Message, WebSocket},
};
use futures::{FutureExt, SinkExt, StreamExt};
use std::{
    future::poll_fn,
    task::{Context, Poll},
};
use tokio_tungstenite::tungstenite;

/// See the module.
pub(super) struct Wire {
    socket: WebSocket,
    /// Something may not have gone out yet.
    dirty: bool,
    /// What was written has not gone out because the other side takes nothing.
    blocked: bool,
    reads_first: bool,
}

/// What has happened on a socket.
pub(super) enum Event {
    /// A message has come.
    Message(Message),
    /// Something can be sent. `moved` when that was not so for a while.
    Writable { moved: bool },
    /// All has gone out.
    Flushed { moved: bool },
    /// It cannot be used any more.
    Ended(Ended),
}

/// How the other side ended a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Without a word.
    Gone,
    /// By a message that is too large.
    TooLarge,
    /// By something that is no WebSocket.
    Broken,
}

impl Wire {
    /// Over an open socket.
    pub fn new(socket: WebSocket) -> Self {
        Self { socket, dirty: false, blocked: false, reads_first: false }
    }

    /// Waits until a message has come, if the caller `reads`; until there is room for one, if it
    /// `writes`, and else until all has gone out. Cancel safe.
    pub async fn event(&mut self, reads: bool, writes: bool) -> Event {
        poll_fn(|context| {
            // By turns, so that neither holds up the other.
            self.reads_first = !self.reads_first;
            for read in [self.reads_first, !self.reads_first] {
                let event = match read {
                    true if reads => self.poll_read(context),
                    true => Poll::Pending,
                    false => self.poll_write(context, writes),
                };
                if event.is_ready() {
                    return event;
                }
            }
            Poll::Pending
        })
        .await
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        self.socket.poll_next_unpin(context).map(|message| match message {
            Some(Ok(message)) => Event::Message(message),
            Some(Err(error)) => Event::Ended(ended(error)),
            None => Event::Ended(Ended::Gone),
        })
    }

    fn poll_write(&mut self, context: &mut Context<'_>, writes: bool) -> Poll<Event> {
        let polled = match (writes, self.dirty) {
            (true, _) => self.socket.poll_ready_unpin(context),
            (false, true) => self.socket.poll_flush_unpin(context),
            (false, false) => return Poll::Pending,
        };
        let Poll::Ready(result) = polled else {
            self.blocked = true;
            return Poll::Pending;
        };
        let moved = std::mem::take(&mut self.blocked);
        Poll::Ready(match result {
            Err(error) => Event::Ended(ended(error)),
            Ok(()) if writes => Event::Writable { moved },
            Ok(()) => {
                self.dirty = false;
                Event::Flushed { moved }
            }
        })
    }

    /// Whether one more message can be sent at once.
    pub fn is_writable(&mut self) -> bool {
        // Whoever wants to be woken asks with `event` next.
        poll_fn(|context| self.socket.poll_ready_unpin(context)).now_or_never().is_some()
    }

    /// Sends a message where there is room for one. It goes out with others.
    pub fn send(&mut self, message: Message) -> Result<(), Ended> {
        self.dirty = true;
        self.socket.start_send_unpin(message).map_err(ended)
    }

    /// Sends a message as soon as there is room, and waits until all has gone out.
    pub async fn send_last(&mut self, message: Message) -> Result<(), Ended> {
        self.socket.send(message).await.map_err(ended)
    }

    /// Waits for the next message, whatever it is.
    pub async fn next(&mut self) -> Option<Message> {
        self.socket.next().await?.ok()
    }

    /// Lets what was written go out.
    pub async fn flush(&mut self) {
        // There is nobody left who would want to know.
        let _ = self.socket.flush().await;
    }
}

fn ended(error: Error) -> Ended {
    use tungstenite::{Error as E, error::ProtocolError};
    let error = error.into_inner();
    match error.downcast_ref::<E>() {
        Some(E::Capacity(_)) => Ended::TooLarge,
        Some(E::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Ended::Gone,
        Some(E::Protocol(_) | E::Utf8(_)) => Ended::Broken,
        _ => Ended::Gone,
    }
}
