//! The list of all streams, some of which are in memory, some in the store and some in both.

use super::{random::Random, subscription_run::Run};
use std::collections::BTreeMap;

#[tokio::test]
async fn memory_and_store_are_one_list() {
    let mut random = Random::new(0x1157);
    let mut run = Run::new().await;
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..4 {
        for _ in 0..30 {
            let name = format!("{}/{:02}", ["a", "b"][random.below(2)], random.below(60));
            run.append(&name, "x").await;
            *all.entry(name).or_default() += 1;
        }
        for prefix in ["", "a/", "b/4", "c"] {
            for limit in [1, 7, 1000] {
                let (mut found, mut after) = (Vec::new(), None);
                loop {
                    let page = run.streams.list(prefix, after.as_ref(), limit).await.unwrap();
                    assert!(page.len() <= limit);
                    let Some(last) = page.last() else { break };
                    after = Some(last.name.clone());
                    let ends =
                        page.into_iter().map(|s| (s.name.to_string(), s.status.tail.records));
                    found.extend(ends);
                }
                let want: Vec<(String, u64)> =
                    all.clone().into_iter().filter(|(name, _)| name.starts_with(prefix)).collect();
                assert_eq!(found, want, "round {round}, {prefix:?}, {limit}");
            }
        }
        if round % 2 == 0 {
            run = run.crash().await;
        } else {
            run.flusher.flush().await.unwrap();
        }
    }
}

/// The store may still have what is being replaced or has just been; memory knows better.
#[tokio::test]
async fn a_stream_that_is_being_replaced_is_not_listed_as_it_was() {
    use messages::{model::CloseReason, stream::Addition};
    let mut run = Run::new().await;
    for name in ["a", "b", "c"] {
        run.append(name, "old").await;
    }
    let name = "b".parse().unwrap();
    let channel = run.streams.find(&name).await.unwrap();
    run.streams.append(&channel, Addition::close(CloseReason::Finished)).await.unwrap();
    run.flusher.flush().await.unwrap();
    run.streams.begin(&name, "text/plain", false).await.unwrap();
    let tail = run.append("b", "anew").await;
    for limit in [1, 2, 3] {
        let mut after = None;
        let mut found = Vec::new();
        loop {
            let page = run.streams.list("", after.as_ref(), limit).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            found.extend(page);
        }
        let names: Vec<&str> = found.iter().map(|listed| listed.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!((found[1].status.tail, found[1].status.closed), (tail, None));
    }
}
