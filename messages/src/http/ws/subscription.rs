//! One stream on a socket. It is a position, like every reader: what it has not sent waits in the
//! stream and not here.

use super::{answer, data, label::Label, plain::Plain, source::Source};
use crate::{
    channel::Part,
    chat::ChatError,
    http::{
        encoding::{Encoding, before, joined},
        gate::Reading,
        problem::Problem,
    },
    limits::SOCKET_DATA_BYTES_MAX,
    model::{CloseReason, Offset},
    stream::{AtHand, Cursor, Piece, StreamError},
};
use futures::future::AbortHandle;

/// Where a subscription is when it is not its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Looked up.
    Opening,
    /// In the queue of those that may have something to send.
    Ready,
    /// At the end of its stream: a wake-up makes it ready.
    Idle,
    /// Waits until the client acknowledges some of what it has.
    Full,
    /// Waits until it may read a page.
    Hungry,
    /// Reads a page, and its cursor is away for it.
    Loading,
}

/// A subscription.
pub(super) struct Subscription {
    pub label: Label,
    pub source: Source,
    pub state: State,
    /// Not there until it is open, and while it loads.
    pub cursor: Option<Cursor>,
    /// It counts as holding a page.
    pub has_page: bool,
    /// Ends its wake-ups.
    pub wake_ups: Option<AbortHandle>,
    /// Its place among the reads of its principal.
    _reading: Reading,
    encoding: Encoding,
    /// The beginning of its frames.
    prefix: Box<str>,
    /// The position behind what has been sent.
    at: Offset,
    /// Read, but to be sent only with what comes behind it.
    held: Vec<u8>,
    /// What is left of a record that is sent in several frames.
    rest: Option<Box<Part>>,
    /// The client knows that there is nothing more at the moment.
    told: bool,
    window: Option<Window>,
    /// It is shown to a client that knows nothing of subscriptions.
    plain: Option<Plain>,
}

/// How far a client lets the server run ahead.
struct Window {
    bytes: u64,
    acknowledged: u64,
}

/// What comes of a turn.
pub(super) enum Turn {
    /// A frame, and perhaps there is more.
    Frame(String),
    /// Nothing to send, but perhaps there is more.
    More,
    /// Nothing more at the moment; a frame if the client does not know that yet.
    Idle(Option<String>),
    /// Nothing until the client acknowledges.
    Full,
    /// The store has what comes next.
    Stored,
    /// It is over.
    Over(Ending),
}

/// How a subscription ends.
pub(super) struct Ending {
    /// The last frame, unless the client does not know that there is a subscription.
    pub frame: Option<String>,
    pub why: Why,
}

/// Why a subscription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its user does not take part in the conversation.
    NoAccess,
    /// What comes next is gone, and this is where it goes on.
    Trimmed(Offset),
    /// Anything else.
    Other,
}

impl Why {
    fn of(error: &ChatError) -> Self {
        match error {
            ChatError::NotAParticipant | ChatError::Stream(StreamError::AccessEnded) => {
                Self::NoAccess
            }
            ChatError::Stream(StreamError::Trimmed { low }) => Self::Trimmed(*low),
            _ => Self::Other,
        }
    }
}

impl Subscription {
    /// One that is being looked up.
    pub fn opening(label: Label, source: Source, reading: Reading, window: Option<u64>) -> Self {
        Self {
            prefix: data::prefix(&label).into(),
            label,
            source,
            state: State::Opening,
            cursor: None,
            has_page: false,
            wake_ups: None,
            _reading: reading,
            encoding: Encoding::Base64,
            at: Offset::ZERO,
            held: Vec::new(),
            rest: None,
            told: false,
            window: window.map(|bytes| Window { bytes, acknowledged: 0 }),
            plain: None,
        }
    }

    /// It is found and goes on from `at`.
    pub fn open(&mut self, cursor: Cursor, at: Offset, plain: Option<Plain>) {
        self.encoding = Encoding::of(cursor.channel().content_type());
        // For frames of one event each, pieces of one record: so none has to wait here for its turn.
        let bytes_max = if plain.is_some() { 1 } else { SOCKET_DATA_BYTES_MAX };
        self.cursor = Some(cursor.with_pieces_of(bytes_max));
        self.plain = plain;
        self.at = at;
        if let Some(window) = &mut self.window {
            window.acknowledged = at.bytes;
        }
    }

    /// The client has everything up to byte `bytes`.
    pub fn acknowledge(&mut self, bytes: u64) {
        if let Some(window) = &mut self.window {
            window.acknowledged = window.acknowledged.max(bytes.min(self.at.bytes));
        }
    }

