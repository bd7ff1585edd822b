//! Subscriptions in the store. What configuration and state say is the business of whoever writes
//! them; here they are text.

use super::{
    StoreError,
    sql::{ROWS_MAX, SqlStore},
    statement::{Run, Statement, Value},
};
use crate::model::{Offset, StreamId, StreamName};
use futures::future::BoxFuture;

/// A subscription as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSubscription {
    /// What it is called.
    pub id: String,
    /// What was asked for.
    pub config: String,
    /// Where it is.
    pub state: String,
}

/// A stream of a subscription as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLink {
    /// The stream.
    pub stream: StreamName,
    /// It was linked by name.
    pub explicit: bool,
    /// The life of the stream that the position belongs to.
    pub life: Option<StreamId>,
    /// How far it is processed.
    pub acked: Offset,
}

/// A link of a subscription, and what the store knows of its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLink {
    /// The id of the subscription.
    pub subscription: String,
    /// The link.
    pub link: StoredLink,
    /// The stream of this name and where it ends, when the store has one.
    pub stream: Option<(StreamId, Offset)>,
}

/// One durable step of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionSave {
    /// What it is called.
    pub id: String,
    /// The step.
    pub write: SubscriptionWrite,
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionWrite {
    /// It begins, with these links and no others, whatever was there before.
    Create {
        /// What was asked for.
        config: String,
        /// Where it is.
        state: String,
        /// Its streams.
        links: Vec<StoredLink>,
    },
    /// It goes on. Nothing happens when it is not there.
    Update {
        /// Where it is.
        state: String,
        /// Links that are new or different.
        put: Vec<StoredLink>,
        /// Links that go away.
        remove: Vec<StreamName>,
    },
    /// It ends.
    Delete,
}

/// A store that keeps subscriptions. Every method may be called concurrently.
pub trait SubscriptionStore {
    /// All subscriptions, by id.
    fn subscriptions(&self) -> BoxFuture<'_, Result<Vec<StoredSubscription>, StoreError>>;

    /// The first links after the one of this subscription and stream, by both.
    fn subscription_links<'a>(
        &'a self,
        after: (&'a str, &'a str),
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<FoundLink>, StoreError>>;

    /// Takes all of these steps in one transaction. Says of each whether its subscription was there.
    fn save_subscriptions<'a>(
        &'a self,
        saves: &'a [SubscriptionSave],
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>>;

    /// All streams with a smaller id have been compared with all patterns.
    fn compared(&self) -> BoxFuture<'_, Result<StreamId, StoreError>>;

    /// Moves [`SubscriptionStore::compared`] on.
    fn set_compared(&self, id: StreamId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The secret of this name: the one that is there, else `fresh`, which is there from now on.
    fn secret<'a>(
        &'a self,
        name: &'a str,
        fresh: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, StoreError>>;
}

const ALL: &str = "SELECT id, config, state FROM subscriptions ORDER BY id";

const LINKS: &str = "SELECT l.subscription, l.stream, l.explicit, l.life, l.records, l.bytes,
        s.id, s.records, s.bytes
    FROM subscription_links l LEFT JOIN streams s ON s.name = l.stream AND s.hidden = 0
    WHERE (l.subscription, l.stream) > ($1, $2)
    ORDER BY l.subscription, l.stream LIMIT $3";

const INSERT: &str = "INSERT INTO subscriptions (id, config, state) VALUES ($1, $2, $3)";

const UPDATE: &str = "UPDATE subscriptions SET state = $2 WHERE id = $1";

const DELETE: &str = "DELETE FROM subscriptions WHERE id = $1";

const DELETE_LINKS: &str = "DELETE FROM subscription_links WHERE subscription = $1";

const DELETE_LINK: &str = "DELETE FROM subscription_links WHERE subscription = $1 AND stream = $2";

const PUT_LINKS: (&str, &str) = (
    "INSERT INTO subscription_links (subscription, stream, explicit, records, bytes, life) VALUES",
    " ON CONFLICT (subscription, stream) DO UPDATE SET explicit = excluded.explicit,
        records = excluded.records, bytes = excluded.bytes, life = excluded.life",
);

const COMPARED: &str = "SELECT compared FROM subscription_progress WHERE one = 1";

const SET_COMPARED: &str = "UPDATE subscription_progress SET compared = $1
    WHERE one = 1 AND compared < $1";

const ADD_SECRET: &str =
    "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";

const SECRET: &str = "SELECT value FROM secrets WHERE name = $1";

type LinkRow = (String, String, i64, Option<i64>, i64, i64, Option<i64>, Option<i64>, Option<i64>);

fn offset(records: i64, bytes: i64) -> Offset {
    Offset { records: records.max(0) as u64, bytes: bytes.max(0) as u64 }
}

fn found_link(row: LinkRow) -> Result<FoundLink, StoreError> {
    let (subscription, stream, explicit, life, records, bytes, id, tail_records, tail_bytes) = row;
    let life = life.map(|id| StreamId(id as u64));
    let corrupt = |_| StoreError::Corrupt(life.unwrap_or(StreamId(0)), "name of a link");
    let stream = StreamName::kept(&stream).map_err(corrupt)?;
    let acked = offset(records, bytes);
    let tail = id.zip(tail_records.zip(tail_bytes));
    let tail = tail.map(|(id, (records, bytes))| (StreamId(id as u64), offset(records, bytes)));
    let link = StoredLink { stream, explicit: explicit != 0, life, acked };
    Ok(FoundLink { subscription, link, stream: tail })
}

impl<DB: Run> SubscriptionStore for SqlStore<DB> {
    fn subscriptions(&self) -> BoxFuture<'_, Result<Vec<StoredSubscription>, StoreError>> {
        Box::pin(async move {
            let mut connection = self.reader().await?;
            let statement = Statement::fixed(ALL, vec![]);
            let found: Vec<(String, String, String)> =
                DB::fetch(&mut connection, statement).await?;
            let make = |(id, config, state)| StoredSubscription { id, config, state };
            Ok(found.into_iter().map(make).collect())
        })
    }

