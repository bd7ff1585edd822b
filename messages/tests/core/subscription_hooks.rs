//! Webhooks of conversations: they last as long as their owners take part.

use super::subscription_run::{Run, done, report, until};
use messages::{
    limits::WEBHOOKS_PER_USER_MAX,
    model::{Offset, StreamName},
    store::SubscriptionStore,
    stream::{Addition, NewStream, records},
    subscription::{Config, Hook, SubscriptionError},
    webhook::Reply,
};
use std::sync::Arc;

fn stream() -> StreamName {
    StreamName::of_chat("c/team").unwrap()
}

fn hook(name: &str) -> Hook {
    Hook { conversation: "team".into(), since: 1, owner: "alice".into(), name: name.into() }
}

fn config() -> Config {
    Config::webhook("url".into(), stream(), Some(1_000), None).unwrap()
}

/// An event of the conversation.
async fn happen(run: &Run) -> Offset {
    let new = NewStream::empty(stream(), "application/json");
    let channel = run.streams.ensure(new).await.unwrap().channel;
    let records = records("{}".into(), true).unwrap();
    let addition = Addition { records, ..Addition::default() };
    run.streams.append(&channel, addition).await.unwrap().tail
}

/// Alice takes part, or no more.
fn take_part(run: &Run, does: bool) {
    *run.members.0.lock().unwrap() = does.then(|| hook("bot"));
}

async fn put(run: &Run, name: &str, from: Option<Offset>) -> Result<bool, SubscriptionError> {
    let id = hook(name).id().unwrap();
    let put = run.subscriptions.put_from(id, config(), "http://test".into(), from);
    put.await.map(|(created, _)| created)
}

async fn listed(run: &Run) -> usize {
    run.subscriptions.hooks("team".into(), "http://test".into()).await.unwrap().len()
}

/// Waits until the store has no subscription.
async fn until_gone(run: &Run) {
    until(async || run.store.subscriptions().await.unwrap().is_empty()).await;
    assert_eq!(listed(run).await, 0);
}

