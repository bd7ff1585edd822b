//! The log that several nodes share: for every name the changes that the database may not have yet,
//! in one order. A change is added by a compare: only whoever knows the last change may say the next.
//!
//! A name is *hot* while the log knows it. It has a [`Head`] then, and its last changes. A name that
//! nobody has used for a while is cold: the database has all of it, and the log nothing. Whoever wants
//! to change a cold name *claims* it first and looks into the database after that. A claim ends when the
//! name becomes hot, so what the database said still holds for whoever adds with it. Those who claim at
//! the same time have one claim together, and the first of them wins.
//!
//! Nothing here decides what may happen to a stream, and nothing knows what a change means.

mod codec;
mod memory;
mod redis;
mod settings;
mod terms;

pub use codec::{decode, encode};
pub use memory::{CallFault, Faults, MemoryLog, MemoryNode, WakeFault};
pub use redis::{RedisLog, RedisOptions};
pub use settings::RedisSettings;
pub use terms::Terms;

use crate::{
    limits::KEPT_BYTES_MAX,
    model::{StreamId, StreamName},
    stats::{Count, Spread},
};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// What the log knows of a hot name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The life that the last change belongs to; `StreamId(0)` before there was one.
    pub life: StreamId,
    /// How many changes there have been. A name that becomes hot goes on from what the database says.
    pub version: u64,
    /// The changes up to this one are in the database.
    pub stored: u64,
    /// When the life is over if nobody uses it, in milliseconds since 1970; 0 for never.
    pub expires_ms: u64,
    /// Grows with everything that the database has to be told, also with what is no change.
    pub news: u64,
}

/// What whoever adds to the log knows of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is hot, and this was its last change.
    Last {
        /// The life that it belongs to.
        life: StreamId,
        /// Its number.
        version: u64,
    },
    /// It is cold, and has been claimed with this number since before the database said this of it.
    Claimed {
        /// The number of the claim.
        claim: u64,
        /// The life that the database knows; `StreamId(0)` for none.
        life: StreamId,
        /// The last change that the database has.
        version: u64,
    },
}

/// What a claim has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The name is claimed under this number.
    As(u64),
    /// It is hot, with this head.
    Hot(Head),
}

/// What is to be added, in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addition {
    /// The changes, encoded. None at all only tells the database something: see `expires_ms`.
    pub changes: Vec<Bytes>,
    /// Numbers that are left out before the first of them: the database has these already.
    pub skip: u64,
    /// The life that the last of them belongs to.
    pub life: StreamId,
    /// When the life is over from now on: 0 for never, `None` where it is to stay. It is put later,
    /// never sooner, unless the life is another one.
    pub expires_ms: Option<u64>,
}

/// What has become of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is in the log, and this is the head now.
    Done(Head),
    /// Somebody else was faster: this is the head. Nothing was added.
    Moved(Head),
    /// The name is cold, or the claim has ended. Nothing was added.
    Cold,
}

/// A change in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its number.
    pub version: u64,
    /// As it was encoded.
    pub change: Bytes,
}

/// What a node is told by others, and of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A name that this node follows has changed.
    Moved {
        /// The name.
        name: StreamName,
        /// Its head behind the change.
        head: Head,
        /// The changes, where they are small: all from `head.version - changes.len()` on. Otherwise
        /// they have to be read.
        changes: Vec<Bytes>,
    },
    /// A name has something for the database, which it had not before. Told only to a node that
    /// watches all; see [`SharedLog::watch_all`].
    Unstored(StreamName),
    /// Somebody has said something to all nodes, or to this one; see [`SharedLog::say`].
    Said {
        /// To whom: what was given there.
        topic: String,
        /// What.
        words: Bytes,
    },
    /// Something may have been missed: everything that is followed has to be looked at.
    Lost,
}

/// Work for the flusher: a name that has something for the database. Whoever has taken it has it
/// alone until [`SharedLog::done`], or for [`crate::limits::WORK_CLAIM_MS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The name.
    pub name: StreamName,
    /// What the log calls this piece of work.
    pub id: String,
}

/// Which names: those of chat lie apart, since whoever reads tables waits for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Streams of chat.
    Chat,
    /// All others.
    Streams,
}

impl Scope {
    /// Where a name belongs.
    #[must_use]
    pub fn of(name: &StreamName) -> Self {
        if name.in_chat().is_some() { Self::Chat } else { Self::Streams }
    }
}

/// Everything that has something for the database at a moment; see [`SharedLog::unstored`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unstored(pub Vec<(u16, String)>);

/// How much memory the log uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Bytes in use, of the fullest server.
    pub used_bytes: u64,
    /// Bytes that it may use; 0 for no limit.
    pub max_bytes: u64,
}

/// A node that has said that it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The number of its start.
    pub start: u32,
    /// What it says of itself.
    pub info: String,
}

/// What a node has done with the log since its start.
#[derive(Debug)]
pub struct LogStats {
    /// Additions that were made.
    pub adds: Count,
    /// Bytes of their changes.
    pub added_bytes: Count,
    /// Additions that somebody else was faster than.
    pub conflicts: Count,
    /// Reads of changes.
    pub reads: Count,
    /// How long an answer takes.
    pub times: Spread,
    /// Questions that were not answered.
    pub errors: Count,
    /// Names that were cold and have been asked for.
    pub claims: Count,
    /// Connections that broke; each is made again.
    pub disconnects: Count,
}

impl Default for LogStats {
    fn default() -> Self {
        Self {
            adds: Count::default(),
            added_bytes: Count::default(),
            conflicts: Count::default(),
            reads: Count::default(),
            times: Spread::of_times(),
            errors: Count::default(),
            claims: Count::default(),
            disconnects: Count::default(),
        }
    }
}

