//! What streams are, as simply as it can be said.

use std::collections::BTreeMap;

/// How many answers of a producer are remembered.
const RESULTS: usize = 16;

/// A position: records and bytes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub records: usize,
    pub bytes: usize,
}

impl At {
    /// As an offset of the protocol.
    pub fn text(self) -> String {
        format!("{:016}_{:016}", self.records, self.bytes)
    }
}

/// What a stream knows of a producer.
#[derive(Clone, Debug)]
pub struct Producer {
    pub epoch: u64,
    pub seq: u64,
    pub results: Vec<At>,
}

/// What a fork was asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub source: usize,
    pub anchor: Option<At>,
    pub beyond: usize,
}

/// A stream.
#[derive(Clone, Debug)]
pub struct Stream {
    pub content_type: String,
    pub ttl: bool,
    /// The source's, when the fork was made.
    pub inherited_ttl: bool,
    /// Each message with a comma behind it.
    pub content: Vec<u8>,
    /// Where records end; the beginning first.
    pub ends: Vec<At>,
    pub closed: bool,
    pub hidden: bool,
    pub fork: Option<Asked>,
    pub forks: usize,
    pub producers: BTreeMap<usize, Producer>,
    pub seq: Option<String>,
}

impl Stream {
    pub fn new(content_type: String, ttl: bool) -> Self {
        Self {
            content_type,
            ttl,
            inherited_ttl: false,
            content: Vec::new(),
            ends: vec![At::default()],
            closed: false,
            hidden: false,
            fork: None,
            forks: 0,
            producers: BTreeMap::new(),
            seq: None,
        }
    }

    pub fn is_json(&self) -> bool {
        self.content_type.eq_ignore_ascii_case("application/json")
    }

    pub fn tail(&self) -> At {
        *self.ends.last().expect("the beginning at least")
    }

    /// Adds records, each as it stands in the content.
    pub fn add(&mut self, records: &[Vec<u8>]) {
        for record in records {
            let At { records, bytes } = self.tail();
            self.content.extend(record);
            self.ends.push(At { records: records + 1, bytes: bytes + record.len() });
        }
    }

    /// The part up to a place, for a fork; `None` when there is no such place.
    pub fn up_to(&self, anchor: Option<At>, beyond: usize) -> Option<(Vec<u8>, Vec<At>)> {
        let anchor = anchor.unwrap_or_else(|| self.tail());
        let bytes = if self.is_json() {
            let first = self.ends.iter().position(|end| *end == anchor)?;
            self.ends.get(first + beyond)?.bytes
        } else {
            anchor.bytes + beyond
        };
        let content = self.content.get(..bytes)?.to_vec();
        let mut ends: Vec<At> =
            self.ends.iter().copied().filter(|end| end.bytes <= bytes).collect();
        let last = *ends.last().expect("the beginning at least");
        if last.bytes < bytes {
            ends.push(At { records: last.records + 1, bytes });
        }
        Some((content, ends))
    }

    /// The body of an answer that begins at byte `from`.
    pub fn body(&self, from: usize) -> Vec<u8> {
        let content = &self.content[from..];
        if !self.is_json() {
            return content.to_vec();
        }
        let inner = content.strip_suffix(b",").unwrap_or(content);
        [b"[", inner, b"]"].concat()
    }

    /// Remembers what a producer did.
    pub fn remember(&mut self, producer: usize, epoch: u64, seq: u64) {
        let tail = self.tail();
        let known = self.producers.entry(producer);
        let known = known.or_insert(Producer { epoch, seq, results: Vec::new() });
        if known.epoch != epoch {
            known.results.clear();
        }
        (known.epoch, known.seq) = (epoch, seq);
        known.results.push(tail);
        if known.results.len() > RESULTS {
            known.results.remove(0);
        }
    }
}

impl Producer {
    /// Where the stream ended behind one of the last appends.
    pub fn result(&self, seq: u64) -> Option<At> {
        let back = usize::try_from(self.seq.checked_sub(seq)?).ok()?;
        self.results.len().checked_sub(1 + back).map(|at| self.results[at])
    }
}

/// All streams by their numbers.
#[derive(Debug, Default)]
pub struct Model {
    pub streams: BTreeMap<usize, Stream>,
}

impl Model {
    /// Removes a stream, or hides it while it has forks, and what was kept only for it.
    pub fn delete(&mut self, name: usize) {
        let stream = self.streams.get_mut(&name).expect("a stream");
        if stream.forks > 0 {
            stream.hidden = true;
            return;
        }
        let gone = self.streams.remove(&name).expect("a stream");
        if let Some(Asked { source, .. }) = gone.fork {
            let source_stream = self.streams.get_mut(&source).expect("kept for its fork");
            source_stream.forks -= 1;
            if source_stream.hidden && source_stream.forks == 0 {
                self.delete(source);
            }
        }
    }
}
