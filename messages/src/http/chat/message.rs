//! `/messages/{message}`: one of them, and what is done with it.

use super::{
    super::{App, problem::Problem},
    forms::{EditForm, ReportForm},
    request::{Answer, ByName, Caller, Form, Named, OfMessage, answer},
};
use crate::chat::{Action, Done, MessageId};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::IntoResponse,
};
use serde::Serialize;

/// Where a conversation is after something was done in it.
#[derive(Serialize)]
pub(super) struct DoneView {
    pub position: u64,
}

pub(super) fn done(done: &Done) -> axum::response::Response {
    answer(&DoneView { position: done.position })
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    OfMessage(id): OfMessage,
) -> Answer {
    Ok(answer(&app.chat.message(&caller.user, &id).await?))
}

pub(super) async fn edit(
    State(app): State<App>,
    caller: Caller,
    OfMessage(id): OfMessage,
    headers: HeaderMap,
    Form(form): Form<EditForm>,
) -> Answer {
    let (text, extra, rev) = form.into_parts();
    let rev = if_match(&headers)?.or(rev);
    app.chat.act_on(&caller.user, &id, Action::Edit { text, extra, rev }).await?;
    Ok(answer(&app.chat.message(&caller.user, &id).await?))
}

/// The revision that `If-Match` names, as a tag: `"3"`.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
    if text == "*" {
        return Ok(None);
    }
    let bad = || Problem::bad_request("bad_header", "If-Match: must be a revision, as \"3\"");
    text.parse().map(Some).map_err(|_| bad())
}

pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    OfMessage(id): OfMessage,
    uri: Uri,
) -> Answer {
    let [reason] = super::super::query::parameters(&uri, ["reason"])?;
    let reason = reason.map(|reason| reason.into_owned());
    Ok(done(&app.chat.act_on(&caller.user, &id, Action::Delete { reason }).await?))
}

pub(super) async fn history(
    State(app): State<App>,
    caller: Caller,
    OfMessage(id): OfMessage,
) -> Answer {
    Ok(answer(&app.chat.revisions(&caller.user, &id).await?))
}

pub(super) async fn reactions(
    State(app): State<App>,
    caller: Caller,
    OfMessage(id): OfMessage,
) -> Answer {
    Ok(answer(&app.chat.reactors(&caller.user, &id).await?))
}

fn reaction(Named(mut named): ByName) -> String {
    named.remove("reaction").unwrap_or_default()
}

pub(super) async fn react(
    State(app): State<App>,
    caller: Caller,
    OfMessage(id): OfMessage,
    named: ByName,
) -> Answer {
    act(&app, &caller, &id, Action::React { reaction: reaction(named) }).await
}

pub(super) async fn unreact(
    State(app): State<App>,
    caller: Caller,
    OfMessage(id): OfMessage,
    named: ByName,
) -> Answer {
    act(&app, &caller, &id, Action::Unreact { reaction: reaction(named) }).await
}

pub(super) async fn pin(State(app): State<App>, caller: Caller, message: OfMessage) -> Answer {
    act(&app, &caller, &message.0, Action::Pin).await
}

pub(super) async fn unpin(State(app): State<App>, caller: Caller, message: OfMessage) -> Answer {
    act(&app, &caller, &message.0, Action::Unpin).await
}

async fn act(app: &App, caller: &Caller, id: &MessageId, action: Action) -> Answer {
    Ok(done(&app.chat.act_on(&caller.user, id, action).await?))
}

pub(super) async fn report(
    State(app): State<App>,
    caller: Caller,
    OfMessage(id): OfMessage,
    Form(form): Form<ReportForm>,
) -> Answer {
    app.chat.report(&caller.user, &id, &form.reason).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
