//! Every error as a problem document (RFC 9457), and the one map from errors of the domain to
//! status and code. The codes are stable; the words are for people and say what to do.

use crate::{
    auth::AuthError,
    limits::RETRY_AFTER_SECS,
    model::Offset,
    quota::{Exceeded, Share},
    stream::StreamError,
};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Where a stream ends.
pub(super) const STREAM_NEXT_OFFSET: HeaderName = HeaderName::from_static("stream-next-offset");

/// Says `true` when nothing comes after that.
pub(super) const STREAM_CLOSED: HeaderName = HeaderName::from_static("stream-closed");

/// Why a stream is closed.
pub(super) const STREAM_CLOSED_REASON: HeaderName = HeaderName::from_static("stream-closed-reason");

/// The session of an idempotent producer.
pub(super) const PRODUCER_EPOCH: HeaderName = HeaderName::from_static("producer-epoch");

/// The append that must come next.
pub(super) const PRODUCER_EXPECTED_SEQ: HeaderName =
    HeaderName::from_static("producer-expected-seq");

/// The append that came.
pub(super) const PRODUCER_RECEIVED_SEQ: HeaderName =
    HeaderName::from_static("producer-received-seq");

/// Of problem documents.
const CONTENT_TYPE: &str = "application/problem+json";

/// An answer that says what went wrong.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    more: Box<More>,
}

