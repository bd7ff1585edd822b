//! What is there for the database: taken, done, waited for.

use super::{PAST_ALL_TERMS, World, changes, done, heat, last, name, on_every_log};
use messages::{
    model::StreamName,
    shared_log::{Node, Scope, SharedLog, Work},
};
use std::{collections::BTreeSet, time::Duration};

on_every_log!(
    work_is_taken_once,
    work_is_taken_over,
    news_come_to_the_list_again,
    a_piece_is_done_once,
    an_old_piece_ends_no_new_one,
    a_barrier_waits_for_what_was_before,
    scopes_lie_apart,
    a_limit_is_kept,
    nodes_are_known_while_they_live,
);

async fn take(log: &dyn SharedLog) -> Vec<Work> {
    log.take_work(Scope::Streams, 1000).await.unwrap()
}

async fn work_is_taken_once(world: World) {
    let (a, b) = (world.node().await, world.node().await);
    for number in 0..30 {
        let head = heat(&*a, &name(&format!("n{number}")), 0).await;
        let name = name(&format!("n{number}"));
        done(a.add(&name, last(head), changes(&["more"])).await.unwrap());
    }
    let (mine, yours) = tokio::join!(take(&*a), take(&*b));
    let names: BTreeSet<String> =
        mine.iter().chain(&yours).map(|work| work.name.to_string()).collect();
    assert_eq!((mine.len() + yours.len(), names.len()), (30, 30));
    assert_eq!(take(&*a).await, []);
}

async fn work_is_taken_over(world: World) {
    let (a, b, name) = (world.node().await, world.node().await, name("a"));
    heat(&*a, &name, 0).await;
    let taken = take(&*a).await;
    assert_eq!(take(&*b).await, []);
    world.pass_ms(PAST_ALL_TERMS).await;
    assert_eq!(take(&*b).await, taken);
    assert_eq!(take(&*a).await, [], "its time begins anew");
    b.done(&taken[0], 1, 1).await.unwrap();
    a.done(&taken[0], 1, 1).await.unwrap();
    world.pass_ms(PAST_ALL_TERMS).await;
    assert_eq!(take(&*a).await, []);
}

async fn news_come_to_the_list_again(world: World) {
    let (log, name) = (world.node().await, name("a"));
    let head = heat(&*log, &name, 0).await;
    let work = take(&*log).await;
    let head = done(log.add(&name, last(head), changes(&["more"])).await.unwrap());
    assert_eq!(take(&*log).await, [], "it is on the list already");
    let then = log.done(&work[0], 1, 1).await.unwrap().unwrap();
    assert_eq!((then.stored, then.news), (1, head.news));
    let again = take(&*log).await;
    assert_eq!(again.len(), 1);
    assert_ne!(again[0].id, work[0].id);
    log.done(&again[0], 2, 2).await.unwrap();
    assert_eq!(take(&*log).await, []);
    assert_eq!(log.unstored_names(Scope::Streams).await.unwrap(), []);
}

async fn a_piece_is_done_once(world: World) {
    let (log, name) = (world.node().await, name("a"));
    heat(&*log, &name, 0).await;
    let work = take(&*log).await;
    let first = log.done(&work[0], 1, 1).await.unwrap().unwrap();
    assert_eq!(log.done(&work[0], 1, 1).await.unwrap(), Some(first));
    assert_eq!(log.done(&work[0], 0, 0).await.unwrap(), Some(first), "nothing goes back");
    assert_eq!(log.done(&work[0], 9, 9).await.unwrap(), Some(first), "nor beyond the end");
    world.pass_ms(PAST_ALL_TERMS).await;
    assert_eq!(log.done(&work[0], 1, 1).await.unwrap(), None, "it is cold");
}

