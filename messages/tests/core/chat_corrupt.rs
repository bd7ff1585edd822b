//! Rows that somebody else has changed are errors, and nothing worse.

use super::chat_log::Log;
use messages::{
    model::Standing,
    store::{self, ChatStore, Database, MessageQuery, StoreError},
};
use sqlx::{Connection, SqliteConnection};

async fn read_all(store: &dyn Database, query: &MessageQuery) -> Result<(), StoreError> {
    let target = messages::model::Target { conversation: "team".into(), position: 2 };
    store.conversation("team").await?;
    store.conversations_of("bob", Standing::Member, None, 9).await?;
    ChatStore::message(store, &target).await?;
    store.messages(query).await?;
    store.inbox("bob", query).await?;
    store.revisions(&target).await?;
    store.reactors(&target, 9).await?;
    store.reports("team", 9).await?;
    store.pinned("team").await?;
    store.streaming(9).await?;
    store.old_part("team", Some(99), None, 9).await?;
    Ok(())
}

#[tokio::test]
async fn rows_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let url = store::default_url(dir.path());
    let store = store::open(&url).await.unwrap();
    let mut log = Log::new(1, "team");
    let said = log.message("bob", "hello");
    log.message_with("bob", "more", |row| row.streaming = true);
    log.edit(&said, 1, "hello again");
    log.react(&said, "bob", "x", false);
    log.store(&*store).await;
    read_all(&*store, &log.query()).await.unwrap();
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    for (wrong, right) in [
        ("conversations SET kind = 'x'", "conversations SET kind = 'group'"),
        ("conversations SET n = -9", "conversations SET n = 2"),
        ("conversations SET position = 'x'", "conversations SET position = 5"),
        ("participants SET standing = 'x'", "participants SET standing = 'member'"),
        ("participants SET visible_bytes = -1", "participants SET visible_bytes = 0"),
        ("messages SET bytes = 1 << 32", "messages SET bytes = 9"),
        ("messages SET at_bytes = -1", "messages SET at_bytes = 9"),
        ("messages SET rev = -1", "messages SET rev = 1"),
        ("message_receipts SET read = -1", "message_receipts SET read = 1"),
        ("message_bodies SET created = -1", "message_bodies SET created = 1"),
        ("reactions SET created = -1", "reactions SET created = 1"),
    ] {
        let update = |set: &str| sqlx::AssertSqlSafe(format!("UPDATE {set}"));
        sqlx::query(update(wrong)).execute(&mut connection).await.unwrap();
        let read = read_all(&*store, &log.query()).await;
        let refused =
            matches!(read, Err(StoreError::CorruptConversation(..) | StoreError::Database(_)));
        assert!(refused, "{wrong}: {read:?}");
        sqlx::query(update(right)).execute(&mut connection).await.unwrap();
        read_all(&*store, &log.query()).await.unwrap();
    }
    // The content of the stream is not there: nothing to erase, and no reason to stop.
    sqlx::query("DELETE FROM chunks").execute(&mut connection).await.unwrap();
    log.delete(&said);
    log.store(&*store).await;
    sqlx::query("UPDATE chunks SET body = x'00'").execute(&mut connection).await.unwrap();
    sqlx::query(
        "UPDATE messages SET deleted = NULL, at_bytes = (SELECT MAX(at_bytes) FROM chunks)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    log.delete(&said);
    let refused = store.flush(&[log.flush()]).await;
    assert!(matches!(refused, Err(StoreError::Corrupt(..))), "{refused:?}");
}