/// What only some of the problems tell.
#[derive(Debug, Default)]
struct More {
    /// Where the stream ends, when that helps to go on.
    tail: Option<Offset>,
    closed: Option<&'static str>,
    /// What an idempotent producer has to know.
    producer: Vec<(HeaderName, u64)>,
    /// What would be answered otherwise.
    allow: Option<&'static str>,
    /// How to show who one is.
    challenge: Option<&'static str>,
    retry_after_secs: Option<u64>,
    /// When something is over.
    until: Option<u64>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let retry_after = status == StatusCode::SERVICE_UNAVAILABLE;
        let retry_after_secs = retry_after.then_some(RETRY_AFTER_SECS);
        let more = Box::new(More { retry_after_secs, ..More::default() });
        Self { status, code, detail: detail.into(), more }
    }

    /// With how to show who one is (RFC 9110, 11.6.1).
    pub fn challenge(self, challenge: &'static str) -> Self {
        self.with(|more| more.challenge = Some(challenge))
    }

    /// With the methods that something answers to.
    pub fn allow(self, methods: &'static str) -> Self {
        self.with(|more| more.allow = Some(methods))
    }

    fn with(mut self, tell: impl FnOnce(&mut More)) -> Self {
        tell(&mut self.more);
        self
    }

    /// With the time, in milliseconds since 1970, at which it is over; `None` for never.
    pub fn until(self, until_ms: Option<u64>) -> Self {
        self.with(|more| more.until = until_ms)
    }

    pub fn retry_after(self, secs: u64) -> Self {
        self.with(|more| more.retry_after_secs = Some(secs))
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What went wrong, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// A parameter, header or body that cannot be understood.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub fn not_found() -> Self {
        let detail = "there is nothing here; streams are at /?id=";
        Self::new(StatusCode::NOT_FOUND, "no_such_route", detail)
    }

    pub fn method_not_allowed() -> Self {
        let detail = "this method does nothing here; Allow says which ones do something";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    pub fn foreign_origin() -> Self {
        let detail = "pages of this origin may not use this server; see --cors-origins";
        Self::new(StatusCode::FORBIDDEN, "foreign_origin", detail)
    }

    pub fn foreign_host() -> Self {
        let detail = "without keys this server answers only to names of this machine; tell it another \
                      one with --public-url, or configure keys";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", detail)
    }

    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    pub fn body_timeout(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
    }

    /// The document itself.
    pub fn body(&self) -> String {
        json_line(&self.document())
    }

    fn document(&self) -> Document {
        Document {
            r#type: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            code: self.code.into(),
            detail: self.detail.clone(),
            offset: self.more.tail.map(|tail| tail.to_string()),
            bytes: self.more.tail.map(|tail| tail.bytes),
            until: self.more.until,
            request_id: None,
        }
    }

    /// What of it goes into a frame of a socket.
    pub fn frame(&self) -> ProblemFrame<'_> {
        let more = &self.more;
        let number =
            |name| more.producer.iter().find(|(known, _)| known == name).map(|(_, number)| *number);
        ProblemFrame {
            code: self.code,
            detail: &self.detail,
            status: self.status.as_u16(),
            offset: more.tail.map(|tail| tail.to_string()),
            reason: more.closed,
            epoch: number(PRODUCER_EPOCH),
            expected: number(PRODUCER_EXPECTED_SEQ),
            received: number(PRODUCER_RECEIVED_SEQ),
            retry_after_secs: more.retry_after_secs,
            until: more.until,
        }
    }

    fn producer(self, numbers: impl IntoIterator<Item = (HeaderName, u64)>) -> Self {
        self.with(|more| more.producer = numbers.into_iter().collect())
    }

    /// With the place where the stream ends, so that its producer can go on.
    pub fn at(self, tail: Offset) -> Self {
        self.with(|more| more.tail = Some(tail))
    }

    /// With the place where a reader goes on, unless it names one itself.
    pub fn or_at(self, at: Offset) -> Self {
        let tail = self.more.tail.unwrap_or(at);
        self.at(tail)
    }
}

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        use StatusCode as S;
        let problem = |status, code, advice: &str| {
            let detail =
                if advice.is_empty() { error.to_string() } else { format!("{error}; {advice}") };
            Self::new(status, code, detail)
        };
        match error {
            StreamError::NotFound => {
                problem(S::NOT_FOUND, "stream_not_found", "POST or PUT starts one")
            }
            StreamError::Open => {
                problem(S::CONFLICT, "stream_open", "read it with GET, or choose another id")
            }
            StreamError::Closed { tail, reason } => {
                let problem = problem(S::CONFLICT, "stream_closed", "choose another id");
                problem.at(tail).with(|more| more.closed = Some(reason.as_str()))
            }
            StreamError::Moved { tail } => {
                problem(S::CONFLICT, "offset_mismatch", "go on from the offset given here").at(tail)
            }
            StreamError::TooLong { tail } => {
                problem(S::PAYLOAD_TOO_LARGE, "stream_too_long", "see --stream-bytes-max").at(tail)
            }
            StreamError::Replaced => {
                problem(S::CONFLICT, "stream_replaced", "read it from the beginning again")
            }
            StreamError::Hidden => problem(S::GONE, "stream_deleted", "choose another name"),
            StreamError::Forked => {
                problem(S::CONFLICT, "stream_has_forks", "delete them first, or choose another id")
            }
            StreamError::Differs(_) => {
                problem(S::CONFLICT, "stream_exists", "choose another name, or delete it first")
            }
            StreamError::WrongType => {
                problem(S::CONFLICT, "content_type_mismatch", "HEAD tells which one it has")
            }
            StreamError::Fenced { epoch } => {
                problem(S::FORBIDDEN, "producer_fenced", "").producer([(PRODUCER_EPOCH, epoch)])
            }
            StreamError::NotFirst => problem(S::BAD_REQUEST, "producer_session_not_begun", ""),
            StreamError::Gap { expected, received } => {
                problem(S::CONFLICT, "producer_gap", "send what is missing first").producer([
                    (PRODUCER_EXPECTED_SEQ, expected),
                    (PRODUCER_RECEIVED_SEQ, received),
                ])
            }
            StreamError::TooManyProducers => {
                problem(S::CONFLICT, "too_many_producers", "use fewer producer ids")
            }
            StreamError::NotGreater => problem(S::CONFLICT, "sequence_not_greater", ""),
            StreamError::BadJson => problem(S::BAD_REQUEST, "bad_json", ""),
            StreamError::NoMessages => {
                problem(S::BAD_REQUEST, "no_messages", "append an array with something in it")
            }
            StreamError::TooManyMessages => {
                problem(S::PAYLOAD_TOO_LARGE, "too_many_messages", "append them in several parts")
            }
            StreamError::NoSource => problem(S::NOT_FOUND, "source_not_found", ""),
            StreamError::SourceHidden => problem(S::CONFLICT, "source_deleted", ""),
            StreamError::NoSuchPlace => problem(S::BAD_REQUEST, "bad_fork_offset", ""),
            StreamError::ForkTooDeep => {
                problem(S::CONFLICT, "fork_too_deep", "fork one that is nearer to the first")
            }
            StreamError::BeyondTail { tail } => problem(
                S::RANGE_NOT_SATISFIABLE,
                "offset_beyond_end",
                "read from an earlier offset",
            )
            .at(tail),
            StreamError::InsideMessage => {
                problem(S::BAD_REQUEST, "bad_offset", "read from an offset that this server gave")
            }
            StreamError::Trimmed { low } => {
                problem(S::GONE, "trimmed", "read on from the offset given here").at(low)
            }
            StreamError::AccessEnded => problem(S::FORBIDDEN, "access_ended", ""),
            StreamError::Overloaded => {
                problem(S::SERVICE_UNAVAILABLE, "overloaded", "try again later")
            }
            StreamError::JournalFull => {
                problem(S::SERVICE_UNAVAILABLE, "disk_full", "free some space and try again")
            }
            StreamError::JournalFailed => problem(S::SERVICE_UNAVAILABLE, "journal_failed", ""),
            StreamError::StoreUnavailable => {
                problem(S::SERVICE_UNAVAILABLE, "database_unavailable", "try again later")
            }
            StreamError::LogUnavailable => {
                problem(S::SERVICE_UNAVAILABLE, "redis_unavailable", "try again later")
            }
            StreamError::Damaged => problem(S::INTERNAL_SERVER_ERROR, "stream_damaged", ""),
            StreamError::Stopping => problem(S::SERVICE_UNAVAILABLE, "stopping", "try again later"),
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        use StatusCode as S;
        let problem = |status, code, challenge, advice: &str| {
            let problem = Self::new(status, code, format!("{error}; {advice}"));
            problem.with(|more| more.challenge = challenge)
        };
        // RFC 6750, section 3.
        let missing = Some(r#"Bearer realm="messages""#);
        let invalid = Some(r#"Bearer realm="messages", error="invalid_token""#);
        let scope = Some(r#"Bearer realm="messages", error="insufficient_scope""#);
        match error {
            AuthError::Missing => {
                let advice = "send it as `Authorization: Bearer TOKEN`; `messages token` makes one";
                problem(S::UNAUTHORIZED, "missing_token", missing, advice)
            }
            AuthError::Invalid(_) => {
                problem(S::UNAUTHORIZED, "invalid_token", invalid, "get another one")
            }
            AuthError::Expired => {
                let advice = "get another one and go on where you are";
                problem(S::UNAUTHORIZED, "token_expired", invalid, advice)
            }
            AuthError::LinkExpired => {
                problem(S::UNAUTHORIZED, "url_expired", missing, "ask whoever made it for another")
            }
            AuthError::BadLink => {
                problem(S::UNAUTHORIZED, "invalid_signature", missing, "use it as it was made")
            }
            AuthError::BadTicket => {
                let advice = "every request needs a new one, from POST /v1/auth/ticket";
                problem(S::UNAUTHORIZED, "invalid_ticket", missing, advice)
            }
            AuthError::TokenInUrl => {
                let advice = "send it as `Authorization: Bearer TOKEN`, or get a ticket with POST /v1/auth/ticket";
                problem(S::BAD_REQUEST, "token_in_url", missing, advice)
            }
            AuthError::Forbidden { .. } | AuthError::ForbiddenPattern { .. } => {
                problem(S::FORBIDDEN, "forbidden", scope, "use a token that grants it")
            }
            AuthError::NeedsToken => {
                let advice = "send it as `Authorization: Bearer TOKEN`";
                problem(S::FORBIDDEN, "forbidden", scope, advice)
            }
            AuthError::TooManyTickets => {
                let status = S::TOO_MANY_REQUESTS;
                let problem = problem(status, "too_many_tickets", None, "try again later");
                problem.retry_after(RETRY_AFTER_SECS)
            }
            AuthError::TicketsAway => {
                let advice = "send the token itself, or try again later";
                problem(S::SERVICE_UNAVAILABLE, "redis_unavailable", None, advice)
            }
            AuthError::Random(_) => {
                problem(S::INTERNAL_SERVER_ERROR, "no_randomness", None, "look at the system")
            }
        }
    }
}

impl From<Exceeded> for Problem {
    fn from(exceeded: Exceeded) -> Self {
        let detail = format!("{exceeded}; try again later");
        let problem = |code| Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail);
        let problem = match exceeded.what {
            Share::Requests => problem("too_many_requests"),
            Share::Creations => problem("too_many_creations"),
            Share::Reads => problem("too_many_reads"),
            Share::Messages => problem("too_many_sends"),
        };
        problem.retry_after(exceeded.retry_after_secs)
    }
}

/// The members in the order in which a person reads them. A response that is a problem carries it until it
/// is known what the request is called.
#[derive(Clone, Deserialize, Serialize)]
struct Document {
    r#type: Cow<'static, str>,
    title: Cow<'static, str>,
    status: u16,
    code: Cow<'static, str>,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// Says in the document what the request is called, if `response` is a problem.
pub(super) fn name(response: &mut Response, request_id: &str) {
    let Some(mut document) = response.extensions_mut().remove::<Document>() else { return };
    document.request_id = Some(request_id.to_owned());
    // It was that of the document without.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(json_line(&document));
}

/// A response that another node has made, with `body`, is a problem as one from here is.
pub(super) fn adopt(response: &mut Response, body: &[u8]) {
    if response.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == CONTENT_TYPE)
        && let Ok(document) = serde_json::from_slice::<Document>(body)
    {
        response.extensions_mut().insert(document);
    }
}

/// A problem where there are no headers: all that helps to go on is a member.
#[derive(Serialize)]
pub(super) struct ProblemFrame<'a> {
    code: &'a str,
    detail: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_secs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

/// A JSON document for people with a terminal: on a line of its own.
pub(super) fn json_line(document: &impl Serialize) -> String {
    let mut line = serde_json::to_string(document).unwrap_or_default();
    line.push('\n');
    line
}

/// The code of the problem that a response is, for whoever counts them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code(pub &'static str);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = self.document();
        let Self { status, code, detail, more } = self;
        let More { tail, closed, producer, allow, challenge, retry_after_secs, .. } = *more;
        if status.is_server_error() {
            tracing::debug!(status = status.as_u16(), code, detail, "request refused");
        }
        let mut response = (status, json_line(&document)).into_response();
        response.extensions_mut().insert(Code(code));
        response.extensions_mut().insert(document);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(secs) = retry_after_secs {
            headers.insert(header::RETRY_AFTER, secs.into());
        }
        if let Some(methods) = allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(challenge) = challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        for (name, number) in producer {
            headers.insert(name, number.into());
        }
        if let Some(tail) = tail {
            insert_text(headers, STREAM_NEXT_OFFSET, &tail.to_string());
        }
        if let Some(reason) = closed {
            headers.insert(STREAM_CLOSED, HeaderValue::from_static("true"));
            headers.insert(STREAM_CLOSED_REASON, HeaderValue::from_static(reason));
        }
        response
    }
}

/// Inserts a header whose text comes from this program.
pub(super) fn insert_text(headers: &mut axum::http::HeaderMap, name: HeaderName, text: &str) {
    match HeaderValue::from_str(text) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => debug_assert!(false, "{name} is not printable: {text:?}"),
    }
}