#[tokio::test]
async fn a_wake_names_the_conversation_and_is_read_back_after_a_crash() {
    let mut run = Run::new().await;
    take_part(&run, true);
    let tail = happen(&run).await;
    assert_eq!(put(&run, "bot", Some(Offset::ZERO)).await, Ok(true));
    assert_eq!(put(&run, "bot", Some(tail)).await, Ok(false), "from is of the beginning");
    let (first, answer) = run.letter().await;
    assert_eq!((&first["conversation"], &first["generation"]), (&"team".into(), &1.into()));
    assert_eq!(first["streams"][0]["path"], "__chat/c/team");
    assert_eq!(first["streams"][0]["acked_offset"], Offset::ZERO.to_string());
    drop(answer);
    let mut run = run.crash().await;
    take_part(&run, true);
    run.pass(60_000);
    let (again, _answer) = run.letter().await;
    assert_eq!(again["wake_id"], first["wake_id"]);
    let report = report(&again, "callback_token", &[("__chat/c/team", tail)], true);
    assert_eq!(run.subscriptions.callback(hook("bot").id().unwrap(), report).await, Ok(false));
    // From rest it is told again, once it is asked for.
    let id = hook("bot").id().unwrap();
    run.subscriptions.replay(id.clone(), stream(), Offset::ZERO).await.unwrap();
    let (replayed, answer) = run.letter().await;
    assert_eq!(replayed["streams"][0]["acked_offset"], Offset::ZERO.to_string());
    done(answer);
    let beyond = Offset { records: 9, bytes: 9 };
    let refused = run.subscriptions.replay(id, stream(), beyond).await;
    assert!(matches!(refused, Err(SubscriptionError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn leaving_is_the_event_that_ends_it() {
    let mut run = Run::new().await;
    take_part(&run, true);
    happen(&run).await;
    put(&run, "bot", None).await.unwrap();
    take_part(&run, false);
    happen(&run).await;
    until_gone(&run).await;
    run.no_letter().await;
}

/// Nobody waits for the end of a lease, or for the time of the next attempt.
#[tokio::test]
async fn it_ends_at_once_whatever_it_waits_for() {
    for status in [200, 500] {
        let mut run = Run::new().await;
        take_part(&run, true);
        happen(&run).await;
        put(&run, "bot", Some(Offset::ZERO)).await.unwrap();
        let (_, answer) = run.letter().await;
        let _ = answer.send(Ok(Reply { status, body: "{}".into() }));
        run.until_stage(
            hook("bot").id().unwrap().as_str(),
            if status == 200 { "leased" } else { "\"failures\":1" },
        )
        .await;
        take_part(&run, false);
        happen(&run).await;
        until_gone(&run).await;
        run.no_letter().await;
    }
}

/// A crash comes between, while somebody works on a wake.
#[tokio::test]
async fn it_ends_at_the_next_start_whatever_it_waits_for() {
    let mut run = Run::new().await;
    take_part(&run, true);
    happen(&run).await;
    put(&run, "bot", Some(Offset::ZERO)).await.unwrap();
    let (_, answer) = run.letter().await;
    let _ = answer.send(Ok(Reply { status: 200, body: "{}".into() }));
    run.until_stage(hook("bot").id().unwrap().as_str(), "leased").await;
    run.stop.cancel();
    happen(&run).await;
    until_gone(&run.crash().await).await;
}

#[tokio::test]
async fn what_a_crash_has_left_ends_at_the_next_start() {
    let run = Run::new().await;
    take_part(&run, true);
    happen(&run).await;
    put(&run, "bot", None).await.unwrap();
    run.stop.cancel();
    take_part(&run, false);
    happen(&run).await;
    let mut run = run.crash().await;
    until_gone(&run).await;
    run.no_letter().await;
}

#[tokio::test]
async fn who_works_for_an_owner_who_is_gone_is_refused() {
    let mut run = Run::new().await;
    take_part(&run, true);
    let tail = happen(&run).await;
    put(&run, "bot", Some(Offset::ZERO)).await.unwrap();
    let (wake, _answer) = run.letter().await;
    take_part(&run, false);
    let report = report(&wake, "callback_token", &[("__chat/c/team", tail)], true);
    let refused = run.subscriptions.callback(hook("bot").id().unwrap(), report).await;
    assert_eq!(refused, Err(SubscriptionError::NotFound));
    until_gone(&run).await;
}

#[tokio::test]
async fn nobody_has_more_than_so_many() {
    let run = Arc::new(Run::new().await);
    happen(&run).await;
    let names: Vec<String> = (0..WEBHOOKS_PER_USER_MAX + 4).map(|i| format!("bot-{i}")).collect();
    let puts = futures::future::join_all(names.iter().map(|name| put(&run, name, None))).await;
    assert_eq!(puts.iter().filter(|put| **put == Ok(true)).count(), WEBHOOKS_PER_USER_MAX);
    assert!(puts.contains(&Err(SubscriptionError::TooManyHooks)));
    assert_eq!(listed(&run).await, WEBHOOKS_PER_USER_MAX);
}

/// Wherever the records lie: in chunks of any size in the store, and in memory.
#[tokio::test]
async fn every_place_is_found_by_its_number() {
    let mut run = Run::new().await;
    let mut ends = vec![Offset::ZERO];
    for i in 0_u32..120 {
        ends.push(happen(&run).await);
        if i % 7 == 0 || (50..60).contains(&i) {
            run.flusher.flush().await.unwrap();
        }
    }
    let channel = run.streams.find(&stream()).await.unwrap();
    for low in [0, 1, 33, 119, 120] {
        for count in 0..ends.len() {
            let found = run.streams.place_of(&channel, count as u64, ends[low]).await.unwrap();
            assert_eq!(found, ends[count.max(low)], "{count} from {low}");
            run.streams.check_place(&channel, found).await.unwrap();
        }
    }
    assert!(run.streams.place_of(&channel, 121, Offset::ZERO).await.is_err());
    let cut = Offset { bytes: ends[5].bytes + 1, ..ends[5] };
    assert!(run.streams.check_place(&channel, cut).await.is_err());
    assert!(run.streams.check_place(&channel, Offset { records: 6, ..ends[5] }).await.is_err());
}
