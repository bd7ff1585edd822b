//! Counting what happens, for whoever watches the server. What is hot adds to numbers of its own and
//! knows nothing of who reads them: no name, no lock, no allocation. All numbers are of one server and
//! begin with its start.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Into so many lanes threads are spread. Threads that add to the same number at the same time take its
/// line of memory from each other, which costs more than everything else about counting.
const LANES: usize = 8;

/// Numbers of one lane only: no other is in this line of memory.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Lane(AtomicU64);

impl Lane {
    /// That of this thread.
    fn mine() -> usize {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static MINE: usize = THREADS.fetch_add(1, Relaxed) % LANES;
        }
        MINE.with(|mine| *mine)
    }
}

/// How often something has happened, or how much of it.
#[derive(Debug, Default)]
pub struct Count([Lane; LANES]);

impl Count {
    /// Once more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So much more.
    pub fn add(&self, more: u64) {
        self.0[Lane::mine()].0.fetch_add(more, Relaxed);
    }

    /// All of it.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.iter().map(|lane| lane.0.load(Relaxed)).sum()
    }
}

/// How many there are now.
#[derive(Debug, Default)]
pub struct Level(AtomicI64);

/// One of those that are there. It goes when this is dropped.
#[derive(Debug)]
pub struct Held(Arc<Level>);

impl Level {
    /// One more, as long as the answer is kept.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Held {
        self.0.fetch_add(1, Relaxed);
        Held(self.clone())
    }

    /// Takes the place of what was said before, for what is known as a whole.
    pub fn set(&self, count: usize) {
        self.0.store(i64::try_from(count).unwrap_or(i64::MAX), Relaxed);
    }

    /// So many more, or less.
    pub fn add(&self, more: i64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Connections.
#[derive(Debug, Default)]
pub struct Doors {
    /// Those that are there, and requests on those that carry several.
    pub open: Arc<Level>,
    /// Those for which there was no place.
    pub refused: Count,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// Ends of the ranges into which times are sorted, in microseconds.
const TIMES_US: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Ends of the ranges into which sizes of groups are sorted.
const SIZES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096];

/// How values are spread.
#[derive(Debug)]
pub struct Spread {
    bounds: &'static [u64],
    /// How many of what is added make one of what is shown. Divided by it, ends of ranges come out as
    /// one would write them.
    per_unit: f64,
    ranges: Vec<Count>,
    beyond: Count,
    sum: Count,
}

/// What a [`Spread`] has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Spreading {
    /// Of all values.
    pub sum: f64,
    /// How many.
    pub count: u64,
    /// How many were in each range, with its end.
    pub ranges: Vec<(f64, u64)>,
}

impl Spread {
    fn new(bounds: &'static [u64], per_unit: f64) -> Self {
        let ranges = bounds.iter().map(|_| Count::default()).collect();
        Self { bounds, per_unit, ranges, beyond: Count::default(), sum: Count::default() }
    }

    /// Of times.
    #[must_use]
    pub fn of_times() -> Self {
        Self::new(TIMES_US, 1e6)
    }

    /// Of how many came together.
    #[must_use]
    pub fn of_sizes() -> Self {
        Self::new(SIZES, 1.0)
    }

    /// A value.
    pub fn add(&self, value: u64) {
        let range = self.bounds.partition_point(|end| *end < value);
        self.ranges.get(range).unwrap_or(&self.beyond).one();
        self.sum.add(value);
    }

