//! Who has to know what comes in a stream of chat before anybody can read it: the event that ends
//! somebody's access must count before there is anything behind it.

use super::Shared;
use crate::{
    channel::Channel,
    limits::STORE_PAGE_BYTES_MAX,
    model::{Chunk, Offset, StoredStream, StreamName},
};
use std::sync::{Arc, Weak};

/// See the module. It is asked within the work for a name, so it must not wait for anything.
pub trait Foresight: Send + Sync {
    /// `chunk` is durable and comes next in `channel`, where nobody can read it yet. It `is_own` if this
    /// node has added it. Said twice it may be.
    fn foresee(&self, channel: &Arc<Channel>, chunk: &Chunk, is_own: bool);

    /// Whether [`Foresight::foresee`] has anything to do for what other nodes add to `channel`.
    fn cares(&self, channel: &Channel) -> bool;

    /// More has come, or comes next, in this stream than could be foreseen.
    fn miss(&self, name: &StreamName);
}

impl Shared {
    /// Says who foresees. The first one stays.
    pub fn foresee_with(&self, foresight: Weak<dyn Foresight>) {
        let _ = self.foresight.set(foresight);
    }

    fn foresight(&self, name: &StreamName) -> Option<Arc<dyn Foresight>> {
        name.in_chat()?;
        self.foresight.get()?.upgrade()
    }

    /// To be called before `chunk` becomes visible.
    pub(super) fn foresee(&self, channel: &Arc<Channel>, chunk: &Chunk, is_own: bool) {
        if let Some(foresight) = self.foresight(channel.name()) {
            foresight.foresee(channel, chunk, is_own);
        }
    }

    /// To be called before `channel` goes on to what the store has.
    pub(super) async fn foresee_stored(&self, channel: &Arc<Channel>, row: &StoredStream) {
        let Some(foresight) = self.foresight(channel.name()) else { return };
        if !foresight.cares(channel) {
            return;
        }
        if !self.foresee_from(&*foresight, channel, row.tail).await {
            foresight.miss(channel.name());
        }
    }

    /// Returns whether the store had everything up to `tail`.
    async fn foresee_from(
        &self,
        foresight: &dyn Foresight,
        channel: &Arc<Channel>,
        tail: Offset,
    ) -> bool {
        let mut at = channel.durable();
        while at.bytes < tail.bytes {
            let read = self.store.read(channel.id(), at.bytes, STORE_PAGE_BYTES_MAX).await;
            let chunks = read.unwrap_or_else(|error| {
                tracing::warn!(%error, stream = %channel.name(), "cannot read what was missed");
                Vec::new()
            });
            let before = at;
            for mut chunk in chunks {
                chunk.drop_before(at);
                if chunk.at != at {
                    return false;
                }
                foresight.foresee(channel, &chunk, false);
                at = chunk.end();
            }
            if at == before {
                return false;
            }
        }
        true
    }

    /// Nobody can say what has come in a stream.
    pub(super) fn could_not_foresee(&self, name: &StreamName) {
        if let Some(foresight) = self.foresight(name) {
            foresight.miss(name);
        }
    }
}
