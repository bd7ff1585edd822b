//! What handlers of chat take: who asks, what is named in the path, a body of JSON.

use super::super::{App, json::object, problem::Problem};
use crate::{
    auth::Principal,
    chat::{ChatError, ConversationName, MessageId, user},
    limits::CHAT_BODY_BYTES_MAX,
};
use axum::{
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::HashMap, sync::Arc};

/// The user who asks.
pub(in crate::http) struct Caller {
    pub user: Arc<str>,
    pub principal: Arc<Principal>,
}

/// The user that a principal stands for.
pub(in crate::http) fn user_of(app: &App, principal: &Principal) -> Result<Arc<str>, Problem> {
    if app.auth.is_open() {
        let detail = "chat needs to know who you are, and this server has no keys: start it with \
                      AUTH_SECRET (openssl rand -hex 32), and `messages token --sub NAME` makes tokens";
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "no_users", detail);
        return Err(problem.challenge(r#"Bearer realm="messages""#));
    }
    let name = principal.user()?;
    // Names that begin with @ stand for others than users.
    Ok(user(name)?.into())
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let principal = app.auth.principal(&parts.headers, &parts.uri).await?;
        Ok(Self { user: user_of(app, &principal)?, principal })
    }
}

/// What stands in the path, as text.
pub(super) struct Named<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, app).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(error) => Err(Problem::bad_request("bad_parameter", error.body_text())),
        }
    }
}

/// All that stands in the path.
pub(super) type ByName = Named<HashMap<String, String>>;

/// The conversation that stands first in the path.
pub(super) struct InConversation(pub ConversationName);

impl FromRequestParts<App> for InConversation {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Named(named) = ByName::from_request_parts(parts, app).await?;
        let name = named.get("name").ok_or(ChatError::BadName)?;
        Ok(Self(name.parse()?))
    }
}

/// The message that is named in the path.
pub(super) struct OfMessage(pub MessageId);

impl FromRequestParts<App> for OfMessage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Named(named) = ByName::from_request_parts(parts, app).await?;
        let id = named.get("message").ok_or(ChatError::BadMessageId)?;
        let id: MessageId = id.parse()?;
        if named.get("name").is_some_and(|name| name != id.conversation.as_str()) {
            return Err(ChatError::NoMessage.into());
        }
        Ok(Self(id))
    }
}

/// A body of JSON. Nothing at all stands for an empty object.
pub(super) struct Form<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let body = app.incoming(request.into_body()).whole(CHAT_BODY_BYTES_MAX).await?;
        parse(&body).map(Self)
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    object(body).map_err(|error| {
        Problem::bad_request("bad_body", format!("the body must be JSON as documented: {error}"))
    })
}

/// An answer that no cache keeps.
pub(super) fn answer(document: &impl Serialize) -> Response {
    let body = serde_json::to_vec(document).unwrap_or_default();
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a handler gives.
pub(super) type Answer = Result<Response, Problem>;
