//! Subscriptions at work: requests, changes, time, crashes.

use super::{
    memory_store::MemoryStore,
    subscription_run::{Run, done, report},
};
use bytes::Bytes;
use messages::{
    budget::Budget,
    channel::WindowMemory,
    clock::SystemClock,
    committer::Commits,
    journal::Mark,
    model::{Change, CloseReason, Create, Lifetime, Offset, StreamId},
    recovery,
    store::Store,
    stream::{Addition, Ground, Streams},
    subscription::{Refusal, SubscriptionError},
    webhook::Reply,
};
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn what_exists_is_not_told_again_and_what_begins_is_told_whole() {
    let mut run = Run::new().await;
    let old = run.append("s/old", "before").await;
    run.webhook("a", "s/*").await;
    assert_eq!(run.acked("a", "s/old").await, old.to_string());
    run.no_letter().await;
    run.append("s/new", "x").await;
    let (wake, answer) = run.letter().await;
    assert_eq!(wake["streams"][0]["path"], "s/new");
    assert_eq!(wake["streams"][0]["acked_offset"], Offset::ZERO.to_string());
    assert_eq!(wake["streams"].as_array().unwrap().len(), 1);
    // While it is at work nobody else is told, and afterwards what came meanwhile is.
    let later = run.append("s/old", "more").await;
    run.no_letter().await;
    done(answer);
    let (wake, answer) = run.letter().await;
    assert_eq!((&wake["generation"], &wake["streams"][0]["path"]), (&2.into(), &"s/old".into()));
    done(answer);
    run.until_acked("a", "s/old", later).await;
    run.no_letter().await;
}

#[tokio::test]
async fn a_webhook_that_fails_is_called_again_at_its_time_also_after_a_crash() {
    let mut run = Run::new().await;
    run.webhook("a", "s/*").await;
    run.append("s/x", "x").await;
    let (first, answer) = run.letter().await;
    let _ = answer.send(Ok(Reply { status: 500, body: Bytes::new() }));
    run.until_status("a", "failed").await;
    let description = run.get("a").await;
    assert!(description["next_attempt_at"].as_str().unwrap().starts_with("1970-01-01T00:16:4"));
    run.pass(700);
    run.no_letter().await;
    let mut run = run.crash().await;
    run.no_letter().await;
    run.pass(600);
    let (again, answer) = run.letter().await;
    assert_eq!((&again["wake_id"], &again["generation"]), (&first["wake_id"], &1.into()));
    assert_eq!(again["callback_token"], first["callback_token"]);
    // The webhook may have got the first one, too.
    let reported = run
        .subscriptions
        .callback("a".parse().unwrap(), report(&first, "callback_token", &[], true));
    assert_eq!(reported.await, Ok(true), "nothing is processed yet");
    let (next, _) = run.letter().await;
    assert_eq!(next["generation"], 2);
    done(answer);
    run.settled().await;
    assert_eq!(run.acked("a", "s/x").await, Offset::ZERO.to_string(), "it was too late");
}

#[tokio::test]
async fn leases_end_at_their_time_also_after_a_crash() {
    let mut run = Run::new().await;
    run.webhook("a", "s/*").await;
    run.wake_stream("wake").await;
    run.pull("b", "s/*", "wake").await;
    run.append("s/x", "x").await;
    let (_, answer) = run.letter().await;
    let _ = answer.send(Ok(Reply { status: 200, body: Bytes::new() }));
    let claimed = run.claim("b", "one").await.unwrap();
    run.until_stage("a", "leased").await;
    let mut run = run.crash().await;
    run.pass(900);
    run.no_letter().await;
    let busy = run.claim("b", "two").await;
    let busy_by = |holder: &str| {
        let (holder, generation) = (holder.into(), 1);
        Err(SubscriptionError::Refused(Refusal::AlreadyClaimed { holder, generation }))
    };
    assert_eq!(busy, busy_by("one"));
    // A heartbeat of the one that holds it, with the token from before the crash.
    let heartbeat = report(&claimed, "token", &[], false);
    assert_eq!(run.subscriptions.ack("b".parse().unwrap(), heartbeat.clone()).await, Ok(false));
    run.pass(100);
    let (wake, _) = run.letter().await;
    assert_eq!(wake["generation"], 2);
    assert_eq!(run.claim("b", "two").await, busy_by("one"));
    run.pass(900);
    run.events("wake", 1).await;
    let late = run.subscriptions.ack("b".parse().unwrap(), heartbeat).await;
    assert_eq!(late, Err(SubscriptionError::Refused(Refusal::Fenced)));
    assert_eq!(run.claim("b", "two").await.unwrap()["generation"], 2);
}

