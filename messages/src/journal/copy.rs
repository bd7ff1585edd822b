//! A copy of the journal while it is written.
//!
//! A journal is emptied behind the store, so whoever copies both must not lose what moves from one to
//! the other meanwhile. Files are taken from before the store is copied until after that: what was in
//! neither copy would show as a file that is missing between others.

use super::{
    file::{ReplayError, segment_name, segment_number},
    segment::Scan,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// See the module.
#[derive(Debug)]
pub struct JournalCopy {
    from: PathBuf,
    to: PathBuf,
    /// What was taken: bytes, and whether the file is complete.
    taken: BTreeMap<u64, (u64, bool)>,
}

impl JournalCopy {
    /// From the directory `from` into the directory `to`, which is made.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(from: &Path, to: &Path) -> io::Result<Self> {
        fs::create_dir_all(to)?;
        Ok(Self { from: from.into(), to: to.into(), taken: BTreeMap::new() })
    }

    /// Takes the files that have become complete, and with `all` what there is of the last one. Returns
    /// whether nothing is missing so far; if it is, the copy has to begin again.
    ///
    /// # Errors
    /// A file is damaged, or cannot be read or written.
    pub fn go_on(&mut self, all: bool) -> Result<bool, ReplayError> {
        let numbers = self.numbers()?;
        let newest = numbers.last().copied();
        let is_lost =
            |(number, (_, whole)): (&u64, &(u64, bool))| !whole && !numbers.contains(number);
        if self.taken.iter().any(is_lost) {
            return Ok(false);
        }
        for number in numbers {
            let whole = self.taken.get(&number).is_some_and(|(_, whole)| *whole);
            let due = all || Some(number) != newest;
            if !whole && due && !self.take(number)? {
                return Ok(false);
            }
        }
        let numbers: Vec<(&u64, &(u64, bool))> = self.taken.iter().collect();
        let follows = |pair: &[(&u64, &(u64, bool))]| pair[0].0 + 1 == *pair[1].0;
        Ok(numbers.windows(2).all(|pair| follows(pair) && (!all || pair[0].1.1)))
    }

    /// Files and bytes that were taken.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        (self.taken.len(), self.taken.values().map(|(bytes, _)| bytes).sum())
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        let entries = match fs::read_dir(&self.from) {
            Ok(entries) => entries,
            // A server may work without a journal.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(numbers),
            Err(error) => return Err(error),
        };
        for entry in entries {
            numbers.extend(entry?.file_name().to_str().and_then(segment_number));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Returns whether it was still there.
    fn take(&mut self, number: u64) -> Result<bool, ReplayError> {
        let name = segment_name(number);
        let mut seen = None;
        loop {
            let bytes = match fs::read(self.from.join(&name)) {
                Ok(bytes) => bytes,
                // The store has all of it by now. Whoever needs it finds that it is missing.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let scan = Scan::read(&name, number, &bytes)?;
            if !scan.sealed && scan.is_damaged(number, &bytes) {
                // It was read while it was written: then there is more the next time.
                if seen == Some(scan.end) {
                    return Err(ReplayError::Damaged { file: name, position: scan.end });
                }
                seen = Some(scan.end);
                continue;
            }
            if scan.changes.is_empty() && !scan.sealed {
                // Just made, or made anew for another number.
                return Ok(true);
            }
            let mut file = File::create(self.to.join(&name))?;
            file.write_all(&bytes[..scan.end as usize])?;
            file.sync_all()?;
            self.taken.insert(number, (scan.end, scan.sealed));
            return Ok(true);
        }
    }
}
