//! Old messages that go while somebody reads.

use crate::{
    common::Setup,
    person::{Device, create, done, guarded},
};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Longer than the server takes until it looks for old messages again.
const RETENTION: Duration = Duration::from_secs(90);

/// Whoever stands where everything is gone is told where it goes on.
#[tokio::test]
async fn a_reader_is_told_where_it_goes_on() {
    let server = guarded(Setup::new().await).start().await;
    create(&server, "alice", "team", &["bob"]).await;
    let mut alice = Device::open(&server, "alice").await;
    for n in 0..100 {
        alice.say("team", &format!("{n} {}", "x".repeat(1_000))).await;
    }
    // It takes no more than a frame before it says that it has that.
    let mut bob = Device::open(&server, "bob").await;
    let frame = json!({"sub": "team", "conversation": "team", "offset": "-1", "window": 1});
    assert_eq!(bob.call("subscribe", frame).await["conversation"], "team");
    bob.until(|bob| !bob.log("team").events.is_empty()).await;
    let at = bob.log("team").position();
    assert!(at < 90, "{at}");
    let settings = json!({"settings": {"retention_messages": 3}});
    done(&server, "alice", Method::PATCH, "/conversations/team", settings).await;
    let gone = async {
        loop {
            let view =
                done(&server, "alice", Method::GET, "/conversations/team", Value::Null).await;
            if view["low"].as_u64() >= Some(95) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(RETENTION, gone).await.expect("what is old goes");
    let offset = bob.log("team").offset.clone();
    bob.socket.send(json!({"type": "ack", "sub": "team", "offset": offset})).await;
    bob.until(|bob| bob.log("team").error.is_some()).await;
    let error = bob.log("team").error.clone().expect("an error");
    assert_eq!(error["code"], "trimmed", "{error}");
    let low = error["offset"].as_str().expect("an offset").to_owned();
    assert!(low > offset);
    // From there; and whoever begins before that, too.
    for offset in [&*low, "-1", &*offset] {
        let frame = json!({"sub": "team", "conversation": "team", "offset": offset});
        assert_eq!(bob.call("subscribe", frame).await["offset"], low);
        bob.until(|bob| bob.log("team").caught_up).await;
        assert_eq!(bob.log("team").texts().len(), 3);
        bob.call("unsubscribe", json!({"sub": "team"})).await;
    }
}
