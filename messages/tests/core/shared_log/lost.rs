//! A log that is not the one that the database belongs to is never used.

use super::{World, changes, heat, last, name, on_every_log};
use crate::redis_servers;
use bytes::Bytes;
use messages::{
    model::StreamName,
    shared_log::{LogError, Node, RedisLog, RedisOptions, Scope, SharedLog, Unstored, Work},
};
use std::time::Duration;

on_every_log!(every_method_says_so);

async fn every_method_says_so(world: World) {
    let log = world.node().await;
    let (name, node) = (name("a"), Node { start: 1, info: String::new() });
    let head = heat(&*log, &name, 0).await;
    let work = Work { name: name.clone(), id: "1-0".to_owned() };
    let barrier = log.unstored(Scope::Streams).await.unwrap();
    assert_ne!(barrier, Unstored::default());
    world.lose();
    macro_rules! lost {
        ($($call:expr),* $(,)?) => {
            $(assert!(matches!($call.await, Err(LogError::Lost)), stringify!($call));)*
        };
    }
    lost!(
        log.head(&name),
        log.claim(&name, 1),
        log.add(&name, last(head), changes(&["x"])),
        log.read(&name, 0, 1),
        log.follow(&name),
        log.unfollow(&name),
        log.watch_all(true),
        log.watch_all(false),
        log.say("x", Bytes::new()),
        log.listen("x"),
        log.keep("x", Bytes::new(), Duration::from_secs(1)),
        log.take_kept("x"),
        log.take_work(Scope::Streams, 100),
        log.done(&work, 1, 1),
        log.unstored(Scope::Streams),
        log.unstored(Scope::Chat),
        log.is_stored(&barrier),
        log.unstored_names(Scope::Streams),
        log.memory(),
        log.alive(&node, Duration::from_secs(1)),
        log.gone(1),
        log.nodes(),
    );
}

fn options(url: &str, prefix: &str, incarnation: &str, fresh: bool) -> RedisOptions {
    let mut options = RedisOptions::new(url, incarnation);
    (options.prefix, options.fresh) = (prefix.to_owned(), fresh);
    options
}

async fn only_its_own_is_opened(url: String) {
    let prefix = redis_servers::prefix();
    let open = async |incarnation, fresh| {
        RedisLog::open(options(&url, &prefix, incarnation, fresh)).await.err()
    };
    assert!(matches!(open("one", false).await, Some(LogError::Lost)), "there is none");
    assert!(open("one", true).await.is_none());
    assert!(open("one", false).await.is_none());
    assert!(open("one", true).await.is_none(), "begun twice");
    assert!(matches!(open("two", true).await, Some(LogError::Lost)));
    assert!(matches!(open("two", false).await, Some(LogError::Lost)));
    redis_servers::forget(&url, &format!("{prefix}:{{s5}}"));
    assert!(matches!(open("one", false).await, Some(LogError::Lost)), "a part is gone");
    redis_servers::forget(&url, &prefix);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_is_opened_on_one_server() {
    only_its_own_is_opened(redis_servers::single()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_is_opened_on_a_cluster() {
    only_its_own_is_opened(redis_servers::cluster()).await;
}

/// Nobody listens there: this is answered soon, and does not hang.
#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    for url in
        ["redis://127.0.0.1:1", "redis+cluster://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/m"]
    {
        let opened = RedisLog::open(options(url, "x", "x", false));
        let opened = tokio::time::timeout(Duration::from_secs(3), opened).await.expect("soon");
        assert!(matches!(opened.err(), Some(LogError::Unavailable(_))), "{url}");
    }
}

/// Commands go on by themselves when their connections were killed.
#[tokio::test(flavor = "multi_thread")]
async fn commands_go_on_after_a_break() {
    for url in [redis_servers::single(), redis_servers::cluster()] {
        let prefix = redis_servers::prefix();
        let log = RedisLog::open(options(&url, &prefix, "x", true)).await.unwrap();
        let names: Vec<StreamName> = (0..10).map(|number| name(&format!("n{number}"))).collect();
        assert!(redis_servers::kill(&url, &format!("{prefix}:commands")) > 0);
        for name in &names {
            // The first may still have gone to the old connection.
            while !matches!(log.head(name).await, Ok(None)) {}
        }
        redis_servers::forget(&url, &prefix);
    }
}
