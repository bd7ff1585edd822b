//! Reading: what is a stream's own and what it has from the one that it branches off from.

use super::{Channel, Glimpse, Part, Source, visible::Visible};
use crate::{
    admission::Over,
    model::{Chunk, StreamId},
};

impl Channel {
    /// What there is at byte `position`: whole records of at most `bytes_max` bytes together, or a
    /// single one that is larger.
    #[must_use]
    pub fn read(&self, position: u64, bytes_max: usize) -> Glimpse {
        match self.source_of(position) {
            Some(source) => self.read_inherited(source, position, bytes_max),
            None => self.with_visible(|visible| {
                visible.over().map_or_else(|| own(visible, position, bytes_max), Glimpse::Over)
            }),
        }
    }

    /// Where the bytes at `position` come from if not from this stream itself.
    fn source_of(&self, position: u64) -> Option<&Source> {
        self.source.as_ref().filter(|source| position < source.fork.at.bytes)
    }

    fn read_inherited(&self, source: &Source, position: u64, bytes_max: usize) -> Glimpse {
        let (over, tail, closed) =
            self.with_visible(|visible| (visible.over(), visible.tail(), visible.closed()));
        if let Some(over) = over {
            return Glimpse::Over(over);
        }
        match source.part(position, bytes_max) {
            None => Glimpse::Stored,
            Some(part) => {
                let last = part.end.bytes == tail.bytes;
                Glimpse::Data(Part { last, closed: closed.filter(|_| last), ..part })
            }
        }
    }

    /// The stream in whose rows byte `position` is, and the position at which its part ends.
    #[must_use]
    pub fn owner(&self, position: u64) -> (StreamId, Option<u64>) {
        match self.source_of(position) {
            None => (self.id, None),
            Some(Source { channel, fork }) => {
                let (id, end) = channel.owner(position);
                (id, Some(end.map_or(fork.at.bytes, |end| end.min(fork.at.bytes))))
            }
        }
    }

    /// The chunk in memory that holds byte `position`, which may begin before and go beyond what
    /// belongs to this stream.
    #[must_use]
    pub fn chunk_at(&self, position: u64) -> Option<Chunk> {
        match self.source_of(position) {
            None => self.with_visible(|visible| visible.chunk_at(position)),
            Some(source) => source.channel.chunk_at(position),
        }
    }

    /// How many streams there are above this one.
    #[must_use]
    pub fn fork_depth(&self) -> usize {
        std::iter::successors(Some(self), |channel| {
            channel.source.as_ref().map(|source| &*source.channel)
        })
        .count()
            - 1
    }

    /// The stream that this one branches off from.
    #[must_use]
    pub fn source_channel(&self) -> Option<&std::sync::Arc<Self>> {
        self.source.as_ref().map(|source| &source.channel)
    }
}

impl Source {
    /// What the fork has from here at `position`, whatever has become of this stream for others.
    fn part(&self, position: u64, bytes_max: usize) -> Option<Part> {
        let mut part = match self.channel.source_of(position) {
            Some(source) => source.part(position, bytes_max)?,
            None => self.channel.with_visible(|visible| visible.part(position, bytes_max))?,
        };
        if part.end.bytes >= self.fork.at.bytes {
            part.bytes.truncate((self.fork.at.bytes - position) as usize);
            part.end = self.fork.at;
        }
        Some(part)
    }
}

fn own(visible: &mut Visible, position: u64, bytes_max: usize) -> Glimpse {
    if position < visible.low().bytes {
        return Glimpse::Trimmed(visible.low());
    }
    match visible.part(position, bytes_max) {
        None => Glimpse::Stored,
        Some(part) if !part.bytes.is_empty() => Glimpse::Data(part),
        Some(_) => visible.closed().map_or(Glimpse::Tail, Glimpse::End),
    }
}

/// How the life of a stream ended, for those who still look at it.
impl Channel {
    /// Why nothing can be read here any more; `None` while it lives.
    #[must_use]
    pub fn over(&self) -> Option<Over> {
        self.with_visible(|visible| visible.over())
    }
}
