//! `messages backup`: a copy of all data, while the server works.

use super::{
    data::DataOptions,
    exit::{Exit, Failure},
    part::{Part, or_stopped},
};
use crate::{
    journal::JournalCopy,
    limits::{BACKUP_ATTEMPTS_MAX, BACKUP_LOOK_MS},
    store::{self, copy_into},
};
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::{
    fs::{DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// What to copy where.
#[derive(Clone, Debug, Args)]
pub struct BackupOptions {
    /// Directory for the copy. It must not be there; a server can be started on it: --data-dir.
    dir: PathBuf,

    /// Print how much it was, as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataOptions,
}

#[derive(Serialize)]
struct Outcome {
    database_bytes: u64,
    journal_files: usize,
    journal_bytes: u64,
}

impl BackupOptions {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let url = self.data.database_url();
        if !url.starts_with("sqlite:") {
            return Err(Failure::usage(
                "only SQLite is copied here. Of Postgres, pg_dump makes a copy that is complete up to the \
                 last flush; for all of it stop the server first",
            ));
        }
        if let Some(file) = store::file_of(&url).filter(|file| !file.exists()) {
            let text = format!("there is no database {}", file.display());
            return Err(Failure::new(Exit::NotFound, text));
        }
        // A slash at its end, as shells complete names, is no part of the name.
        let dir: PathBuf = self.dir.components().collect();
        if dir.exists() {
            let text = format!("{} is there already", dir.display());
            return Err(Failure::new(Exit::Conflict, text));
        }
        let part = Part::of(dir.clone());
        let outcome = or_stopped(self.copy(&url, &part)).await?;
        part.finish()?;
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        if self.json {
            let line = serde_json::to_string(&outcome).map_err(io::Error::from)?;
            writeln!(io::stdout(), "{line}")?;
        }
        Ok(())
    }

    async fn copy(&self, url: &str, part: &Part) -> Result<Outcome, Failure> {
        for _ in 0..BACKUP_ATTEMPTS_MAX {
            part.clear();
            let path = part.path();
            // Content and keys are in it.
            let made = DirBuilder::new().mode(0o700).create(path);
            made.map_err(|error| Failure::from(error).of(path.display()))?;
            if let Some(outcome) = self.attempt(url, path).await? {
                return Ok(outcome);
            }
        }
        Err(Failure::new(Exit::Failed, "the journal is emptied faster than it can be copied"))
    }

    /// `None` where something may be missing.
    async fn attempt(&self, url: &str, part: &Path) -> Result<Option<Outcome>, Failure> {
        let wrong = |what: &Path| format!("cannot copy {}", what.display());
        let from = self.data.journal();
        let mut journal = JournalCopy::new(&from, &part.join("journal"))?;
        // From before the copy of the database until after it.
        if !journal.go_on(true).with_context(|| wrong(&from))? {
            return Ok(None);
        }
        let database = part.join("messages.db");
        let copying = copy_into(url, &database);
        tokio::pin!(copying);
        let mut whole = true;
        let copied = loop {
            let pause = tokio::time::sleep(Duration::from_millis(BACKUP_LOOK_MS));
            tokio::select! {
                // To its end in any case: nobody can stop it half way.
                copied = &mut copying => break copied,
                () = pause, if whole => {}
            }
            whole = journal.go_on(false).with_context(|| wrong(&from))?;
        };
        copied.context("cannot copy the database")?;
        if !whole {
            return Ok(None);
        }
        if !journal.go_on(true).with_context(|| wrong(&from))?
            // The last file was being sealed.
            && !journal.go_on(true).with_context(|| wrong(&from))?
        {
            return Ok(None);
        }
        let file = File::open(&database)?;
        file.sync_all()?;
        File::open(part.join("journal"))?.sync_all()?;
        File::open(part)?.sync_all()?;
        let (journal_files, journal_bytes) = journal.size();
        let database_bytes = file.metadata()?.len();
        Ok(Some(Outcome { database_bytes, journal_files, journal_bytes }))
    }
}