    /// A time.
    pub fn time(&self, time: Duration) {
        self.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// What it has come to. Values that are added meanwhile may be in one number and not in another.
    #[must_use]
    pub fn get(&self) -> Spreading {
        let counted = self.bounds.iter().zip(&self.ranges);
        let mut ranges: Vec<(f64, u64)> =
            counted.map(|(end, count)| (*end as f64 / self.per_unit, count.get())).collect();
        ranges.push((f64::INFINITY, self.beyond.get()));
        let count = ranges.iter().map(|(_, count)| count).sum();
        Spreading { sum: self.sum.get() as f64 / self.per_unit, count, ranges }
    }
}

/// What subscriptions have told others of changes.
#[derive(Debug)]
pub struct Wakes {
    /// Calls of webhooks that were answered well.
    pub delivered: Count,
    /// Calls that were answered with another status.
    pub refused: Count,
    /// Calls that were not answered.
    pub unanswered: Count,
    /// Calls that were not made, for the sake of safety.
    pub rejected: Count,
    /// How long an answer takes.
    pub times: Spread,
    /// Calls that are on their way, or wait for their turn.
    pub calling: Arc<Level>,
    /// Wake events that were written, and those that could not be.
    pub events: Count,
    /// See [`Wakes::events`].
    pub event_errors: Count,
    /// Wakes that were sent again, of both kinds.
    pub retries: Count,
}

impl Default for Wakes {
    fn default() -> Self {
        Self {
            delivered: Count::default(),
            refused: Count::default(),
            unanswered: Count::default(),
            rejected: Count::default(),
            times: Spread::of_times(),
            calling: Arc::default(),
            events: Count::default(),
            event_errors: Count::default(),
            retries: Count::default(),
        }
    }
}

/// From an append to the database, and to whoever is told.
#[derive(Debug)]
pub struct Pipeline {
    /// Appends that were taken, their records and bytes; those that had happened before, and those that
    /// were refused.
    pub appends: Count,
    /// See [`Pipeline::appends`].
    pub records: Count,
    /// See [`Pipeline::appends`].
    pub bytes: Count,
    /// See [`Pipeline::appends`].
    pub duplicates: Count,
    /// See [`Pipeline::appends`].
    pub refusals: Count,
    /// How long changes wait for the group before theirs.
    pub queue: Spread,
    /// How long the journal takes for a group: the write and its barrier.
    pub journal: Spread,
    /// Until everybody has been told of a group who waits for it.
    pub publish: Spread,
    /// How many changes a group has.
    pub groups: Spread,
    /// Bytes of changes that went to the journal.
    pub journal_bytes: Count,
    /// How long a transaction of the flusher takes.
    pub flushes: Spread,
    /// Transactions that failed.
    pub flush_errors: Count,
    /// Rows of content that were written, the records in them, and their bytes.
    pub rows: Count,
    /// See [`Pipeline::rows`].
    pub row_records: Count,
    /// See [`Pipeline::rows`].
    pub row_bytes: Count,
    /// Streams, or names of several nodes, that the flusher has taken and not brought to the database yet.
    pub taken: Level,
    /// Microseconds since the last time that nothing was waiting for the flusher; see [`Pipeline::lag`].
    stored_us: AtomicU64,
    /// Pieces of content that readers took, and their bytes.
    pub deliveries: Count,
    /// See [`Pipeline::deliveries`].
    pub delivered_bytes: Count,
    /// How long a page of the database takes, for readers that are behind memory.
    pub pages: Spread,
    /// Pages that could not be read.
    pub page_errors: Count,
    /// Readers whose last bytes came from the database, and how far these were from the end of their streams.
    pub behind: Level,
    /// See [`Pipeline::behind`].
    pub behind_bytes: Level,
    /// What subscriptions did.
    pub wakes: Wakes,
    /// Messages that were sent to conversations, and those that had been sent before.
    pub messages: Count,
    /// See [`Pipeline::messages`].
    pub message_duplicates: Count,
    began: tokio::time::Instant,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            appends: Count::default(),
            records: Count::default(),
            bytes: Count::default(),
            duplicates: Count::default(),
            refusals: Count::default(),
            queue: Spread::of_times(),
            journal: Spread::of_times(),
            publish: Spread::of_times(),
            groups: Spread::of_sizes(),
            journal_bytes: Count::default(),
            flushes: Spread::of_times(),
            flush_errors: Count::default(),
            rows: Count::default(),
            row_records: Count::default(),
            row_bytes: Count::default(),
            taken: Level::default(),
            stored_us: AtomicU64::default(),
            deliveries: Count::default(),
            delivered_bytes: Count::default(),
            pages: Spread::of_times(),
            page_errors: Count::default(),
            behind: Level::default(),
            behind_bytes: Level::default(),
            wakes: Wakes::default(),
            messages: Count::default(),
            message_duplicates: Count::default(),
            began: tokio::time::Instant::now(),
        }
    }
}

impl Pipeline {
    /// Microseconds since the start: for [`Pipeline::stored`].
    #[must_use]
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Everything from before `now_us` is in the database.
    pub fn stored(&self, now_us: u64) {
        self.stored_us.store(now_us, Relaxed);
    }

    /// How long ago everything was in the database that there was. It says how old what is not there
    /// can be, if there is anything.
    #[must_use]
    pub fn lag(&self) -> Duration {
        Duration::from_micros(self.now_us().saturating_sub(self.stored_us.load(Relaxed)))
    }

    /// Since the start.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.began.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sorted_by_the_ends_of_ranges() {
        let spread = Spread::of_sizes();
        for value in [1, 2, 3, 4, 5_000] {
            spread.add(value);
        }
        let Spreading { sum, count, ranges } = spread.get();
        assert_eq!((sum, count), (5_010.0, 5));
        assert_eq!(ranges[..3], [(1.0, 1), (2.0, 1), (4.0, 2)]);
        assert_eq!(ranges.last(), Some(&(f64::INFINITY, 1)));
        let times = Spread::of_times();
        times.time(Duration::from_millis(3));
        assert!((times.get().sum - 0.003).abs() < 1e-9);
    }

    #[test]
    fn what_threads_add_is_all_there() {
        let count = Count::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * LANES {
                scope.spawn(|| (0..1_000).for_each(|_| count.one()));
            }
        });
        assert_eq!(count.get(), 2_000 * LANES as u64);
    }

    #[test]
    fn what_is_held_is_there_until_it_is_dropped() {
        let level = Arc::new(Level::default());
        let held = (level.hold(), level.hold());
        assert_eq!(level.get(), 2);
        drop(held);
        assert_eq!(level.get(), 0);
    }
}
