//! What a span says of a request, in the words of OpenTelemetry (semantic conventions for HTTP). As in
//! the log of requests, the path is in it and its query never: there are tokens in queries.

use super::{problem::Code, request_id::REQUEST_ID, traffic::Kind};
use crate::traces::{Traces, Work};
use axum::{
    body::Body,
    http::{Method, Request, Version},
    response::Response,
};

/// Paths that are routes as they are.
const ROUTES: [&str; 8] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/streams",
    "/v1/nodes",
    "/v1/auth/ticket",
    "/v1/auth/sign",
];

/// The span of a request, if it is one that is looked at.
pub(super) fn begin(traces: &Traces, kind: Kind, request: &Request<Body>) -> Option<Work> {
    let path = request.uri().path();
    let (method, route) = (method(request.method()), route(kind, path));
    let verb = if method == "_OTHER" { "HTTP" } else { method };
    let name = [verb, " ", route.unwrap_or_default()];
    let parts = if route.is_some() { 3 } else { 1 };
    let mut span = traces.request(&name[..parts], request.headers())?;
    span.tell("http.request.method", method);
    span.tell("url.path", path);
    span.tell("network.protocol.version", version(request.version()));
    if let Some(route) = route {
        span.tell("http.route", route);
    }
    Some(span)
}

/// The head of the answer is there: what a live reader gets from then on is not part of the span.
pub(super) fn answered(mut span: Work, response: &Response) {
    let status = response.status();
    span.tell("http.response.status_code", u64::from(status.as_u16()));
    if let Some(id) = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()) {
        span.tell("messages.request_id", id);
    }
    let code = response.extensions().get().map(|Code(code)| *code);
    match code {
        Some(code) if status.is_server_error() => span.failed(code),
        Some(code) => span.tell("error.type", code),
        None if status.is_server_error() => span.failed("_OTHER"),
        None => {}
    }
}

/// Whatever a client makes up is no method.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        _ => "_OTHER",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

/// What the path is a case of. There are few of them, whatever names are chosen.
fn route(kind: Kind, path: &str) -> Option<&'static str> {
    match kind {
        Kind::Append | Kind::Read | Kind::Create | Kind::Head | Kind::Delete => {
            Some("/v1/stream/{*name}")
        }
        Kind::Subscriptions => Some("/v1/stream/__ds/{*rest}"),
        Kind::Socket => Some("/ws"),
        Kind::Chat => match path.split('/').nth(1)? {
            "conversations" if path.len() > "/conversations/".len() => {
                Some("/conversations/{*rest}")
            }
            "conversations" => Some("/conversations"),
            "messages" => Some("/messages/{*rest}"),
            "inbox" => Some("/inbox/{*rest}"),
            "search" => Some("/search"),
            _ => Some("/unread"),
        },
        Kind::Plain | Kind::Operation => ROUTES.into_iter().find(|route| *route == path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_few_routes() {
        for (path, expected) in [
            ("/v1/stream/a/b", Some("/v1/stream/{*name}")),
            ("/v1/stream/__ds/subscriptions/x", Some("/v1/stream/__ds/{*rest}")),
            ("/", Some("/")),
            ("/metrics", Some("/metrics")),
            ("/conversations", Some("/conversations")),
            ("/conversations/a/messages", Some("/conversations/{*rest}")),
            ("/ws/", Some("/ws")),
            ("/whatever", None),
        ] {
            assert_eq!(route(Kind::of(&Method::GET, path), path), expected, "{path}");
        }
        assert_eq!(method(&Method::from_bytes(b"SECRET").expect("a method")), "_OTHER");
    }
}
