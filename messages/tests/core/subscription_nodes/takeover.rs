//! The node that works goes, and another one does.

use super::{
    super::subscription_run::done,
    node::{Together, until},
    webhook,
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_any_node_does_is_told_by_the_one_that_works_and_soon() {
    let mut all = Together::new().await;
    let (a, b) = (all.node(0).await, all.node(1).await);
    let old = b.append("s/old", "before").await;
    until(async || a.desk.here().is_some() || b.desk.here().is_some()).await;
    assert_eq!(b.put("w", &webhook("s/**")).await.0, 201);
    assert_eq!(a.acked("w", "s/old").await, old.to_string());
    all.silence().await;
    let mut longest = Duration::ZERO;
    for i in 0..20 {
        let (node, name) = ([&a, &b][i % 2], format!("s/{}", i % 5));
        let began = Instant::now();
        let tail = node.append(&name, "more").await;
        let (by, wake, answer) = all.call().await;
        longest = longest.max(began.elapsed());
        assert!([&a, &b][by].desk.here().is_some());
        assert_eq!(wake["streams"][0]["path"], name);
        assert_eq!(wake["streams"][0]["tail_offset"], tail.to_string());
        done(answer);
        until(async || a.acked("w", &name).await == tail.to_string()).await;
        // Now and then the name is not on the list of the flusher any more when it goes on.
        tokio::time::sleep(Duration::from_millis(i as u64 % 3 * 20)).await;
    }
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    println!("the longest wait for a call: {longest:?}");
    all.silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_goes_on_where_a_dead_one_was() {
    let mut all = Together::new().await;
    let a = all.node(0).await;
    a.until_it_works().await;
    let b = all.node(1).await;
    assert_eq!(a.put("w", &webhook("s/*")).await.0, 201);
    a.append("s/x", "one").await;
    let (by, first, answer) = all.call().await;
    assert_eq!((by, &first["generation"]), (0, &1.into()));
    // Both of these nobody has seen when it dies.
    let late = b.append("s/late", "late").await;
    drop(answer);
    drop(a);
    let y = b.append("s/y", "new").await;
    let (by, again, answer) = all.call().await;
    assert_eq!((by, &again["wake_id"]), (1, &first["wake_id"]));
    assert_eq!(again["callback_token"], first["callback_token"]);
    done(answer);
    let mut open: BTreeMap<&str, String> =
        [("s/late", late.to_string()), ("s/y", y.to_string())].into();
    while !open.is_empty() {
        let (_, wake, answer) = all.call().await;
        for stream in wake["streams"].as_array().expect("streams") {
            let path = stream["path"].as_str().expect("a path");
            if stream["tail_offset"].as_str() == open.get(path).map(String::as_str) {
                assert_eq!(stream["acked_offset"], "0000000000000000_0000000000000000");
                open.remove(path);
            }
        }
        done(answer);
    }
    until(async || b.acked("w", "s/y").await == y.to_string()).await;
    assert_eq!(b.acked("w", "s/late").await, late.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_hands_over_at_once() {
    let mut all = Together::new().await;
    let a = all.node(0).await;
    a.until_it_works().await;
    let b = all.node(1).await;
    assert_eq!(b.put("w", &webhook("s/*")).await.0, 201);
    tokio::time::sleep(Duration::from_millis(150)).await;
    let began = Instant::now();
    a.stop().await;
    b.until_it_works().await;
    let took = began.elapsed();
    println!("handed over after {took:?}");
    assert!(took < Duration::from_millis(500), "{took:?}");
    let tail = b.append("s/x", "x").await;
    done(all.call().await.2);
    until(async || b.acked("w", "s/x").await == tail.to_string()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_held_up_cannot_disturb_the_next() {
    let mut all = Together::new().await;
    let a = all.node(0).await;
    a.until_it_works().await;
    let b = all.node(1).await;
    assert_eq!(a.put("w", &webhook("s/*")).await.0, 201);
    let tail = a.append("s/x", "one").await;
    let (by, first, late) = all.call().await;
    assert_eq!(by, 0);
    a.way.cut.store(true, SeqCst);
    b.until_it_works().await;
    let (by, again, answer) = all.call().await;
    assert_eq!((by, &again["wake_id"]), (1, &first["wake_id"]));
    let held_up = a.desk.here().expect("it does not know yet");
    let refused = held_up.get("w".parse().expect("an id"), "http://x".into()).await;
    assert_eq!(refused.map(drop), Err(messages::subscription::SubscriptionError::NotReady));
    // What it stores now would be the end of a wake that is not its own any more.
    done(late);
    until(async || a.desk.here().is_none()).await;
    assert_ne!(b.acked("w", "s/x").await, tail.to_string());
    assert_eq!(b.get("w").await.1["generation"], Value::Null);
    done(answer);
    until(async || b.acked("w", "s/x").await == tail.to_string()).await;
    // It asks the other one like any node.
    assert_eq!(a.acked("w", "s/x").await, tail.to_string());
    a.way.cut.store(false, SeqCst);
    drop(b);
    a.until_it_works().await;
    let more = a.append("s/x", "two").await;
    done(all.call().await.2);
    until(async || a.acked("w", "s/x").await == more.to_string()).await;
    all.silence().await;
}

/// Nodes die one after the other, the log is interrupted, and streams grow, begin and begin anew: all of
/// it is told in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_forgotten_whoever_dies() {
    let mut all = Together::new().await;
    let keeper = all.node(9).await;
    keeper.until_it_works().await;
    assert_eq!(keeper.put("w", &webhook("s/**")).await.0, 201);
    let mut ends = BTreeMap::new();
    for round in 0..6_usize {
        let node = all.node(round).await;
        for i in 0..8_usize {
            let name = format!("s/{}", (round * 5 + i * 3) % 17);
            let by = if i % 2 == 0 { &node } else { &keeper };
            if i == 3
                && let Ok(channel) = by.streams.find(&name.parse().expect("a name")).await
            {
                by.streams.delete(&channel).await.expect("deleted");
            }
            ends.insert(name.clone(), by.append(&name, "content").await.to_string());
            if i == 5 {
                all.log.interrupt();
            }
        }
        while let Ok(call) = tokio::time::timeout(Duration::from_millis(20), all.call()).await {
            done(call.2);
        }
        drop(node);
    }
    let (sender, mut stop) = tokio::sync::oneshot::channel::<()>();
    let answering = tokio::spawn(async move {
        loop {
            tokio::select! {
                call = all.call() => done(call.2),
                _ = &mut stop => return all,
            }
        }
    });
    for (name, end) in &ends {
        until(async || keeper.acked("w", name).await == *end).await;
    }
    drop(sender);
    let mut all = answering.await.expect("no panic");
    all.silence().await;
}
