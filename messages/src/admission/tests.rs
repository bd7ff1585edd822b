//! What is admitted, against the plainest models.

use super::*;
use crate::model::{Create, Lifetime, StreamId};
use proptest::prelude::*;
use std::{collections::HashMap, sync::Arc};

const MAX: u64 = 1_000;

fn open() -> State {
    let create = Create {
        name: "s".parse().expect("a name"),
        content_type: "".into(),
        tied: false,
        replaces: None,
        lifetime: Lifetime::Unlimited,
        fork: None,
    };
    State::new(&StoredStream::new(StreamId(1), &create))
}

/// A request without its writer, and the writer.
fn request() -> impl Strategy<Value = (Request<'static>, Writer)> {
    let reason = prop_oneof![
        8 => Just(None),
        1 => Just(Some(CloseReason::Finished)),
        1 => Just(Some(CloseReason::BrokenOff)),
    ];
    let at = prop_oneof![3 => Just(None), 1 => (0u64..300).prop_map(Some)];
    let stamp = prop_oneof![
        1 => Just(None),
        3 => ("[ab]", 0u64..3, 0u64..5).prop_map(|(producer, epoch, seq)| {
            Some(Stamp { producer: producer.into(), epoch, seq })
        }),
    ];
    let seq = prop_oneof![3 => Just(None), 1 => "[a-c]{1,2}".prop_map(|seq| Some(seq.into()))];
    let flags = any::<(bool, u8)>();
    ((0u64..4, 1u64..120, at), flags, reason, (stamp, seq)).prop_map(
        |((records, bytes, at), (tied, wrong), close, (stamp, seq))| {
            let request = Request {
                records,
                bytes: records * bytes,
                at: at.map(Expected::Bytes),
                tied,
                close,
                writer: &Writer::NOBODY,
                wrong_type: wrong < 16,
            };
            (request, Writer { stamp, seq })
        },
    )
}

proptest! {
    /// Against the plainest model: a vector of bytes, a flag, and the answers that were given.
    #[test]
    fn admission_agrees_with_a_vector(requests in prop::collection::vec(request(), 0..60)) {
        let mut state = open();
        let (mut model, mut records, mut closed) = (Vec::<u8>::new(), 0, None);
        let mut answers = HashMap::<(Arc<str>, u64, u64), Offset>::new();
        let mut sessions = HashMap::<Arc<str>, (u64, u64)>::new();
        let mut greatest: Option<Arc<str>> = None;
        for (request, writer) in requests {
            let request = Request { writer: &writer, ..request };
            let before = state.clone();
            let len = model.len() as u64;
            let key = writer.stamp.as_ref().map(|s| (s.producer.clone(), s.epoch, s.seq));
            let session = writer.stamp.as_ref().and_then(|s| sessions.get(&s.producer)).copied();
            match state.admit(request, MAX) {
                Decision::Accept { at, next } => {
                    prop_assert_eq!(closed, None);
                    prop_assert!(!request.wrong_type);
                    prop_assert!(request.at.is_none_or(|at| at.bytes() == len));
                    prop_assert_eq!(at, Offset { records, bytes: len });
                    model.resize(model.len() + request.bytes as usize, 0);
                    records += request.records;
                    closed = request.close;
                    prop_assert_eq!(next, Offset { records, bytes: model.len() as u64 });
                    prop_assert!(model.len() as u64 <= MAX);
                    if let Some(seq) = &writer.seq {
                        prop_assert!(greatest.as_ref().is_none_or(|last| last < seq));
                        greatest = Some(seq.clone());
                    }
                    if let Some((producer, epoch, seq)) = key {
                        let follows = match session {
                            None => seq == 0,
                            Some((e, s)) => (epoch, seq) == (e, s + 1) || (epoch > e && seq == 0),
                        };
                        prop_assert!(follows);
                        sessions.insert(producer.clone(), (epoch, seq));
                        prop_assert_eq!(answers.insert((producer, epoch, seq), next), None);
                    }
                }
                Decision::Duplicate { tail, seq, closed: is_closed } => {
                    prop_assert_eq!(&state, &before);
                    prop_assert_eq!(is_closed, closed.is_some());
                    match key {
                        Some(key) => {
                            prop_assert_eq!(answers.get(&key), Some(&tail));
                            prop_assert_eq!(seq, session.map(|(_, seq)| seq));
                        }
                        None => {
                            prop_assert!(is_closed && request.close.is_some() && request.records == 0);
                            prop_assert_eq!(tail.bytes, len);
                        }
                    }
                }
                Decision::Refuse(refusal) => {
                    prop_assert_eq!(&state, &before);
                    let asked = writer.stamp.as_ref().map_or((0, 0), |s| (s.epoch, s.seq));
                    let justified = match refusal {
                        Refusal::Closed { reason, .. } => closed == Some(reason),
                        Refusal::WrongType => request.wrong_type,
                        Refusal::Moved { .. } => request.at.is_some_and(|at| at.bytes() != len),
                        Refusal::TooLong { .. } => len + request.bytes > MAX,
                        Refusal::Fenced { epoch } => session.is_some_and(|(e, _)| e == epoch && asked.0 < e),
                        Refusal::NotFirst => session.is_some_and(|(e, _)| asked.0 > e && asked.1 > 0),
                        Refusal::Gap { expected, received } => {
                            let next = session.map_or(0, |(_, seq)| seq + 1);
                            expected == next && received == asked.1 && received > expected
                        }
                        Refusal::NotGreater => writer.seq <= greatest && writer.seq.is_some(),
                        Refusal::TooManyProducers | Refusal::Over(_) => false,
                    };
                    prop_assert!(justified, "{:?} for {:?}", refusal, request);
                }
            }
            prop_assert_eq!(state.closed, closed);
        }
    }

    /// However forks and deletions interleave: content goes exactly when nobody needs it.
    #[test]
    fn a_stream_is_kept_for_its_forks(steps in prop::collection::vec(0u8..4, 0..40)) {
        let (mut state, mut forks, mut deleted) = (open(), 0u64, false);
        for step in steps {
            let over = match (deleted, forks) {
                (false, _) => None,
                (true, 0) => Some(Over::Deleted),
                (true, _) => Some(Over::Hidden),
            };
            prop_assert_eq!(state.over, over);
            match step {
                0 | 1 => {
                    prop_assert_eq!(state.admit_fork().is_ok(), !deleted);
                    forks += u64::from(!deleted);
                }
                2 if forks > 0 => {
                    forks -= 1;
                    prop_assert_eq!(state.release_fork(), deleted && forks == 0);
                }
                2 => {}
                _ => {
                    prop_assert_eq!(state.admit_deletion().is_ok(), !deleted);
                    deleted = true;
                }
            }
        }
    }
}

