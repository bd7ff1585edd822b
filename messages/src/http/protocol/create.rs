//! `PUT`: a stream as the request says, found or created with its first content, or branched off.

use super::{
    super::{
        App, content_type,
        problem::{Problem, STREAM_CLOSED, STREAM_NEXT_OFFSET, insert_text},
        upload,
    },
    headers,
};
use crate::{
    auth::{Access, Principal},
    limits::APPEND_BYTES_MAX,
    model::StreamName,
    stream::{Ensured, NewStream, StreamError},
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use std::sync::Arc;

pub(super) async fn create(
    app: &App,
    principal: &Principal,
    name: &StreamName,
    parts: &Parts,
    body: Body,
) -> Result<Response, Problem> {
    let mut incoming = app.incoming(body);
    let created = match new_stream(name, &parts.headers) {
        Ok(new) => match incoming.whole(APPEND_BYTES_MAX).await {
            Ok(body) => ensure(app, principal, NewStream { body, ..new }).await,
            Err(problem) => Err(problem),
        },
        Err(problem) => Err(problem),
    };
    match created {
        Ok(ensured) => Ok(answer(app, parts, &ensured)),
        Err(problem) => {
            incoming.discard().await;
            Err(problem)
        }
    }
}

/// What the headers ask for.
fn new_stream(name: &StreamName, headers: &HeaderMap) -> Result<NewStream, Problem> {
    let content_type: Option<Arc<str>> = match headers.get(header::CONTENT_TYPE) {
        None => None,
        Some(_) => Some(upload::content_type(headers)?.into()),
    };
    Ok(NewStream {
        name: name.clone(),
        content_type,
        lifetime: headers::lifetime(headers)?,
        fork: headers::fork(headers)?,
        body: Bytes::new(),
        closed: headers::closes(headers),
        tied: false,
    })
}

async fn ensure(app: &App, principal: &Principal, new: NewStream) -> Result<Ensured, Problem> {
    // Asked now and not before the body was there: that may have taken long.
    principal.check(Access::Create, &new.name)?;
    if !new.body.is_empty() || new.closed {
        principal.check(Access::Write, &new.name)?;
    }
    if let Some(fork) = &new.fork {
        principal.check(Access::Manage, &new.name)?;
        principal.check(Access::Read, &fork.source)?;
    }
    upload::count_creation(app, principal, &new.name).await?;
    app.streams.ensure(new).await.map_err(|error| match error {
        // The name cannot be had: for whoever creates, that is a conflict.
        StreamError::Hidden => {
            let problem = Problem::from(error);
            Problem::new(StatusCode::CONFLICT, "stream_deleted", problem.detail())
        }
        error => error.into(),
    })
}

fn answer(app: &App, parts: &Parts, ensured: &Ensured) -> Response {
    let Ensured { channel, created, status } = ensured;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    if *created {
        let base = app.base_url(&parts.headers);
        insert_text(headers, header::LOCATION, &format!("{base}{}", parts.uri.path()));
    }
    content_type::insert(headers, channel.content_type());
    insert_text(headers, STREAM_NEXT_OFFSET, &status.tail.to_string());
    if status.closed.is_some() {
        headers.insert(STREAM_CLOSED, HeaderValue::from_static("true"));
    }
    *response.status_mut() = if *created { StatusCode::CREATED } else { StatusCode::OK };
    response
}
