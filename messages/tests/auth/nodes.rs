//! What one node hands out is good on another, and they count together.

use crate::{
    As, SECRET,
    common::{Setup, TestServer, eventually, outage::Network, redis, request, soon},
    jwt::{Key, claims, everything, granting, set},
    urls::{sign, ticket},
};
use bytes::Bytes;
use futures::future::join_all;
use http::Method;
use serde_json::Value;
use std::time::Duration;

async fn guarded_nodes() -> Setup {
    Setup::nodes(&redis::single()).await.env("AUTH_SECRET", SECRET)
}

async fn two(setup: &Setup) -> (TestServer, TestServer) {
    let (a, b) = (setup.node("a"), setup.node("b"));
    tokio::join!(a.start(), b.start())
}

#[tokio::test]
async fn a_ticket_is_good_once_on_whichever_node() {
    let (a, b) = two(&guarded_nodes().await).await;
    let all = everything();
    As::new(&a, &all).put("/?id=docs/a", "content").await;
    As::new(&a, &all).put("/?id=b", "content").await;
    let token = granting(&["docs/*"], &[], &[]);
    let (on_a, on_b) = (As::new(&a, &token), As::new(&b, &token));
    let shown = ticket(&on_a).await;
    assert_eq!(b.get(&format!("/?id=docs/a&ticket={shown}")).await.text(), "content");
    for node in [&a, &b] {
        let again = node.get(&format!("/?id=docs/a&ticket={shown}")).await;
        again.problem(401, "invalid_ticket");
    }
    let shown = ticket(&on_b).await;
    a.get(&format!("/?id=b&ticket={shown}")).await.problem(403, "forbidden");
    for bad in ["", "x", &shown[1..]] {
        a.get(&format!("/?id=docs/a&ticket={bad}")).await.problem(401, "invalid_ticket");
    }
}

#[tokio::test]
async fn of_all_who_show_a_ticket_to_two_nodes_one_gets_in() {
    let (a, b) = two(&guarded_nodes().await).await;
    let token = everything();
    let alice = As::new(&a, &token);
    alice.put("/?id=a", "content").await;
    for round in 0..10 {
        let target = format!("/?id=a&ticket={}", ticket(&alice).await);
        let answers = (0..10).flat_map(|_| [&a, &b]).map(|node| node.get(&target));
        let answers = soon("all answers", join_all(answers)).await;
        let let_in = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(let_in, 1, "{round}");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            answer.problem(401, "invalid_ticket");
        }
    }
}

