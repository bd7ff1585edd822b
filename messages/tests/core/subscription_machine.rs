//! What a subscription does, one thing at a time.

use messages::{
    limits::{RETRY_MS_MAX, WAKE_STREAMS_MAX},
    model::{Offset, StreamId, StreamName},
    subscription::{
        Ack, Config, Due, Fence, Links, Moment, Plan, Refusal, Sight, Stage, State, Subscription,
    },
};

const LEASE_MS: u64 = 1_000;

fn subscription(json: &str) -> Subscription {
    let config = Config::parse(json.as_bytes()).expect("valid");
    let state = State {
        incarnation: 5,
        created_ms: 0,
        origin: "http://test".into(),
        generation: 0,
        wake: None,
    };
    Subscription { config, state, links: Links::default() }
}

pub fn pull() -> Subscription {
    subscription(r#"{"type":"pull-wake","pattern":"s/*","wake_stream":"w","lease_ttl_ms":1000}"#)
}

pub fn webhook() -> Subscription {
    let hook = r#""webhook":{"url":"https://a.example/"}"#;
    subscription(&format!(r#"{{"type":"webhook","pattern":"s/*",{hook},"lease_ttl_ms":1000}}"#))
}

pub fn name(text: &str) -> StreamName {
    text.parse().expect("a name")
}

fn at(now_ms: u64) -> Moment {
    Moment { now_ms, chance: u128::from(now_ms) }
}

pub fn offset(records: u64) -> Offset {
    Offset { records, bytes: records * 10 }
}

fn see(subscription: &mut Subscription, stream: &str, life: u64, records: u64) -> bool {
    subscription.see(&name(stream), Sight::At(StreamId(life), offset(records)))
}

/// What the worker of the present wake holds.
pub fn fence(subscription: &Subscription) -> Fence {
    let State { incarnation, generation, wake, .. } = &subscription.state;
    Fence {
        token_incarnation: *incarnation,
        token_generation: *generation,
        generation: *generation,
        wake_id: wake.as_ref().expect("a wake").id.clone(),
    }
}

pub fn ack(stream: &str, records: u64) -> Ack {
    Ack { stream: stream.into(), offset: offset(records).to_string() }
}

fn step(subscription: &mut Subscription, plan: Option<Plan>) {
    subscription.apply(plan.expect("something to do"));
}

fn acked(subscription: &Subscription, stream: &str) -> Offset {
    subscription.links.get(&name(stream)).expect("linked").acked
}

fn stage(subscription: &Subscription) -> &Stage {
    &subscription.state.wake.as_ref().expect("a wake").stage
}

#[test]
fn a_stream_that_begins_later_is_pending_from_its_beginning() {
    let mut sub = pull();
    assert!(!see(&mut sub, "other", 1, 1));
    assert!(!see(&mut sub, "w", 1, 1), "its wake stream");
    assert!(see(&mut sub, "s/a", 2, 0));
    assert_eq!(sub.due(), None, "an empty stream is nothing to do");
    assert!(see(&mut sub, "s/a", 2, 3));
    assert_eq!(sub.due(), Some(Due::Evaluate(0)));
    let plan = sub.evaluate(at(5));
    step(&mut sub, plan);
    assert_eq!((sub.state.generation, sub.due()), (1, Some(Due::Send(5))));
}

#[test]
fn a_pull_worker_claims_acks_and_is_fenced() {
    let mut sub = pull();
    see(&mut sub, "s/a", 1, 3);
    // Nobody had to be told.
    let plan = sub.claim("one", at(0)).expect("work");
    sub.apply(plan);
    let first = fence(&sub);
    let busy = Refusal::AlreadyClaimed { holder: "one".into(), generation: 1 };
    assert_eq!(sub.claim("two", at(1)), Err(busy.clone()));
    assert_eq!(sub.claim("one", at(1)), Err(busy));
    // A heartbeat extends the lease.
    let (plan, next) = sub.ack(&first, &[ack("s/a", 1)], false, at(900)).expect("its own");
    sub.apply(plan);
    assert!(!next);
    assert_eq!(sub.due(), Some(Due::Evaluate(1_900)));
    see(&mut sub, "s/b", 2, 1);
    let (plan, next) = sub.ack(&first, &[ack("s/a", 3)], true, at(1_000)).expect("its own");
    sub.apply(plan);
    assert!(next, "the other stream");
    assert_eq!((sub.state.generation, acked(&sub, "s/a")), (2, offset(3)));
    assert_eq!(sub.ack(&first, &[], true, at(1_000)), Err(Refusal::Fenced));
    assert_eq!(sub.release(&first, at(1_000)), Err(Refusal::Fenced));
    // The wake that is on its way is the one that is claimed.
    let plan = sub.announced(&fence(&sub));
    step(&mut sub, plan);
    assert_eq!((stage(&sub), sub.due()), (&Stage::Offered, None));
    let plan = sub.claim("two", at(1_100)).expect("work");
    sub.apply(plan);
    assert_eq!(sub.state.generation, 2);
    let (plan, next) = sub.ack(&fence(&sub), &[ack("/s/b/", 1)], true, at(1_100)).expect("its own");
    sub.apply(plan);
    assert!(!next && sub.state.wake.is_none());
    assert_eq!(sub.claim("two", at(1_200)), Err(Refusal::NoPendingWork));
}

#[test]
fn every_part_of_the_fence_counts() {
    let mut sub = pull();
    see(&mut sub, "s/a", 1, 3);
    let plan = sub.claim("one", at(0)).expect("work");
    sub.apply(plan);
    let good = fence(&sub);
    for bad in [
        Fence { token_incarnation: 6, ..good.clone() },
        Fence { token_generation: 2, ..good.clone() },
        Fence { generation: 2, ..good.clone() },
        Fence { wake_id: "w_other".into(), ..good.clone() },
    ] {
        assert_eq!(sub.ack(&bad, &[], false, at(1)), Err(Refusal::Fenced), "{bad:?}");
        assert_eq!(sub.release(&bad, at(1)), Err(Refusal::Fenced), "{bad:?}");
    }
    assert!(sub.release(&good, at(1)).is_ok());
    assert_eq!(sub.release(&good, at(LEASE_MS)), Err(Refusal::Fenced), "the lease is over");
}

#[test]
fn acks_are_all_or_nothing() {
    let mut sub = pull();
    see(&mut sub, "s/a", 1, 3);
    see(&mut sub, "s/b", 2, 3);
    let plan = sub.claim("one", at(0)).expect("work");
    sub.apply(plan);
    let (plan, _) = sub.ack(&fence(&sub), &[ack("s/a", 2)], false, at(0)).expect("fine");
    sub.apply(plan);
    let text = |offset: &str| Ack { stream: "s/b".into(), offset: offset.into() };
    for bad in [
        ack("s/a", 1),
        ack("s/b", 4),
        ack("s/c", 0),
        ack("", 0),
        ack("__ds/x", 0),
        text("-1"),
        text("now"),
        text(&Offset { records: 1, bytes: 99 }.to_string()),
    ] {
        let refused = sub.ack(&fence(&sub), &[ack("s/b", 3), bad.clone()], true, at(0));
        assert!(matches!(refused, Err(Refusal::InvalidOffset(..))), "{bad:?}: {refused:?}");
    }
    assert_eq!(acked(&sub, "s/b"), Offset::ZERO);
    let (plan, next) = sub
        .ack(&fence(&sub), &[ack("s/a", 2), ack("s/b", 1), ack("s/b", 3)], true, at(0))
        .expect("the same position again is fine");
    sub.apply(plan);
    assert!(next);
    assert_eq!((acked(&sub, "s/a"), acked(&sub, "s/b")), (offset(2), offset(3)));
}

#[test]
fn a_lease_that_ends_gives_the_work_to_the_next() {
    let mut sub = pull();
    see(&mut sub, "s/a", 1, 3);
    let plan = sub.claim("one", at(0)).expect("work");
    sub.apply(plan);
    let late = fence(&sub);
    assert_eq!(sub.evaluate(at(LEASE_MS - 1)), None);
    // A claim does not wait for anybody to notice.
    let plan = sub.claim("two", at(LEASE_MS)).expect("free");
    let mut claimed = sub.clone();
    claimed.apply(plan);
    assert_eq!(claimed.state.generation, 2);
    let plan = sub.evaluate(at(LEASE_MS));
    step(&mut sub, plan);
    assert_eq!((sub.state.generation, sub.due()), (2, Some(Due::Send(LEASE_MS))));
    assert_eq!(sub.ack(&late, &[], false, at(LEASE_MS)), Err(Refusal::Fenced));
}

#[test]
fn a_webhook_that_is_done_acks_what_it_was_told_of() {
    let mut sub = webhook();
    see(&mut sub, "s/a", 1, 3);
    let plan = sub.evaluate(at(0));
    step(&mut sub, plan);
    let sent = fence(&sub);
    see(&mut sub, "s/a", 1, 5);
    let plan = sub.delivered(&sent, 0, true, at(10));
    step(&mut sub, plan);
    assert_eq!((acked(&sub, "s/a"), sub.state.generation), (offset(3), 2));
    assert_eq!(sub.state.wake.as_ref().expect("the next").marks[0].tail, offset(5));
    assert_eq!(sub.delivered(&sent, 0, true, at(10)), None, "an answer to an earlier wake");
    assert_eq!(sub.failed(&sent, at(10)), None);
}

#[test]
fn a_webhook_that_is_not_done_has_a_lease() {
    let mut sub = webhook();
    see(&mut sub, "s/a", 1, 3);
    let plan = sub.evaluate(at(0));
    step(&mut sub, plan);
    let sent = fence(&sub);
    let mut called_back = sub.clone();
    let plan = sub.delivered(&sent, 100, false, at(300));
    step(&mut sub, plan);
    assert_eq!(sub.due(), Some(Due::Evaluate(100 + LEASE_MS)));
    // It may also call back before it answers, and then the answer says nothing new.
    let (plan, _) = called_back.ack(&sent, &[], false, at(400)).expect("its own");
    called_back.apply(plan);
    assert_eq!(called_back.delivered(&sent, 100, false, at(500)), None);
    assert_eq!(called_back.failed(&sent, at(500)), None);
    assert_eq!(called_back.due(), Some(Due::Evaluate(400 + LEASE_MS)));
}

#[test]
fn failures_are_repeated_less_and_less_often() {
    let mut sub = webhook();
    see(&mut sub, "s/a", 1, 3);
    let plan = sub.evaluate(at(0));
    step(&mut sub, plan);
    let sent = fence(&sub);
    for base in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, RETRY_MS_MAX, RETRY_MS_MAX] {
        for chance in [0, 1, u128::from(base) / 5, u128::MAX] {
            let plan = sub.failed(&sent, Moment { now_ms: 0, chance }).expect("a retry");
            let Some(wake) = plan.state.wake else { panic!("no wake") };
            let Stage::Outgoing { next_attempt_ms, .. } = wake.stage else { panic!("{wake:?}") };
            assert!((base * 4 / 5..=base * 6 / 5).contains(&next_attempt_ms), "{next_attempt_ms}");
        }
        let plan = sub.failed(&sent, at(0));
        step(&mut sub, plan);
    }
    assert_eq!(sub.state.generation, 1, "it is still the same wake");
    assert!(matches!(stage(&sub), Stage::Outgoing { failures: 8, .. }));
}

#[test]
fn links_by_name_come_and_go_beside_those_by_pattern() {
    let mut sub = pull();
    see(&mut sub, "s/a", 1, 3);
    let plan = sub.add(&[
        (name("s/a"), Some((StreamId(1), offset(3)))),
        (name("x"), Some((StreamId(2), offset(2)))),
        (name("s/later"), None),
    ]);
    sub.apply(plan);
    let explicit = |sub: &Subscription, stream: &str| {
        sub.links.get(&name(stream)).map(|link| (link.explicit, link.acked, link.is_pending()))
    };
    assert_eq!(explicit(&sub, "s/a"), Some((true, Offset::ZERO, true)), "the cursor stays");
    assert_eq!(explicit(&sub, "x"), Some((true, offset(2), false)), "from its end on");
    see(&mut sub, "s/later", 3, 1);
    assert_eq!(explicit(&sub, "s/later"), Some((true, Offset::ZERO, true)));
    for (stream, left) in [("s/a", true), ("x", false), ("s/later", true)] {
        let plan = sub.remove(&name(stream));
        step(&mut sub, plan);
        assert_eq!(explicit(&sub, stream).map(|link| link.0), left.then_some(false), "{stream}");
        assert_eq!(sub.remove(&name(stream)), None, "it is gone already");
    }
}

#[test]
fn a_new_life_of_a_stream_is_read_from_its_beginning() {
    let mut sub = pull();
    let plan = sub.add(&[(name("x"), Some((StreamId(1), offset(9))))]);
    sub.apply(plan);
    see(&mut sub, "s/a", 1, 9);
    assert!(sub.see(&name("s/a"), Sight::Gone(StreamId(1))));
    assert!(sub.see(&name("x"), Sight::Gone(StreamId(1))));
    assert!(sub.links.get(&name("s/a")).is_none(), "nothing is left to link");
    assert!(see(&mut sub, "x", 2, 1));
    assert!(!see(&mut sub, "x", 1, 20), "news of an earlier life");
    assert!(!sub.see(&name("x"), Sight::Gone(StreamId(1))));
    assert_eq!((acked(&sub, "x"), sub.due()), (Offset::ZERO, Some(Due::Evaluate(0))));
}

#[test]
fn a_wake_without_a_reason_ends() {
    let mut sub = pull();
    see(&mut sub, "s/a", 1, 9);
    let plan = sub.evaluate(at(0));
    step(&mut sub, plan);
    let plan = sub.announced(&fence(&sub));
    step(&mut sub, plan);
    sub.see(&name("s/a"), Sight::Gone(StreamId(1)));
    assert_eq!(sub.claim("one", at(1)), Err(Refusal::NoPendingWork));
    let plan = sub.evaluate(at(1));
    step(&mut sub, plan);
    assert_eq!((sub.state.wake.as_ref(), sub.due()), (None, None));
    see(&mut sub, "s/a", 2, 1);
    assert_eq!(sub.due(), Some(Due::Evaluate(0)), "and so the next is told of");
}

#[test]
fn a_wake_tells_of_so_many_streams_and_the_next_of_the_rest() {
    let mut sub = webhook();
    for i in 0..WAKE_STREAMS_MAX + 1 {
        see(&mut sub, &format!("s/{i}"), i as u64, 1);
    }
    let plan = sub.evaluate(at(0));
    step(&mut sub, plan);
    let plan = sub.delivered(&fence(&sub), 0, true, at(1));
    step(&mut sub, plan);
    assert_eq!(sub.state.wake.as_ref().expect("the next").marks.len(), 1);
}

#[test]
fn the_state_is_read_as_it_was_written() {
    let mut sub = webhook();
    see(&mut sub, "s/ö", 1, 3);
    let plan = sub.evaluate(at(7));
    step(&mut sub, plan);
    let sent = fence(&sub);
    let text = serde_json::to_string(&sub.state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), sub.state);
    let plan = sub.delivered(&sent, 0, false, at(7));
    step(&mut sub, plan);
    let text = r#"{"incarnation":5,"created_ms":0,"origin":"http://test","generation":1,"wake":{"id":"w_00000000000000000000000000000007","marks":[{"stream":"s/ö","life":1,"tail":"0000000000000003_0000000000000030"}],"stage":{"leased":{"holder":null,"until_ms":1000}}}}"#;
    assert_eq!(serde_json::to_string(&sub.state).unwrap(), text, "stored: never change it");
}

#[test]
fn a_replay_takes_the_wake_away_and_tells_again() {
    let mut sub = webhook();
    see(&mut sub, "s/a", 1, 3);
    let plan = sub.evaluate(at(0));
    step(&mut sub, plan);
    let first = fence(&sub);
    // Back, while it is being told: what comes of that does not count any more.
    let plan = sub.replay(&name("s/a"), offset(1), at(1)).expect("a place");
    sub.apply(plan);
    assert_eq!((sub.delivered(&first, 0, true, at(2)), acked(&sub, "s/a")), (None, offset(1)));
    assert_eq!((sub.state.generation, sub.due()), (2, Some(Due::Send(1))));
    // To the end: there is nothing to tell.
    let plan = sub.replay(&name("s/a"), offset(3), at(3)).expect("a place");
    sub.apply(plan);
    assert_eq!((sub.due(), &sub.state.wake), (None, &None));
    // And from rest back again, at once.
    let plan = sub.replay(&name("s/a"), offset(0), at(4)).expect("a place");
    sub.apply(plan);
    assert_eq!((sub.state.generation, sub.due()), (3, Some(Due::Send(4))));
    for (stream, to) in [("s/a", 4), ("s/b", 0)] {
        let refused = sub.replay(&name(stream), offset(to), at(5));
        assert!(matches!(refused, Err(Refusal::InvalidOffset(..))), "{refused:?}");
    }
}
