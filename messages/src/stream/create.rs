//! How streams begin.

use super::{StreamError, Streams, records, shared};
use crate::{
    admission::{Over, ReplacementRefusal, State},
    channel::{Channel, Status, change_cost},
    committer::{Entry, Ticket},
    limits::FORK_DEPTH_MAX,
    model::{
        Append, Change, Chunk, CloseReason, Create, Fork, ForkPoint, Lifetime, Offset, Records,
        StreamId, StreamName, Writer, holds_messages, same_type,
    },
};
use bytes::Bytes;
use std::sync::{Arc, MutexGuard, atomic::Ordering};

/// The content type of a stream whose creator does not say.
const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";

/// A stream as somebody wants it to be.
#[derive(Clone, Debug)]
pub struct NewStream {
    /// What it is called.
    pub name: StreamName,
    /// Its content type; `None` for that of its source or else of plain bytes.
    pub content_type: Option<Arc<str>>,
    /// When it goes away by itself; `None` for as its source, or else never.
    pub lifetime: Option<Lifetime>,
    /// What it branches off from.
    pub fork: Option<ForkRequest>,
    /// What it holds at first, as it came.
    pub body: Bytes,
    /// It is complete with that.
    pub closed: bool,
    /// It must be closed when the server that produces it is gone.
    pub tied: bool,
}

/// Where a new stream is to branch off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkRequest {
    /// The stream to branch off from.
    pub source: StreamName,
    /// The place.
    pub point: ForkPoint,
}

impl NewStream {
    /// An empty stream that stays.
    #[must_use]
    pub fn empty(name: StreamName, content_type: &str) -> Self {
        Self {
            name,
            content_type: Some(content_type.into()),
            lifetime: None,
            fork: None,
            body: Bytes::new(),
            closed: false,
            tied: false,
        }
    }

    /// Where a stream of this name is otherwise than asked for, if it is.
    fn difference(&self, channel: &Channel, closed: bool) -> Option<&'static str> {
        let fork = channel.fork();
        let same_fork = match (&self.fork, fork) {
            (None, None) => true,
            (Some(asked), Some(fork)) => {
                asked.source == fork.source_name && asked.point == fork.asked
            }
            _ => false,
        };
        let content_type = match (&self.content_type, fork) {
            (Some(content_type), _) => content_type,
            (None, Some(_)) => channel.content_type(),
            (None, None) => CONTENT_TYPE_DEFAULT,
        };
        let inherited = channel.source_channel().map(|source| source.lifetime());
        let lifetime = self.lifetime.or(inherited).unwrap_or_default();
        [
            (!same_type(content_type, channel.content_type()), "its content type"),
            (lifetime != channel.lifetime(), "its lifetime"),
            (!same_fork, "where it branches off"),
            (self.closed != closed, "being closed or open"),
        ]
        .into_iter()
        .find_map(|(differs, what)| differs.then_some(what))
    }
}

/// A stream that is there, as asked for.
pub struct Ensured {
    /// The stream.
    pub channel: Arc<Channel>,
    /// It was not there before.
    pub created: bool,
    /// Where it ends and whether it is closed.
    pub status: Status,
}

/// What a stream grows from.
type Origin = (Arc<Channel>, Fork);

/// A life that may begin.
pub(super) struct Birth {
    pub channel: Arc<Channel>,
    pub create: Create,
    /// What it holds from the beginning.
    pub append: Option<Append>,
    /// Its state behind that.
    pub state: State,
}

/// A stream that was queued for creation.
struct Begun {
    channel: Arc<Channel>,
    tail: Offset,
    ticket: Ticket,
}

