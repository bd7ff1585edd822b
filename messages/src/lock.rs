//! One server per data directory and per database file.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::PathBuf,
};

/// Holds what a lock file stands for, for this process alone. The operating system frees it with the process, however
/// that ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

/// Why it could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error(
        "another server (process {pid}) holds {path}; stop that one, or give this one its own data directory and database"
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote about itself.
        pid: String,
    },
    /// The lock file cannot be used.
    #[error("cannot use the lock file {path}: {source}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FileLock {
    /// Takes the file at `path`, which is created where it is not there.
    ///
    /// # Errors
    /// When another process has it, or the file system refuses.
    pub fn take(path: PathBuf) -> Result<Self, LockError> {
        let fail = |source| LockError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(LockError::Held { path, pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(fail)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_holder_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = FileLock::take(dir.path().join("lock")).expect("free");
        let second = FileLock::take(dir.path().join("lock")).expect_err("held");
        assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
        drop(first);
        FileLock::take(dir.path().join("lock")).expect("free again");
    }
}