#[tokio::test]
async fn a_claim_right_after_an_append_finds_it() {
    let run = Run::new().await;
    run.wake_stream("wake").await;
    run.pull("a", "s/*", "wake").await;
    for i in 0..50 {
        let name = format!("s/{}", i % 3);
        let tail = run.append(&name, "x").await;
        let wake = run.claim("a", "one").await.expect("work");
        assert_eq!(wake["streams"][0]["tail_offset"], tail.to_string());
        let report = report(&wake, "token", &[(&name, tail)], true);
        assert_eq!(run.subscriptions.ack("a".parse().unwrap(), report).await, Ok(false));
        let nothing = run.claim("a", "one").await;
        assert_eq!(nothing, Err(SubscriptionError::Refused(Refusal::NoPendingWork)));
    }
}

#[tokio::test]
async fn streams_that_begin_just_before_a_crash_are_told_after_it() {
    let run = Run::new().await;
    run.webhook("a", "s/*").await;
    // The service does not get to see it: everything stops before.
    run.stop.cancel();
    run.subscriptions.ended().await;
    run.append("s/late", "x").await;
    run.append("t/late", "x").await;
    let mut run = run.crash().await;
    let (wake, answer) = run.letter().await;
    assert_eq!(wake["streams"][0]["path"], "s/late");
    done(answer);
    run.until_acked("a", "s/late", Offset { records: 1, bytes: 1 }).await;
    let mut run = run.crash().await;
    run.no_letter().await;
    run.append("s/late", "y").await;
    assert_eq!(run.letter().await.0["generation"], 2);
}

#[tokio::test]
async fn what_a_crash_took_back_is_not_taken_for_processed() {
    let mut run = Run::new().await;
    run.append("s/x", "first").await;
    run.webhook("a", "s/**").await;
    run.flusher.flush().await.unwrap();
    run.append("s/x", "second").await;
    run.append("s/y", "whole").await;
    done(run.letter().await.1);
    run.until_acked("a", "s/x", Offset { records: 2, bytes: 11 }).await;
    run.settled().await;
    // No journal, and no flush: the second record and the second stream are gone.
    run.stop.cancel();
    run.subscriptions.ended().await;
    let mut run = Run::start(&run.store, &run.clock).await;
    run.no_letter().await;
    assert_eq!(run.acked("a", "s/y").await, "");
    run.append("s/x", "2").await;
    let (wake, _) = run.letter().await;
    assert_eq!(wake["streams"][0]["acked_offset"], Offset { records: 1, bytes: 5 }.to_string());
}

#[tokio::test]
async fn wake_events_wake_nobody_who_writes_wake_events() {
    let run = Run::new().await;
    run.wake_stream("wake/a").await;
    run.wake_stream("wake/b").await;
    run.pull("a", "**", "wake/a").await;
    run.pull("b", "**", "wake/b").await;
    run.append("s/x", "x").await;
    for round in 1..4 {
        for id in ["a", "b"] {
            run.events(&format!("wake/{id}"), round).await;
            let wake = run.claim(id, "one").await.expect("work");
            assert_eq!(wake["streams"].as_array().unwrap().len(), 1, "{wake}");
            assert_eq!(wake["streams"][0]["path"], "s/x");
            let tail = wake["streams"][0]["tail_offset"].as_str().unwrap().parse().unwrap();
            let report = report(&wake, "token", &[("s/x", tail)], true);
            assert_eq!(run.subscriptions.ack(id.parse().unwrap(), report).await, Ok(false));
        }
        run.settled().await;
        for id in ["a", "b"] {
            assert_eq!(run.events(&format!("wake/{id}"), round).await.len(), round);
            assert!(run.claim(id, "one").await.is_err());
        }
        run.append("s/x", "x").await;
    }
}

