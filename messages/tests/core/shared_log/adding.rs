//! Heads, claims, additions, and what can be read.

use super::{LIFE, PAST_ALL_TERMS, TERMS, World, changes, done, heat, last, name, on_every_log};
use bytes::Bytes;
use futures::future::join_all;
use messages::{
    model::{StreamId, StreamName},
    shared_log::{Added, Addition, Claimed, Head, Known, Scope, SharedLog},
};

on_every_log!(
    a_compare_refuses,
    those_who_claim_have_one_claim,
    a_claim_ends,
    numbers_can_be_left_out,
    numbers_go_on,
    ends_of_lives_move_later,
    reads_have_order_and_no_gap,
    what_is_stored_is_trimmed,
    a_name_becomes_cold,
    one_of_many_wins_each_version,
    any_byte_comes_back,
);

async fn a_compare_refuses(world: World) {
    let (log, name) = (world.node().await, name("a"));
    let stale = Known::Last { life: LIFE, version: 0 };
    assert_eq!(log.add(&name, stale, changes(&["x"])).await.unwrap(), Added::Cold);
    let head = heat(&*log, &name, 0).await;
    assert_eq!(log.head(&name).await.unwrap(), Some(head));
    for known in [
        stale,
        Known::Last { life: StreamId(LIFE.0 - 1), version: 1 },
        Known::Last { life: LIFE, version: 2 },
        Known::Claimed { claim: 1, life: LIFE, version: 1 },
    ] {
        let added = log.add(&name, known, changes(&["x"])).await.unwrap();
        assert_eq!(added, Added::Moved(head), "{known:?}");
    }
    let next = done(log.add(&name, last(head), changes(&["x"])).await.unwrap());
    assert_eq!((next.version, next.news), (2, 2));
}

async fn those_who_claim_have_one_claim(world: World) {
    let (a, b, name) = (world.node().await, world.node().await, name("a"));
    let claimed = |claim| Known::Claimed { claim, life: LIFE, version: 7 };
    assert_eq!(a.add(&name, claimed(0), changes(&["x"])).await.unwrap(), Added::Cold);
    assert_eq!(a.claim(&name, u64::MAX).await.unwrap(), Claimed::As(u64::MAX));
    assert_eq!(b.claim(&name, 1).await.unwrap(), Claimed::As(u64::MAX), "both have one");
    assert_eq!(a.add(&name, claimed(1), changes(&["x"])).await.unwrap(), Added::Cold);
    let head = done(b.add(&name, claimed(u64::MAX), changes(&["y"])).await.unwrap());
    assert_eq!(head, Head { life: LIFE, version: 8, stored: 7, expires_ms: 0, news: 1 });
    assert_eq!(a.claim(&name, 3).await.unwrap(), Claimed::Hot(head));
    let late = a.add(&name, claimed(u64::MAX), changes(&["x"])).await.unwrap();
    assert_eq!(late, Added::Moved(head));
}

async fn numbers_can_be_left_out(world: World) {
    let (log, name) = (world.node().await, name("a"));
    let head = heat(&*log, &name, 3).await;
    let addition = Addition { skip: 5, ..changes(&["x", "y"]) };
    let next = done(log.add(&name, last(head), addition).await.unwrap());
    assert_eq!(next.version, head.version + 7);
    let read = log.read(&name, head.version, 1000).await.unwrap();
    let versions: Vec<u64> = read.iter().map(|logged| logged.version).collect();
    assert_eq!(versions, [next.version - 1, next.version]);
}

async fn a_claim_ends(world: World) {
    let (log, name) = (world.node().await, name("a"));
    assert_eq!(log.claim(&name, 1).await.unwrap(), Claimed::As(1));
    world.pass_ms(PAST_ALL_TERMS).await;
    let known = Known::Claimed { claim: 1, life: LIFE, version: 0 };
    assert_eq!(log.add(&name, known, changes(&["x"])).await.unwrap(), Added::Cold);
}