    fn subscription_links<'a>(
        &'a self,
        (subscription, stream): (&'a str, &'a str),
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<FoundLink>, StoreError>> {
        Box::pin(async move {
            let values =
                vec![Value::Text(subscription), Value::Text(stream), Value::Int(limit as i64)];
            let mut connection = self.reader().await?;
            let found: Vec<LinkRow> =
                DB::fetch(&mut connection, Statement::fixed(LINKS, values)).await?;
            found.into_iter().map(found_link).collect()
        })
    }

    fn save_subscriptions<'a>(
        &'a self,
        saves: &'a [SubscriptionSave],
    ) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(async move {
            let mut writing = self.begin().await?;
            let found = write_all::<DB>(&mut writing.connection, saves).await?;
            writing.commit().await?;
            Ok(found)
        })
    }

    fn compared(&self) -> BoxFuture<'_, Result<StreamId, StoreError>> {
        Box::pin(async move {
            let mut connection = self.reader().await?;
            let found: Vec<(i64,)> =
                DB::fetch(&mut connection, Statement::fixed(COMPARED, vec![])).await?;
            Ok(StreamId(found.first().map_or(0, |(id,)| *id as u64)))
        })
    }

    fn set_compared(&self, id: StreamId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut writing = self.begin().await?;
            let statement = Statement::fixed(SET_COMPARED, vec![Value::Int(id.0 as i64)]);
            DB::execute(&mut writing.connection, statement).await?;
            writing.commit().await
        })
    }

    fn secret<'a>(
        &'a self,
        name: &'a str,
        fresh: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, StoreError>> {
        Box::pin(async move {
            let mut writing = self.begin().await?;
            let on = &mut writing.connection;
            let values = vec![Value::Text(name), Value::Bytes(fresh)];
            DB::execute(on, Statement::fixed(ADD_SECRET, values)).await?;
            let statement = Statement::fixed(SECRET, vec![Value::Text(name)]);
            let found: Vec<(Vec<u8>,)> = DB::fetch(on, statement).await?;
            writing.commit().await?;
            let found = found.into_iter().next().map(|(value,)| value);
            found.ok_or(StoreError::Corrupt(StreamId(0), "no secret"))
        })
    }
}

/// Takes all of these steps.
pub(super) async fn write_all<DB: Run>(
    on: &mut DB::Connection,
    saves: &[SubscriptionSave],
) -> Result<Vec<bool>, StoreError> {
    let mut found = Vec::with_capacity(saves.len());
    for save in saves {
        found.push(write::<DB>(on, save).await?);
    }
    Ok(found)
}

/// Takes one step. Returns whether the subscription was there.
async fn write<DB: Run>(
    on: &mut DB::Connection,
    save: &SubscriptionSave,
) -> Result<bool, StoreError> {
    let id = Value::Text(&save.id);
    match &save.write {
        SubscriptionWrite::Create { config, state, links } => {
            let existed = delete::<DB>(on, id).await?;
            let values = vec![id, Value::Text(config), Value::Text(state)];
            DB::execute(on, Statement::fixed(INSERT, values)).await?;
            put_links::<DB>(on, &save.id, links).await?;
            Ok(existed)
        }
        SubscriptionWrite::Update { state, put, remove } => {
            let statement = Statement::fixed(UPDATE, vec![id, Value::Text(state)]);
            if DB::execute(on, statement).await? == 0 {
                return Ok(false);
            }
            for stream in remove {
                let values = vec![id, Value::Text(stream.as_str())];
                DB::execute(on, Statement::fixed(DELETE_LINK, values)).await?;
            }
            put_links::<DB>(on, &save.id, put).await?;
            Ok(true)
        }
        SubscriptionWrite::Delete => delete::<DB>(on, id).await,
    }
}

async fn delete<DB: Run>(on: &mut DB::Connection, id: Value<'_>) -> Result<bool, StoreError> {
    DB::execute(on, Statement::fixed(DELETE_LINKS, vec![id])).await?;
    Ok(DB::execute(on, Statement::fixed(DELETE, vec![id])).await? > 0)
}

async fn put_links<DB: Run>(
    on: &mut DB::Connection,
    subscription: &str,
    links: &[StoredLink],
) -> Result<(), StoreError> {
    let (head, tail) = PUT_LINKS;
    for part in links.chunks(ROWS_MAX) {
        let values = part.iter().flat_map(|link| {
            [
                Value::Text(subscription),
                Value::Text(link.stream.as_str()),
                Value::Int(link.explicit.into()),
                Value::Int(link.acked.records as i64),
                Value::Int(link.acked.bytes as i64),
                Value::MaybeInt(link.life.map(|life| life.0 as i64)),
            ]
        });
        let statement = Statement::over(head, part.len(), values.collect(), tail);
        DB::execute(on, statement).await?;
    }
    Ok(())
}
