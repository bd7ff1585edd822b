//! A message that grows with the body of a request, as an answer of a language model does.

use super::{
    super::{App, problem::Problem},
    messages::sent,
    request::{Answer, answer},
};
use crate::{
    chat::{Action, ConversationName, MessageId, NewMessage, Sent},
    limits::{GROWN_TEXT_BYTES_MAX, PART_BYTES_MAX, PART_WAIT_MS_MAX},
};
use axum::{body::Body, http::StatusCode};
use bytes::BytesMut;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Sends a message that grows. It is brought to an end whatever becomes of the request, so it is a
/// task of its own.
pub(super) async fn grow(
    app: App,
    user: Arc<str>,
    name: ConversationName,
    txn: String,
    body: Body,
) -> Answer {
    let grown = tokio::spawn(async move {
        let message = NewMessage { txn: Some(txn), streaming: true, ..NewMessage::default() };
        let begun = app.chat.send(&user, &name, message).await?;
        let id = MessageId { conversation: name, position: begun.message.position };
        if begun.duplicate {
            // With what it has grown to.
            let message = app.chat.message(&user, &id).await?;
            return Ok(sent(&Sent { message, ..begun }));
        }
        Growth { app, user, id, bytes: 0 }.run(body).await
    });
    grown.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a message has stopped growing");
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "see the log"))
    })
}

struct Growth {
    app: App,
    user: Arc<str>,
    id: MessageId,
    bytes: usize,
}

impl Growth {
    async fn run(mut self, body: Body) -> Answer {
        let grown = self.take(body).await;
        let finish = Action::Finish { interrupted: grown.is_err() };
        let finished = self.app.chat.act_on(&self.user, &self.id, finish).await;
        self.app.chat.stop_growing(&self.id);
        grown?;
        finished?;
        Ok(answer(&self.app.chat.message(&self.user, &self.id).await?))
    }

    /// Takes the body as it comes. What comes within a moment is one part, and no character is cut.
    async fn take(&mut self, body: Body) -> Result<(), Problem> {
        let app = self.app.clone();
        let mut body = app.incoming(body);
        let mut held = BytesMut::new();
        while let Some(piece) = body.next().await? {
            held.extend_from_slice(&piece);
            let until = Instant::now() + Duration::from_millis(PART_WAIT_MS_MAX);
            while held.len() < PART_BYTES_MAX {
                match timeout_at(until, body.next()).await {
                    Ok(Ok(Some(piece))) => held.extend_from_slice(&piece),
                    // What is there is not lost with what went wrong; it comes again.
                    Ok(Ok(None)) | Err(_) => break,
                    Ok(Err(problem)) => {
                        self.part(&mut held).await?;
                        return Err(problem);
                    }
                }
            }
            self.part(&mut held).await?;
        }
        if held.is_empty() { Ok(()) } else { Err(not_text()) }
    }

    async fn part(&mut self, held: &mut BytesMut) -> Result<(), Problem> {
        let whole = match std::str::from_utf8(held) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_some() => return Err(not_text()),
            Err(error) => error.valid_up_to(),
        };
        if whole == 0 {
            return Ok(());
        }
        let text = String::from_utf8(held.split_to(whole).to_vec()).map_err(|_| not_text())?;
        self.bytes += text.len();
        if self.bytes > GROWN_TEXT_BYTES_MAX {
            let detail = format!("a message may grow to {GROWN_TEXT_BYTES_MAX} bytes");
            return Err(Problem::too_large(detail));
        }
        if text.contains('\0') {
            return Err(Problem::bad_request("bad_body", "no text in a message may have a NUL"));
        }
        self.app.chat.act_on(&self.user, &self.id, Action::Part { text }).await?;
        Ok(())
    }
}

fn not_text() -> Problem {
    Problem::bad_request("bad_body", "the body is not UTF-8")
}