#[test]
fn a_life_that_is_over_admits_nothing() {
    for over in [Over::Replaced, Over::Deleted, Over::Hidden] {
        let mut state = State { over: Some(over), ..open() };
        let close = Request {
            records: 0,
            bytes: 0,
            at: None,
            tied: false,
            close: Some(CloseReason::Finished),
            writer: &Writer::NOBODY,
            wrong_type: false,
        };
        assert_eq!(state.admit(close, MAX), Decision::Refuse(Refusal::Over(over)));
        assert_eq!(state.admit_fork(), Err(over));
        assert_eq!(state.admit_deletion(), Err(over));
    }
}

#[test]
fn only_what_nobody_needs_begins_anew_and_only_once() {
    let mut state = open();
    assert_eq!(state.admit_replacement(), Err(ReplacementRefusal::Open));
    state.closed = Some(CloseReason::Interrupted);
    state.forks = 1;
    assert_eq!(state.admit_replacement(), Err(ReplacementRefusal::Forked));
    state.forks = 0;
    assert_eq!(state.admit_replacement(), Ok(()));
    assert_eq!(state.admit_replacement(), Err(ReplacementRefusal::Replaced));
    let mut state = State { over: Some(Over::Deleted), ..open() };
    assert_eq!(state.admit_replacement(), Ok(()));
    let mut state = State { over: Some(Over::Hidden), ..open() };
    assert_eq!(state.admit_replacement(), Err(ReplacementRefusal::Hidden));
}

#[test]
fn a_stream_remembers_only_so_many_producers() {
    let mut state = open();
    let writer = |n: usize| Writer {
        stamp: Some(Stamp { producer: n.to_string().into(), epoch: 0, seq: 0 }),
        seq: None,
    };
    let mut admit = |n| {
        let writer = writer(n);
        let request = Request {
            records: 1,
            bytes: 0,
            at: None,
            tied: false,
            close: None,
            writer: &writer,
            wrong_type: false,
        };
        state.admit(request, MAX)
    };
    for n in 0..PRODUCERS_PER_STREAM_MAX {
        assert!(matches!(admit(n), Decision::Accept { .. }));
    }
    assert_eq!(admit(PRODUCERS_PER_STREAM_MAX), Decision::Refuse(Refusal::TooManyProducers));
    assert!(matches!(admit(0), Decision::Duplicate { .. }));
}
