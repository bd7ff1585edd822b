//! `messages check`: whether the data of a server is as it should be.

use super::{
    data::DataOptions,
    exit::{Exit, Failure},
};
use crate::{
    journal::{Flaw, Inspection, inspect, set_aside},
    lock::{FileLock, LockError},
    model::{Change, Delete, Offset, StreamId},
    store::{self, Audit, Fault},
};
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    path::PathBuf,
};

/// What to look at.
#[derive(Clone, Debug, Args)]
pub struct CheckOptions {
    /// Mend what can be mended. Without it nothing is changed, and what would be done is told.
    #[arg(long)]
    repair: bool,

    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    data: DataOptions,
}

/// Something that is wrong, for people and for scripts.
#[derive(Serialize)]
struct Finding {
    place: String,
    what: String,
    /// What --repair does about it.
    repair: Option<String>,
    repaired: bool,
}

/// What was looked at and found.
#[derive(Default, Serialize)]
struct Report {
    streams: u64,
    bytes: u64,
    journal_files: usize,
    journal_changes: usize,
    damage: Vec<Finding>,
    /// What a crash leaves, and the next start puts right.
    notes: Vec<String>,
}

impl CheckOptions {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let url = self.data.database_url();
        let _locks = self.locks(&url)?;
        let mut audit = Audit::open(&url).await.context("cannot look at the database")?;
        let mut report = Report::default();
        let faults = audit.look().await.context("cannot look at the database")?;
        for fault in faults {
            report.damage.push(self.of_database(&mut audit, fault).await?);
        }
        (report.streams, report.bytes) = audit.seen();
        let journal = inspect(&self.data.journal()).context("cannot look at the journal")?;
        let misfits = misfits(&mut audit, &journal).await?;
        report.journal_files = journal.files;
        report.journal_changes = journal.changes.len();
        if let Some(flaw) = &journal.flaw {
            report.damage.push(self.of_journal(flaw)?);
        }
        report.damage.extend(misfits);
        report.notes.extend(journal.torn.map(|(file, position)| {
            format!("journal {file}: a crash has cut a write short at byte {position}; the next start removes it")
        }));
        audit.close().await.context("cannot close the database")?;
        report.print(self.json)?;
        match report.damage.iter().filter(|finding| !finding.repaired).count() {
            0 => Ok(()),
            count => Err(Failure::new(Exit::Damaged, format!("damage found: {count}"))),
        }
    }

    /// Nobody else may work on the data.
    fn locks(&self, url: &str) -> Result<Vec<FileLock>, Failure> {
        let mut files = vec![self.data.data_dir.join("lock")];
        if let Some(file) = store::file_of(url) {
            if !file.exists() {
                let text = format!("there is no database {}", file.display());
                return Err(Failure::new(Exit::NotFound, text));
            }
            files.push(PathBuf::from(format!("{}.lock", file.display())));
        }
        // Of a database elsewhere there may be no directory here.
        files.retain(|file| file.parent().is_some_and(std::path::Path::is_dir));
        let taken = files.into_iter().map(|file| {
            FileLock::take(file).map_err(|error| match error {
                LockError::Held { .. } => Failure::new(Exit::Conflict, error.to_string()),
                LockError::Io { .. } => Failure::new(Exit::Failed, error.to_string()),
            })
        });
        taken.collect()
    }

    async fn of_database(&self, audit: &mut Audit, fault: Fault) -> Result<Finding, Failure> {
        let Fault { place, what, remedy } = fault;
        if let Some(remedy) = remedy.filter(|_| self.repair) {
            audit.mend(remedy).await.with_context(|| format!("cannot mend {place}"))?;
        }
        let repair = remedy.map(|_| "removes these rows, which nobody can read".to_owned());
        Ok(Finding { place, what, repaired: self.repair && repair.is_some(), repair })
    }

    fn of_journal(&self, flaw: &(String, Flaw)) -> Result<Finding, Failure> {
        let (file, what) = (&flaw.0, &flaw.1);
        let place = format!("journal {file}");
        let text = match what {
            Flaw::Missing => "it is missing, and there are later ones".into(),
            Flaw::Damaged(position) => format!("from byte {position} on it is damaged"),
            Flaw::Disorder => "it does not go on where the one before it ends".into(),
            Flaw::Version(version) => {
                let what = format!("it has format {version}, which this program does not read");
                return Ok(Finding { place, what, repair: None, repaired: false });
            }
        };
        let aside = self.aside();
        let name = aside.display();
        let repair = format!(
            "moves it and all later ones to {name}, and keeps what comes before; what is in them and not \
             in the database is lost"
        );
        if self.repair {
            set_aside(&self.data.journal(), &aside, flaw)
                .with_context(|| format!("cannot move files to {name}"))?;
        }
        Ok(Finding { place, what: text, repair: Some(repair), repaired: self.repair })
    }

    /// A directory that is not there.
    fn aside(&self) -> PathBuf {
        let name = |number| self.data.data_dir.join(format!("journal.damaged.{number}"));
        (1..).map(name).find(|dir| !dir.exists()).unwrap_or_default()
    }
}

