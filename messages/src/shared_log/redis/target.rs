//! Where Redis is: what an operator writes as its URL.

use super::LogError;
use redis::{
    Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates,
    io::tcp::TcpSettings,
};

/// Where the servers are found.
///
/// * `redis://[user:password@]host:port[/db]`: one server.
/// * `redis+sentinel://[user:password@]host:port,host:port/master-name`: the server that sentinels
///   call by that name. The hosts are those of sentinels, which are asked without a password.
/// * `redis+cluster://[user:password@]host:port,host:port`: a cluster, of which some nodes are named.
///
/// With `rediss` instead of `redis` all connections use TLS.
pub(super) enum Target {
    Single(ConnectionInfo),
    Sentinel { sentinels: Vec<ConnectionInfo>, name: String, login: Login },
    Cluster { seeds: Vec<ConnectionInfo>, login: Login },
}

/// How to connect to a server whose address is learnt later.
#[derive(Clone)]
pub(super) struct Login {
    scheme: &'static str,
    /// `user:password@`, as it is in the URL, or nothing.
    credentials: String,
    /// Certificates of an authority.
    authority: Option<Vec<u8>>,
}

impl Login {
    pub(super) fn at(&self, host: &str, port: u16) -> Result<ConnectionInfo, LogError> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        self.to(&format!("{host}:{port}"))
    }

    fn to(&self, place: &str) -> Result<ConnectionInfo, LogError> {
        let url = format!("{}://{}{place}", self.scheme, self.credentials);
        connection(&url, self.authority.as_ref())
    }
}

impl Target {
    /// Errors never repeat the URL: a password may be in it.
    pub(super) fn parse(url: &str, authority: Option<Vec<u8>>) -> Result<Self, LogError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| unfit("its URL has no scheme"))?;
        let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, "single"));
        let scheme = match scheme {
            "redis" => "redis",
            "rediss" => "rediss",
            _ => return Err(unfit("its URL begins with neither redis nor rediss")),
        };
        let (credentials, rest) = match rest.rfind('@') {
            Some(at) => rest.split_at(at + 1),
            None => ("", rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_some() && scheme != "rediss" {
            return Err(unfit(
                "there is an authority for its certificate, and its URL is without TLS",
            ));
        }
        let login = Login { scheme, credentials: credentials.to_owned(), authority };
        let each = |login: &Login| -> Result<Vec<_>, _> {
            hosts.split(',').map(|host| login.to(host)).collect()
        };
        match kind {
            "single" => Ok(Self::Single(login.to(rest)?)),
            "cluster" => Ok(Self::Cluster { seeds: each(&login)?, login }),
            "sentinel" if path.is_empty() => Err(unfit("its URL names no master")),
            "sentinel" => {
                let sentinels = each(&Login { credentials: String::new(), ..login.clone() })?;
                Ok(Self::Sentinel { sentinels, name: path.to_owned(), login })
            }
            _ => Err(unfit("behind the + of its URL is neither sentinel nor cluster")),
        }
    }
}

fn unfit(why: &str) -> LogError {
    LogError::Unfit(why.to_owned())
}

/// With the newer protocol, by which a server speaks of itself: wake-ups, and that it goes.
fn connection(url: &str, authority: Option<&Vec<u8>>) -> Result<ConnectionInfo, LogError> {
    let mut info = url.into_connection_info().map_err(|_| unfit("its URL cannot be understood"))?;
    if authority.is_some() {
        let certificates = TlsCertificates { client_tls: None, root_cert: authority.cloned() };
        let client = Client::build_with_tls(info, certificates);
        let unread =
            |_| unfit("the certificates of its authority cannot be read (--redis-ca-file)");
        info = client.map_err(unread)?.get_connection_info().clone();
    }
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let tcp = TcpSettings::default().set_nodelay(true);
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(infos: &[ConnectionInfo]) -> Vec<String> {
        infos.iter().map(|info| info.addr().to_string()).collect()
    }

    #[test]
    fn urls_are_understood() {
        let Ok(Target::Single(info)) = Target::parse("rediss://me:p%40ss@h:1/3", None) else {
            panic!()
        };
        assert_eq!(info.addr().to_string(), "h:1");
        assert_eq!(info.redis_settings().password(), Some("p@ss"));
        assert_eq!(info.redis_settings().db(), 3);
        let url = "redis+cluster://:secret@a:1,[::1]:2";
        let Ok(Target::Cluster { seeds, login }) = Target::parse(url, None) else { panic!() };
        assert_eq!(addresses(&seeds), ["a:1", "::1:2"]);
        assert_eq!(login.at("::2", 3).unwrap().redis_settings().password(), Some("secret"));
        let url = "redis+sentinel://u:p@a:1,b:2/main";
        let Ok(Target::Sentinel { sentinels, name, .. }) = Target::parse(url, None) else {
            panic!()
        };
        assert_eq!(
            (addresses(&sentinels), name.as_str()),
            (vec!["a:1".into(), "b:2".into()], "main")
        );
        assert_eq!(sentinels[0].redis_settings().password(), None);
    }

    #[test]
    fn errors_tell_no_password() {
        for url in ["x://u:geheim@h", "redis+x://u:geheim@h", "redis://u:geheim@h:nine", "geheim"] {
            let error = Target::parse(url, None).err().expect("no URL of ours").to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
