//! How far everybody is.

use super::{
    super::App,
    forms::MarkForm,
    message::DoneView,
    request::{Answer, Caller, Form, InConversation, OfMessage, answer},
};
use crate::chat::{ConversationName, Mark};
use axum::extract::State;

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
) -> Answer {
    Ok(answer(&app.chat.receipts(&caller.user, &name).await?))
}

pub(super) async fn of_message(
    State(app): State<App>,
    caller: Caller,
    OfMessage(id): OfMessage,
) -> Answer {
    Ok(answer(&app.chat.message_receipts(&caller.user, &id).await?))
}

async fn mark(
    app: &App,
    caller: &Caller,
    name: &ConversationName,
    mark: Mark,
    position: Option<u64>,
) -> Answer {
    let position = app.chat.mark(&caller.user, name, mark, position, true).await?;
    Ok(answer(&DoneView { position }))
}

pub(super) async fn read(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    Form(form): Form<MarkForm>,
) -> Answer {
    let position = form.position(&name)?;
    mark(&app, &caller, &name, Mark::Read, position).await
}

pub(super) async fn delivered(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    Form(form): Form<MarkForm>,
) -> Answer {
    let position = form.position(&name)?;
    mark(&app, &caller, &name, Mark::Delivered, position).await
}

pub(super) async fn read_message(
    State(app): State<App>,
    caller: Caller,
    OfMessage(id): OfMessage,
) -> Answer {
    // Only for somebody who may see it.
    app.chat.message(&caller.user, &id).await?;
    mark(&app, &caller, &id.conversation, Mark::Read, Some(id.position)).await
}
