//! Where in Redis something lies. All keys of a partition share a hash tag, so that they are on the
//! same server of a cluster and a script may use them together.

use crate::{model::StreamName, shared_log::Scope};

/// Partitions of [`Scope::Streams`]: more than a cluster has servers, so that it is evenly used.
const OF_STREAMS: u16 = 64;

/// Partitions of [`Scope::Chat`]: few, since whoever reads tables asks all of them.
const OF_CHAT: u16 = 8;

/// All partitions. These numbers must stay as they are: names would be looked for elsewhere.
pub(super) const PARTITIONS: u16 = OF_STREAMS + OF_CHAT;

/// The number of a partition: first those of streams, then those of chat.
pub(super) type Partition = u16;

/// The partitions of a scope.
pub(super) fn partitions(scope: Scope) -> std::ops::Range<Partition> {
    match scope {
        Scope::Streams => 0..OF_STREAMS,
        Scope::Chat => OF_STREAMS..PARTITIONS,
    }
}

/// Where the keys of a prefix are.
pub(super) struct Keys {
    prefix: String,
    /// What the keys of each partition begin with.
    begin: Vec<String>,
}

/// What is heard on a channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    Name(&'a str),
    All,
    Topic(&'a str),
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let begin = (0..PARTITIONS).map(|partition| format!("{prefix}:{{{}}}", tag(partition)));
        Self { prefix: prefix.to_owned(), begin: begin.collect() }
    }

    pub(super) fn partition(name: &StreamName) -> Partition {
        let partitions = partitions(Scope::of(name));
        let hash = crc32c::crc32c(name.as_str().as_bytes());
        partitions.start + (hash % partitions.len() as u32) as Partition
    }

    /// Of a topic, or of what is kept: all nodes must agree on it, so any will do.
    pub(super) fn partition_of(text: &str) -> Partition {
        (crc32c::crc32c(text.as_bytes()) % u32::from(OF_STREAMS)) as Partition
    }

    fn key(&self, partition: Partition, kind: &str) -> String {
        format!("{}:{kind}", self.begin[usize::from(partition)])
    }

    /// Holds the incarnation that this partition belongs to.
    pub(super) fn marker(&self, partition: Partition) -> String {
        self.key(partition, "m")
    }

    /// A stream of the names that have something for the database.
    pub(super) fn work(&self, partition: Partition) -> String {
        self.key(partition, "w")
    }

    /// A sorted set: work that continues other, by the number of that.
    pub(super) fn continued(&self, partition: Partition) -> String {
        self.key(partition, "r")
    }

    /// The channel on which names are told that have come to the list of work.
    pub(super) fn all(&self, partition: Partition) -> String {
        self.key(partition, "a")
    }

    /// A hash of the nodes that live.
    pub(super) fn nodes(&self, partition: Partition) -> String {
        self.key(partition, "nodes")
    }

    /// A hash: the head of a name.
    pub(super) fn head(&self, name: &StreamName) -> String {
        self.key(Self::partition(name), &format!("h:{name}"))
    }

    /// A stream: the changes of a name by version.
    pub(super) fn log(&self, name: &StreamName) -> String {
        self.key(Self::partition(name), &format!("l:{name}"))
    }

    /// The number of the last claim of a name.
    pub(super) fn claim(&self, name: &StreamName) -> String {
        self.key(Self::partition(name), &format!("c:{name}"))
    }

    /// The channel on which changes of a name are told.
    pub(super) fn channel(&self, name: &StreamName) -> String {
        self.key(Self::partition(name), &format!("n:{name}"))
    }

    /// A value that is kept for a while.
    pub(super) fn kept(&self, key: &str) -> String {
        self.key(Self::partition_of(key), &format!("k:{key}"))
    }

    /// The channel of a topic.
    pub(super) fn topic(&self, topic: &str) -> String {
        self.key(Self::partition_of(topic), &format!("t:{topic}"))
    }

    /// What a channel is about; `None` for one of somebody else.
    pub(super) fn heard<'a>(&self, channel: &'a str) -> Option<Heard<'a>> {
        let rest = channel.strip_prefix(&self.prefix)?.strip_prefix(":{")?;
        let (_, what) = rest.split_once("}:")?;
        if what == "a" {
            return Some(Heard::All);
        }
        let topic = || what.strip_prefix("t:").map(Heard::Topic);
        what.strip_prefix("n:").map(Heard::Name).or_else(topic)
    }
}

fn tag(partition: Partition) -> String {
    match partition.checked_sub(OF_STREAMS) {
        None => format!("s{partition}"),
        Some(of_chat) => format!("c{of_chat}"),
    }
}

/// The slot of a cluster that a partition is in: CRC-16/XMODEM of the tag, as Redis says.
pub(super) fn slot(partition: Partition) -> u16 {
    let step = |crc: u16| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
    let crc = tag(partition)
        .bytes()
        .fold(0, |crc: u16, byte| (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| step(crc)));
    crc % 16_384
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // As `CLUSTER KEYSLOT '{s0}'` and so on say.
        assert_eq!([slot(0), slot(17), slot(64)], SLOTS_OF_REDIS);
    }

    const SLOTS_OF_REDIS: [u16; 3] = [11_097, 12_616, 10_282];

    #[test]
    fn channels_are_told_apart() {
        let keys = Keys::new("a:{b}");
        let name: StreamName = "x}:t:y".parse().unwrap();
        assert_eq!(keys.heard(&keys.channel(&name)), Some(Heard::Name("x}:t:y")));
        assert_eq!(keys.heard(&keys.all(3)), Some(Heard::All));
        assert_eq!(keys.heard(&keys.topic("t:1")), Some(Heard::Topic("t:1")));
        assert_eq!(keys.heard("other:{s1}:a"), None);
    }
}
