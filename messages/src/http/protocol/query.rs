//! The parameters of a read. Others are ignored, as the protocol wants it.

use super::super::problem::Problem;
use crate::{limits::PROTOCOL_NUMBER_MAX, model::Offset};
use axum::http::Uri;
use percent_encoding::percent_decode_str;

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Start {
    Beginning,
    At(Offset),
    Now,
}

/// How a reader wants to get what is not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Live {
    LongPoll,
    Sse,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub start: Option<Start>,
    pub live: Option<Live>,
    pub cursor: Option<u64>,
}

impl Query {
    pub fn parse(uri: &Uri) -> Result<Self, Problem> {
        let mut query = Self { start: None, live: None, cursor: None };
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        for pair in pairs {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "offset" => {
                    let before = query.start.replace(start(value)?);
                    before.map_or(Ok(()), |_| Err(bad_offset("is given twice")))?;
                }
                "live" => {
                    let before = query.live.replace(live(value)?);
                    before.map_or(Ok(()), |_| Err(bad_live("is given twice")))?;
                }
                "cursor" => query.cursor = cursor(value)?,
                _ => {}
            }
        }
        if query.live.is_some() && query.start.is_none() {
            return Err(bad_offset(
                "must be given with live=, for example offset=-1 or offset=now",
            ));
        }
        Ok(query)
    }
}

fn bad_offset(what: &str) -> Problem {
    Problem::bad_request("bad_offset", format!("parameter offset: {what}"))
}

fn start(value: &str) -> Result<Start, Problem> {
    let text = percent_decode_str(value).decode_utf8_lossy();
    parse_start(&text).ok_or_else(|| {
        bad_offset(
            "must be -1 for the beginning, now for the end, or what a Stream-Next-Offset said",
        )
    })
}

/// An offset as clients send it.
pub(in crate::http) fn parse_start(text: &str) -> Option<Start> {
    match text {
        "-1" => Some(Start::Beginning),
        "now" => Some(Start::Now),
        text => text.parse().ok().map(Start::At),
    }
}

fn live(value: &str) -> Result<Live, Problem> {
    match value {
        "long-poll" => Ok(Live::LongPoll),
        "sse" => Ok(Live::Sse),
        _ => Err(bad_live("must be long-poll or sse; leave it out to catch up")),
    }
}

fn bad_live(what: &str) -> Problem {
    Problem::bad_request("bad_parameter", format!("parameter live: {what}"))
}

/// What is no cursor of ours is as none.
fn cursor(value: &str) -> Result<Option<u64>, Problem> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let cursor = if digits { value.parse().ok() } else { None };
    Ok(cursor.filter(|cursor| *cursor <= PROTOCOL_NUMBER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Query, Problem> {
        Query::parse(&format!("/v1/stream/x?{query}").parse().expect("a URI"))
    }

    #[test]
    fn parameters_are_parsed_and_others_ignored() {
        let query = parse("foo=1&offset=-1&live=sse&cursor=12&foo=2").expect("valid");
        let want = Query { start: Some(Start::Beginning), live: Some(Live::Sse), cursor: Some(12) };
        assert_eq!(query, want);
        let at = Offset { records: 1, bytes: 5 };
        assert_eq!(parse(&format!("offset={at}")).expect("valid").start, Some(Start::At(at)));
        assert_eq!(parse("").expect("valid").start, None);
    }

    #[test]
    fn bad_ones_are_refused() {
        for bad in [
            "offset=",
            "offset=0",
            "offset=0,1",
            "offset=-1&offset=-1",
            "offset=%20-1",
            "offset=now%0A",
            "offset=0+1",
            "live=sse",
            "live=other&offset=-1",
            "offset=-1&live=sse&live=long-poll",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
