//! Where in a request a credential is. The header comes first; what is in the URL is for browsers,
//! which cannot send one, and never a token.

use crate::auth::{AuthError, Credential, SIGNED, TICKET};
use axum::http::{HeaderMap, Uri, header};

/// The parameters that belong to access control, on every route.
pub(super) const PARAMETERS: [&str; 2] = [TICKET, SIGNED];

/// What people put tokens in.
const TOKEN_PARAMETERS: [&str; 2] = ["access_token", "token"];

/// A subprotocol of this beginning is a token: a WebSocket of a browser can send no other header.
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// What this request shows.
pub(super) fn credential<'a>(
    headers: &'a HeaderMap,
    uri: &'a Uri,
) -> Result<Credential<'a>, AuthError> {
    if let Some(query) = uri.query()
        && TOKEN_PARAMETERS.into_iter().any(|name| parameter(query, name).is_some())
    {
        return Err(AuthError::TokenInUrl);
    }
    if let Some(token) = bearer(headers)? {
        return Ok(Credential::Token(token));
    }
    if let Some(token) = bearer_of_subprotocols(headers) {
        return Ok(Credential::Token(token));
    }
    // Both are made of characters that no URL encodes.
    let in_url = |name| uri.query().and_then(|query| parameter(query, name));
    Ok(match (in_url(TICKET), in_url(SIGNED)) {
        (Some(ticket), _) => Credential::Ticket(ticket),
        (None, Some(signed)) => Credential::Signed(signed),
        (None, None) => Credential::None,
    })
}

/// The token of the `Authorization` header.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let invalid = |why: &'static str| AuthError::Invalid(why.into());
    if values.next().is_some() {
        return Err(invalid("there are two Authorization headers"));
    }
    let text = value.to_str().map_err(|_| invalid("the Authorization header is not text"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(invalid("the Authorization header must be `Bearer` and a token"));
    }
    Ok(Some(token.trim()))
}

/// The token that a WebSocket of a browser sends as a subprotocol, `messages, bearer.TOKEN`. The
/// answer names the other one.
#[must_use]
pub fn bearer_of_subprotocols(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut names = values.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    names.find_map(|name| name.trim().strip_prefix(BEARER_SUBPROTOCOL))
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find_map(|(key, value)| (key == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn shown(pairs: &[(HeaderName, &'static str)], uri: &str) -> Result<String, AuthError> {
        let (headers, uri) = (headers(pairs), uri.parse().expect("a URI"));
        Ok(match credential(&headers, &uri)? {
            Credential::None => "none".into(),
            Credential::Token(token) => format!("token {token}"),
            Credential::Ticket(ticket) => format!("ticket {ticket}"),
            Credential::Signed(signed) => format!("signed {signed}"),
        })
    }

    #[test]
    fn the_header_comes_first() {
        let bearer = (header::AUTHORIZATION, "bearer a.b.c");
        let protocol = (header::SEC_WEBSOCKET_PROTOCOL, "messages, bearer.x.y.z");
        for (pairs, uri, want) in [
            (vec![], "/", "none"),
            (vec![bearer.clone()], "/?ticket=t", "token a.b.c"),
            (vec![protocol.clone()], "/?ticket=t", "token x.y.z"),
            (vec![protocol, bearer], "/", "token a.b.c"),
            (vec![], "/?id=a&ticket=t&signed=s", "ticket t"),
            (vec![], "/?id=a&signed=s", "signed s"),
            (vec![], "/?signed", "signed "),
        ] {
            assert_eq!(shown(&pairs, uri), Ok(want.to_owned()), "{uri}");
        }
    }

    #[test]
    fn what_is_no_bearer_token_is_refused() {
        for uri in ["/?token=a", "/?id=a&access_token=", "/?token"] {
            let bearer = (header::AUTHORIZATION, "Bearer a.b.c");
            assert_eq!(shown(&[bearer], uri), Err(AuthError::TokenInUrl), "{uri}");
        }
        for value in ["Basic YTpi", "a.b.c", "", "Bearer\u{80}"] {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value);
            assert!(bearer(&headers).is_err());
        }
        let twice = (header::AUTHORIZATION, "Bearer a");
        assert!(shown(&[twice.clone(), twice], "/").is_err());
    }
}
