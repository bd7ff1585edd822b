//! The headers of the protocol, parsed into types.

use super::super::problem::{PRODUCER_EXPECTED_SEQ, PRODUCER_RECEIVED_SEQ, Problem};
use crate::{
    limits::{PROTOCOL_NUMBER_MAX, WRITER_TEXT_BYTES_MAX},
    model::{ForkPoint, Lifetime, Stamp, Writer, is_writer_text},
    stream::ForkRequest,
};
use axum::http::{HeaderMap, HeaderName};
use jiff::Timestamp;

pub(super) const STREAM_TTL: HeaderName = HeaderName::from_static("stream-ttl");
pub(super) const STREAM_EXPIRES_AT: HeaderName = HeaderName::from_static("stream-expires-at");
pub(super) const STREAM_UP_TO_DATE: HeaderName = HeaderName::from_static("stream-up-to-date");
pub(super) const STREAM_CURSOR: HeaderName = HeaderName::from_static("stream-cursor");
pub(super) const STREAM_SSE_DATA_ENCODING: HeaderName =
    HeaderName::from_static("stream-sse-data-encoding");
pub(super) const PRODUCER_SEQ: HeaderName = HeaderName::from_static("producer-seq");

/// What a page of another origin may see of an answer, beside what all answers have.
pub(in crate::http) const EXPOSED: [HeaderName; 8] = [
    STREAM_TTL,
    STREAM_EXPIRES_AT,
    STREAM_UP_TO_DATE,
    STREAM_CURSOR,
    STREAM_SSE_DATA_ENCODING,
    PRODUCER_SEQ,
    PRODUCER_EXPECTED_SEQ,
    PRODUCER_RECEIVED_SEQ,
];

const STREAM_CLOSED: &str = "stream-closed";
const STREAM_SEQ: &str = "stream-seq";
const FORKED_FROM: &str = "stream-forked-from";
const FORK_OFFSET: &str = "stream-fork-offset";
const FORK_SUB_OFFSET: &str = "stream-fork-sub-offset";
const PRODUCER: [&str; 3] = ["producer-id", "producer-epoch", "producer-seq"];

/// The text of a header; `None` where it is missing. Of two, nobody knows which is meant.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(bad(name, "is given twice"));
    }
    let text = std::str::from_utf8(value.as_bytes());
    text.map(Some).map_err(|_| bad(name, "is not UTF-8"))
}

fn bad(name: &str, what: &str) -> Problem {
    Problem::bad_request("bad_header", format!("{name} {what}"))
}

/// A number in its one plain notation.
fn number(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| *number <= PROTOCOL_NUMBER_MAX);
    number.filter(|_| plain && digits)
}

fn required_number(name: &str, text: &str) -> Result<u64, Problem> {
    number(text).ok_or_else(|| {
        bad(name, "must be a whole number from 0 to 2^53 - 1, without sign or leading zeros")
    })
}

/// Whether the request closes the stream. Anything but `true` is as if it were not there.
pub(super) fn closes(headers: &HeaderMap) -> bool {
    headers.get(STREAM_CLOSED).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

/// Who writes.
pub(super) fn writer(headers: &HeaderMap) -> Result<Writer, Problem> {
    let seq = text(headers, STREAM_SEQ)?;
    if seq.is_some_and(|seq| !is_writer_text(seq)) {
        return Err(bad(STREAM_SEQ, &format!("may have at most {WRITER_TEXT_BYTES_MAX} bytes")));
    }
    Ok(Writer { stamp: stamp(headers)?, seq: seq.map(Into::into) })
}

fn stamp(headers: &HeaderMap) -> Result<Option<Stamp>, Problem> {
    let [id, epoch, seq] = PRODUCER;
    match (text(headers, id)?, text(headers, epoch)?, text(headers, seq)?) {
        (None, None, None) => Ok(None),
        (Some(producer), Some(epoch_text), Some(seq_text)) => {
            if producer.is_empty() || !is_writer_text(producer) {
                let what = format!("must have 1 to {WRITER_TEXT_BYTES_MAX} bytes");
                return Err(bad(id, &what));
            }
            Ok(Some(Stamp {
                producer: producer.into(),
                epoch: required_number(epoch, epoch_text)?,
                seq: required_number(seq, seq_text)?,
            }))
        }
        _ => Err(bad(id, "goes only together with producer-epoch and producer-seq")),
    }
}

/// When the new stream goes away by itself; `None` when nothing is said of it.
pub(super) fn lifetime(headers: &HeaderMap) -> Result<Option<Lifetime>, Problem> {
    match (text(headers, "stream-ttl")?, text(headers, "stream-expires-at")?) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(bad("stream-ttl", "does not go together with stream-expires-at")),
        (Some(secs), None) => {
            let secs = required_number("stream-ttl", secs)?;
            Ok(Some(Lifetime::Idle { secs }))
        }
        (None, Some(at)) => {
            let at: Result<Timestamp, _> = at.parse();
            let ms = at.ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
            let ms = ms.ok_or_else(|| {
                bad("stream-expires-at", "must be a time as 2030-01-31T12:00:00Z (RFC 3339)")
            })?;
            Ok(Some(Lifetime::Until { ms }))
        }
    }
}

