//! What is there for the database: the lists of work, one in each partition.

use super::{
    Head, LogError, RedisLog, Scope, StreamName, Unstored, Work, answer,
    keys::{Keys, Partition, partitions},
    scripts,
};
use futures::future::{join_all, try_join_all};
use std::{sync::PoisonError, time::Duration};
use tokio::time::Instant;

impl RedisLog {
    /// Asks all partitions for their share, and then those that have given all of theirs for what the
    /// others have left.
    pub(super) async fn take(&self, scope: Scope, limit: usize) -> Result<Vec<Work>, LogError> {
        let (mut taken, mut asked) = (Vec::new(), partitions(scope).collect::<Vec<_>>());
        let mut reclaim = self.reclaim_now(scope).then_some(self.terms.work_claim_ms);
        while taken.len() < limit && !asked.is_empty() {
            let share = (limit - taken.len()).div_ceil(asked.len());
            let round = join_all(asked.iter().map(|&p| self.take_from(p, share, reclaim))).await;
            let (mut full, mut failed) = (Vec::new(), None);
            for (partition, work) in asked.into_iter().zip(round) {
                match work {
                    Ok(work) if work.len() >= share => full.push((partition, work)),
                    Ok(work) => taken.extend(work),
                    Err(error) => failed = Some(error),
                }
            }
            asked = full.iter().map(|(partition, _)| *partition).collect();
            taken.extend(full.into_iter().flat_map(|(_, work)| work));
            match failed {
                // What was taken elsewhere must be done, or it stays until it is taken over.
                Some(error) if taken.is_empty() || matches!(error, LogError::Lost) => {
                    return Err(error);
                }
                Some(_) => return Ok(taken),
                None => reclaim = None,
            }
        }
        Ok(taken)
    }

    async fn take_from(
        &self,
        partition: Partition,
        count: usize,
        reclaim_ms: Option<u64>,
    ) -> Result<Vec<Work>, LogError> {
        let call = self.script(&scripts::TAKE, partition, &[self.keys.work(partition)]);
        let call = call.arg(count).arg(reclaim_ms.map(|ms| ms.to_string()).unwrap_or_default());
        let pairs = self.ask(partition, call).await?.pairs()?;
        pairs.into_iter().map(|(id, name)| Ok(Work { name: answer::name(&name)?, id })).collect()
    }

    /// Whether it is time to look for work that was taken and not done: ten times in the time after
    /// which that is given to another.
    fn reclaim_now(&self, scope: Scope) -> bool {
        let now = Instant::now();
        let mut next = self.reclaim[scope as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let due = next.is_none_or(|next| next <= now);
        if due {
            *next = Some(now + Duration::from_millis(self.terms.work_claim_ms / 10));
        }
        due
    }

    pub(super) async fn end(
        &self,
        work: &Work,
        stored: u64,
        news: u64,
    ) -> Result<Option<Head>, LogError> {
        let (name, partition) = (&work.name, Keys::partition(&work.name));
        let keys = [
            self.keys.head(name),
            self.keys.log(name),
            self.keys.work(partition),
            self.keys.continued(partition),
        ];
        let call = self
            .script(&scripts::DONE, partition, &keys)
            .arg(name.as_str())
            .arg(&work.id)
            .arg(stored)
            .arg((stored + 1).saturating_sub(self.terms.kept_changes))
            .arg(news)
            .arg(self.terms.hot_ms);
        self.ask(partition, call).await?.head_if_hot()
    }

    pub(super) async fn unstored_in(&self, scope: Scope) -> Result<Unstored, LogError> {
        let call = |p| self.script(&scripts::UNSTORED, p, &[self.keys.work(p)]);
        let mut unstored = Unstored::default();
        for (partition, reply) in self.ask_all(scope, call).await? {
            unstored.0.extend(reply.texts()?.pop().map(|last| (partition, last)));
        }
        Ok(unstored)
    }

    pub(super) async fn all_stored(&self, unstored: &Unstored) -> Result<bool, LogError> {
        let asked = unstored.0.iter().map(|(partition, last)| {
            let keys = [self.keys.work(*partition), self.keys.continued(*partition)];
            self.ask(*partition, self.script(&scripts::IS_STORED, *partition, &keys).arg(last))
        });
        Ok(try_join_all(asked).await?.iter().all(|reply| reply.word == "yes"))
    }

    pub(super) async fn names(&self, scope: Scope) -> Result<Vec<StreamName>, LogError> {
        let call = |p| self.script(&scripts::NAMES, p, &[self.keys.work(p)]);
        let mut names = Vec::new();
        for (_, reply) in self.ask_all(scope, call).await? {
            for name in reply.texts()? {
                names.push(answer::name(&name)?);
            }
        }
        Ok(names)
    }
}
