//! What may be asked for. Streams, records and producers are named by small numbers, so that
//! requests meet.

use proptest::prelude::*;

/// How many names there are.
pub const NAMES: usize = 4;

/// The types of streams.
pub const TYPES: [&str; 3] = ["text/plain", "application/json", "application/octet-stream"];

/// A request, or something that happens to the server.
#[derive(Clone, Debug)]
pub enum Operation {
    /// `PUT` of a stream of its own.
    Create { name: usize, content_type: Option<usize>, body: Body, closed: bool, ttl: bool },
    /// `PUT` of a fork.
    Fork { name: usize, source: usize, place: Place, content_type: Kind, body: Body },
    /// `POST`.
    Append(Append),
    /// `DELETE`.
    Delete { name: usize },
    /// `HEAD`.
    Head { name: usize },
    /// `GET`.
    Read { name: usize, from: From, live: Live },
    /// The server is killed and started again.
    Crash,
    /// The server is stopped and started again.
    Restart,
}

/// A `POST`.
#[derive(Clone, Debug)]
pub struct Append {
    pub name: usize,
    pub content_type: Kind,
    pub body: Body,
    pub close: bool,
    /// Chosen from a few texts.
    pub seq: Option<usize>,
    pub stamp: Option<Stamp>,
}

/// An idempotent producer; epoch and number relative to what the stream knows.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub producer: usize,
    pub epoch: i8,
    pub seq: i8,
}

/// What a body holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Empty,
    /// So many messages, or as many bytes and some.
    Some(u8),
    /// For messages: what is no JSON.
    Broken,
    /// For messages: an array with nothing in it.
    Hollow,
}

/// Which type a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// That of the stream, perhaps in capitals.
    Right(bool),
    Wrong,
    None,
}

/// Where a fork begins.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The end of such a record; `None` for the end of the stream.
    pub anchor: Option<u8>,
    pub beyond: Option<u8>,
}

/// Where a read begins.
#[derive(Clone, Copy, Debug)]
pub enum From {
    Nothing,
    Beginning,
    /// The end of a record.
    Record(u8),
    /// A byte somewhere; for messages as [`From::Record`].
    Byte(u8),
    Now,
    Beyond,
}

/// How a read goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    No,
    LongPoll,
    Sse,
}

/// Any operation; such as need a stream are the likely ones.
pub fn any() -> impl Strategy<Value = Operation> {
    let name = 0..NAMES;
    let create =
        (name.clone(), prop::option::weighted(0.9, 0..TYPES.len()), body(), 0..12u8, 0..8u8)
            .prop_map(|(name, content_type, body, closed, ttl)| Operation::Create {
                name,
                content_type,
                body,
                closed: closed == 0,
                ttl: ttl == 0,
            });
    let place = (prop::option::of(0..12u8), prop::option::of(0..4u8))
        .prop_map(|(anchor, beyond)| Place { anchor, beyond });
    let fork = (name.clone(), name.clone(), place, kind(), body()).prop_map(
        |(name, source, place, content_type, body)| Operation::Fork {
            name,
            source,
            place,
            content_type,
            body,
        },
    );
    let read = (name.clone(), from(), live()).prop_map(|(name, from, live)| Operation::Read {
        name,
        from,
        live,
    });
    prop_oneof![
        5 => create,
        5 => fork,
        18 => append().prop_map(Operation::Append),
        1 => name.clone().prop_map(|name| Operation::Delete { name }),
        2 => name.prop_map(|name| Operation::Head { name }),
        7 => read,
        1 => Just(Operation::Crash),
        1 => prop_oneof![3 => Just(Operation::Crash), 1 => Just(Operation::Restart)],
    ]
}

fn append() -> impl Strategy<Value = Append> {
    let stamp = (0..2usize, prop_oneof![8 => Just(0i8), 1 => Just(1), 1 => Just(-1)], -2..3i8)
        .prop_map(|(producer, epoch, seq)| Stamp { producer, epoch, seq });
    let seq = prop::option::weighted(0.2, 0..6usize);
    (0..NAMES, kind(), body(), 0..24u8, seq, prop::option::of(stamp)).prop_map(
        |(name, content_type, body, close, seq, stamp)| Append {
            name,
            content_type,
            body,
            close: close == 0,
            seq,
            stamp,
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        2 => Just(Body::Empty),
        12 => (1..4u8).prop_map(Body::Some),
        1 => Just(Body::Broken),
        1 => Just(Body::Hollow),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        10 => proptest::bool::ANY.prop_map(Kind::Right),
        1 => Just(Kind::Wrong),
        1 => Just(Kind::None),
    ]
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![
        1 => Just(From::Nothing),
        3 => Just(From::Beginning),
        4 => (0..20u8).prop_map(From::Record),
        2 => proptest::num::u8::ANY.prop_map(From::Byte),
        1 => Just(From::Now),
        1 => Just(From::Beyond),
    ]
}

fn live() -> impl Strategy<Value = Live> {
    prop_oneof![3 => Just(Live::No), 1 => Just(Live::LongPoll), 2 => Just(Live::Sse)]
}
