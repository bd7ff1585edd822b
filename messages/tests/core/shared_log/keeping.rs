//! What is kept for a while under a key.

use super::{PAST_ALL_TERMS, World, on_every_log};
use bytes::Bytes;
use futures::future::join_all;
use messages::{limits::KEPT_BYTES_MAX, shared_log::LogError};
use std::time::Duration;

on_every_log!(
    a_value_is_taken_once_on_any_node,
    of_many_who_take_it_one_gets_it,
    a_value_is_gone_after_its_time,
    keys_have_nothing_to_do_with_each_other,
    only_so_much_is_kept,
);

const LONG: Duration = Duration::from_secs(60);

fn bytes(text: &'static [u8]) -> Bytes {
    Bytes::from_static(text)
}

async fn a_value_is_taken_once_on_any_node(world: World) {
    let (a, b) = (world.node().await, world.node().await);
    assert_eq!(b.take_kept("key").await.unwrap(), None);
    a.keep("key", bytes(b"\0\xff\n"), LONG).await.unwrap();
    assert_eq!(b.take_kept("key").await.unwrap(), Some(bytes(b"\0\xff\n")));
    assert_eq!(a.take_kept("key").await.unwrap(), None);
    assert_eq!(b.take_kept("key").await.unwrap(), None);
    a.keep("key", bytes(b"first"), LONG).await.unwrap();
    b.keep("key", bytes(b""), LONG).await.unwrap();
    assert_eq!(a.take_kept("key").await.unwrap(), Some(Bytes::new()), "the last one counts");
}

async fn of_many_who_take_it_one_gets_it(world: World) {
    let (a, b) = (world.node().await, world.node().await);
    for round in 0..20 {
        let key = format!("key {round}");
        a.keep(&key, bytes(b"value"), LONG).await.unwrap();
        let takers = (0..10).map(|taker| if taker % 2 == 0 { &a } else { &b });
        let taken = join_all(takers.map(|node| node.take_kept(&key))).await;
        let got = taken.into_iter().filter(|taken| taken.as_ref().unwrap().is_some());
        assert_eq!(got.count(), 1, "{round}");
    }
}

async fn a_value_is_gone_after_its_time(world: World) {
    let log = world.node().await;
    let short = Duration::from_millis(PAST_ALL_TERMS - 100);
    log.keep("short", bytes(b"x"), short).await.unwrap();
    log.keep("long", bytes(b"x"), LONG).await.unwrap();
    log.keep("longer", bytes(b"x"), short).await.unwrap();
    log.keep("longer", bytes(b"x"), LONG).await.unwrap();
    world.pass_ms(PAST_ALL_TERMS).await;
    assert_eq!(log.take_kept("short").await.unwrap(), None);
    assert_eq!(log.take_kept("long").await.unwrap(), Some(bytes(b"x")));
    assert_eq!(log.take_kept("longer").await.unwrap(), Some(bytes(b"x")));
}

async fn keys_have_nothing_to_do_with_each_other(world: World) {
    let log = world.node().await;
    let keys: Vec<String> =
        ["", "a", "a:b", "A", "{a}", "m", "w"].map(String::from).into_iter().collect();
    for key in &keys {
        log.keep(key, Bytes::from(key.clone()), LONG).await.unwrap();
    }
    for key in &keys {
        assert_eq!(log.take_kept(key).await.unwrap(), Some(Bytes::from(key.clone())));
    }
}

async fn only_so_much_is_kept(world: World) {
    let log = world.node().await;
    log.keep("a", Bytes::from(vec![7; KEPT_BYTES_MAX]), LONG).await.unwrap();
    let more = log.keep("a", Bytes::from(vec![7; KEPT_BYTES_MAX + 1]), LONG).await;
    assert!(matches!(more, Err(LogError::Full(_))), "{more:?}");
    assert_eq!(log.take_kept("a").await.unwrap().map(|value| value.len()), Some(KEPT_BYTES_MAX));
}
