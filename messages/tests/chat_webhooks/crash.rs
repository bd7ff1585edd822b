//! Everything goes on where it was, whenever the server dies.

use crate::{
    common::{Setup, TestServer, eventually, webhook::Webhook},
    on_both_databases,
    team::{ZERO, acknowledge, start},
};

async fn it_goes_on_after_a_crash(setup: Setup) {
    crash_in_every_state(setup.with(&["--flush-interval-ms", "1"])).await;
}

/// Nothing of the conversation is in the database.
async fn it_goes_on_from_the_journal(setup: Setup) {
    crash_in_every_state(setup.with(&["--flush-interval-ms", "600000"])).await;
}

async fn until_failed(server: &TestServer, user: &str) {
    let user = server.user(user);
    eventually("the failure is noted", async || {
        let hook = user.get("/conversations/team/webhooks/bot").await;
        (hook["status"] == "failed").then_some(())
    })
    .await;
}

/// Alice's is at rest, Bob's works on its wake, Carol's has failed.
async fn crash_in_every_state(setup: Setup) {
    let server = start(setup).await;
    let [mut rests, mut works, mut fails] =
        [Webhook::start().await, Webhook::start().await, Webhook::start().await];
    rests.answer(200, &[], r#"{"done":true}"#);
    fails.answer(500, &[], "");
    server.user("alice").hook_from("bot", &rests, "-1").await;
    server.user("bob").hook_from("bot", &works, "-1").await;
    server.user("carol").hook_from("bot", &fails, "-1").await;
    rests.call().await;
    let working = works.call().await.json();
    let failing = fails.call().await.json();
    let tail = working["streams"][0]["tail_offset"].as_str().expect("an offset").to_owned();
    server.user("alice").until_acked("bot", &tail).await;
    until_failed(&server, "carol").await;

    let server = server.crash().await;
    assert_eq!(server.user("alice").acked("bot").await, tail);
    assert_eq!(fails.call().await.json()["wake_id"], failing["wake_id"]);
    assert_eq!(acknowledge(&server, &working).await.status, 200);
    assert_eq!(server.user("bob").acked("bot").await, tail);
    assert!(!rests.was_called() && !works.was_called());

    // A message and a replay right before the end.
    server.user("bob").say("one").await;
    let replay = serde_json::json!({ "position": 0 });
    assert_eq!(server.user("alice").replay("bot", &replay).await.status, 200);
    let server = server.crash().await;
    // The message may have been told before the replay.
    let mut wake = rests.call().await.json();
    while wake["streams"][0]["acked_offset"] != ZERO {
        wake = rests.call().await.json();
    }
    assert_eq!(server.user("alice").news(&wake).await, ["conversation", "one"]);
    let wake = works.call().await.json();
    assert_eq!(server.user("bob").news(&wake).await, ["one"]);
    server.stop().await;
}

on_both_databases! { it_goes_on_after_a_crash, it_goes_on_from_the_journal }
