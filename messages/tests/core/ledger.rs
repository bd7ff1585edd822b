//! What the journal says, told by the plainest means: every change that became durable, applied to
//! streams that are vectors of bytes. A fork is a copy.

use messages::{
    admission::Over,
    model::{Append, Change, CloseReason, Create, Delete, Lifetime, Offset, StreamId, Writers},
};
use std::collections::BTreeMap;

pub type Batch = Vec<(StreamId, Change)>;

#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    pub content: Vec<u8>,
    /// The ends of its records, and the beginning.
    pub ends: Vec<Offset>,
    pub closed: Option<CloseReason>,
    pub tied: bool,
    pub over: Option<Over>,
    pub source: Option<StreamId>,
    pub writers: Writers,
    pub lifetime: Lifetime,
}

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub streams: BTreeMap<StreamId, Entry>,
    /// The last life of each name.
    pub names: BTreeMap<String, StreamId>,
}

impl Entry {
    pub fn tail(&self) -> Offset {
        *self.ends.last().expect("never empty")
    }
}

impl Ledger {
    /// The present life of a name, if it has one.
    pub fn life(&self, name: &str) -> Option<(StreamId, &Entry)> {
        let id = *self.names.get(name)?;
        let entry = &self.streams[&id];
        let is_there = matches!(entry.over, None | Some(Over::Hidden));
        is_there.then_some((id, entry))
    }

    /// How many branch off from a stream.
    pub fn forks(&self, id: StreamId) -> u64 {
        let is_fork = |entry: &&Entry| {
            entry.source == Some(id) && matches!(entry.over, None | Some(Over::Hidden))
        };
        self.streams.values().filter(is_fork).count() as u64
    }

    /// Applies a change and holds it to what may happen.
    pub fn apply(&mut self, id: StreamId, change: &Change) {
        match change {
            Change::Create(create) => self.create(id, create),
            Change::Append(append) => self.append(id, append),
            Change::Delete(delete) => self.delete(id, *delete),
        }
    }

    fn create(&mut self, id: StreamId, create: &Create) {
        let name = create.name.as_str().to_owned();
        let before = self.names.insert(name.clone(), id);
        let is_earlier = |old: &StreamId| self.streams[old].name == name;
        assert!(create.replaces.as_ref().is_none_or(is_earlier), "replaces something else");
        if let Some(old) = before {
            let forks = self.forks(old);
            let old = self.streams.get_mut(&old).expect("known");
            assert_ne!(old.over, Some(Over::Hidden), "{name}: its name is kept");
            let closed = old.closed.is_some() && forks == 0 && create.replaces.is_some();
            assert!(old.over.is_some() || closed, "{name}: two lives at once");
            old.over = Some(Over::Replaced);
        }
        let mut entry = Entry {
            name,
            content: Vec::new(),
            ends: vec![Offset::ZERO],
            closed: None,
            tied: create.tied,
            over: None,
            source: None,
            writers: Writers::default(),
            lifetime: create.lifetime,
        };
        if let Some(fork) = &create.fork {
            let source = &self.streams[&fork.source];
            assert_eq!(source.over, None, "branches off from something that is gone");
            assert_eq!(source.name, fork.source_name.as_str());
            entry.content = source.content[..fork.at.bytes as usize].to_vec();
            entry.ends = source.ends.clone();
            entry.ends.retain(|end| end.bytes < fork.at.bytes);
            // What is before it of a record that is cut is a record.
            let records = entry.ends.len() as u64;
            if fork.at.bytes > 0 {
                assert_eq!(fork.at.records, records, "counts the records before {}", fork.at);
                entry.ends.push(fork.at);
            } else {
                entry.ends = vec![Offset::ZERO];
            }
            entry.source = Some(fork.source);
        }
        assert!(self.streams.insert(id, entry).is_none(), "an identity is used twice");
    }

    fn append(&mut self, id: StreamId, append: &Append) {
        let entry = self.streams.get_mut(&id).expect("created before");
        let Append { chunk, tied, close, writer } = append;
        assert_eq!(chunk.at, entry.tail(), "{}: out of order", entry.name);
        assert_eq!((entry.closed, entry.over), (None, None), "{}: after its end", entry.name);
        entry.content.extend_from_slice(&chunk.body);
        entry.ends.extend(chunk.ends());
        (entry.closed, entry.tied) = (*close, *tied);
        if let Some(stamp) = &writer.stamp {
            let follows = match entry.writers.producers.get(&stamp.producer) {
                None => stamp.seq == 0,
                Some(known) if known.epoch == stamp.epoch => stamp.seq == known.seq + 1,
                Some(known) => stamp.epoch > known.epoch && stamp.seq == 0,
            };
            assert!(follows, "{}: {stamp:?} does not come next", entry.name);
        }
        if let (Some(seq), Some(last)) = (&writer.seq, &entry.writers.seq) {
            assert!(seq > last, "{}: {seq} is not greater than {last}", entry.name);
        }
        entry.writers.remember(writer, entry.tail(), close.is_some());
    }

    fn delete(&mut self, id: StreamId, delete: Delete) {
        let forks = self.forks(id);
        let entry = self.streams.get_mut(&id).expect("created before");
        match (entry.over, delete) {
            (None, Delete::Hidden) => entry.over = Some(Over::Hidden),
            (None | Some(Over::Hidden), Delete::Whole) => {
                assert_eq!(forks, 0, "{}: something branches off from it", entry.name);
                entry.over = Some(Over::Deleted);
            }
            (over, _) => panic!("{}: deleted although {over:?}", entry.name),
        }
    }
}