#[tokio::test]
async fn without_redis_there_are_no_tickets_and_tokens_go_on() {
    let network = Network::before(&format!("{}/0", redis::single())).await;
    let setup = Setup::nodes(&network.url).await.env("AUTH_SECRET", SECRET);
    let server = setup.node("a").start().await;
    let token = everything();
    let alice = As::new(&server, &token);
    alice.put("/?id=a", "content").await;
    let kept = ticket(&alice).await;
    let url = sign(&alice, "/?id=a").await;
    network.fall_silent();
    let refused = alice.post("/v1/auth/ticket", "").await;
    let detail = refused.problem(503, "redis_unavailable");
    assert!(detail.contains("send the token itself"), "{detail}");
    assert_eq!(refused.header("retry-after"), "2");
    let shown = server.get(&format!("/?id=a&ticket={kept}")).await;
    shown.problem(503, "redis_unavailable");
    sign(&alice, "/?id=a").await;
    let other = url.replace("id=a", "id=b");
    server.get(&other).await.problem(403, "forbidden");
    As::new(&server, "no token").get("/?id=a").await.problem(401, "invalid_token");
    network.recover();
    eventually("there are tickets again", async || {
        let answer = alice.post("/v1/auth/ticket", "").await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Nodes that know only the public keys of somebody else.
async fn nodes_with_keys_of_others(key: &Key) -> Setup {
    let setup = Setup::nodes(&redis::single()).await;
    let path = setup.home().join("keys.json");
    std::fs::write(&path, set(&[key])).expect("written");
    setup.env("AUTH_JWKS", path.to_str().expect("text"))
}

#[tokio::test]
async fn nodes_that_start_at_once_sign_with_one_key() {
    let key = Key::ed();
    let setup = nodes_with_keys_of_others(&key).await;
    let (a, b) = two(&setup).await;
    let token = key.token(&claims("alice"));
    let (on_a, on_b) = (As::new(&a, &token), As::new(&b, &token));
    on_a.put("/?id=a", "content").await;
    for (signer, reader) in [(&on_a, &b), (&on_b, &a)] {
        let url = sign(signer, "/?id=a").await;
        assert_eq!(reader.get(&url).await.text(), "content");
        let shown = ticket(signer).await;
        assert_eq!(reader.get(&format!("/?id=a&ticket={shown}")).await.text(), "content");
    }
    let url = sign(&on_a, "/?id=a").await;
    assert!(!setup.node("a").data().join("url.key").exists());
    drop((a, b));
    let c = setup.node("c").start().await;
    assert_eq!(c.get(&url).await.text(), "content");
}

#[tokio::test]
async fn what_was_signed_alone_stays_good_among_nodes() {
    let key = Key::ed();
    let nodes = nodes_with_keys_of_others(&key).await;
    let jwks = nodes.home().join("keys.json");
    let alone = Setup::new().await.database_url(nodes.url()).data_dir(nodes.home().join("a"));
    let alone = alone.with(&["--durability", "memory"]);
    let server = alone.env("AUTH_JWKS", jwks.to_str().expect("text")).start().await;
    let token = key.token(&claims("alice"));
    As::new(&server, &token).put("/?id=a", "content").await;
    let url = sign(&As::new(&server, &token), "/?id=a").await;
    server.stop().await;
    let a = nodes.node("a").start().await;
    let b = nodes.node("b").start().await;
    for node in [&a, &b] {
        assert_eq!(node.get(&url).await.text(), "content");
    }
}

fn token(subject: &str) -> String {
    Key::shared(SECRET.as_bytes()).token(&claims(subject))
}

#[tokio::test]
async fn what_one_node_grants_is_taken_off_on_the_others() {
    let limits = ["--creations-per-min-max", "4"];
    let (a, b) = two(&guarded_nodes().await.with(&limits)).await;
    let (alice, bob) = (token("alice"), token("bob"));
    let (on_a, on_b) = (As::new(&a, &alice), As::new(&b, &alice));
    assert_eq!(on_b.put("/?id=b", "x").await.status, 201);
    let mut number = 0;
    let mut create = async |somebody: &As<'_>| {
        number += 1;
        let answer = somebody.put(&format!("/?id=new{number}"), "x").await;
        if answer.status != 201 {
            answer.problem(429, "too_many_creations");
        }
        answer.status == 201
    };
    // Long enough for the others to hear of it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut granted = 0;
    for _ in 0..4 {
        granted += usize::from(create(&on_a).await);
    }
    assert_eq!(granted, 3, "one was used on the other node");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!create(&on_b).await, "the others were used on that one");
    let bob = As::new(&b, &bob);
    assert!(create(&bob).await, "everybody has a share");
}

#[tokio::test]
async fn reads_on_all_nodes_are_counted_together() {
    let limits = ["--reads-per-principal-max", "2"];
    let (a, b) = two(&guarded_nodes().await.with(&limits)).await;
    let (alice, bob) = (token("alice"), token("bob"));
    As::new(&a, &alice).put("/?id=a&close=false", "x").await;
    let read = async |node: &TestServer, token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer)];
        node.open(request(Method::GET, "/?id=a", &headers, Bytes::new())).await
    };
    let first = read(&a, &alice).await;
    let second = read(&a, &alice).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));
    let refused = eventually("the other node knows", async || {
        let answer = read(&b, &alice).await;
        (answer.status == 429).then_some(answer)
    })
    .await;
    refused.answer().await.problem(429, "too_many_reads");
    assert_eq!(read(&b, &bob).await.status, 200);
    drop(first);
    let again = async || (read(&b, &alice).await.status == 200).then_some(());
    eventually("a place is free", again).await;
    // Those of a node that is gone are forgotten.
    let third = read(&a, &bob).await;
    let fourth = read(&a, &bob).await;
    let full = async || (read(&b, &bob).await.status == 429).then_some(());
    eventually("the other node knows", full).await;
    a.kill().await;
    let again = async || (read(&b, &bob).await.status == 200).then_some(());
    eventually("places are free", again).await;
    drop((second, third, fourth));
}

#[tokio::test]
async fn nodes_say_who_serves_until_one_is_gone() {
    let (a, b) = two(&guarded_nodes().await).await;
    a.get("/v1/nodes").await.problem(401, "missing_token");
    let token = everything();
    let told = async |node: &TestServer| {
        let nodes = As::new(node, &token).get("/v1/nodes").await.json()["nodes"].clone();
        let nodes = nodes.as_array().expect("nodes").clone();
        let address = |node: &Value| node["address"].as_str().expect("text").to_owned();
        (nodes[0]["self"].clone(), nodes.iter().map(address).collect::<Vec<_>>())
    };
    let (of_a, of_b) = (a.address().to_string(), b.address().to_string());
    let both = async || {
        let ((own, on_a), (_, on_b)) = (told(&a).await, told(&b).await);
        assert_eq!((own, &on_a[0], &on_b[0]), (true.into(), &of_a, &of_b), "itself comes first");
        (on_a.contains(&of_b) && on_b.contains(&of_a)).then_some(())
    };
    eventually("they know each other", both).await;
    b.stop().await;
    let alone = async || (told(&a).await.1 == [of_a.clone()]).then_some(());
    eventually("it is alone", alone).await;
}