impl Streams {
    /// Sees to it that there is a stream as `new` says: finds it or creates it with its first
    /// content, in one step. Returns once that is durable.
    ///
    /// # Errors
    /// There is one that is otherwise, or it cannot be created so.
    pub async fn ensure(&self, new: NewStream) -> Result<Ensured, StreamError> {
        self.check_trouble()?;
        // Before the slot of the new one is taken, so that nobody waits in a circle. That there is no
        // such source matters only if the stream is not there already.
        let mut origin = match &new.fork {
            None => None,
            Some(fork) => Some(self.origin(fork).await),
        };
        loop {
            let (channel, begun) = self.find_or_begin(&new, &mut origin).await?;
            if let Some(Begun { channel, tail, ticket }) = begun {
                ticket.durable().await?;
                let closed = new.closed.then_some(CloseReason::Finished);
                let status = Status { tail, closed };
                return Ok(Ensured { channel, created: true, status });
            }
            if channel.is_expired(self.clock.now_ms()) {
                self.expire(&channel).await?;
            }
            if channel.writer().over == Some(Over::Deleted) {
                match self.begin_anew(&new, &mut origin, &channel).await {
                    Ok(Begun { channel, tail, ticket }) => {
                        ticket.durable().await?;
                        let closed = new.closed.then_some(CloseReason::Finished);
                        let status = Status { tail, closed };
                        return Ok(Ensured { channel, created: true, status });
                    }
                    Err(StreamError::Replaced) => {
                        tokio::task::yield_now().await;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            match self.status(&channel).await {
                Ok(status) => {
                    if let Some(what) = new.difference(&channel, status.closed.is_some()) {
                        return Err(StreamError::Differs(what));
                    }
                    self.touch(&channel);
                    return Ok(Ensured { channel, created: false, status });
                }
                // Somebody else was faster: look at the new life.
                Err(StreamError::Replaced | StreamError::NotFound) => {
                    tokio::task::yield_now().await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn find_or_begin(
        &self,
        new: &NewStream,
        origin: &mut Option<Result<Origin, StreamError>>,
    ) -> Result<(Arc<Channel>, Option<Begun>), StreamError> {
        if let Some(shared) = &self.shared {
            // That it is there already is found out cheaper than by trying.
            if let Some(found) = shared.look(&new.name).await? {
                return Ok((found, None));
            }
            let birth = self.birth(new, origin.take().transpose()?, None)?;
            return Ok(match shared.begin(birth, None).await? {
                shared::Begun::Found(channel) => (channel, None),
                shared::Begun::New(channel, tail) => {
                    let ticket = self.commits.settled();
                    (channel.clone(), Some(Begun { channel, tail, ticket }))
                }
            });
        }
        let slot = self.slot(&new.name);
        let mut begun = None;
        let found = slot.get_or_try_init(|| async {
            if let Some(channel) = self.load(&new.name).await? {
                return Ok(channel);
            }
            let new = self.begin_new(new, origin.take().transpose()?, None).await?;
            Ok::<_, StreamError>(begun.insert(new).channel.clone())
        });
        let result = found.await.cloned();
        match &result {
            Ok(channel) => channel.mark_used(self.clock.now_ms()),
            Err(_) => self.forget_empty(&new.name, slot),
        }
        Ok((result?, begun))
    }

    async fn begin_anew(
        &self,
        new: &NewStream,
        origin: &mut Option<Result<Origin, StreamError>>,
        old: &Arc<Channel>,
    ) -> Result<Begun, StreamError> {
        self.begin_new(new, origin.clone().transpose()?, Some(old)).await
    }

    /// The stream of a name, created with `content_type` where there is none. Tells whether it was
    /// created; its creation may not be durable before the first append to it is.
    ///
    /// # Errors
    /// The store does not say whether there is one, or nothing can be created now.
    pub async fn find_or_create(
        &self,
        name: &StreamName,
        content_type: &str,
        tied: bool,
    ) -> Result<(Arc<Channel>, bool), StreamError> {
        let new = NewStream { tied, ..NewStream::empty(name.clone(), content_type) };
        loop {
            let (channel, begun) = self.find_or_begin(&new, &mut None).await?;
            if begun.is_some() {
                return Ok((channel, true));
            }
            if channel.is_expired(self.clock.now_ms()) {
                self.expire(&channel).await?;
            }
            let over = channel.writer().over;
            match over {
                None => return Ok((channel, false)),
                Some(Over::Hidden) => return Err(StreamError::Hidden),
                Some(Over::Deleted) => match self.begin_new(&new, None, Some(&channel)).await {
                    Err(StreamError::Replaced) => {}
                    result => return result.map(|begun| (begun.channel, true)),
                },
                Some(Over::Replaced) => {}
            }
            // Somebody else was faster: look at the new life.
            tokio::task::yield_now().await;
        }
    }

    /// Begins a stream: a new one, or a new life of a name whose stream is closed.
    ///
    /// # Errors
    /// The name has an open stream, or nothing can be created now.
    pub async fn begin(
        &self,
        name: &StreamName,
        content_type: &str,
        tied: bool,
    ) -> Result<Arc<Channel>, StreamError> {
        let new = NewStream { tied, ..NewStream::empty(name.clone(), content_type) };
        loop {
            let (channel, created) = self.find_or_create(name, content_type, tied).await?;
            if created {
                return Ok(channel);
            }
            match self.begin_new(&new, None, Some(&channel)).await {
                // Somebody else was faster: look at the new life.
                Err(StreamError::Replaced) => tokio::task::yield_now().await,
                result => return result.map(|begun| begun.channel),
            }
        }
    }

    /// Queues the creation of a stream with its first content, in place of `old` where that is given.
    async fn begin_new(
        &self,
        new: &NewStream,
        origin: Option<Origin>,
        old: Option<&Arc<Channel>>,
    ) -> Result<Begun, StreamError> {
        self.check_trouble()?;
        let source = origin.as_ref().map(|(source, _)| source.clone());
        let Birth { channel, create, append, state } = self.birth(new, origin, old)?;
        let tail = state.tail;
        let content = append.as_ref().map(|append| append.chunk.clone());
        if let Some(shared) = &self.shared {
            let birth = Birth { channel, create, append, state };
            return match shared.begin(birth, old.cloned()).await? {
                shared::Begun::Found(_) => Err(StreamError::Replaced),
                shared::Begun::New(channel, tail) => {
                    self.count_content(content);
                    if let Some(old) = old {
                        shared.release_sources(old).await?;
                    }
                    Ok(Begun { channel, tail, ticket: self.commits.settled() })
                }
            };
        }
        *channel.writer() = state;
        let append = append.map(Change::Append);
        let change = Change::Create(create);
        let cost = change_cost(&change) + append.as_ref().map_or(0, change_cost);
        let room = self.budget.take(cost).await?;
        let replaced = old.cloned();
        let entry = Entry { channel: channel.clone(), change, replaced };
        let append =
            append.map(|change| Entry { channel: channel.clone(), change, replaced: None });
        // Until the new life is in its place: whoever is refused because of the replacement finds it.
        let mut locked = Locked::lock(source.as_ref(), old);
        locked.admit()?;
        let ticket = match self.commits.enqueue_both(entry, append) {
            Ok(ticket) => ticket,
            Err(failed) => {
                locked.take_back();
                return Err(failed.into());
            }
        };
        room.keep();
        self.count_content(content);
        let Some(old) = old else {
            return Ok(Begun { channel, tail, ticket });
        };
        self.restore(channel.clone());
        let was_alive = locked.old_was_alive;
        drop(locked);
        if was_alive {
            self.release_source(old);
        }
        Ok(Begun { channel, tail, ticket })
    }
}

impl Streams {
    /// What a stream begins with is content like all other.
    fn count_content(&self, content: Option<Chunk>) {
        let stats = self.commits.stats();
        content.iter().for_each(|chunk| {
            stats.records.add(chunk.records());
            stats.bytes.add(chunk.body.len() as u64);
        });
    }

    /// The life that is to begin, as far as it can be known without looking at others.
    fn birth(
        &self,
        new: &NewStream,
        origin: Option<Origin>,
        old: Option<&Arc<Channel>>,
    ) -> Result<Birth, StreamError> {
        let (source, fork) = origin.unzip();
        let create = create(new, source.as_deref(), fork, old)?;
        let records = records(new.body.clone(), holds_messages(&create.content_type))?;
        if source.as_ref().map(|source| source.id()) == old.map(|old| old.id()) && old.is_some() {
            return Err(StreamError::NoSource);
        }
        let id = match &self.shared {
            Some(shared) => shared.new_life(),
            None => StreamId(self.next_id.fetch_add(1, Ordering::Relaxed)),
        };
        let memory = self.memory.clone();
        let now_ms = self.clock.now_ms();
        let channel = Arc::new(Channel::new(id, &create, source, now_ms, memory));
        let mut state = channel.writer().clone();
        let append = first_append(&mut state, records, new);
        if state.tail.bytes > self.stream_bytes_max {
            return Err(StreamError::TooLong { tail: Offset::ZERO });
        }
        Ok(Birth { channel, create, append, state })
    }
}

/// The change that begins a stream.
fn create(
    new: &NewStream,
    source: Option<&Channel>,
    fork: Option<Fork>,
    old: Option<&Arc<Channel>>,
) -> Result<Create, StreamError> {
    let content_type = match (&new.content_type, source) {
        (Some(content_type), None) => content_type.clone(),
        (None, None) => CONTENT_TYPE_DEFAULT.into(),
        (None, Some(source)) => source.content_type().clone(),
        (Some(content_type), Some(source)) if same_type(content_type, source.content_type()) => {
            source.content_type().clone()
        }
        (Some(_), Some(_)) => return Err(StreamError::WrongType),
    };
    if source.is_some_and(|source| source.fork_depth() + 1 >= FORK_DEPTH_MAX) {
        return Err(StreamError::ForkTooDeep);
    }
    let inherited = source.map(Channel::lifetime);
    Ok(Create {
        name: new.name.clone(),
        content_type,
        tied: new.tied,
        replaces: old.map(|old| old.id()),
        lifetime: new.lifetime.or(inherited).unwrap_or_default(),
        fork,
    })
}

/// What a new stream holds from the beginning, and its state behind that.
fn first_append(state: &mut State, records: Records, new: &NewStream) -> Option<Append> {
    if records.is_empty() && !new.closed {
        return None;
    }
    let at = state.tail;
    let (lengths, body) = records.into_parts();
    let chunk = Chunk { at, lengths, body };
    let close = new.closed.then_some(CloseReason::Finished);
    state.tail = chunk.end();
    state.closed = close;
    state.tied = new.tied && close.is_none();
    Some(Append { chunk, tied: state.tied, close, writer: Writer::NOBODY })
}

/// The streams that must hold still while another begins: the one it branches off from and the one
/// whose name it takes over.
struct Locked<'a> {
    source: Option<MutexGuard<'a, State>>,
    old: Option<MutexGuard<'a, State>>,
    old_over: Option<Over>,
    old_was_alive: bool,
}

impl<'a> Locked<'a> {
    /// Locks in the order of their identities, so that two of these never wait for each other.
    fn lock(source: Option<&'a Arc<Channel>>, old: Option<&'a Arc<Channel>>) -> Self {
        let source_first = source.map(|s| s.id()) < old.map(|o| o.id());
        let mut locked = Self { source: None, old: None, old_over: None, old_was_alive: false };
        if source_first {
            locked.source = source.map(|source| source.writer());
        }
        locked.old = old.map(|old| old.writer());
        if !source_first {
            locked.source = source.map(|source| source.writer());
        }
        locked
    }

    fn admit(&mut self) -> Result<(), StreamError> {
        if let Some(source) = &mut self.source {
            source.admit_fork().map_err(|over| match over {
                Over::Hidden => StreamError::SourceHidden,
                Over::Deleted | Over::Replaced => StreamError::NoSource,
            })?;
        }
        let Some(old) = &mut self.old else {
            return Ok(());
        };
        self.old_over = old.over;
        self.old_was_alive = old.over.is_none();
        let admitted = old.admit_replacement().map_err(|refusal| match refusal {
            ReplacementRefusal::Open => StreamError::Open,
            ReplacementRefusal::Forked => StreamError::Forked,
            ReplacementRefusal::Replaced => StreamError::Replaced,
            ReplacementRefusal::Hidden => StreamError::Hidden,
        });
        if admitted.is_err() {
            self.release();
        }
        admitted
    }

    fn release(&mut self) {
        if let Some(source) = &mut self.source {
            let _ = source.release_fork();
        }
    }

    /// Nothing has happened after all.
    fn take_back(mut self) {
        self.release();
        let over = self.old_over;
        if let Some(old) = &mut self.old {
            old.over = over;
        }
    }
}
