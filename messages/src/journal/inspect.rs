//! Looking at a journal that nobody uses, without changing it, and setting aside what cannot be read.

use super::{
    codec::{self, Found, Frame},
    file::{ReplayError, segment_name, segment_number},
    segment::Scan,
};
use crate::model::{Change, StreamId};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is not there, though later ones are.
    Missing,
    /// From this byte on it is not what was written.
    Damaged(u64),
    /// It is of another version of this program.
    Version(u32),
    /// It does not go on where the one before it ends.
    Disorder,
}

/// What a journal holds.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Its files.
    pub files: usize,
    /// What can be read, in order.
    pub changes: Vec<(StreamId, Change)>,
    /// The first file with a flaw: nothing from there on can be trusted.
    pub flaw: Option<(String, Flaw)>,
    /// Where a crash has cut a write short, which is no damage.
    pub torn: Option<(String, u64)>,
}

/// Reads the journal in `dir`.
///
/// # Errors
/// The file system refuses.
pub fn inspect(dir: &Path) -> io::Result<Inspection> {
    let numbers = numbers(dir)?;
    let mut found = Inspection { files: numbers.len(), ..Inspection::default() };
    let mut files = Vec::new();
    for &number in &numbers {
        files.push((number, fs::read(dir.join(segment_name(number)))?));
    }
    // A crash can leave a file in which nothing was written yet, behind one that is not sealed yet.
    while files.last().is_some_and(|(number, bytes)| is_unused(*number, bytes)) {
        files.pop();
    }
    let mut before: Option<(u64, u64)> = None;
    let last = files.last().map(|(number, _)| *number);
    for (number, bytes) in files {
        let name = segment_name(number);
        if let Some((earlier, _)) = before
            && earlier + 1 != number
        {
            found.flaw = Some((segment_name(earlier + 1), Flaw::Missing));
            break;
        }
        let scan = match Scan::read(&name, number, &bytes) {
            Ok(scan) => scan,
            Err(ReplayError::Version { found: version, .. }) => {
                found.flaw = Some((name, Flaw::Version(version)));
                break;
            }
            Err(ReplayError::Io(error)) => return Err(error),
            Err(_) => {
                found.flaw = Some((name, Flaw::Damaged(0)));
                break;
            }
        };
        if before
            .is_some_and(|(_, batch)| begins_at(number, &bytes).is_some_and(|own| own != batch))
        {
            found.flaw = Some((name, Flaw::Disorder));
            break;
        }
        let broken = !scan.sealed && (Some(number) != last || scan.is_damaged(number, &bytes));
        if !scan.sealed && !broken && scan.is_torn(&bytes) {
            found.torn = Some((name.clone(), scan.end));
        }
        before = Some((number, scan.last_batch));
        found.changes.extend(scan.changes);
        if broken {
            found.flaw = Some((name, Flaw::Damaged(scan.end)));
            break;
        }
    }
    Ok(found)
}

/// Keeps what comes before a flaw of the journal in `dir`, and moves the file with the flaw and all behind
/// it into `aside`, which is made. Returns what was moved.
///
/// # Errors
/// The file system refuses.
pub fn set_aside(
    dir: &Path,
    aside: &Path,
    (file, flaw): &(String, Flaw),
) -> io::Result<Vec<PathBuf>> {
    let first = segment_number(file).unwrap_or_default();
    fs::create_dir(aside)?;
    let mut moved = Vec::new();
    // The last one first, so that a crash leaves no gap.
    for number in numbers(dir)?.into_iter().rev().filter(|number| *number >= first) {
        let name = segment_name(number);
        let (from, to) = (dir.join(&name), aside.join(&name));
        match flaw {
            Flaw::Damaged(position) if number == first && *position > 0 => {
                fs::copy(&from, &to)?;
                File::open(&to)?.sync_all()?;
                let kept = File::options().write(true).open(&from)?;
                kept.set_len(*position)?;
                kept.sync_all()?;
            }
            _ => fs::rename(&from, &to)?,
        }
        File::open(dir)?.sync_all()?;
        moved.push(to);
    }
    File::open(aside)?.sync_all()?;
    Ok(moved)
}

fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    match fs::read_dir(dir) {
        Ok(entries) => {
            for entry in entries {
                numbers.extend(entry?.file_name().to_str().and_then(segment_number));
            }
        }
        // A server may work without a journal.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn is_unused(number: u64, bytes: &[u8]) -> bool {
    Scan::read("", number, bytes).is_ok_and(|scan| {
        scan.changes.is_empty() && !scan.sealed && !scan.is_damaged(number, bytes)
    })
}

/// The last batch of the file before, as this one says.
fn begins_at(number: u64, bytes: &[u8]) -> Option<u64> {
    match codec::decode(bytes, number)? {
        Found { frame: Frame::Begin(..), batch, .. } => Some(batch),
        _ => None,
    }
}
