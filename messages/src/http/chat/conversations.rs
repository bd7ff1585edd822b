//! `/conversations`: they begin, are listed, change and end.

use super::{
    super::App,
    forms::{ChangeForm, ConversationForm, ListQuery},
    request::{Answer, Caller, Form, InConversation, answer},
};
use crate::chat::{Action, NewConversation};
use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::IntoResponse,
};

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Form(form): Form<ConversationForm>,
) -> Answer {
    app.auth.creation(&caller.principal)?;
    let ConversationForm { participants, title, name, settings } = form;
    let name = name.map(|name| name.parse()).transpose()?;
    let new = NewConversation { name, title, participants, settings };
    Ok(answer(&app.chat.create(&caller.user, new).await?))
}

pub(super) async fn list(State(app): State<App>, caller: Caller, uri: Uri) -> Answer {
    let ListQuery { standing, after, limit } = ListQuery::parse(&uri)?;
    Ok(answer(&app.chat.list(&caller.user, standing, after.as_ref(), limit).await?))
}

pub(super) async fn unread(State(app): State<App>, caller: Caller) -> Answer {
    Ok(answer(&app.chat.unread(&caller.user).await?))
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
) -> Answer {
    Ok(answer(&app.chat.view(&caller.user, &name).await?))
}

pub(super) async fn change(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    Form(form): Form<ChangeForm>,
) -> Answer {
    let ChangeForm { title, settings } = form;
    app.chat.act(&caller.user, &name, Action::Change { title, settings }).await?;
    Ok(answer(&app.chat.view(&caller.user, &name).await?))
}

pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
) -> Answer {
    app.chat.act(&caller.user, &name, Action::Close).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
