//! Messages that grow.

use super::world::{Common, Node, message, name, soon};
use messages::chat::{Action, MessageId, NewMessage};
use std::time::Duration;

async fn grow(node: &Node, text: &str) -> u64 {
    let new = NewMessage { streaming: true, txn: Some(text.into()), ..NewMessage::default() };
    let position = node.chat.send(&"alice".into(), &name("team"), new).await.unwrap();
    let position = position.message.position;
    node.act_on("alice", "team", position, Action::Part { text: text.into() }).await.unwrap();
    position
}

async fn is_growing(node: &Node, position: u64) -> bool {
    let id = MessageId { conversation: name("team"), position };
    node.chat.message("bob", &id).await.unwrap().streaming
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_ends_with_its_node_and_no_other() {
    let common = Common::new().await;
    let [a, b, c] = common.nodes().await;
    a.create("alice", "team", &["bob"]).await;
    let on_a = grow(&a, "of a node that lives").await;
    let on_b = grow(&b, "of one that dies").await;
    assert!(is_growing(&c, on_a).await && is_growing(&a, on_b).await);
    let number = b.number;
    drop(b);
    for _ in 0..3 {
        for node in [&a, &c] {
            node.chat.finish_orphans().await;
        }
        common.clock.advance_ms(10_000);
        for node in [&a, &c] {
            node.chat.say_everything();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_growing(&c, on_b).await, "it may live still");
    a.log.gone(number).await.unwrap();
    soon(|| async {
        common.clock.advance_ms(10_000);
        for node in [&a, &c] {
            node.chat.say_everything();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        for node in [&a, &c] {
            node.chat.finish_orphans().await;
        }
        (!is_growing(&c, on_b).await).then_some(())
    })
    .await;
    let id = MessageId { conversation: name("team"), position: on_b };
    let ended = a.chat.message("bob", &id).await.unwrap();
    assert_eq!((ended.text.as_str(), ended.interrupted), ("of one that dies", true));
    // The other one grows on.
    assert!(is_growing(&c, on_a).await);
    a.act_on("alice", "team", on_a, Action::Part { text: "!".into() }).await.unwrap();
    let finish = Action::Finish { interrupted: false };
    a.act_on("alice", "team", on_a, finish).await.unwrap();
    let id = MessageId { conversation: name("team"), position: on_a };
    assert_eq!(c.chat.message("bob", &id).await.unwrap().text, "of a node that lives!");
    c.say("bob", "team", &message("done").text).await.unwrap();
}