#[tokio::test]
async fn an_event_waits_for_its_wake_stream() {
    let run = Run::new().await;
    run.pull("a", "s/*", "wake").await;
    run.append("s/x", "x").await;
    run.until_status("a", "failed").await;
    // Nobody has to wait for the next attempt.
    run.wake_stream("wake").await;
    let events = run.events("wake", 1).await;
    assert_eq!(events[0]["subscription_id"], "a");
    assert_eq!((&events[0]["type"], &events[0]["stream"]), (&"wake".into(), &"s/x".into()));
    run.until_stage("a", "offered").await;
    run.until_status("a", "active").await;
    // It is not written again after a crash.
    let run = run.crash().await;
    run.settled().await;
    assert_eq!(run.messages("wake").await.len(), 1);
    assert_eq!(run.claim("a", "one").await.unwrap()["generation"], 1);
}

#[tokio::test]
async fn what_cannot_be_stored_has_not_happened() {
    let run = Run::new().await;
    run.wake_stream("wake").await;
    run.append("s/x", "before").await;
    let json = r#"{"type":"pull-wake","pattern":"s/*","wake_stream":"wake","lease_ttl_ms":1000}"#;
    run.store.fail_next_save();
    assert_eq!(run.put("a", json).await, Err(SubscriptionError::NotStored));
    run.append("s/y", "before, too").await;
    assert_eq!(run.put("a", json).await, Ok(true));
    assert_eq!(run.put("a", json).await, Ok(false));
    assert!(run.claim("a", "one").await.is_err(), "all of it was there before");
    let tail = run.append("s/x", "x").await;
    run.until_stage("a", "offered").await;
    run.settled().await;
    run.store.fail_next_save();
    assert_eq!(run.claim("a", "one").await, Err(SubscriptionError::NotStored));
    let wake = run.claim("a", "two").await.expect("it is free");
    run.store.fail_next_save();
    let report = report(&wake, "token", &[("s/x", tail)], true);
    let id = || "a".parse().unwrap();
    let acked = run.subscriptions.ack(id(), report.clone()).await;
    assert_eq!(acked, Err(SubscriptionError::NotStored));
    assert_eq!(run.subscriptions.ack(id(), report).await, Ok(false));
    run.store.fail_next_save();
    assert_eq!(run.subscriptions.delete(id()).await, Err(SubscriptionError::NotStored));
    assert_eq!(run.acked("a", "s/x").await, tail.to_string());
    assert_eq!(run.subscriptions.delete(id()).await, Ok(()));
    assert_eq!(run.claim("a", "one").await, Err(SubscriptionError::NotFound));
}

#[tokio::test]
async fn a_deleted_subscription_is_over_for_whoever_works_for_it() {
    let mut run = Run::new().await;
    run.webhook("a", "s/*").await;
    run.append("s/x", "x").await;
    let (wake, answer) = run.letter().await;
    let id = || "a".parse().unwrap();
    run.subscriptions.delete(id()).await.unwrap();
    let late = report(&wake, "callback_token", &[], true);
    let over = run.subscriptions.callback(id(), late.clone()).await;
    assert_eq!(over, Err(SubscriptionError::NotFound));
    // Also when somebody else has taken the id since, up to the same generation.
    run.webhook("a", "s/*").await;
    let tail = run.append("s/x", "y").await;
    let (_, other) = run.letter().await;
    done(answer);
    run.settled().await;
    let over = run.subscriptions.callback(id(), late).await;
    assert_eq!(over, Err(SubscriptionError::Refused(Refusal::Fenced)));
    assert_ne!(run.acked("a", "s/x").await, tail.to_string());
    done(other);
    run.until_acked("a", "s/x", tail).await;
}

#[tokio::test]
async fn appends_while_a_subscription_begins_are_never_missed() {
    for round in 0..20 {
        let run = Run::new().await;
        run.wake_stream("wake").await;
        let appending = async {
            for i in 0..30 {
                run.append(&format!("s/{i}"), "x").await;
                tokio::task::yield_now().await;
            }
        };
        let creating = async {
            for _ in 0..round * 3 {
                tokio::task::yield_now().await;
            }
            run.pull("a", "s/*", "wake").await;
        };
        tokio::join!(appending, creating);
        let description = run.get("a").await;
        assert_eq!(description["streams"].as_array().unwrap().len(), 30, "all are linked");
    }
}

