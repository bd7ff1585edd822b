//! Taking what a server works with: its data directory, its database, its journal or the log of several
//! nodes.

use crate::{
    auth::{Auth, AuthSetupError},
    channel::WindowMemory,
    cluster,
    config::{Config, Durability},
    journal::{FileJournal, Journal, Replay, disk::RealDisk},
    lock::FileLock,
    recovery,
    shared_log::SharedLog,
    store::{self, Database},
    tls::{Keeper, Tls},
    traces::Traces,
};
use anyhow::Context;
use std::{path::PathBuf, sync::Arc};

/// The journal of a run, and what the last one has left.
pub(super) struct OpenJournal {
    /// None with `--durability memory`.
    pub journal: Option<Box<dyn Journal>>,
    pub replay: Replay,
    /// What a run with another durability has left; to be removed once it is stored.
    pub earlier: Option<FileJournal>,
}

/// Traces, if the environment asks for them as they can be had. A server is not kept from its work by
/// what only watches it.
pub(super) fn open_traces() -> Option<Arc<Traces>> {
    Traces::from_environment().unwrap_or_else(|error| {
        tracing::warn!(%error, "there are no traces");
        None
    })
}

pub(super) async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Database>> {
    let url = config.database_url();
    let opened = match &config.redis.redis_url {
        Some(_) => store::open_shared(&url).await,
        None => store::open(&url).await,
    };
    opened.with_context(|| {
        format!("cannot open the {} database (--database-url)", config.database_kind())
    })
}

/// The log of several nodes, if this is one of them. Nothing of the journal is taken over: a node has
/// none.
pub(super) async fn open_log(
    config: &Config,
    store: &Arc<dyn Database>,
    replay: &mut Replay,
    now_ms: u64,
) -> anyhow::Result<Option<Arc<dyn SharedLog>>> {
    let settings = &config.redis;
    let Some(url) = &settings.redis_url else {
        return Ok(cluster::without_log(settings, &**store).await.map(|()| None)?);
    };
    // A stop leaves the last changes in the journal, although the database has them.
    let changes = std::mem::take(&mut replay.changes);
    let memory = WindowMemory::new(config.window_bytes_max);
    let left = recovery::recover(&**store, changes, now_ms, &memory).await?.unstored();
    anyhow::ensure!(
        left == 0,
        "the journal in {} holds changes of {left} streams that are not in the database yet: start \
         once without --redis-url, and stop that server again",
        config.data_dir.display()
    );
    let read = |file: &PathBuf| {
        let read = std::fs::read_to_string(file);
        let text =
            read.with_context(|| format!("cannot read {} (--redis-ca-file)", file.display()))?;
        let is_fit = text.contains("-----BEGIN CERTIFICATE-----");
        anyhow::ensure!(is_fit, "{} holds no certificate (--redis-ca-file)", file.display());
        Ok(text.into_bytes())
    };
    let authority = settings.redis_ca_file.as_ref().map(read).transpose()?;
    let opened = cluster::open_log(url, settings, authority, &**store).await;
    opened.context("cannot use Redis (--redis-url)").map(Some)
}

/// With what must be the same on every node.
pub(super) async fn complete(
    auth: Auth,
    config: &Config,
    log: Option<&Arc<dyn SharedLog>>,
    store: &Arc<dyn Database>,
) -> Result<Auth, AuthSetupError> {
    let Some(log) = log else { return auth.alone(&config.data_dir) };
    let common = cluster::Common::new(log.clone(), store.clone());
    auth.sharing(Arc::new(common), &config.data_dir).await
}

/// The certificate that clients are shown, if there is one.
pub(super) fn open_tls(config: &Config) -> anyhow::Result<Option<(Keeper, Tls)>> {
    Ok(config.tls.files()?.map(Keeper::open).transpose()?)
}

pub(super) fn take_data_dir(config: &Config) -> anyhow::Result<FileLock> {
    let dir = &config.data_dir;
    let mut builder = std::fs::DirBuilder::new();
    // Content and keys are in it.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .recursive(true)
        .create(dir)
        .with_context(|| format!("cannot create the data directory {}", dir.display()))?;
    Ok(FileLock::take(dir.join("lock"))?)
}

pub(super) fn open_journal(config: &Config) -> anyhow::Result<OpenJournal> {
    let is_node = config.redis.redis_url.is_some();
    let dir = config.data_dir.join("journal");
    let existed = std::fs::read_dir(&dir).is_ok_and(|mut files| files.next().is_some());
    let segment_bytes = u64::from(config.journal_segment_bytes);
    let open = |barrier| -> anyhow::Result<_> {
        let disk = RealDisk::new(dir.clone())
            .with_context(|| format!("cannot create the journal directory {}", dir.display()))?;
        let (journal, replay) = FileJournal::open(Box::new(disk), segment_bytes, barrier)
            .with_context(|| format!("cannot open the journal in {}", dir.display()))?;
        if let Some((file, position)) = &replay.torn {
            tracing::warn!(file, position, "a write was cut short by a crash; it has been removed");
        }
        Ok((journal, replay))
    };
    let barrier = config.durability == Durability::Sync;
    if config.durability != Durability::Memory && !is_node {
        let (journal, replay) = open(barrier)?;
        return Ok(OpenJournal { journal: Some(Box::new(journal)), replay, earlier: None });
    }
    let (earlier, replay) = if existed {
        let (earlier, replay) = open(barrier)?;
        (Some(earlier), replay)
    } else {
        (None, Replay::default())
    };
    Ok(OpenJournal { journal: None, replay, earlier })
}
