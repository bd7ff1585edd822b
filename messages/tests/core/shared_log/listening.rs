//! What nodes are told.

use super::{LIFE, World, changes, done, heat, last, name, next, on_every_log, until_lost};
use bytes::Bytes;
use futures::future::join_all;
use messages::{
    limits::WAKE_BYTES_MAX,
    model::StreamName,
    shared_log::{Addition, Head, Known, Scope, Wake},
};
use std::time::Duration;

on_every_log!(
    followers_are_told,
    large_changes_are_not_sent_along,
    nobody_is_told_who_follows_no_more,
    watchers_are_told_of_what_is_new_on_the_list,
    words_reach_whoever_listens,
    wakes_are_there_once,
    many_follow_at_once,
    after_a_break_nothing_is_missed,
);

async fn followers_are_told(world: World) {
    let (a, b, name) = (world.node().await, world.node().await, name("a"));
    let mut wakes = b.wakes().unwrap();
    b.follow(&name).await.unwrap();
    let head = heat(&*a, &name, 3).await;
    let changes = |texts: &[&'static str]| texts.iter().map(|t| Bytes::from(*t)).collect();
    let told = Wake::Moved { name: name.clone(), head, changes: changes(&["first"]) };
    assert_eq!(next(&mut wakes).await, told);
    let addition =
        Addition { changes: changes(&["x", "", "yz"]), skip: 0, life: LIFE, expires_ms: Some(7) };
    let head = done(a.add(&name, last(head), addition.clone()).await.unwrap());
    let told = Wake::Moved { name: name.clone(), head, changes: addition.changes };
    assert_eq!(next(&mut wakes).await, told);
    let head = done(a.add(&name, last(head), super::changes(&[])).await.unwrap());
    assert_eq!(next(&mut wakes).await, Wake::Moved { name, head, changes: vec![] });
}

async fn large_changes_are_not_sent_along(world: World) {
    let (a, b, name) = (world.node().await, world.node().await, name("a"));
    let mut head = heat(&*a, &name, 0).await;
    let mut wakes = b.wakes().unwrap();
    b.follow(&name).await.unwrap();
    for (bytes, sent) in [(WAKE_BYTES_MAX, 1), (WAKE_BYTES_MAX + 1, 0)] {
        let addition = changes(&[&"x".repeat(bytes)]);
        head = done(a.add(&name, last(head), addition).await.unwrap());
        let Wake::Moved { head: told, changes, .. } = next(&mut wakes).await else { panic!() };
        assert_eq!((told, changes.len()), (head, sent));
    }
}

async fn nobody_is_told_who_follows_no_more(world: World) {
    let (log, name, other) = (world.node().await, name("a"), name("b"));
    let mut wakes = log.wakes().unwrap();
    for _ in 0..3 {
        log.follow(&name).await.unwrap();
        log.unfollow(&name).await.unwrap();
    }
    log.follow(&other).await.unwrap();
    heat(&*log, &name, 0).await;
    heat(&*log, &other, 0).await;
    let Wake::Moved { name: told, .. } = next(&mut wakes).await else { panic!() };
    assert_eq!(told, other);
}

async fn watchers_are_told_of_what_is_new_on_the_list(world: World) {
    let (a, b, name) = (world.node().await, world.node().await, name("a"));
    let mut wakes = b.wakes().unwrap();
    b.watch_all(true).await.unwrap();
    let head = heat(&*a, &name, 0).await;
    assert_eq!(next(&mut wakes).await, Wake::Unstored(name.clone()));
    let head = done(a.add(&name, last(head), changes(&["x"])).await.unwrap());
    let work = a.take_work(Scope::Streams, 100).await.unwrap();
    a.done(&work[0], 2, 2).await.unwrap();
    let chat = StreamName::of_chat("c").unwrap();
    heat(&*a, &chat, 0).await;
    assert_eq!(next(&mut wakes).await, Wake::Unstored(chat), "it was on the list all the time");
    done(a.add(&name, last(head), changes(&["y"])).await.unwrap());
    assert_eq!(next(&mut wakes).await, Wake::Unstored(name));
    b.watch_all(false).await.unwrap();
    b.listen("end").await.unwrap();
    heat(&*a, &super::name("other"), 0).await;
    a.say("end", Bytes::new()).await.unwrap();
    assert!(matches!(next(&mut wakes).await, Wake::Said { .. }));
}

async fn words_reach_whoever_listens(world: World) {
    let (a, b) = (world.node().await, world.node().await);
    let (mut to_a, mut to_b) = (a.wakes().unwrap(), b.wakes().unwrap());
    a.listen("all").await.unwrap();
    b.listen("all").await.unwrap();
    b.listen("b").await.unwrap();
    let said = |topic: &str, words: &'static [u8]| Wake::Said {
        topic: topic.to_owned(),
        words: Bytes::from_static(words),
    };
    a.say("nobody", Bytes::new()).await.unwrap();
    a.say("b", Bytes::from_static(b"\0\xff\n")).await.unwrap();
    assert_eq!(next(&mut to_b).await, said("b", b"\0\xff\n"));
    b.say("all", Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(next(&mut to_a).await, said("all", b"hello"));
    assert_eq!(next(&mut to_b).await, said("all", b"hello"));
}

async fn wakes_are_there_once(world: World) {
    let log = world.node().await;
    assert!(log.wakes().is_some());
    assert!(log.wakes().is_none());
}

async fn many_follow_at_once(world: World) {
    let log = world.node().await;
    let mut wakes = log.wakes().unwrap();
    let names: Vec<StreamName> = (0..2000).map(|number| name(&format!("n{number}"))).collect();
    for followed in join_all(names.iter().map(|name| log.follow(name))).await {
        followed.unwrap();
    }
    for name in names.iter().step_by(100) {
        heat(&*log, name, 0).await;
        let Wake::Moved { name: told, .. } = next(&mut wakes).await else { panic!() };
        assert_eq!(told, *name);
    }
}

/// A node that reads what it may have missed whenever it is told so has everything in the end.
async fn after_a_break_nothing_is_missed(world: World) {
    let (a, b, name) = (world.node().await, world.node().await, name("a"));
    let mut wakes = b.wakes().unwrap();
    b.follow(&name).await.unwrap();
    let mut head = heat(&*a, &name, 0).await;
    let write = async {
        for number in 0..200 {
            let addition = changes(&[&number.to_string()]);
            let known = Known::Last { life: LIFE, version: head.version };
            head = done(a.add(&name, known, addition).await.unwrap());
            if number % 50 == 25 {
                world.interrupt();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let follow = async {
        let (mut seen, mut lost) = (0, 0);
        while seen < 201 {
            let wake = tokio::time::timeout(Duration::from_secs(10), wakes.recv()).await;
            match wake.expect("told in time").expect("a wake-up") {
                Wake::Moved { head: Head { version, .. }, changes, .. }
                    if version - changes.len() as u64 <= seen =>
                {
                    seen = seen.max(version);
                }
                Wake::Lost => {
                    lost += 1;
                    seen = seen.max(b.head(&name).await.unwrap().unwrap().version);
                }
                // There is a gap, which the next that is told to be lost explains.
                _ => {}
            }
        }
        lost
    };
    let ((), lost) = tokio::join!(write, follow);
    assert!(lost > 0);
    world.interrupt();
    until_lost(&mut wakes).await;
    b.follow(&super::name("other")).await.unwrap();
    heat(&*a, &super::name("other"), 0).await;
    assert!(matches!(next(&mut wakes).await, Wake::Moved { .. }));
}