/// Where the journal does not go on where the database ends.
async fn misfits(audit: &mut Audit, journal: &Inspection) -> Result<Vec<Finding>, Failure> {
    let replaced = |change: &Change| match change {
        Change::Create(create) => create.replaces,
        _ => None,
    };
    let gone: BTreeSet<StreamId> = journal
        .changes
        .iter()
        .flat_map(|(id, change)| {
            let deleted = matches!(change, Change::Delete(Delete::Whole)).then_some(*id);
            [deleted, replaced(change)].into_iter().flatten()
        })
        .collect();
    let mut ends: BTreeMap<StreamId, Option<Offset>> = BTreeMap::new();
    let mut found: BTreeMap<StreamId, String> = BTreeMap::new();
    for (id, change) in journal.changes.iter().filter(|(id, _)| !gone.contains(id)) {
        if !ends.contains_key(id) {
            let end = audit.end_of(*id).await.context("cannot look at the database")?;
            ends.insert(*id, end.map(|end| end.tail));
        }
        let end = ends.entry(*id).or_default();
        match change {
            Change::Create(create) => {
                let begin = create.fork.as_ref().map_or(Offset::ZERO, |fork| fork.at);
                end.get_or_insert(begin);
            }
            Change::Delete(_) => {}
            Change::Append(append) => match *end {
                Some(tail) if append.chunk.end().bytes <= tail.bytes => {}
                Some(tail) if append.chunk.at == tail => *end = Some(append.chunk.end()),
                tail => {
                    let at = append.chunk.at;
                    let ends =
                        tail.map_or("has no such stream".into(), |tail| format!("ends at {tail}"));
                    found.entry(*id).or_insert_with(|| {
                        format!("the journal goes on at {at}, and the database {ends}")
                    });
                }
            },
        }
    }
    let finding = |(id, what): (StreamId, String)| Finding {
        place: format!("stream number {}", id.0),
        what,
        repair: None,
        repaired: false,
    };
    Ok(found.into_iter().map(finding).collect())
}

impl Report {
    fn print(&self, json: bool) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        if json {
            let line = serde_json::to_string(self).map_err(io::Error::from)?;
            return Ok(writeln!(out, "{line}")?);
        }
        for Finding { place, what, repair, repaired } in &self.damage {
            writeln!(out, "{place}: {what}")?;
            match repair {
                Some(repair) if *repaired => writeln!(out, "  repaired: {repair}")?,
                Some(repair) => writeln!(out, "  --repair {repair}")?,
                None => writeln!(out, "  it cannot be repaired here: restore it from a backup")?,
            }
        }
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        let Self { streams, bytes, journal_files, journal_changes, .. } = self;
        writeln!(
            out,
            "{streams} streams with {bytes} bytes in the database, {journal_changes} changes in \
             {journal_files} files of the journal"
        )?;
        Ok(())
    }
}