/// News count from the beginning again, so the numbers alone would tell nothing.
async fn an_old_piece_ends_no_new_one(world: World) {
    let (log, name) = (world.node().await, name("a"));
    heat(&*log, &name, 0).await;
    let old = take(&*log).await;
    log.done(&old[0], 1, 1).await.unwrap();
    world.pass_ms(PAST_ALL_TERMS).await;
    heat(&*log, &name, 1).await;
    log.done(&old[0], 1, 1).await.unwrap();
    assert_eq!(log.unstored_names(Scope::Streams).await.unwrap(), [name]);
    assert_eq!(take(&*log).await.len(), 1);
}

async fn a_barrier_waits_for_what_was_before(world: World) {
    let (log, name, other) = (world.node().await, name("a"), name("b"));
    assert!(log.is_stored(&log.unstored(Scope::Streams).await.unwrap()).await.unwrap());
    let head = heat(&*log, &name, 0).await;
    let work = take(&*log).await;
    // Whoever has taken the work may not have seen this.
    let head = done(log.add(&name, last(head), changes(&["more"])).await.unwrap());
    let barrier = log.unstored(Scope::Streams).await.unwrap();
    heat(&*log, &other, 0).await;
    assert!(!log.is_stored(&barrier).await.unwrap());
    log.done(&work[0], 1, 1).await.unwrap();
    assert!(!log.is_stored(&barrier).await.unwrap(), "the second change is older than it");
    let work = take(&*log).await.into_iter().find(|work| work.name == name).unwrap();
    done(log.add(&name, last(head), changes(&["even more"])).await.unwrap());
    log.done(&work, 2, 2).await.unwrap();
    assert!(log.is_stored(&barrier).await.unwrap(), "though there is newer");
    let unstored: BTreeSet<_> =
        log.unstored_names(Scope::Streams).await.unwrap().into_iter().collect();
    assert_eq!(unstored.len(), 2);
}

async fn scopes_lie_apart(world: World) {
    let (log, stream) = (world.node().await, name("a"));
    let chat = StreamName::of_chat("a").unwrap();
    heat(&*log, &stream, 0).await;
    heat(&*log, &chat, 0).await;
    assert_eq!(log.unstored_names(Scope::Chat).await.unwrap(), std::slice::from_ref(&chat));
    let work = log.take_work(Scope::Chat, 10).await.unwrap();
    assert_eq!(work.len(), 1);
    assert_eq!(work[0].name, chat);
    let barrier = log.unstored(Scope::Chat).await.unwrap();
    log.done(&work[0], 1, 1).await.unwrap();
    assert!(log.is_stored(&barrier).await.unwrap());
    assert_eq!(take(&*log).await[0].name, stream);
}

async fn a_limit_is_kept(world: World) {
    let log = world.node().await;
    for number in 0..200 {
        heat(&*log, &name(&format!("n{number}")), 0).await;
    }
    let mut taken = 0;
    while taken < 200 {
        let work = log.take_work(Scope::Streams, 70).await.unwrap();
        assert!(!work.is_empty() && work.len() <= 70 + 63, "{}", work.len());
        taken += work.len();
    }
    assert_eq!(take(&*log).await, []);
}

async fn nodes_are_known_while_they_live(world: World) {
    let (a, b) = (world.node().await, world.node().await);
    let one = Node { start: 1, info: "http://one:1 2\n3".to_owned() };
    let two = Node { start: u32::MAX, info: String::new() };
    a.alive(&one, Duration::from_millis(300)).await.unwrap();
    b.alive(&two, Duration::from_secs(60)).await.unwrap();
    assert_eq!(a.nodes().await.unwrap(), [one.clone(), two.clone()]);
    world.pass_ms(400).await;
    assert_eq!(a.nodes().await.unwrap(), [two]);
    a.alive(&one, Duration::from_secs(60)).await.unwrap();
    b.gone(u32::MAX).await.unwrap();
    assert_eq!(b.nodes().await.unwrap(), [one]);
    assert!(b.memory().await.is_ok());
}
