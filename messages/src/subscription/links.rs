//! The streams of a subscription: how far each has been processed and how far it reaches.

use super::Config;
use crate::model::{Offset, StreamId, StreamName};
use std::collections::{BTreeMap, BTreeSet};

/// One stream of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// It was asked for by name, and stays until it is taken back by name.
    pub explicit: bool,
    /// The life of the stream that `acked` is a position of; `None` while there is no stream.
    pub life: Option<StreamId>,
    /// Everything before it is processed.
    pub acked: Offset,
    /// Where the stream ends, as far as is known.
    pub tail: Offset,
}

impl Link {
    /// Whether there is content that is not processed.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        is_before(self.acked, self.tail)
    }
}

/// Whether there is anything between two positions. Workers name positions, so either half counts.
pub(super) fn is_before(position: Offset, other: Offset) -> bool {
    position.records < other.records || position.bytes < other.bytes
}

/// What has become of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// This life of it ends here now.
    At(StreamId, Offset),
    /// As that, and it is known that this was seen later than anything before: on several nodes the
    /// numbers of lives do not tell.
    Now(StreamId, Offset),
    /// This life of it is over.
    Gone(StreamId),
}

/// What a link is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// This is what it is; where the stream ends is not part of it.
    Put {
        /// The stream.
        stream: StreamName,
        /// See [`Link::explicit`].
        explicit: bool,
        /// See [`Link::life`].
        life: Option<StreamId>,
        /// See [`Link::acked`].
        acked: Offset,
    },
    /// It goes away.
    Remove(StreamName),
}

/// All links of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    all: BTreeMap<StreamName, Link>,
    /// Those that have pending content, so that nobody has to search for them.
    pending: BTreeSet<StreamName>,
    /// Those that the store does not know as they are. They need not be stored on their own: what
    /// leads to them is seen again after a crash.
    unsaved: BTreeSet<StreamName>,
}

impl Links {
    /// A link.
    #[must_use]
    pub fn get(&self, stream: &StreamName) -> Option<&Link> {
        self.all.get(stream)
    }

    /// All links, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&StreamName, &Link)> {
        self.all.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those with pending content, by name.
    pub fn pending(&self) -> impl Iterator<Item = (&StreamName, &Link)> {
        self.pending.iter().filter_map(|stream| self.all.get_key_value(stream))
    }

    /// Puts a link as the store has it.
    pub fn restore(&mut self, stream: StreamName, link: Link) {
        self.put(stream, link);
    }

    fn put(&mut self, stream: StreamName, link: Link) {
        if link.is_pending() {
            self.pending.insert(stream.clone());
        } else {
            self.pending.remove(&stream);
        }
        self.all.insert(stream, link);
    }

    fn remove(&mut self, stream: &StreamName) {
        self.pending.remove(stream);
        self.all.remove(stream);
    }

    /// Takes up what was seen of a stream. One that fits the pattern and is not linked yet has begun
    /// after the subscription, and is linked at its beginning, so that all of it is pending. Returns
    /// whether anything is different now.
    pub fn see(&mut self, config: &Config, stream: &StreamName, sight: Sight) -> bool {
        let Some(link) = self.all.get(stream).copied() else {
            let (Sight::At(life, tail) | Sight::Now(life, tail)) = sight else { return false };
            if !config.matches(stream) {
                return false;
            }
            let link = Link { explicit: false, life: Some(life), acked: Offset::ZERO, tail };
            self.change(stream.clone(), link);
            return true;
        };
        match sight {
            // News that has been overtaken.
            Sight::At(life, _) if link.life > Some(life) => false,
            Sight::At(life, tail) | Sight::Now(life, tail) if link.life == Some(life) => {
                let news = is_before(link.tail, tail);
                if news {
                    self.put(stream.clone(), Link { tail, ..link });
                }
                news
            }
            // The name has begun anew, and nothing of it is processed.
            Sight::At(life, tail) | Sight::Now(life, tail) => {
                let link = Link { life: Some(life), acked: Offset::ZERO, tail, ..link };
                self.change(stream.clone(), link);
                true
            }
            Sight::Gone(life) if link.life == Some(life) => {
                if link.explicit {
                    let (acked, tail) = (Offset::ZERO, Offset::ZERO);
                    self.change(stream.clone(), Link { explicit: true, life: None, acked, tail });
                } else {
                    self.remove(stream);
                    self.unsaved.insert(stream.clone());
                }
                true
            }
            Sight::Gone(_) => false,
        }
    }

    /// Takes the word of a stream for where it ends although more of it was processed: a crash has
    /// taken back what a weaker durability had let workers see.
    /// Returns whether that is so.
    pub fn cut(&mut self, stream: &StreamName, life: StreamId, tail: Offset) -> bool {
        let Some(link) = self.all.get(stream).copied() else { return false };
        let is_cut = link.life == Some(life) && is_before(tail, link.acked);
        if is_cut {
            self.change(stream.clone(), Link { acked: tail, tail, ..link });
        }
        is_cut
    }

    fn change(&mut self, stream: StreamName, link: Link) {
        self.unsaved.insert(stream.clone());
        self.put(stream, link);
    }

    /// What the store does not know, as changes.
    pub fn unsaved(&self) -> impl Iterator<Item = LinkChange> {
        self.unsaved.iter().map(|stream| match self.all.get(stream) {
            Some(link) => put_change(stream, link),
            None => LinkChange::Remove(stream.clone()),
        })
    }

    /// Takes up changes that the store has. Streams may have been seen anew while these were on
    /// their way, and what was seen last counts.
    pub fn apply(&mut self, config: &Config, changes: Vec<LinkChange>) {
        for change in changes {
            match change {
                LinkChange::Put { stream, explicit, life, acked } => {
                    let link = match self.all.get(&stream).copied() {
                        // The stream is gone, and so is its link.
                        None if !explicit => continue,
                        Some(seen) if seen.life != life => Link { explicit, ..seen },
                        Some(seen) => Link { explicit, acked, ..seen },
                        None => Link { explicit, life, acked, tail: acked },
                    };
                    if link.life == life {
                        self.unsaved.remove(&stream);
                    }
                    self.put(stream, link);
                }
                LinkChange::Remove(stream) => match self.all.get(&stream).copied() {
                    None => drop(self.unsaved.remove(&stream)),
                    Some(link)
                        if link.explicit && link.life.is_some() && config.matches(&stream) =>
                    {
                        self.change(stream, Link { explicit: false, ..link });
                    }
                    Some(link) if link.explicit => {
                        self.unsaved.remove(&stream);
                        self.remove(&stream);
                    }
                    // It has been linked anew since.
                    Some(_) => {}
                },
            }
        }
    }
}

pub(super) fn put_change(stream: &StreamName, link: &Link) -> LinkChange {
    let Link { explicit, life, acked, .. } = *link;
    LinkChange::Put { stream: stream.clone(), explicit, life, acked }
}
