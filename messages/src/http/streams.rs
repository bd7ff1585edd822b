//! `GET /v1/streams`: the streams that somebody may read, page by page.

use super::{
    App,
    problem::{Problem, json_line},
    protocol::expires_at,
    query::{number, parameters},
};
use crate::{
    auth::{Access, Principal},
    limits::{BROWSE_STREAMS_DEFAULT, BROWSE_STREAMS_MAX, STREAM_NAME_BYTES_MAX},
    model::Lifetime,
    stream::{Page, Shown, Sight},
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::Serialize;

#[derive(Serialize)]
struct Answer {
    streams: Vec<Line>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    content_type: String,
    closed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_reason: Option<&'static str>,
    records: u64,
    bytes: u64,
    tail: String,
    stored: String,
    created: Option<String>,
    readers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forked_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fork_offset: Option<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let principal = app.auth.bearer(&headers).await?;
    let [prefix, after, limit] = parameters(&uri, ["prefix", "after", "limit"])?;
    let limit = number("limit", limit, BROWSE_STREAMS_DEFAULT, BROWSE_STREAMS_MAX)?;
    let prefix = name_part("prefix", prefix.as_deref().unwrap_or_default())?;
    let after = after.as_deref().map(|after| name_part("after", after)).transpose()?;
    let sight = Sight {
        prefixes: &within(principal.readable_prefixes(), prefix),
        after: after.map(Into::into),
        limit: limit as usize,
        wanted: &|name| name.in_chat().is_none() && principal.check(Access::Read, name).is_ok(),
    };
    let Page { streams, next } = app.streams.browse(sight).await?;
    principal.check_time()?;
    let streams = streams.into_iter().map(|shown| line(shown, &principal)).collect();
    let mut response = json_line(&Answer { streams, next }).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The beginning of a name, or all of it.
fn name_part<'a>(parameter: &str, text: &'a str) -> Result<&'a str, Problem> {
    if text.len() > STREAM_NAME_BYTES_MAX || text.chars().any(char::is_control) {
        let detail = format!(
            "parameter {parameter}: names have at most {STREAM_NAME_BYTES_MAX} bytes and no control characters"
        );
        return Err(Problem::bad_request("bad_parameter", detail));
    }
    Ok(text)
}

/// Where names begin both with one of `readable` and with `prefix`.
fn within(readable: Vec<String>, prefix: &str) -> Vec<String> {
    if readable.iter().any(|readable| prefix.starts_with(readable)) {
        return vec![prefix.into()];
    }
    readable.into_iter().filter(|readable| readable.starts_with(prefix)).collect()
}

fn line(shown: Shown, principal: &Principal) -> Line {
    let Shown { name, content_type, status, stored, readers, lifetime, fork, created } = shown;
    // The name of the source is for those who may read that, too.
    let fork = fork.filter(|(source, _)| principal.check(Access::Read, source).is_ok());
    let (ttl, expires) = match lifetime {
        Lifetime::Unlimited => (None, None),
        Lifetime::Idle { secs } => (Some(secs), None),
        Lifetime::Until { ms } => (None, Some(expires_at(ms))),
    };
    Line {
        name: name.to_string(),
        content_type: content_type.to_string(),
        closed: status.closed.is_some(),
        closed_reason: status.closed.map(|reason| reason.as_str()),
        records: status.tail.records,
        bytes: status.tail.bytes,
        tail: status.tail.to_string(),
        stored: stored.to_string(),
        created: created.and_then(|created| time(&created)),
        readers,
        ttl,
        expires_at: expires,
        fork_offset: fork.as_ref().map(|(_, at)| at.to_string()),
        forked_from: fork.map(|(source, _)| source.to_string()),
    }
}

/// A time as the databases write it: Postgres with an offset, SQLite in UTC.
fn time(text: &str) -> Option<String> {
    let with_offset = text.parse::<Timestamp>();
    let time = with_offset.or_else(|_| {
        let civil: DateTime = text.parse()?;
        Ok::<_, jiff::Error>(civil.to_zoned(TimeZone::UTC)?.timestamp())
    });
    time.ok().map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_databases() {
        let utc = "2026-11-23T05:36:26Z";
        assert_eq!(time("2026-11-23 05:36:26").as_deref(), Some(utc));
        assert_eq!(time("2026-11-23 06:36:26+01").as_deref(), Some(utc));
        assert_eq!(time("2026-11-23 06:36:26.5+01").as_deref(), Some("2026-11-23T05:36:26.5Z"));
        assert_eq!(time("soon"), None);
    }

    #[test]
    fn one_looks_where_both_agree() {
        let readable = || vec!["a".to_owned(), "b/c".to_owned()];
        assert_eq!(within(readable(), ""), ["a", "b/c"]);
        assert_eq!(within(readable(), "a/x"), ["a/x"]);
        assert_eq!(within(readable(), "b"), ["b/c"]);
        assert!(within(readable(), "c").is_empty());
    }
}
