//! Under which names an open server answers.
//!
//! A page can give its own name to an address of this machine after it was loaded (DNS rebinding), and
//! for the browser the server is then part of the page. Only the name in the request tells.

use super::cors::is_local_host;
use crate::config::Config;
use axum::http::{HeaderMap, HeaderValue, header};

/// The hosts that requests may be for.
#[derive(Debug)]
pub(super) enum Hosts {
    /// Any: with keys nothing is had by being there, and who opens a server to all has said so.
    Any,
    /// This machine, and what the operator calls it.
    Local(Option<String>),
}

impl Hosts {
    pub fn new(config: &Config) -> Self {
        if !config.auth.is_open() || config.auth.allow_open {
            return Self::Any;
        }
        let url = config.public_url.as_deref().and_then(|url| url.split_once("://"));
        Self::Local(url.map(|(_, host)| host.to_owned()))
    }

    /// Whether a request with these headers is for this server.
    pub fn contain(&self, headers: &HeaderMap) -> bool {
        let (Self::Local(own), Some(host)) = (self, headers.get(header::HOST)) else {
            return true;
        };
        let host = HeaderValue::to_str(host).unwrap_or_default();
        is_local_host(host) || own.as_deref() == Some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_server_answers_to_names_of_this_machine() {
        let hosts = Hosts::Local(Some("streams.test".into()));
        let contains = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            hosts.contain(&headers)
        };
        for own in ["localhost", "localhost:3000", "127.0.0.1:3000", "[::1]:3000", "streams.test"] {
            assert!(contains(own), "{own}");
        }
        for foreign in ["", "example.com", "evil.test:3000", "localhost.evil.test", "0.0.0.0:3000"]
        {
            assert!(!contains(foreign), "{foreign}");
        }
        assert!(hosts.contain(&HeaderMap::new()));
    }
}
