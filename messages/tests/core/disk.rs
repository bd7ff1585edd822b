//! A file system that loses power. What was written and not synced is there afterwards only in
//! part, sector by sector; names change in order, but the last changes may be lost.

use super::random::Random;
use messages::journal::disk::{Disk, DiskFile};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

const SECTOR: usize = 512;

/// A handle on the same disk for every copy.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    name_changes: Vec<NameChange>,
    files: Vec<File>,
    /// Operations that still succeed; `None` for all of them.
    power: Option<usize>,
    /// Bytes that fit.
    capacity: Option<u64>,
}

#[derive(Clone)]
enum NameChange {
    Put(String, usize),
    Remove(String),
}

#[derive(Default)]
struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
}

struct Handle {
    disk: SimDisk,
    file: usize,
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while locked")
    }

    /// Lets the power fail in the middle of operation number `after` from now.
    pub fn cut_power_after(&self, after: usize) {
        self.state().power = Some(after);
    }

    /// Limits how many bytes all files have together, or lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// The machine comes back after its power failed.
    pub fn restart_after_power_cut(&self, random: &mut Random) {
        let mut state = self.state();
        let kept = random.below(state.name_changes.len() + 1);
        let changes: Vec<_> = state.name_changes.drain(..).take(kept).collect();
        changes.into_iter().for_each(|change| apply(&mut state.durable_names, change));
        state.names = state.durable_names.clone();
        for file in &mut state.files {
            tear(file, random);
        }
        state.power = None;
    }

    /// The process was killed: the operating system has everything.
    pub fn restart_after_kill(&self) {
        self.state().power = None;
    }

    /// All bytes of a file, to look at or to damage.
    pub fn with_file<T>(&self, name: &str, act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut state = self.state();
        let file = state.names[name];
        let result = act(&mut state.files[file].now);
        state.files[file].durable = state.files[file].now.clone();
        result
    }
}

/// Of every sector that was changed since the last sync, the old or the new content.
fn tear(file: &mut File, random: &mut Random) {
    let length = if random.one_in(2) { file.now.len() } else { file.durable.len() };
    let mut torn = file.durable.clone();
    torn.resize(length, 0);
    for (at, sector) in torn.chunks_mut(SECTOR).enumerate() {
        if let Some(new) = file.now.get(at * SECTOR..)
            && random.one_in(2)
        {
            let count = sector.len().min(new.len());
            sector[..count].copy_from_slice(&new[..count]);
        }
    }
    file.now = torn.clone();
    file.durable = torn;
}

fn apply(names: &mut BTreeMap<String, usize>, change: NameChange) {
    match change {
        NameChange::Put(name, file) => drop(names.insert(name, file)),
        NameChange::Remove(name) => drop(names.remove(&name)),
    }
}

impl State {
    fn operate(&mut self) -> io::Result<()> {
        match &mut self.power {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change_name(&mut self, change: NameChange) {
        apply(&mut self.names, change.clone());
        self.name_changes.push(change);
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.state();
        let file = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(state.files[*file].now.clone())
    }

    fn open(&mut self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.operate()?;
        let file = match state.names.get(name) {
            Some(file) => *file,
            None => {
                state.files.push(File::default());
                let file = state.files.len() - 1;
                state.change_name(NameChange::Put(name.to_owned(), file));
                file
            }
        };
        drop(state);
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.change_name(NameChange::Remove(from.to_owned()));
        state.change_name(NameChange::Put(to.to_owned(), file));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        state.change_name(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        state.name_changes.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

impl DiskFile for Handle {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let used: usize = state.names.values().map(|file| state.files[*file].now.len()).sum();
        let cut = state.operate().is_err();
        // A write that is cut short leaves its beginning behind.
        let bytes = if cut { &bytes[..bytes.len() / 2] } else { bytes };
        let capacity = state.capacity;
        let now = &mut state.files[self.file].now;
        let end = at as usize + bytes.len();
        let grown = end.saturating_sub(now.len());
        if capacity.is_some_and(|capacity| (used + grown) as u64 > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if now.len() < end {
            now.resize(end, 0);
        }
        now[at as usize..end].copy_from_slice(bytes);
        if cut { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        let file = &mut state.files[self.file];
        file.durable = file.now.clone();
        Ok(())
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        state.files[self.file].now.resize(bytes as usize, 0);
        Ok(())
    }
}