async fn numbers_go_on(world: World) {
    let (log, name) = (world.node().await, name("a"));
    let head = heat(&*log, &name, 41).await;
    assert_eq!((head.version, head.stored, head.news), (42, 41, 1));
    let head = done(log.add(&name, last(head), changes(&["a", "b", "c"])).await.unwrap());
    assert_eq!((head.version, head.stored, head.news), (45, 41, 2));
    let head = done(log.add(&name, last(head), changes(&[])).await.unwrap());
    assert_eq!((head.version, head.stored, head.news), (45, 41, 3));
    let other = Addition { life: StreamId(5), ..changes(&["d"]) };
    let head = done(log.add(&name, last(head), other).await.unwrap());
    assert_eq!((head.life, head.version), (StreamId(5), 46));
    let work = log.take_work(Scope::Streams, 100).await.unwrap();
    let head = log.done(&work[0], 44, 4).await.unwrap().unwrap();
    assert_eq!((head.version, head.stored, head.news), (46, 44, 4));
}

async fn ends_of_lives_move_later(world: World) {
    let (log, name) = (world.node().await, name("a"));
    log.claim(&name, 1).await.unwrap();
    let until = |life, expires_ms| Addition { life, expires_ms, ..Addition::default() };
    let known = Known::Claimed { claim: 1, life: LIFE, version: 1 };
    let at = 1_800_000_000_000;
    let mut head = done(log.add(&name, known, until(LIFE, Some(at))).await.unwrap());
    assert_eq!(head.expires_ms, at);
    let steps = [
        (LIFE, Some(at - 1), at),
        (LIFE, Some(at + 1), at + 1),
        (LIFE, None, at + 1),
        (LIFE, Some(0), 0),
        (LIFE, Some(at), 0),
        (StreamId(9), Some(at), at),
    ];
    for (life, expires_ms, then) in steps {
        let addition =
            Addition { changes: vec![Bytes::from_static(b"x")], ..until(life, expires_ms) };
        head = done(log.add(&name, last(head), addition).await.unwrap());
        assert_eq!((head.life, head.expires_ms), (life, then), "{expires_ms:?}");
    }
}

async fn reads_have_order_and_no_gap(world: World) {
    let (log, name) = (world.node().await, name("a"));
    assert_eq!(log.read(&name, 0, 1).await.unwrap(), []);
    let mut head = heat(&*log, &name, 0).await;
    for number in 0..50 {
        let texts = [format!("{number}"), "-".repeat(number)];
        let addition = changes(&[&texts[0], &texts[1]]);
        head = done(log.add(&name, last(head), addition).await.unwrap());
    }
    let all = log.read(&name, 0, usize::MAX).await.unwrap();
    let versions: Vec<u64> = all.iter().map(|logged| logged.version).collect();
    assert_eq!(versions, (1..=101).collect::<Vec<_>>());
    assert_eq!(all[1].change, "0");
    let mut after = 0;
    while after < head.version {
        let some = log.read(&name, after, 100).await.unwrap();
        let last_but_one: usize = some.iter().rev().skip(1).map(|l| l.change.len()).sum();
        assert!(!some.is_empty() && last_but_one < 100);
        assert_eq!(some[..], all[after as usize..after as usize + some.len()]);
        after += some.len() as u64;
    }
    assert_eq!(log.read(&name, 101, 100).await.unwrap(), []);
    assert_eq!(log.read(&name, u64::MAX, 100).await.unwrap(), []);
}

