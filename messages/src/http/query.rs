//! The parameters of `/`, parsed into types. What is not known is refused, so that a misspelt
//! parameter is not silently without effect.

use super::{credentials, problem::Problem, protocol};
use crate::{
    limits::{PRODUCTION_FREQ_MAX, PRODUCTION_LINES_MAX},
    model::{Expected, StreamName},
};
use axum::http::Uri;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

const FREQ_DEFAULT: u32 = 20;
const LINES_DEFAULT: u64 = 50;

/// Parameters of `POST /`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StartQuery {
    pub freq: u32,
    pub lines: u64,
}

/// Parameters of `GET /`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReadQuery {
    pub name: StreamName,
    /// Where to begin.
    pub position: u64,
}

/// Parameters of `PUT /`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UploadQuery {
    pub name: StreamName,
    pub close: Close,
    pub at: Option<Expected>,
}

/// When an upload closes its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// At the end of the body; a producer that breaks off may go on.
    AtEnd,
    /// Never: others add to it.
    Never,
    /// At the end of the body, and also when the producer breaks off or the server dies.
    Always,
}

/// The values of the `known` parameters, decoded. Each may be given once, and no others but those
/// of access control.
pub(super) fn parameters<'a, const N: usize>(
    uri: &'a Uri,
    known: [&str; N],
) -> Result<[Option<Cow<'a, str>>; N], Problem> {
    let mut values = [const { None }; N];
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if credentials::PARAMETERS.contains(&key) {
            continue;
        }
        let refuse = |what: &str| {
            let detail = format!("parameter {key}: {what}; known here: {}", known.join(", "));
            Problem::bad_request("bad_parameter", detail)
        };
        let index = known.iter().position(|known| *known == key);
        let slot = &mut values[index.ok_or_else(|| refuse("unknown"))?];
        let value = decode(value).ok_or_else(|| refuse("not percent-encoded UTF-8"))?;
        if slot.replace(value).is_some() {
            return Err(refuse("given twice"));
        }
    }
    Ok(values)
}

/// As forms are encoded: percent signs, and a plus for a space.
fn decode(value: &str) -> Option<Cow<'_, str>> {
    if !is_encoded(value) {
        return None;
    }
    if value.contains('+') {
        let spaced = value.replace('+', " ");
        return percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned().into());
    }
    percent_decode_str(value).decode_utf8().ok()
}

/// Whether two digits follow every `%`. What decodes it would let anything else pass as it is.
fn is_encoded(value: &str) -> bool {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    value.split('%').skip(1).all(|rest| {
        let mut bytes = rest.as_bytes().iter();
        is_digit(bytes.next()) && is_digit(bytes.next())
    })
}

pub(super) fn name(text: &str) -> Result<StreamName, Problem> {
    text.parse().map_err(|error: crate::model::InvalidName| {
        Problem::bad_request("bad_id", error.to_string())
    })
}

/// The stream that a URL reads, `/?id=NAME` or `/v1/stream/NAME`, alone or behind a host.
pub(super) fn stream_of(url: &str) -> Result<StreamName, Problem> {
    let bad = |why: &str| {
        let detail = format!("url: {why}; it must read a stream, as /?id=NAME or /v1/stream/NAME");
        Problem::bad_request("bad_parameter", detail)
    };
    let uri: Uri = url.parse().map_err(|_| bad("not a URL"))?;
    match uri.path() {
        "/" => Ok(ReadQuery::parse(&uri)?.name),
        path if path.starts_with(protocol::ROOT) => protocol::stream_name(path),
        _ => Err(bad("no stream is there")),
    }
}

/// As the server would read it: the stream of a URL, or what is wrong with it.
///
/// # Errors
/// It reads no stream.
pub fn stream_of_url(url: &str) -> Result<StreamName, String> {
    stream_of(url).map_err(|problem| problem.detail().to_owned())
}

fn required_name(text: Option<Cow<'_, str>>) -> Result<StreamName, Problem> {
    let text = text.ok_or_else(|| {
        Problem::bad_request(
            "missing_id",
            "which stream? Name it with ?id=, or start one with POST",
        )
    })?;
    name(&text)
}

fn offset(text: Option<Cow<'_, str>>) -> Result<Option<Expected>, Problem> {
    let parse = |text: Cow<'_, str>| {
        text.parse().map_err(|error: crate::model::InvalidOffset| {
            Problem::bad_request("bad_offset", format!("offset={text}: {error}"))
        })
    };
    text.map(parse).transpose()
}

