//! `GET /v1/nodes`: who serves, as far as this node knows.

use super::{
    App,
    problem::{Problem, json_line},
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

#[derive(Serialize)]
struct Answer {
    nodes: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    id: u32,
    address: String,
    #[serde(rename = "self")]
    is_self: bool,
    /// Nodes know this and the next of themselves only.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_secs: Option<u64>,
}

/// This node first, then those that it has heard of in the last seconds.
pub(super) async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    app.auth.bearer(&headers).await?;
    let own = Line {
        id: app.start,
        address: app.address.to_string(),
        is_self: true,
        version: Some(crate::VERSION),
        uptime_secs: Some(app.streams.stats().uptime().as_secs()),
    };
    let mut others = app.nodes.as_ref().map(|nodes| nodes.alive()).unwrap_or_default();
    others.retain(|node| node.start != app.start);
    others.sort_by_key(|node| node.start);
    let others = others.into_iter().map(|node| Line {
        id: node.start,
        address: node.info,
        is_self: false,
        version: None,
        uptime_secs: None,
    });
    let nodes = std::iter::once(own).chain(others).collect();
    let mut response = json_line(&Answer { nodes }).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
