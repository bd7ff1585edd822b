//! Without a journal there is nothing to wait for: whoever queues a change commits what is queued.

use super::Commits;
use crate::limits::DIRECT_GROUPS_MAX;
use std::sync::{PoisonError, TryLockError};

impl Commits {
    /// Commits what is queued, unless somebody else is at it, who then takes it along.
    pub(super) fn commit_directly(&self) {
        let Some(direct) = &self.direct else { return };
        let has_work = || !self.queue().groups.is_empty();
        // Whoever has left the loop looks once more after letting go of the journal: something may
        // have been queued in between by somebody who found it taken.
        while has_work() {
            let mut journal = match direct.try_lock() {
                Ok(journal) => journal,
                Err(TryLockError::Poisoned(journal)) => journal.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            for _ in 0..DIRECT_GROUPS_MAX {
                let Some(group) = self.next_group() else { break };
                // A failure is told to everybody who waits.
                let _ = self.write(group, &mut **journal);
            }
            if has_work() {
                self.queue().relieve = true;
                self.queued.notify_one();
                return;
            }
        }
    }

    /// Goes on committing for those who have done it for others long enough, until
    /// [`Commits::stop`]. Blocks: run it on a thread of its own, where there is no `Committer`.
    pub fn relieve(&self) {
        let Some(direct) = &self.direct else { return };
        loop {
            let mut queue = self.queue();
            while !queue.relieve && !queue.stop {
                queue = self.queued.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.relieve = false;
            let (stop, mut has_work) = (queue.stop, !queue.groups.is_empty());
            drop(queue);
            // Looks once more after letting go of the journal, as in `commit_directly`.
            while has_work {
                let mut journal = direct.lock().unwrap_or_else(PoisonError::into_inner);
                while let Some(group) = self.next_group() {
                    let _ = self.write(group, &mut **journal);
                }
                drop(journal);
                has_work = !self.queue().groups.is_empty();
            }
            if stop {
                return;
            }
        }
    }
}