/// A whole number from 1 to `max`.
pub(super) fn number(
    name: &str,
    text: Option<Cow<'_, str>>,
    default: u64,
    max: u64,
) -> Result<u64, Problem> {
    let Some(text) = text else { return Ok(default) };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value| is_number && (1..=max).contains(value));
    value.ok_or_else(|| {
        let detail = format!("{name}={text}: must be a whole number from 1 to {max}");
        Problem::bad_request("bad_parameter", detail)
    })
}

impl StartQuery {
    pub fn parse(uri: &Uri) -> Result<Self, Problem> {
        let [freq, max] = parameters(uri, ["freq", "max"])?;
        let freq = number("freq", freq, FREQ_DEFAULT.into(), PRODUCTION_FREQ_MAX.into())?;
        let lines = number("max", max, LINES_DEFAULT, PRODUCTION_LINES_MAX)?;
        Ok(Self { freq: freq as u32, lines })
    }
}

impl ReadQuery {
    pub fn parse(uri: &Uri) -> Result<Self, Problem> {
        let [id, at] = parameters(uri, ["id", "offset"])?;
        let position = offset(at)?.map_or(0, Expected::bytes);
        Ok(Self { name: required_name(id)?, position })
    }
}

impl UploadQuery {
    pub fn parse(uri: &Uri) -> Result<Self, Problem> {
        let [id, close, at] = parameters(uri, ["id", "close", "offset"])?;
        let close = match close.as_deref() {
            None | Some("true") => Close::AtEnd,
            Some("false") => Close::Never,
            Some("always") => Close::Always,
            Some(other) => {
                let detail = format!("close={other}: must be true, false or always");
                return Err(Problem::bad_request("bad_parameter", detail));
            }
        };
        Ok(Self { name: required_name(id)?, close, at: offset(at)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(query: &str) -> Uri {
        format!("/?{query}").parse().expect("a URI")
    }

    #[test]
    fn defaults_and_ranges() {
        assert_eq!(StartQuery::parse(&uri("")).expect("valid"), StartQuery { freq: 20, lines: 50 });
        let read = ReadQuery::parse(&uri("id=a%20b&offset=7")).expect("valid");
        assert_eq!((read.name.as_str(), read.position), ("a b", 7));
        let plus = ReadQuery::parse(&uri("id=a+%2B&")).expect("valid");
        assert_eq!(plus.name.as_str(), "a +");
        let upload = UploadQuery::parse(&uri("id=x&close=always")).expect("valid");
        assert_eq!((upload.close, upload.at), (Close::Always, None));
    }

    #[test]
    fn a_url_tells_its_stream() {
        for url in [
            "/?id=a%2Fb+c",
            "http://host:1/?offset=5&id=a/b%20c",
            "/v1/stream/a/b%20c?live=sse",
            "https://host/v1/stream/a%2Fb%20c",
        ] {
            assert_eq!(stream_of(url).expect("a stream").as_str(), "a/b c", "{url}");
        }
        for url in ["", "/", "/other?id=a", "/v1/stream/", "/v1/stream/%FF", "host"] {
            assert!(stream_of_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_named() {
        let says = |problem: Problem, words: &str| {
            let text = format!("{problem:?}");
            assert!(text.contains(words), "{text} does not say {words}");
        };
        says(StartQuery::parse(&uri("freq=0")).expect_err("out of range"), "from 1 to 1000");
        says(StartQuery::parse(&uri("freq=+5")).expect_err("a sign"), "freq");
        says(StartQuery::parse(&uri("max=many")).expect_err("no number"), "from 1 to 1000000");
        says(
            StartQuery::parse(&uri("frequency=1")).expect_err("unknown"),
            "parameter frequency: unknown; known here: freq, max",
        );
        says(ReadQuery::parse(&uri("id=a&id=b")).expect_err("twice"), "parameter id: given twice");
        says(ReadQuery::parse(&uri("id=%ff")).expect_err("no text"), "not percent-encoded UTF-8");
        says(ReadQuery::parse(&uri("")).expect_err("none"), "missing_id");
        says(ReadQuery::parse(&uri("id=")).expect_err("empty"), "bad_id");
        says(ReadQuery::parse(&uri("id=a&offset=-1")).expect_err("a sign"), "bad_offset");
        says(
            UploadQuery::parse(&uri("id=a&close=no")).expect_err("unknown"),
            "true, false or always",
        );
    }
}
