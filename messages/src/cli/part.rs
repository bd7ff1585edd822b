//! What is written under a name of its own until it is whole: under the name that was asked for there is all
//! of it or nothing, and nothing that was there before is touched.

use super::exit::{Exit, Failure};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

/// A file or directory on its way. It is gone with this, unless it was finished.
pub(super) struct Part {
    path: PathBuf,
    whole: PathBuf,
}

impl Part {
    /// Of what will be at `whole`, beside it, under a name that nothing else has.
    pub fn of(whole: PathBuf) -> Self {
        let mut path = whole.as_os_str().to_owned();
        path.push(format!(".{}.part", Uuid::now_v7().simple()));
        Self { path: path.into(), whole }
    }

    /// Where it is meanwhile.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what there is of it.
    pub fn clear(&self) {
        // It is the one or the other, or nothing.
        let _ = fs::remove_file(&self.path).or_else(|_| fs::remove_dir_all(&self.path));
    }

    /// It is whole.
    pub fn finish(self) -> Result<(), Failure> {
        let failed = |error| Failure::from(error).of(self.whole.display());
        fs::rename(&self.path, &self.whole).map_err(failed)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Does `work`, or drops it when the process is told to end, with what it has written so far.
pub(super) async fn or_stopped<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopped = || Err(Failure::new(Exit::Failed, "stopped before it was done"));
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => stopped(),
        _ = terminate.recv() => stopped(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finished_is_gone_and_what_was_there_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let whole = dir.path().join("copy");
        let there = || {
            let entries = fs::read_dir(dir.path()).expect("a directory");
            entries.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
        };
        for is_dir in [true, false] {
            let (part, other) = (Part::of(whole.clone()), Part::of(whole.clone()));
            for part in [&part, &other] {
                if is_dir {
                    fs::create_dir(part.path()).expect("a directory");
                    fs::write(part.path().join("file"), "content").expect("a file");
                } else {
                    fs::write(part.path(), "content").expect("a file");
                }
            }
            drop(other);
            assert_eq!(there().len(), 1);
            part.finish().expect("finished");
            assert_eq!(there(), ["copy"]);
            Part { path: whole.clone(), whole: whole.clone() }.clear();
            assert!(there().is_empty());
        }
    }
}
