//! The public keys as they change: read at start, again every few minutes, and when a token names
//! a key that is not there.

use super::{
    keys::{Expected, Keys, KeysError},
    secret::Secret,
};
use crate::{
    fetch::{FetchError, Fetcher, Target},
    limits::{JWKS_BYTES_MAX, JWKS_UNKNOWN_KEY_SECS, JWKS_WAIT_MS_MAX},
};
use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};

/// Where the public keys are.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Url(Target),
}

/// Why the public keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    File(std::io::Error),
    /// Nothing sensible came.
    #[error(transparent)]
    Fetch(FetchError),
    /// What came is of no use.
    #[error(transparent)]
    Keys(KeysError),
}

/// The keys of now, and how to get those of later. A set that was good stays until there is a
/// better one.
pub(super) struct Jwks {
    source: Option<Source>,
    secret: Option<Secret>,
    expected: Expected,
    fetcher: Fetcher,
    now: RwLock<Current>,
    /// Held by the one who asks because of an unknown key; when that was last done.
    asked: Mutex<Option<Instant>>,
}

struct Current {
    /// Goes up when the set has changed.
    generation: u64,
    keys: Arc<Keys>,
    text: Vec<u8>,
}

impl Source {
    /// A path, or a URL.
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        if text.contains("://") {
            return Target::parse(text).map(Self::Url);
        }
        Ok(Self::File(text.into()))
    }
}

impl Jwks {
    /// The secret alone, or with the keys of `source`, which must be there now.
    pub async fn load(
        secret: Option<Secret>,
        source: Option<Source>,
        expected: Expected,
    ) -> Result<Self, JwksError> {
        let keys = Arc::new(Keys::new(secret.as_ref(), &expected));
        let now = RwLock::new(Current { generation: 0, keys, text: Vec::new() });
        let fetcher = Fetcher::new().map_err(JwksError::Fetch)?;
        let asked = Mutex::default();
        let this = Self { source, secret, expected, fetcher, now, asked };
        if this.source.is_some() {
            this.refresh().await?;
        }
        Ok(this)
    }

    /// The generation of the keys, and they.
    pub fn current(&self) -> (u64, Arc<Keys>) {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        (now.generation, now.keys.clone())
    }

    /// The generation alone.
    pub fn generation(&self) -> u64 {
        self.now.read().unwrap_or_else(PoisonError::into_inner).generation
    }

    /// The keys after somebody has missed one in those of `generation`: newer ones if there are
    /// any. The source is asked by one at a time and not often, whatever tokens say.
    pub async fn newer_than(&self, generation: u64) -> (u64, Arc<Keys>) {
        if self.source.is_none() {
            return self.current();
        }
        let mut asked = self.asked.lock().await;
        let pause = Duration::from_secs(JWKS_UNKNOWN_KEY_SECS);
        if self.generation() == generation && asked.is_none_or(|at| at.elapsed() >= pause) {
            *asked = Some(Instant::now());
            self.refresh_or_warn().await;
        }
        self.current()
    }

    /// Asks the source from time to time, for ever.
    pub async fn keep_fresh(&self, interval: Duration) {
        if self.source.is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(interval).await;
            let _one_at_a_time = self.asked.lock().await;
            self.refresh_or_warn().await;
        }
    }

    async fn refresh_or_warn(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "cannot refresh the keys for tokens (--auth-jwks); the old ones stay");
        }
    }

    async fn refresh(&self) -> Result<(), JwksError> {
        let text = match &self.source {
            None => return Ok(()),
            Some(Source::File(path)) => read(path).map_err(JwksError::File)?,
            Some(Source::Url(url)) => {
                let wait = Duration::from_millis(JWKS_WAIT_MS_MAX);
                let got = self.fetcher.get(url, JWKS_BYTES_MAX, wait).await;
                got.map_err(JwksError::Fetch)?.into()
            }
        };
        if self.now.read().unwrap_or_else(PoisonError::into_inner).text == text {
            return Ok(());
        }
        let keys = Keys::new(self.secret.as_ref(), &self.expected);
        let keys = keys.with_set(&text, &self.expected).map_err(JwksError::Keys)?;
        tracing::info!(keys = keys.public_count(), "new keys for tokens (--auth-jwks)");
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        *now = Current { generation: now.generation + 1, keys: Arc::new(keys), text };
        Ok(())
    }
}

/// Small, and not often: not worth a thread of its own.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(JWKS_BYTES_MAX as u64).read_to_end(&mut text)?;
    Ok(text)
}
