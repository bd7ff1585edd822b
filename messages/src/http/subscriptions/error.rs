//! Errors as the protocol of subscriptions has them: `{"error":{"code":…,"message":…}}`, and the one
//! map from what can go wrong to status and code.

use super::super::problem::{Code, Problem, insert_text};
use crate::{
    auth::AuthError,
    limits::{RETRY_AFTER_SECS, SUBSCRIPTION_BODY_BYTES_MAX},
    subscription::{InvalidConfig, Refusal, SubscriptionError},
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// An answer that says what went wrong.
#[derive(Debug)]
pub(super) enum Refused {
    /// With a code of the protocol.
    Code(StatusCode, Detail),
    /// With the methods that do something here.
    Method(&'static str),
    /// As everywhere on this server.
    Problem(Problem),
}

#[derive(Debug, Serialize)]
pub(super) struct Detail {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_holder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
}

#[derive(Serialize)]
struct Document {
    error: Detail,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Code(status, Detail { code, message, current_holder: None, generation: None })
    }

    pub fn invalid(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
    }

    pub fn from_invalid(error: InvalidConfig) -> Self {
        Self::invalid(error.to_string())
    }

    pub fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing here")
    }

    pub fn no_method(allowed: &'static str) -> Self {
        Self::Method(allowed)
    }

    pub fn no_token() -> Self {
        let message = "this needs the token of the wake: Authorization: Bearer TOKEN";
        Self::new(StatusCode::UNAUTHORIZED, "TOKEN_INVALID", message)
    }

    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT", "the body has not come in time")
    }

    pub fn too_large() -> Self {
        let message = format!("the body has more than {SUBSCRIPTION_BODY_BYTES_MAX} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", message)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Self {
        Self::Problem(error.into())
    }
}

impl From<SubscriptionError> for Refused {
    fn from(error: SubscriptionError) -> Self {
        use StatusCode as S;
        let message = error.to_string();
        let code = |status, code| Self::new(status, code, message.clone());
        match error {
            SubscriptionError::NotFound => code(S::NOT_FOUND, "SUBSCRIPTION_NOT_FOUND"),
            SubscriptionError::Different => code(S::CONFLICT, "SUBSCRIPTION_ALREADY_EXISTS"),
            SubscriptionError::Invalid(_) | SubscriptionError::WrongType(_) => {
                code(S::BAD_REQUEST, "INVALID_REQUEST")
            }
            SubscriptionError::Rejected(_) => code(S::BAD_REQUEST, "WEBHOOK_URL_REJECTED"),
            SubscriptionError::BadToken => code(S::UNAUTHORIZED, "TOKEN_INVALID"),
            SubscriptionError::Refused(Refusal::Fenced) => code(S::CONFLICT, "FENCED"),
            SubscriptionError::Refused(Refusal::InvalidOffset(..)) => {
                code(S::CONFLICT, "INVALID_OFFSET")
            }
            SubscriptionError::Refused(Refusal::NoPendingWork) => {
                code(S::CONFLICT, "NO_PENDING_WORK")
            }
            SubscriptionError::Refused(Refusal::AlreadyClaimed { holder, generation }) => {
                let (current_holder, generation) = (Some(holder), Some(generation));
                let code = "ALREADY_CLAIMED";
                Self::Code(S::CONFLICT, Detail { code, message, current_holder, generation })
            }
            SubscriptionError::TooMany => code(S::INSUFFICIENT_STORAGE, "TOO_MANY_SUBSCRIPTIONS"),
            SubscriptionError::TooManyHooks => code(S::CONFLICT, "TOO_MANY_WEBHOOKS"),
            SubscriptionError::TooManyStreams => code(S::CONFLICT, "TOO_MANY_STREAMS"),
            SubscriptionError::Stream(error) => Self::Problem(error.into()),
            SubscriptionError::NotStored => code(S::SERVICE_UNAVAILABLE, "DATABASE_UNAVAILABLE"),
            SubscriptionError::NotReady => code(S::SERVICE_UNAVAILABLE, "NOT_READY"),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, error, allowed) = match self {
            Self::Problem(problem) => return problem.into_response(),
            Self::Code(status, error) => (status, error, None),
            Self::Method(allowed) => {
                let message = format!("this method does nothing here; try {allowed}");
                let (current_holder, generation) = (None, None);
                let code = "METHOD_NOT_ALLOWED";
                let detail = Detail { code, message, current_holder, generation };
                (StatusCode::METHOD_NOT_ALLOWED, detail, Some(allowed))
            }
        };
        let Detail { code, message, .. } = &error;
        if status.is_server_error() {
            tracing::debug!(status = status.as_u16(), code, message, "request refused");
        }
        let code = Code(code);
        let body = serde_json::to_vec(&Document { error }).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.extensions_mut().insert(code);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(allowed) = allowed {
            insert_text(headers, header::ALLOW, allowed);
        }
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECS.into());
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
