//! Which web pages of other origins may use this server (Fetch standard, CORS protocol).

use super::{
    problem::{PRODUCER_EPOCH, STREAM_CLOSED, STREAM_CLOSED_REASON, STREAM_NEXT_OFFSET},
    protocol::EXPOSED,
    request_id::REQUEST_ID,
};
use crate::config::Config;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

/// A browser need not ask again for this long.
const MAX_AGE: Duration = Duration::from_secs(86_400);

/// What a page may do: all that there is.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Who may come from where.
pub(super) struct Cors {
    origins: Origins,
    /// How the origin of this server's own pages begins. A proxy may have made https of http, nobody
    /// the other way round.
    own_schemes: &'static [&'static str],
}

impl Cors {
    /// As the settings say.
    pub fn new(config: &Config) -> Self {
        let origins = Origins::new(&config.cors_origins, config.auth.is_open());
        let is_https = config.tls.scheme() == "https";
        let own_schemes = if is_https { &["https://"][..] } else { &["http://", "https://"] };
        Self { origins, own_schemes }
    }

    /// Whether a page of the origin in `headers` may do anything here: browsers do not ask before they
    /// open a socket or send what a form could send. Pages of this server itself always may.
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return true;
        };
        let host = headers.get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
        let own = |scheme: &&str| origin.as_bytes().strip_prefix(scheme.as_bytes()) == Some(host);
        self.own_schemes.iter().any(own) || self.origins.allow(origin)
    }

    /// Whether other pages may embed what this server hands out.
    pub fn resource_policy(&self) -> HeaderValue {
        let all = self.origins == Origins::All;
        HeaderValue::from_static(if all { "cross-origin" } else { "same-origin" })
    }

    /// The layer that answers preflights and adds headers.
    pub fn layer(&self) -> CorsLayer {
        self.origins.layer()
    }
}

/// The origins that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    All,
    /// Pages of this machine, as developers have them: any other page that somebody visits would have
    /// the whole of a server that asks for no keys.
    Local,
    Some(Arc<[HeaderValue]>),
}

impl Origins {
    /// From a setting: `*` for all, `none` for none, `local` for those of this machine. Where nothing is
    /// said, that depends on whether the server is `open`.
    fn new(origins: &[String], open: bool) -> Self {
        let says = |word: &str| origins.iter().any(|origin| origin == word);
        if says("*") || (origins.is_empty() && !open) {
            return Self::All;
        }
        if says("local") || origins.is_empty() {
            return Self::Local;
        }
        let value = |origin: &String| HeaderValue::from_str(origin.trim_end_matches('/')).ok();
        Self::Some(origins.iter().filter(|origin| *origin != "none").filter_map(value).collect())
    }

    fn allow(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::All => true,
            Self::Local => is_local(origin),
            Self::Some(list) => list.contains(origin),
        }
    }

    fn layer(&self) -> CorsLayer {
        let origin = match self {
            Self::All => AllowOrigin::any(),
            Self::Local => AllowOrigin::predicate(|origin, _| is_local(origin)),
            Self::Some(list) => AllowOrigin::list(list.iter().cloned()),
        };
        let own = [STREAM_NEXT_OFFSET, STREAM_CLOSED, STREAM_CLOSED_REASON, PRODUCER_EPOCH];
        let common = [header::ETAG, header::LOCATION, header::RETRY_AFTER, REQUEST_ID];
        let exposed: Vec<HeaderName> = own.into_iter().chain(common).chain(EXPOSED).collect();
        CorsLayer::new()
            .allow_origin(origin)
            .allow_methods(METHODS)
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers(ExposeHeaders::list(exposed))
            .max_age(MAX_AGE)
    }
}

/// Whether an origin is a page of this machine.
fn is_local(origin: &HeaderValue) -> bool {
    let text = origin.to_str().unwrap_or_default();
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    host.is_some_and(is_local_host)
}

/// Whether a host, with or without a port, is this machine whoever answers for names.
pub(super) fn is_local_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let address = name.parse::<IpAddr>();
    name == "localhost" || name.ends_with(".localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

/// Whether a request has to do with this: not the others, which are spared its headers. Reads always,
/// for what a cache keeps of one must do for a page as well.
pub(super) fn concerns<B>(request: &Request<B>) -> bool {
    let is_read = request.method() == Method::GET || request.method() == Method::OPTIONS;
    is_read || request.headers().contains_key(header::ORIGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(origins: &Origins, origin: &str) -> bool {
        allows_own(origins, origin, &["http://", "https://"])
    }

    fn allows_own(origins: &Origins, origin: &str, own_schemes: &'static [&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:3000"));
        headers.insert(header::ORIGIN, HeaderValue::from_str(origin).expect("a value"));
        Cors { origins: origins.clone(), own_schemes }.allow(&headers)
    }

    #[test]
    fn pages_of_a_server_with_tls_come_over_tls() {
        let none = Origins::new(&["none".into()], false);
        assert!(allows_own(&none, "https://127.0.0.1:3000", &["https://"]));
        assert!(!allows_own(&none, "http://127.0.0.1:3000", &["https://"]));
    }

    #[test]
    fn an_open_server_is_for_pages_of_this_machine() {
        let open = Origins::new(&[], true);
        for local in [
            "http://localhost:5173",
            "http://127.0.0.1:3000",
            "http://[::1]:8080",
            "https://a.localhost",
        ] {
            assert!(allows(&open, local), "{local}");
        }
        for foreign in [
            "https://example.com",
            "null",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "file://",
        ] {
            assert!(!allows(&open, foreign), "{foreign}");
        }
        assert!(allows(&Origins::new(&[], false), "https://example.com"));
        assert!(allows(&Origins::new(&["*".into()], true), "https://example.com"));
        let none = Origins::new(&["none".into()], true);
        assert!(!allows(&none, "http://localhost:5173") && allows(&none, "http://127.0.0.1:3000"));
        let some = Origins::new(&["https://app.example.com".into()], true);
        assert!(allows(&some, "https://app.example.com") && !allows(&some, "https://example.com"));
    }
}
