//! `/v1/stream/__ds`: subscriptions, and the keys that webhooks are signed with. Nothing below it is
//! ever a stream of an application.

mod access;
mod error;
mod path;

use super::{
    App,
    body::discard,
    forward::{Forwarded, forward},
    json::object,
};
use crate::{
    limits::{SUBSCRIPTION_BODY_BYTES_MAX, SUBSCRIPTION_BODY_WAIT_MS_MAX, WORKER_BYTES_MAX},
    subscription::{Ack, Config, Report, SubscriptionId, paths},
};
use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use error::Refused;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use path::{Action, Target};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;

/// What is asked for, without its body.
struct Asked {
    method: Method,
    target: Target,
    /// Scheme and authority under which this server was reached.
    origin: String,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Streams {
    streams: Vec<String>,
}

#[derive(Deserialize)]
struct Claim {
    worker: String,
}

/// What workers send. The older name of a stream is understood, too.
#[derive(Deserialize)]
struct Done {
    wake_id: String,
    generation: u64,
    #[serde(default)]
    acks: Vec<Acked>,
    #[serde(default)]
    done: bool,
}

#[derive(Deserialize)]
struct Acked {
    #[serde(alias = "path")]
    stream: String,
    offset: String,
}

#[derive(Serialize)]
struct Acknowledged {
    ok: bool,
    next_wake: bool,
}

/// Answers whatever is asked below `/v1/stream/__ds`.
pub(super) async fn serve(
    State(app): State<App>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    forwarded: Option<Forwarded>,
    mut body: Body,
) -> Response {
    let answered = async {
        let asked = Asked {
            target: Target::parse(uri.path()).ok_or_else(Refused::no_route)?,
            origin: origin(&headers, &uri, &app)?,
            token: bearer(&headers),
            method,
        };
        let elsewhere = app.elsewhere(forwarded);
        match &asked.target {
            Target::Subscription(_, action) if elsewhere.is_some() => {
                access::check_caller(&app, &headers, action).await?;
            }
            Target::Subscription(id, action) => {
                access::check(&app, &headers, (&asked.method, id, action)).await?;
            }
            Target::Keys => {}
        }
        let body = match asked.method {
            Method::PUT | Method::POST => collect(&mut body).await?,
            _ => Bytes::new(),
        };
        if let Some(to) = elsewhere {
            return Ok(forward(to, (&asked.method, &uri, &headers), &body).await?);
        }
        answer(&app, &headers, asked, &body).await
    };
    match answered.await {
        Ok(response) => response,
        Err(refused) => {
            discard(body).await;
            refused.into_response()
        }
    }
}

async fn answer(
    app: &App,
    headers: &HeaderMap,
    asked: Asked,
    body: &[u8],
) -> Result<Response, Refused> {
    let Asked { method, target, origin, token } = asked;
    let subscriptions = app.subscriptions.get()?;
    let (id, action) = match target {
        Target::Keys => {
            return match method {
                Method::GET | Method::HEAD => keys(app).await,
                _ => Err(Refused::no_method("GET, HEAD")),
            };
        }
        Target::Subscription(id, action) => (id, action),
    };
    match (method, action) {
        (Method::PUT, Action::Itself) => {
            let config = Config::parse(body).map_err(Refused::from_invalid)?;
            access::check_new(app, headers, &config).await?;
            let (created, description) = subscriptions.put(id, config, origin).await?;
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            Ok(json(status, &description))
        }
        (Method::GET | Method::HEAD, Action::Itself) => {
            Ok(json(StatusCode::OK, &subscriptions.get(id, origin).await?))
        }
        (Method::DELETE, Action::Itself) => {
            subscriptions.delete(id).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (Method::POST, Action::Streams) => {
            let Streams { streams } = parse(body)?;
            let streams = paths(&streams).map_err(Refused::from_invalid)?;
            access::check_streams(app, headers, &streams).await?;
            subscriptions.add(id, streams).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (Method::DELETE, Action::Stream(stream)) => {
            subscriptions.remove(id, stream).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (Method::POST, Action::Claim) => claim(app, id, body).await,
        (Method::POST, Action::Callback) => {
            let next_wake = subscriptions.callback(id, report(token, body)?).await?;
            Ok(json(StatusCode::OK, &Acknowledged { ok: true, next_wake }))
        }
        (Method::POST, Action::Ack) => {
            let next_wake = subscriptions.ack(id, report(token, body)?).await?;
            Ok(json(StatusCode::OK, &Acknowledged { ok: true, next_wake }))
        }
        (Method::POST, Action::Release) => {
            subscriptions.release(id, report(token, body)?).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (_, action) => Err(Refused::no_method(action.methods())),
    }
}

async fn keys(app: &App) -> Result<Response, Refused> {
    let mut response = json(StatusCode::OK, &app.subscriptions.get()?.key_set().await?);
    let headers = response.headers_mut();
    let jwk_set = HeaderValue::from_static("application/jwk-set+json");
    headers.insert(header::CONTENT_TYPE, jwk_set);
    let public = HeaderValue::from_static("public, max-age=300");
    headers.insert(header::CACHE_CONTROL, public);
    Ok(response)
}

async fn claim(app: &App, id: SubscriptionId, body: &[u8]) -> Result<Response, Refused> {
    let Claim { worker } = parse(body)?;
    if worker.is_empty() || worker.len() > WORKER_BYTES_MAX {
        let what = format!("worker must be a text of 1 to {WORKER_BYTES_MAX} bytes");
        return Err(Refused::invalid(what));
    }
    Ok(json(StatusCode::OK, &app.subscriptions.get()?.claim(id, worker).await?))
}

fn report(token: Option<String>, body: &[u8]) -> Result<Report, Refused> {
    let token = token.ok_or_else(Refused::no_token)?;
    let Done { wake_id, generation, acks, done } = parse(body)?;
    let acks = acks.into_iter().map(|Acked { stream, offset }| Ack { stream, offset }).collect();
    Ok(Report { token, wake_id, generation, acks, done })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    object(body)
        .map_err(|error| Refused::invalid(format!("the body cannot be understood: {error}")))
}

/// The token of the header `Authorization`.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// Where the caller has reached this server. Workers are told to come there, too, unless
/// `--public-url` says better.
fn origin(headers: &HeaderMap, uri: &Uri, app: &App) -> Result<String, Refused> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(Authority::as_str));
    match host.map(str::parse::<Authority>) {
        Some(Ok(host)) if !host.as_str().contains('@') => Ok(format!("{}://{host}", app.scheme)),
        Some(_) => Err(Refused::invalid("the header Host cannot be understood".into())),
        None => Ok(format!("{}://{}", app.scheme, app.address)),
    }
}

async fn collect(body: &mut Body) -> Result<Bytes, Refused> {
    let wait = Duration::from_millis(SUBSCRIPTION_BODY_WAIT_MS_MAX);
    let read = Limited::new(body, SUBSCRIPTION_BODY_BYTES_MAX).collect();
    let collected = tokio::time::timeout(wait, read).await.map_err(|_| Refused::too_slow())?;
    let collected = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Refused::too_large();
        }
        Refused::invalid("the body broke off".into())
    })?;
    Ok(collected.to_bytes())
}

fn json(status: StatusCode, document: &impl Serialize) -> Response {
    let body = serde_json::to_vec(document).unwrap_or_default();
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
