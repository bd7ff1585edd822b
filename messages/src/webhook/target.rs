//! URLs of webhooks.

use super::is_public;
use crate::limits::WEBHOOK_URL_BYTES_MAX;
use std::net::IpAddr;
use url::{Host, Url};

/// Where a letter goes, as far as the URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name or an address.
    pub host: Host<String>,
    /// The port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The header `Host`.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// This URL is none for a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the url of a webhook {0}")]
pub struct RejectedUrl(&'static str);

impl Target {
    /// Takes a URL apart. It must use https; when `loopback` is allowed, for development, http to
    /// this machine is fine, too.
    ///
    /// # Errors
    /// It is no URL, or leads to where no webhook may be.
    pub fn parse(text: &str, loopback: bool) -> Result<Self, RejectedUrl> {
        if text.len() > WEBHOOK_URL_BYTES_MAX {
            return Err(RejectedUrl("is too long"));
        }
        let url = Url::parse(text).map_err(|_| RejectedUrl("is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RejectedUrl("must not hold a password"));
        }
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(RejectedUrl("must begin with https://")),
        };
        let host = url.host().ok_or(RejectedUrl("has no host"))?.to_owned();
        if is_loopback(&host) {
            if tls || !loopback {
                return Err(RejectedUrl("must not lead to this machine"));
            }
        } else if !tls {
            return Err(RejectedUrl("must begin with https://"));
        } else if ip(&host).is_some_and(|address| !is_public(address)) {
            return Err(RejectedUrl("must not lead into a local network"));
        }
        let port = url.port_or_known_default().ok_or(RejectedUrl("has no port"))?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let query = url.query().map_or(String::new(), |query| format!("?{query}"));
        Ok(Self { host, port, tls, authority, path: format!("{}{query}", url.path()) })
    }

    /// Whether this machine is meant, which only [`Target::parse`] can have allowed.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Whether this address, to which the host leads, may be connected to.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        if self.is_loopback() { address.is_loopback() } else { is_public(address) }
    }
}

/// The address of a host that is one.
pub(super) fn ip(host: &Host<String>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some((*address).into()),
        Host::Ipv6(address) => Some((*address).into()),
    }
}

fn is_loopback(host: &Host<String>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_to_the_internet_and_http_to_this_machine() {
        for good in [
            "https://a.example",
            "https://a.example:8443/x?y=1#z",
            "https://1.1.1.1/",
            "https://[2606:4700::1]/",
        ] {
            assert!(Target::parse(good, false).is_ok(), "{good}");
        }
        for dev in [
            "http://localhost:1/",
            "http://127.0.0.1:1/x",
            "http://127.9.9.9/",
            "http://[::1]/",
            "http://2130706433/",
            "http://0x7f.1/",
        ] {
            assert!(Target::parse(dev, true).is_ok(), "{dev}");
            assert!(Target::parse(dev, false).is_err(), "{dev}");
        }
        for bad in [
            "",
            "x",
            "//a.example",
            "http://a.example/",
            "ftp://a.example/",
            "file:///etc/passwd",
            "https://user@a.example/",
            "https://:pw@a.example/",
            "https://localhost/",
            "https://127.0.0.1/",
            "https://a.localhost./",
            "http://10.0.0.1/hook",
            "https://10.0.0.1/",
            "https://0xa.1/",
            "https://167772161/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fd00::1]/",
            "https://[64:ff9b::a00:1]/",
            "https://0/",
        ] {
            assert!(Target::parse(bad, true).is_err(), "{bad}");
        }
        let target = Target::parse("https://a.example:8443/x?y=1#z", false).expect("fine");
        assert_eq!(
            (target.authority.as_str(), target.path.as_str(), target.port),
            ("a.example:8443", "/x?y=1", 8443)
        );
    }
}
