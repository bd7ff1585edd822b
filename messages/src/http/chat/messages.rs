//! Messages: sent, listed, found.

use super::{
    super::{
        App,
        problem::Problem,
        query::{number, parameters},
    },
    forms::{MessageForm, count, wanted},
    grow,
    request::{Answer, Caller, Form, InConversation, Named, answer},
};
use crate::{
    chat::{ConversationName, MessageView, Search, Sent},
    limits::{MESSAGES_AT_ONCE, SEARCH_RESULTS_DEFAULT},
};
use axum::{body::Body, extract::State, http::Uri};
use serde::Serialize;

/// The answer to whoever sends: the message, and whether it had been sent before.
#[derive(Serialize)]
pub(in crate::http) struct SentView<'a> {
    #[serde(flatten)]
    message: &'a MessageView,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

pub(super) fn sent(sent: &Sent) -> axum::response::Response {
    answer(&SentView { message: &sent.message, duplicate: sent.duplicate })
}

pub(super) async fn send(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    Form(form): Form<MessageForm>,
) -> Answer {
    app.auth.message(&caller.principal)?;
    Ok(sent(&app.chat.send(&caller.user, &name, form.message(None)).await?))
}

/// A message under a name of the client's own.
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Named((name, txn)): Named<(String, String)>,
    Form(form): Form<MessageForm>,
) -> Answer {
    let name: ConversationName = name.parse()?;
    app.auth.message(&caller.principal)?;
    Ok(sent(&app.chat.send(&caller.user, &name, form.message(Some(txn))).await?))
}

/// One whose text is the body, as it comes.
pub(super) async fn put_text(
    State(app): State<App>,
    caller: Caller,
    Named((name, txn)): Named<(String, String)>,
    body: Body,
) -> Answer {
    let name: ConversationName = name.parse()?;
    app.auth.message(&caller.principal)?;
    grow::grow(app, caller.user, name, txn, body).await
}

pub(super) async fn send_to(
    State(app): State<App>,
    caller: Caller,
    Named(peer): Named<String>,
    Form(form): Form<MessageForm>,
) -> Answer {
    app.auth.message(&caller.principal)?;
    Ok(sent(&app.chat.send_to(&caller.user, &peer, form.message(None)).await?))
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    uri: Uri,
) -> Answer {
    Ok(answer(&app.chat.messages(&caller.user, &name, &wanted(&uri)?).await?))
}

pub(super) async fn inbox(State(app): State<App>, caller: Caller, uri: Uri) -> Answer {
    Ok(answer(&app.chat.inbox(&caller.user, &wanted(&uri)?).await?))
}

pub(super) async fn pinned(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
) -> Answer {
    Ok(answer(&app.chat.pinned(&caller.user, &name).await?))
}

pub(super) async fn search(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    uri: Uri,
) -> Answer {
    Ok(answer(&app.chat.search(&caller.user, &looked_for(&uri, Some(name))?).await?))
}

pub(super) async fn search_all(State(app): State<App>, caller: Caller, uri: Uri) -> Answer {
    Ok(answer(&app.chat.search(&caller.user, &looked_for(&uri, None)?).await?))
}

fn looked_for(uri: &Uri, conversation: Option<ConversationName>) -> Result<Search, Problem> {
    let [text, limit, before] = parameters(uri, ["q", "limit", "before"])?;
    let missing = || Problem::bad_request("bad_parameter", "q: which words?");
    let most = u64::from(MESSAGES_AT_ONCE);
    let limit = number("limit", limit, u64::from(SEARCH_RESULTS_DEFAULT), most)? as u32;
    let (text, before) = (text.ok_or_else(missing)?.into_owned(), count("before", before)?);
    Ok(Search { conversation, text, before, limit })
}

pub(super) async fn reports(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
) -> Answer {
    Ok(answer(&app.chat.reports(&caller.user, &name).await?))
}
