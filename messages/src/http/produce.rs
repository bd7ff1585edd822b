//! `POST /`: the built-in producer.

use super::{
    App,
    body::discard,
    live,
    problem::{Problem, insert_text},
    query::{StartQuery, name},
    traffic::Transport,
    upload::location,
};
use crate::{
    auth::{Access, Principal},
    limits::{ID_BODY_BYTES_MAX, ID_BODY_WAIT_MS_MAX},
    production::Plan,
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::{sync::Arc, time::Duration};

/// Starts a production and streams it back. It goes on when the caller leaves.
pub(super) async fn start(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    mut body: Body,
) -> Result<Response, Problem> {
    let (principal, plan) = match admit(&app, &uri, &headers, &mut body).await {
        Ok(admitted) => admitted,
        Err(problem) => {
            discard(body).await;
            return Err(problem);
        }
    };
    let reading = app.auth.reading(principal, app.traffic.reads(Transport::Http))?;
    let name = plan.name.clone();
    let channel = app.productions.start(plan).await?;
    let (cursor, status) = app.streams.read(channel, 0).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    // The first header that a client sees.
    insert_text(response.headers_mut(), header::LOCATION, &location(&name));
    let live = live::response(cursor, status, reading);
    response.headers_mut().extend(live.headers().clone());
    *response.body_mut() = live.into_body();
    Ok(response)
}

/// Who asks for what, when they may have it.
async fn admit(
    app: &App,
    uri: &Uri,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(Arc<Principal>, Plan), Problem> {
    let principal = app.auth.principal(headers, uri).await?;
    let mut plan = plan(uri, body).await?;
    principal.check(Access::Write, &plan.name)?;
    principal.check(Access::Read, &plan.name)?;
    plan.anew = principal.check(Access::Manage, &plan.name).is_ok();
    app.auth.creation(&principal)?;
    Ok((principal, plan))
}

/// What the parameters and the body ask for.
async fn plan(uri: &Uri, body: &mut Body) -> Result<Plan, Problem> {
    let StartQuery { freq, lines } = StartQuery::parse(uri)?;
    let id = read_id(body).await?;
    let name = if id.is_empty() { name(&uuid::Uuid::now_v7().to_string())? } else { name(&id)? };
    Ok(Plan { name, freq, lines, anew: false })
}

async fn read_id(body: &mut Body) -> Result<String, Problem> {
    let wait = Duration::from_millis(ID_BODY_WAIT_MS_MAX);
    let read = Limited::new(body, ID_BODY_BYTES_MAX).collect();
    let collected = tokio::time::timeout(wait, read).await.map_err(|_| {
        Problem::body_timeout(format!("the body, an id, must be here within {wait:?}"))
    })?;
    let bytes = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let detail = format!("the body is an id and at most {ID_BODY_BYTES_MAX} bytes long");
            return Problem::too_large(detail);
        }
        Problem::bad_request("bad_body", "the body cannot be read")
    })?;
    String::from_utf8(bytes.to_bytes().into())
        .map_err(|_| Problem::bad_request("bad_id", "the id is not UTF-8"))
}