#[tokio::test]
async fn what_happens_while_a_step_is_stored_is_not_missed() {
    let run = Run::new().await;
    run.wake_stream("wake").await;
    run.append("s/old", "before").await;
    run.store.slow_saves(400);
    let meanwhile = async |texts: [&str; 2]| {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let ends = [run.append("s/old", texts[0]).await, run.append("s/new", texts[1]).await];
        run.settled().await;
        ends
    };
    // The creation.
    let ((), ends) = tokio::join!(run.pull("a", "s/*", "wake"), meanwhile(["x", "y"]));
    let wake = run.claim("a", "one").await.expect("work");
    assert_eq!(wake["streams"].as_array().unwrap().len(), 2, "{wake}");
    // An acknowledgement of all that was told.
    let acks = [("s/new", ends[1]), ("s/old", ends[0])];
    let report = report(&wake, "token", &acks, true);
    let acking = run.subscriptions.ack("a".parse().unwrap(), report);
    let (acked, ends) = tokio::join!(acking, meanwhile(["more", "more"]));
    assert_eq!(acked, Ok(false), "nothing was there when it was decided");
    let wake = run.claim("a", "one").await.expect("work");
    let tails = [&wake["streams"][0]["tail_offset"], &wake["streams"][1]["tail_offset"]];
    assert_eq!(tails, [&ends[1].to_string(), &ends[0].to_string()]);
    // A link by name.
    let names = ["x".parse().unwrap()].into();
    let later = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        run.append("x", "x").await
    };
    let (added, _) = tokio::join!(run.subscriptions.add("a".parse().unwrap(), names), later);
    assert_eq!(added, Ok(()));
    assert_eq!(run.acked("a", "x").await, Offset::ZERO.to_string());
    let released = super::subscription_run::report(&wake, "token", &[], false);
    assert_eq!(run.subscriptions.release("a".parse().unwrap(), released).await, Ok(()));
    let wake = run.claim("a", "two").await.expect("work");
    assert_eq!(wake["streams"].as_array().unwrap().len(), 3, "{wake}");
}

#[tokio::test]
async fn a_new_life_of_a_stream_is_told_from_its_beginning() {
    let mut run = Run::new().await;
    run.webhook("a", "s/*").await;
    let tail = run.append("s/x", "a long first life").await;
    done(run.letter().await.1);
    run.until_acked("a", "s/x", tail).await;
    let name = "s/x".parse().unwrap();
    let channel = run.streams.find(&name).await.unwrap();
    run.streams.append(&channel, Addition::close(CloseReason::Finished)).await.unwrap();
    run.no_letter().await;
    run.streams.begin(&name, "text/plain", false).await.unwrap();
    run.append("s/x", "2").await;
    let (wake, _) = run.letter().await;
    assert_eq!(wake["streams"][0]["acked_offset"], Offset::ZERO.to_string());
    assert_eq!(wake["streams"][0]["tail_offset"], Offset { records: 1, bytes: 1 }.to_string());
}

/// The service sees what was appended right before a crash, when the journal is all that has it.
#[tokio::test]
async fn what_the_journal_brings_back_has_changed() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (budget, memory) = (Budget::new(1 << 20), WindowMemory::new(1000));
    let commits = Commits::new(Mark(0), u64::MAX);
    let streams = Streams::new(Ground {
        store: store.clone(),
        commits: commits.clone(),
        budget: budget.clone(),
        memory: memory.clone(),
        clock: Arc::new(SystemClock),
        start: 1,
        stream_bytes_max: 1 << 30,
    });
    let create = Create {
        name: "s/x".parse().unwrap(),
        content_type: "text/plain".into(),
        tied: false,
        replaces: None,
        lifetime: Lifetime::Unlimited,
        fork: None,
    };
    let changes = vec![(StreamId(1), Change::Create(create))];
    let recovered = recovery::recover(&*store, changes, 0, &memory).await.unwrap();
    commits.changes().watch(true);
    recovered.install(&streams, &commits, &budget);
    let changed = commits.changes().take();
    assert_eq!(changed.iter().map(|channel| channel.id()).collect::<Vec<_>>(), [StreamId(1)]);
}
