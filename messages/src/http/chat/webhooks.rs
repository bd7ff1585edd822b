//! `/conversations/{name}/webhooks`: whom the server tells of what happens in a conversation.

use super::{
    super::{
        App,
        forward::{Forwarded, forward},
        problem::Problem,
        query::parameters,
    },
    request::{Answer, Caller, Form, InConversation, Named, answer},
};
use crate::{
    chat::{ConversationName, NewWebhook, Place},
    limits::CHAT_BODY_BYTES_MAX,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Request, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

type NameAndId = Named<(String, String)>;

#[derive(Deserialize)]
pub(super) struct WebhookForm {
    url: String,
    from: Option<String>,
    lease_ttl_ms: Option<u64>,
    description: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ReplayForm {
    offset: Option<String>,
    position: Option<u64>,
}

/// A place as everywhere where streams are read.
fn place(text: &str) -> Result<Place, Problem> {
    Ok(match text {
        "now" => Place::End,
        "-1" => Place::Beginning,
        offset => Place::At(offset.parse().map_err(|_| {
            Problem::bad_request("bad_offset", "an offset is one that this server gave, -1 or now")
        })?),
    })
}

pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Named((name, id)): NameAndId,
    headers: HeaderMap,
    Form(form): Form<WebhookForm>,
) -> Answer {
    app.auth.creation(&caller.principal)?;
    let name: ConversationName = name.parse()?;
    let WebhookForm { url, from, lease_ttl_ms, description } = form;
    let from = place(from.as_deref().unwrap_or("now"))?;
    let new = NewWebhook { url, from, lease_ttl_ms, description };
    let of = (&caller.user, &name);
    let (created, webhook) = app.webhooks.put(of, &id, new, app.base_url(&headers)).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, answer(&webhook)).into_response())
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    InConversation(name): InConversation,
    headers: HeaderMap,
) -> Answer {
    Ok(answer(&app.webhooks.list(&caller.user, &name, app.base_url(&headers)).await?))
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    Named((name, id)): NameAndId,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let name: ConversationName = name.parse()?;
    let [owner] = parameters(&uri, ["owner"])?;
    let (of, origin) = ((&caller.user, &name), app.base_url(&headers));
    Ok(answer(&app.webhooks.get(of, &id, owner.as_deref(), origin).await?))
}

pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Named((name, id)): NameAndId,
) -> Answer {
    app.webhooks.delete(&caller.user, &name.parse()?, &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn replay(
    State(app): State<App>,
    caller: Caller,
    Named((name, id)): NameAndId,
    headers: HeaderMap,
    Form(form): Form<ReplayForm>,
) -> Answer {
    let name: ConversationName = name.parse()?;
    let to = match form {
        ReplayForm { offset: Some(offset), position: None } => place(&offset)?,
        ReplayForm { offset: None, position: Some(count) } => Place::Behind(count),
        _ => return Err(Problem::bad_request("bad_body", "either offset or position is needed")),
    };
    let (of, origin) = ((&caller.user, &name), app.base_url(&headers));
    Ok(answer(&app.webhooks.replay(of, &id, to, origin).await?))
}

/// Whether a path is one of those that are answered here.
pub(in crate::http) fn is_of_webhooks(path: &str) -> bool {
    let rest = path.strip_prefix("/conversations/").and_then(|rest| rest.split_once('/'));
    rest.is_some_and(|(_, rest)| rest == "webhooks" || rest.starts_with("webhooks/"))
}

/// Lets the node answer that works on subscriptions, if that is another one. Otherwise the request is
/// given back.
pub(in crate::http) async fn forward_webhooks(
    app: &App,
    request: Request<Body>,
) -> Result<Request<Body>, Response> {
    let forwarded = request.extensions().get::<Forwarded>().copied();
    let Some(to) = app.elsewhere(forwarded) else { return Ok(request) };
    let (parts, body) = request.into_parts();
    let answered = async {
        app.auth.principal(&parts.headers, &parts.uri).await?;
        let body = app.incoming(body).whole(CHAT_BODY_BYTES_MAX).await?;
        forward(to, (&parts.method, &parts.uri, &parts.headers), &body).await
    };
    Err(answered.await.unwrap_or_else(IntoResponse::into_response))
}