/// What can go wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be reached. What was asked for may have happened or not.
    #[error("Redis does not answer: {0}")]
    Unavailable(String),
    /// It takes nothing more before some of it is in the database, or memory is freed. Nothing has
    /// happened.
    #[error("Redis has no room: {0}")]
    Full(String),
    /// It is not the one that the database belongs to: it has come back empty, or is another one.
    /// Nothing has happened, and nothing may be done with it.
    #[error(
        "Redis does not hold what was acknowledged: it has lost its data, or is another one than \
         this database was used with"
    )]
    Lost,
    /// It holds something that nobody has put there.
    #[error("Redis holds what makes no sense: {0}")]
    Corrupt(String),
    /// It cannot be used for this.
    #[error("this Redis cannot be used: {0}")]
    Unfit(String),
}

/// A value that is too large to be kept.
fn check_kept(value: &Bytes) -> Result<(), LogError> {
    match value.len() {
        bytes if bytes > KEPT_BYTES_MAX => Err(LogError::Full(format!("not for {bytes} bytes"))),
        _ => Ok(()),
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, LogError>>;

/// See the module. Every method may be called concurrently, and a call that is dropped half way has
/// happened or not.
pub trait SharedLog: Send + Sync {
    /// How long it holds what.
    fn terms(&self) -> Terms;

    /// The head of a name; `None` when it is cold.
    fn head<'a>(&'a self, name: &'a StreamName) -> Answer<'a, Option<Head>>;

    /// Claims a cold name, with a number that nobody else uses unless somebody has claimed it already.
    /// A claim holds until the name becomes hot, or for [`crate::limits::LOG_CLAIM_MS`] after somebody
    /// has claimed it last.
    fn claim<'a>(&'a self, name: &'a StreamName, claim: u64) -> Answer<'a, Claimed>;

    /// Adds to the log of a name if it is as it is `known`, and tells those who follow it.
    fn add<'a>(
        &'a self,
        name: &'a StreamName,
        known: Known,
        addition: Addition,
    ) -> Answer<'a, Added>;

    /// The changes behind `after` that are still there, in order and without a gap, some
    /// `bytes_max` bytes of them but one at least. Older ones may be gone: then the first is not that
    /// behind `after`, and the database has those between.
    fn read<'a>(
        &'a self,
        name: &'a StreamName,
        after: u64,
        bytes_max: usize,
    ) -> Answer<'a, Vec<Logged>>;

    /// Tells this node of all changes of a name from now on. When it returns, nothing later is missed
    /// without a [`Wake::Lost`].
    fn follow<'a>(&'a self, name: &'a StreamName) -> Answer<'a, ()>;

    /// Ends that.
    fn unfollow<'a>(&'a self, name: &'a StreamName) -> Answer<'a, ()>;

    /// Tells this node of all names that have something for the database from now on, or no more.
    fn watch_all(&self, watch: bool) -> Answer<'_, ()>;

    /// What this node is told. There is one receiver; asked a second time, it is `None`.
    fn wakes(&self) -> Option<mpsc::UnboundedReceiver<Wake>>;

    /// Says something to all nodes that listen to `topic` now. Nothing of it is kept.
    fn say<'a>(&'a self, topic: &'a str, words: Bytes) -> Answer<'a, ()>;

    /// Listens to `topic` from now on.
    fn listen<'a>(&'a self, topic: &'a str) -> Answer<'a, ()>;

    /// Keeps a value under a key for `ttl`, in the place of another one: at most
    /// [`crate::limits::KEPT_BYTES_MAX`] bytes. It is for what may get lost.
    fn keep<'a>(&'a self, key: &'a str, value: Bytes, ttl: Duration) -> Answer<'a, ()>;

    /// Takes away what is kept under a key. Of all who do so one gets it.
    fn take_kept<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Bytes>>;

    /// Takes work for the flusher, at most about `limit` pieces; also what another node took and has
    /// not done in [`crate::limits::WORK_CLAIM_MS`].
    fn take_work(&self, scope: Scope, limit: usize) -> Answer<'_, Vec<Work>>;

    /// The database has the changes of a name up to `stored`, and everything up to `news` that it had
    /// to be told. Of what is stored the log keeps a few for those who come late; a name that has
    /// nothing more for the database becomes cold after [`crate::limits::LOG_HOT_MS`] without a
    /// change. Returns the head; there is more work if its `news` is another.
    fn done<'a>(&'a self, work: &'a Work, stored: u64, news: u64) -> Answer<'a, Option<Head>>;

    /// What has something for the database now, or had until a moment ago.
    fn unstored(&self, scope: Scope) -> Answer<'_, Unstored>;

    /// Whether the database has all of that.
    fn is_stored<'a>(&'a self, unstored: &'a Unstored) -> Answer<'a, bool>;

    /// The names that have something for the database now.
    fn unstored_names(&self, scope: Scope) -> Answer<'_, Vec<StreamName>>;

    /// What this node has done so far.
    fn stats(&self) -> Arc<LogStats>;

    /// How much memory is used.
    fn memory(&self) -> Answer<'_, Memory>;

    /// This node lives, and will say so again within `ttl`.
    fn alive<'a>(&'a self, node: &'a Node, ttl: Duration) -> Answer<'a, ()>;

    /// This node ends.
    fn gone(&self, start: u32) -> Answer<'_, ()>;

    /// The nodes that live.
    fn nodes(&self) -> Answer<'_, Vec<Node>>;
}
