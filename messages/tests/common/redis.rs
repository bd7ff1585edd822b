//! The Redis servers that `make test` starts, with a prefix of its own for every test.

use redis::{Client, Commands, Connection};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The URL of a single server.
///
/// # Panics
/// Without one: a test is never skipped silently.
pub fn single() -> String {
    variable("TEST_REDIS_URL")
}

/// The URL of a cluster.
///
/// # Panics
/// Without one: a test is never skipped silently.
pub fn cluster() -> String {
    variable("TEST_REDIS_CLUSTER_URL")
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set; run the tests with `make test`"))
}

/// What nobody else calls its keys.
pub fn prefix() -> String {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("test-{}-{}-{number}", std::process::id(), uuid::Uuid::now_v7().simple())
}

/// Connections to all servers that a URL names.
pub fn servers(url: &str) -> Vec<Connection> {
    let (_, hosts) = url.split_once("://").expect("a URL");
    let connect = |host: &str| {
        let client = Client::open(format!("redis://{host}")).expect("a host");
        client.get_connection().expect("the test Redis")
    };
    hosts.split(',').map(connect).collect()
}

/// Deletes all keys that begin with `begin`.
pub fn forget(url: &str, begin: &str) {
    for mut server in servers(url) {
        let keys: Vec<String> = server.keys(format!("{begin}*")).expect("keys");
        for key in keys {
            let _: i64 = server.del(key).expect("deleted");
        }
    }
}

/// Breaks all connections that have this name.
pub fn kill(url: &str, name: &str) -> usize {
    let mut killed = 0;
    for mut server in servers(url) {
        let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut server).expect("a list");
        let named = format!("name={name}");
        for client in list.lines().filter(|line| line.split(' ').any(|field| field == named)) {
            let id = client.split(' ').find_map(|field| field.strip_prefix("id=")).expect("an id");
            let mut kill = redis::cmd("CLIENT");
            killed += kill.arg("KILL").arg("ID").arg(id).query::<usize>(&mut server).unwrap_or(0);
        }
    }
    killed
}
