//! Requests that another node has to answer. They go there as they are, with what they show of who
//! asks, and that node looks at all of it itself: it need not believe whoever can write into the shared
//! log. This node looks before, too, so that nobody fills that log who may not ask at all.

use super::{
    App, Routes,
    problem::{Problem, adopt},
};
use crate::cluster::Forward;
use axum::{
    body::Body,
    extract::OptionalFromRequestParts,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header,
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{convert::Infallible, sync::Arc};

/// A request has come from another node: it is answered here or nowhere.
#[derive(Clone, Copy)]
pub(super) struct Forwarded;

impl OptionalFromRequestParts<App> for Forwarded {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().copied())
    }
}

#[derive(Serialize, Deserialize)]
struct Asked {
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct Answered {
    status: u16,
    headers: Vec<(String, String)>,
}

/// What of a message is about its connection.
const OF_A_CONNECTION: &[HeaderName] = &[
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::TE,
    header::TRAILER,
];

/// What is not plain text means nothing to any handler.
fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let passed = headers.iter().filter(|(name, _)| !OF_A_CONNECTION.contains(name));
    passed
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into())))
        .collect()
}

fn headers(texts: Vec<(String, String)>) -> Option<HeaderMap> {
    let parse = |(name, value): (String, String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    texts.into_iter().map(parse).collect()
}

/// A head of one line, and a body.
fn join(head: &impl Serialize, body: &[u8]) -> Bytes {
    let head = serde_json::to_vec(head).unwrap_or_default();
    let mut words = BytesMut::with_capacity(head.len() + 1 + body.len());
    words.put_slice(&head);
    words.put_u8(b'\n');
    words.put_slice(body);
    words.freeze()
}

fn split<T: DeserializeOwned>(mut words: Bytes) -> Option<(T, Bytes)> {
    let end = words.iter().position(|byte| *byte == b'\n')?;
    let head = serde_json::from_slice(&words.split_to(end)).ok()?;
    Some((head, words.slice(1..)))
}

impl App {
    /// Who passes on what has to be answered elsewhere; `None` when that is here.
    pub(super) fn elsewhere(&self, forwarded: Option<Forwarded>) -> Option<&Arc<Forward>> {
        let is_here = forwarded.is_some() || self.subscriptions.here().is_some();
        self.forward.as_ref().filter(|_| !is_here)
    }
}

/// Lets another node answer a request.
pub(super) async fn forward(
    to: &Forward,
    (method, uri, headers): (&Method, &Uri, &HeaderMap),
    body: &[u8],
) -> Result<Response, Problem> {
    let (method, uri) = (method.to_string(), uri.to_string());
    let asked = Asked { method, uri, headers: texts(headers) };
    let answer = to.ask(join(&asked, body)).await;
    let parsed = answer.ok().and_then(response);
    parsed.ok_or_else(|| {
        let detail = "the node that works on subscriptions has not answered; it may have done what was \
                      asked";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "subscriptions_unavailable", detail)
    })
}

fn response(answer: Bytes) -> Option<Response> {
    let (Answered { status, headers: texts }, body) = split(answer)?;
    let mut response = (StatusCode::from_u16(status).ok()?, body.clone()).into_response();
    *response.headers_mut() = headers(texts)?;
    adopt(&mut response, &body);
    Some(response)
}

/// Answers what another node has passed on.
pub(super) async fn answer(routes: &Routes, words: Bytes) -> Bytes {
    let response = match request(words) {
        Some(request) => routes.answer(request).await,
        None => Problem::bad_request("bad_request", "another node speaks in another way")
            .into_response(),
    };
    // The node that passes this on has only its words, and nobody's words become names of numbers.
    routes.app.traffic.refused(&response);
    let (parts, body) = response.into_parts();
    let head = Answered { status: parts.status.as_u16(), headers: texts(&parts.headers) };
    // Bodies of these answers are whole from the beginning.
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    join(&head, &body)
}

fn request(words: Bytes) -> Option<Request<Body>> {
    let (Asked { method, uri, headers: texts }, body) = split(words)?;
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method.parse().ok()?;
    *request.uri_mut() = uri.parse().ok()?;
    *request.headers_mut() = headers(texts)?;
    request.extensions_mut().insert(Forwarded);
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_as_it_was() {
        let mut sent = HeaderMap::new();
        sent.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"));
        sent.insert(header::HOST, HeaderValue::from_static("streams.test"));
        sent.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let uri = "/v1/stream/__ds/subscriptions/a%2Fb?x=%0A".to_owned();
        let asked = Asked { method: "PUT".into(), uri, headers: texts(&sent) };
        let request = request(join(&asked, b"{\n}")).expect("a request");
        assert_eq!(request.method(), Method::PUT);
        assert_eq!(request.uri(), "/v1/stream/__ds/subscriptions/a%2Fb?x=%0A");
        assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer a.b.c");
        assert!(!request.headers().contains_key(header::CONNECTION));
        assert!(request.extensions().get::<Forwarded>().is_some());
        assert!(response(Bytes::from_static(b"nonsense")).is_none());
    }
}