async fn what_is_stored_is_trimmed(world: World) {
    let (log, name) = (world.node().await, name("a"));
    let head = heat(&*log, &name, 0).await;
    let head = done(log.add(&name, last(head), changes(&["x"; 19])).await.unwrap());
    let work = log.take_work(Scope::Streams, 100).await.unwrap();
    log.done(&work[0], 15, 0).await.unwrap();
    let left = log.read(&name, 0, usize::MAX).await.unwrap();
    assert_eq!(left.first().map(|logged| logged.version), Some(15 - TERMS.kept_changes + 1));
    assert_eq!(left.last().map(|logged| logged.version), Some(head.version));
    let left = log.read(&name, 17, usize::MAX).await.unwrap();
    assert_eq!(left.first().map(|logged| logged.version), Some(18));
}

async fn a_name_becomes_cold(world: World) {
    let (log, name) = (world.node().await, name("a"));
    let head = heat(&*log, &name, 0).await;
    world.pass_ms(PAST_ALL_TERMS).await;
    assert_eq!(log.head(&name).await.unwrap(), Some(head), "not while there is something to store");
    let work = log.take_work(Scope::Streams, 100).await.unwrap();
    log.done(&work[0], 1, 1).await.unwrap();
    let head = log.head(&name).await.unwrap().expect("hot for a while");
    let head = done(log.add(&name, last(head), changes(&["again"])).await.unwrap());
    world.pass_ms(PAST_ALL_TERMS).await;
    assert_eq!(log.head(&name).await.unwrap(), Some(head), "it has been used");
    let work = log.take_work(Scope::Streams, 100).await.unwrap();
    log.done(&work[0], 2, 2).await.unwrap();
    world.pass_ms(PAST_ALL_TERMS).await;
    assert_eq!(log.head(&name).await.unwrap(), None);
    assert_eq!(log.read(&name, 0, 100).await.unwrap(), []);
    assert_eq!(log.add(&name, last(head), changes(&["x"])).await.unwrap(), Added::Cold);
    // It can be used again, and knows nothing of before.
    let head = heat(&*log, &name, 9).await;
    assert_eq!((head.version, head.news), (10, 1));
    assert_eq!(log.read(&name, 0, 100).await.unwrap().len(), 1);
}

async fn one_of_many_wins_each_version(world: World) {
    let (a, b, name) = (world.node().await, world.node().await, name("a"));
    heat(&*a, &name, 0).await;
    let write = async |log: &dyn SharedLog, who: usize| {
        let mut won = Vec::new();
        let mut head = log.head(&name).await.unwrap().unwrap();
        while won.len() < 40 {
            let text = format!("{who}-{}", won.len());
            match log.add(&name, last(head), changes(&[&text])).await.unwrap() {
                Added::Done(now) => {
                    won.push((now.version, text));
                    head = now;
                }
                Added::Moved(now) => head = now,
                Added::Cold => panic!("it is hot"),
            }
        }
        won
    };
    let writers = (0..8).map(|who| write(if who % 2 == 0 { &*a } else { &*b }, who));
    let mut won: Vec<_> = join_all(writers).await.into_iter().flatten().collect();
    won.sort();
    let all = a.read(&name, 1, usize::MAX).await.unwrap();
    let all: Vec<_> = all
        .into_iter()
        .map(|logged| (logged.version, String::from_utf8(logged.change.to_vec()).unwrap()))
        .collect();
    assert_eq!(won, all);
    assert_eq!(won.len(), 320);
}

async fn any_byte_comes_back(world: World) {
    let log = world.node().await;
    let odd = StreamName::of_chat("b}ä{ö \"%").unwrap();
    heat(&*log, &odd, 0).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    let addition = Addition { changes: vec![bytes.clone().into(), Bytes::new()], ..changes(&[]) };
    done(log.add(&odd, Known::Last { life: LIFE, version: 1 }, addition).await.unwrap());
    let read = log.read(&odd, 1, 1).await.unwrap();
    assert!(read.len() == 1 && read[0].change == bytes);
    assert_eq!(log.read(&odd, 2, 1).await.unwrap()[0].change, Bytes::new());
    assert_eq!(log.take_work(Scope::Chat, 10).await.unwrap()[0].name, odd);
}