    fn is_full(&self) -> bool {
        let ahead = |window: &Window| self.at.bytes.saturating_sub(window.acknowledged);
        self.window.as_ref().is_some_and(|window| ahead(window) >= window.bytes)
    }

    /// Looks what there is to send.
    pub fn turn(&mut self) -> Turn {
        if let Some(plain) = &mut self.plain {
            plain.went_out();
        }
        if self.is_full() {
            return Turn::Full;
        }
        let part = match (self.rest.take(), &mut self.cursor) {
            (Some(rest), _) => *rest,
            // It is away for a page, and not in the queue.
            (None, None) => return Turn::Idle(None),
            (None, Some(cursor)) => match cursor.at_hand() {
                Ok(AtHand::Piece(Piece::Data(part))) => part,
                Ok(AtHand::Piece(Piece::End(reason))) => return self.end(reason),
                Ok(AtHand::Stored) => return Turn::Stored,
                Ok(AtHand::Nothing) => return self.idle(),
                Err(error) => return Turn::Over(self.failure(None, error)),
            },
        };
        if let Some(plain) = &mut self.plain {
            self.at = part.end;
            return plain.show(part.end.records, &part.bytes).map_or(Turn::More, Turn::Frame);
        }
        let part = self.cut(part);
        self.data(&part)
    }

    /// The end of a subscription that cannot go on, or cannot begin as `id` wants it.
    pub fn failure(&self, id: Option<&Label>, error: impl Into<ChatError>) -> Ending {
        let error = error.into();
        let why = Why::of(&error);
        let is_told = self.plain.is_none() || why == Why::Other;
        Ending { frame: is_told.then(|| self.refusal(id, error)), why }
    }

    /// The last frame of a subscription that cannot go on. Its offset is where another one would, if
    /// it has begun at all.
    pub fn refusal(&self, id: Option<&Label>, problem: impl Into<Problem>) -> String {
        let problem = problem.into();
        let has_begun = self.state != State::Opening;
        let problem = if has_begun { problem.or_at(self.at) } else { problem };
        answer::error(id, Some(&self.label), &problem)
    }

    fn idle(&mut self) -> Turn {
        let told = std::mem::replace(&mut self.told, true) || self.plain.is_some();
        Turn::Idle((!told).then(|| answer::caught_up(&self.label, self.at)))
    }

    fn end(&mut self, reason: CloseReason) -> Turn {
        if self.held.is_empty() {
            let is_told = self.plain.is_none();
            let frame = is_told.then(|| answer::closed(&self.label, self.at, reason));
            return Turn::Over(Ending { frame, why: Why::Other });
        }
        // What was held back will never be whole.
        let held = std::mem::take(&mut self.held);
        if let Some(cursor) = &self.cursor {
            self.at = cursor.channel().durable();
        }
        let body = data::body(self.encoding, &held, self.at);
        Turn::Frame(data::frame(&self.prefix, body.as_bytes()))
    }

    /// As much of a large record as one frame may have; the rest is for the next turn. A message
    /// is never cut.
    fn cut(&mut self, mut part: Part) -> Part {
        if part.bytes.len() <= SOCKET_DATA_BYTES_MAX || self.encoding == Encoding::Messages {
            return part;
        }
        let first = part.bytes.split_to(SOCKET_DATA_BYTES_MAX);
        let end = before(part.end, part.bytes.len() as u64);
        let erasures = part.erasures;
        self.rest = Some(Box::new(part));
        Part { bytes: first, end, last: false, closed: None, erasures }
    }

    fn data(&mut self, part: &Part) -> Turn {
        let Some(cursor) = &self.cursor else { return Turn::Idle(None) };
        let (encoding, held) = (self.encoding, &self.held);
        let key = data::key(part, held);
        let frame = cursor.channel().frame(key, || data::encode(encoding, held, part));
        let wait = (part.end.bytes - frame.reaches.bytes) as usize;
        let content = joined(&self.held, &part.bytes);
        self.held = content[content.len() - wait..].to_vec();
        if frame.bytes.is_empty() {
            return Turn::More;
        }
        (self.at, self.told) = (frame.reaches, self.told && part.last);
        Turn::Frame(data::frame(&self.prefix, &frame.bytes))
    }
}

/// Nobody waits for its wake-ups any more, and its stream is not in use because of them.
impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(wake_ups) = &self.wake_ups {
            wake_ups.abort();
        }
    }
}
