//! `/conversations/{name}/events`: the stream of a conversation, read as any stream.

use super::{
    super::{App, protocol},
    request::{Answer, Caller, InConversation},
};
use axum::{extract::State, http::request::Parts};

pub(super) async fn read(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    parts: Parts,
) -> Answer {
    let readable = app.chat.readable(&caller.user, &name).await?;
    protocol::read_conversation(&app, caller.principal, readable, &parts).await
}
