//! What every database promises about who works.

use messages::store::{self, Database, StoreError, SubscriptionSave, SubscriptionWrite};
use std::{sync::Arc, time::Duration};

const LONG_MS: u64 = 60_000;

#[tokio::test]
async fn sqlite() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store::open(&store::default_url(dir.path())).await.expect("a database");
    one_works_and_only_that_one_stores(&[store.clone(), store]).await;
}

#[tokio::test]
async fn postgres_store() {
    let url = super::super::postgres::database().await;
    let mut stores = Vec::new();
    for _ in 0..2 {
        stores.push(store::open_shared(&url).await.expect("a database"));
    }
    one_works_and_only_that_one_stores(&stores).await;
}

fn step(state: &str) -> [SubscriptionSave; 1] {
    let (config, state) = ("{}".into(), state.into());
    let write = SubscriptionWrite::Create { config, state, links: vec![] };
    [SubscriptionSave { id: "a".into(), write }]
}

async fn state(store: &Arc<dyn Database>) -> String {
    store.subscriptions().await.expect("rows").remove(0).state
}

async fn one_works_and_only_that_one_stores(stores: &[Arc<dyn Database>]) {
    let [a, b] = stores else { panic!("two nodes") };
    let first = a.begin_work(LONG_MS).await.expect("an answer").expect("nobody works");
    assert_eq!(b.begin_work(LONG_MS).await.expect("an answer"), None);
    assert_eq!(a.save_as(first, &step("1")).await.expect("stored"), [false]);
    // It ends its work by itself.
    a.end_work(first).await.expect("an answer");
    let second = b.begin_work(LONG_MS).await.expect("an answer").expect("nobody works");
    assert!(second > first);
    let late = a.save_as(first, &step("late")).await;
    assert!(matches!(late, Err(StoreError::Superseded)), "{late:?}");
    assert!(!a.keep_work(first, LONG_MS).await.expect("an answer"));
    a.end_work(first).await.expect("an answer");
    assert_eq!(a.begin_work(LONG_MS).await.expect("an answer"), None);
    assert_eq!(b.save_as(second, &step("2")).await.expect("stored"), [true]);
    assert_eq!(state(a).await, "2");
    // It says that it works, and then nothing more.
    assert!(b.keep_work(second, 50).await.expect("an answer"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    // As long as nobody else has begun, it may go on.
    assert!(b.keep_work(second, 50).await.expect("an answer"));
    assert_eq!(b.save_as(second, &step("3")).await.expect("stored"), [true]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Of those who want to begin, one does.
    let (one, other) = tokio::join!(a.begin_work(LONG_MS), b.begin_work(LONG_MS));
    let begun = [one, other].into_iter().filter_map(|begun| begun.expect("an answer"));
    let [third] = begun.collect::<Vec<_>>()[..] else { panic!("one begins") };
    assert!(third > second);
    let late = b.save_as(second, &step("late")).await;
    assert!(matches!(late, Err(StoreError::Superseded)), "{late:?}");
    assert_eq!(a.save_as(third, &step("4")).await.expect("stored"), [true]);
    assert_eq!(state(b).await, "4");
}