/// A time as `Stream-Expires-At` has it.
pub(in crate::http) fn expires_at(ms: u64) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.unwrap_or(Timestamp::MAX).to_string()
}

/// What the new stream branches off from.
pub(super) fn fork(headers: &HeaderMap) -> Result<Option<ForkRequest>, Problem> {
    let anchor = text(headers, FORK_OFFSET)?;
    let beyond = text(headers, FORK_SUB_OFFSET)?;
    let Some(source) = text(headers, FORKED_FROM)? else {
        return match (anchor, beyond) {
            (None, None) => Ok(None),
            _ => Err(bad(FORKED_FROM, "must say which stream to branch off from")),
        };
    };
    let path = source.split('?').next().unwrap_or_default();
    if !path.starts_with(super::ROOT) {
        let what = format!("must be the path of a stream on this server: {}name", super::ROOT);
        return Err(bad(FORKED_FROM, &what));
    }
    let anchor = anchor.map(str::parse).transpose();
    let anchor = anchor.map_err(|error: crate::model::InvalidOffset| {
        Problem::bad_request("bad_fork_offset", error.to_string())
    })?;
    let beyond = beyond.map(|beyond| required_number(FORK_SUB_OFFSET, beyond)).transpose()?;
    let point = ForkPoint { anchor, beyond: beyond.unwrap_or(0) };
    Ok(Some(ForkRequest { source: super::stream_name(path)?, point }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let parse = |value: &str| value.parse().expect("a value");
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), parse(value))).collect()
    }

    #[test]
    fn numbers_have_one_notation() {
        for (text, want) in
            [("0", Some(0)), ("60", Some(60)), ("9007199254740991", Some(PROTOCOL_NUMBER_MAX))]
        {
            assert_eq!(number(text), want, "{text}");
        }
        for bad in ["", "+1", "-1", "01", "00", "1.0", "1e3", "1abc", " 1", "9007199254740992"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_true_closes() {
        for (value, want) in
            [("true", true), ("TRUE", true), ("false", false), ("1", false), ("", false)]
        {
            assert_eq!(closes(&headers(&[(STREAM_CLOSED, value)])), want, "{value}");
        }
    }

    #[test]
    fn a_producer_says_all_or_nothing() {
        let [id, epoch, seq] = PRODUCER;
        assert_eq!(stamp(&headers(&[])).expect("valid"), None);
        let whole = headers(&[(id, "p"), (epoch, "0"), (seq, "7")]);
        let want = Stamp { producer: "p".into(), epoch: 0, seq: 7 };
        assert_eq!(stamp(&whole).expect("valid"), Some(want));
        assert!(stamp(&headers(&[(id, "p"), (seq, "7")])).is_err());
        assert!(stamp(&headers(&[(id, ""), (epoch, "0"), (seq, "7")])).is_err());
        assert!(stamp(&headers(&[(id, "p"), (epoch, "0"), (seq, "1e3")])).is_err());
    }

    #[test]
    fn lifetimes() {
        let ttl = |value: &str| lifetime(&headers(&[("stream-ttl", value)])).ok().flatten();
        assert_eq!(ttl("3600"), Some(Lifetime::Idle { secs: 3600 }));
        assert_eq!(ttl("060"), None);
        let at = |value: &str| lifetime(&headers(&[("stream-expires-at", value)])).ok().flatten();
        let ms = 1_893_456_000_123;
        assert_eq!(at("2030-01-01T00:00:00.123Z"), Some(Lifetime::Until { ms }));
        assert_eq!(at("2030-01-01T01:00:00.123+01:00"), Some(Lifetime::Until { ms }));
        let told = expires_at(ms);
        assert_eq!(at(&told), Some(Lifetime::Until { ms }));
        assert_eq!(at("tomorrow"), None);
        assert_eq!(at("1930-01-01T00:00:00Z"), None);
        let both = [("stream-ttl", "1"), ("stream-expires-at", "2030-01-01T00:00:00Z")];
        assert!(lifetime(&headers(&both)).is_err());
        let twice = [("stream-ttl", "1"), ("stream-ttl", "2")];
        assert!(lifetime(&headers(&twice)).is_err());
    }

    #[test]
    fn forks_name_a_path_of_this_server() {
        let zero = "0000000000000000_0000000000000000";
        let asked = |pairs: &[_]| fork(&headers(pairs)).ok().flatten();
        let from = (FORKED_FROM, "/v1/stream/a/b");
        let point =
            asked(&[from, (FORK_OFFSET, zero), (FORK_SUB_OFFSET, "3")]).expect("a fork").point;
        assert_eq!(point, ForkPoint { anchor: Some(crate::model::Offset::ZERO), beyond: 3 });
        let plain = asked(&[from]).expect("a fork");
        assert_eq!(plain.source.as_str(), "a/b");
        assert_eq!(asked(&[from, (FORK_SUB_OFFSET, "0")]), Some(plain));
        for bad in [
            &[(FORK_SUB_OFFSET, "0")][..],
            &[(FORKED_FROM, "a")],
            &[from, (FORK_OFFSET, "-1")],
            &[from, (FORK_SUB_OFFSET, "05")],
        ] {
            assert!(fork(&headers(bad)).is_err(), "{bad:?}");
        }
    }
}
