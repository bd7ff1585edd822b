//! Between rows and the values of the model. Pure.

use super::{StoreError, statement::Value};
use crate::{
    limits::{CHUNK_BYTES_MAX, FLUSH_BYTES_MAX},
    model::{
        Chunk, CloseReason, Flush, Fork, ForkPoint, Lengths, Lifetime, Offset, Producer,
        StoredStream, StreamId, StreamName, Writers,
    },
};
use std::{collections::HashMap, sync::Arc};

/// id, name, content type, records, bytes, tied (1) and hidden (2), closed, TTL, expiry, source and its
/// name, where it branches off, what was asked for, last sequence, count of forks, version. More columns
/// than sixteen no tuple can take.
pub(super) type StreamRow = (
    i64,
    String,
    String,
    i64,
    i64,
    i64,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
    i64,
);

/// stream, producer, epoch, seq, closed, results
pub(super) type ProducerRow = (i64, String, i64, i64, i64, Vec<u8>);

/// at bytes, at records, lengths, body
pub(super) type ChunkRow = (i64, i64, Vec<u8>, Vec<u8>);

pub(super) fn stream(row: StreamRow) -> Result<StoredStream, StoreError> {
    let (id, name, content_type, records, bytes, flags, closed, ttl, expires, ..) = row;
    let (source, source_name, fork_at, fork_asked) = (row.9, row.10, row.11, row.12);
    let (last_seq, forks, version) = (row.13, row.14, row.15);
    let id = StreamId(id as u64);
    let corrupt = |what| move || StoreError::Corrupt(id, what);
    let closed = closed
        .map(|word| CloseReason::from_word(&word).ok_or_else(corrupt("closed")))
        .transpose()?;
    let expires_ms = expires.map(|ms| ms as u64);
    let lifetime = lifetime(ttl, expires_ms);
    let fork = match (source, source_name, fork_at, fork_asked) {
        (None, ..) => None,
        (Some(source), Some(name), Some(at), Some(asked)) => {
            let parsed = fork(StreamId(source as u64), &name, &at, &asked);
            Some(parsed.ok_or_else(corrupt("fork"))?)
        }
        _ => return Err(corrupt("fork")()),
    };
    Ok(StoredStream {
        id,
        name: StreamName::kept(&name).map_err(|_| corrupt("name")())?,
        content_type: content_type.into(),
        tail: offset(records, bytes).ok_or_else(corrupt("position"))?,
        tied: flags & 1 != 0,
        closed,
        lifetime,
        expires_ms,
        fork,
        hidden: flags & 2 != 0,
        forks: forks as u64,
        writers: Writers { producers: HashMap::new(), seq: last_seq.map(Into::into) },
        version: version as u64,
    })
}

/// The columns `ttl_secs` and `expires_ms`.
pub(super) fn lifetime(ttl: Option<i64>, expires_ms: Option<u64>) -> Lifetime {
    match (ttl, expires_ms) {
        (Some(secs), _) => Lifetime::Idle { secs: secs as u64 },
        (None, Some(ms)) => Lifetime::Until { ms },
        (None, None) => Lifetime::Unlimited,
    }
}

fn fork(source: StreamId, name: &str, at: &str, asked: &str) -> Option<Fork> {
    let (anchor, beyond) = asked.split_once('+')?;
    let anchor = if anchor.is_empty() { None } else { Some(anchor.parse().ok()?) };
    let asked = ForkPoint { anchor, beyond: beyond.parse().ok()? };
    Some(Fork { source, source_name: StreamName::kept(name).ok()?, at: at.parse().ok()?, asked })
}

/// The columns `fork_at` and `fork_asked`.
pub(super) fn fork_texts(stream: &StoredStream) -> Option<(String, String)> {
    let fork = stream.fork.as_ref()?;
    let anchor = fork.asked.anchor.map(|anchor| anchor.to_string()).unwrap_or_default();
    Some((fork.at.to_string(), format!("{anchor}+{}", fork.asked.beyond)))
}

pub(super) fn producer(row: ProducerRow) -> Result<(StreamId, Arc<str>, Producer), StoreError> {
    let (id, name, epoch, seq, closed, results) = row;
    let id = StreamId(id as u64);
    let (words, rest) = results.as_chunks::<8>();
    let numbers: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let (pairs, odd) = numbers.as_chunks::<2>();
    if !rest.is_empty() || !odd.is_empty() {
        return Err(StoreError::Corrupt(id, "results of a producer"));
    }
    let results = pairs.iter().map(|[records, bytes]| Offset { records: *records, bytes: *bytes });
    let producer = Producer {
        epoch: epoch as u64,
        seq: seq as u64,
        closed: closed != 0,
        results: results.collect(),
    };
    Ok((id, name.into(), producer))
}

/// The column `results`.
pub(super) fn results(producer: &Producer) -> Vec<u8> {
    let numbers = producer.results.iter().flat_map(|offset| [offset.records, offset.bytes]);
    numbers.flat_map(u64::to_le_bytes).collect()
}

pub(super) fn producer_values<'a>(
    id: StreamId,
    name: &'a str,
    producer: &Producer,
    results: &'a [u8],
) -> [Value<'a>; 6] {
    [
        Value::Int(id.0 as i64),
        Value::Text(name),
        Value::Int(producer.epoch as i64),
        Value::Int(producer.seq as i64),
        Value::Int(producer.closed.into()),
        Value::Bytes(results),
    ]
}

pub(super) fn chunk(id: StreamId, row: ChunkRow) -> Result<Chunk, StoreError> {
    let (bytes, records, lengths, body) = row;
    let corrupt = |what| move || StoreError::Corrupt(id, what);
    let at = offset(records, bytes).ok_or_else(corrupt("position"))?;
    if lengths.is_empty() {
        return Ok(Chunk { at, lengths: Lengths::One, body: body.into() });
    }
    let (words, rest) = lengths.as_chunks::<4>();
    let many: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let sum: u64 = many.iter().map(|length| u64::from(*length)).sum();
    if !rest.is_empty() || sum != body.len() as u64 {
        return Err(corrupt("record lengths")());
    }
    Ok(Chunk { at, lengths: Lengths::Many(many.into()), body: body.into() })
}

fn offset(records: i64, bytes: i64) -> Option<Offset> {
    Some(Offset { records: records.try_into().ok()?, bytes: bytes.try_into().ok()? })
}

/// The column `lengths`.
pub(super) fn lengths(chunk: &Chunk) -> Vec<u8> {
    match &chunk.lengths {
        Lengths::One => Vec::new(),
        Lengths::Many(many) => many.iter().flat_map(|length| length.to_le_bytes()).collect(),
    }
}

pub(super) fn stream_values<'a>(
    stream: &'a StoredStream,
    fork: &'a Option<(String, String)>,
) -> [Value<'a>; 16] {
    let ttl = match stream.lifetime {
        Lifetime::Idle { secs } => Some(secs as i64),
        Lifetime::Unlimited | Lifetime::Until { .. } => None,
    };
    let source = stream.fork.as_ref();
    [
        Value::Int(stream.id.0 as i64),
        Value::Text(stream.name.as_str()),
        Value::Text(&stream.content_type),
        Value::Int(stream.tail.records as i64),
        Value::Int(stream.tail.bytes as i64),
        Value::Int(stream.tied.into()),
        Value::MaybeText(stream.closed.map(CloseReason::as_str)),
        Value::MaybeInt(ttl),
        Value::MaybeInt(stream.expires_ms.map(|ms| ms as i64)),
        Value::MaybeInt(source.map(|fork| fork.source.0 as i64)),
        Value::MaybeText(source.map(|fork| fork.source_name.as_str())),
        Value::MaybeText(fork.as_ref().map(|(at, _)| at.as_str())),
        Value::MaybeText(fork.as_ref().map(|(_, asked)| asked.as_str())),
        Value::Int(stream.hidden.into()),
        Value::MaybeText(stream.writers.seq.as_deref()),
        Value::Int(stream.version as i64),
    ]
}

pub(super) fn update_values(flush: &Flush) -> [Value<'_>; 11] {
    let stream = &flush.stream;
    [
        Value::Int(stream.id.0 as i64),
        Value::Int(flush.from.unwrap_or_default().bytes as i64),
        Value::Int(stream.tail.records as i64),
        Value::Int(stream.tail.bytes as i64),
        Value::Int(stream.tied.into()),
        Value::MaybeText(stream.closed.map(CloseReason::as_str)),
        Value::Int(stream.hidden.into()),
        Value::MaybeInt(stream.expires_ms.map(|ms| ms as i64)),
        Value::MaybeText(stream.writers.seq.as_deref()),
        Value::Int(flush.from_version as i64),
        Value::Int(stream.version as i64),
    ]
}

pub(super) fn chunk_values<'a>(
    id: StreamId,
    chunk: &'a Chunk,
    lengths: &'a [u8],
) -> [Value<'a>; 5] {
    [
        Value::Int(id.0 as i64),
        Value::Int(chunk.at.bytes as i64),
        Value::Int(chunk.at.records as i64),
        Value::Bytes(lengths),
        Value::Bytes(&chunk.body),
    ]
}

/// Which neighbours to merge, as byte positions from and to, given position and size of each row
/// in order. Rows that stand alone or are large stay; all runs together stay below what one
/// transaction may write.
pub(super) fn merge_runs(sizes: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let (mut runs, mut total, mut at) = (Vec::new(), 0, 0);
    while at < sizes.len() && total < FLUSH_BYTES_MAX as i64 {
        let mut bytes = 0;
        let run = sizes[at..].iter().take_while(|(_, size)| {
            bytes += size;
            bytes <= CHUNK_BYTES_MAX as i64
        });
        let count = run.count();
        if count > 1 {
            let (last, size) = sizes[at + count - 1];
            runs.push((sizes[at].0, last + size));
            total += last + size - sizes[at].0;
        }
        at += count.max(1);
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merging_ends_and_never_makes_a_row_too_large(sizes in prop::collection::vec(1i64..200_000, 0..60)) {
            let mut at = 0;
            let rows: Vec<(i64, i64)> = sizes.iter().map(|size| { at += size; (at - size, *size) }).collect();
            let runs = merge_runs(&rows);
            let mut before = -1;
            for (from, to) in runs {
                prop_assert!(from > before && to - from <= CHUNK_BYTES_MAX as i64);
                prop_assert!(rows.iter().filter(|(at, _)| (from..to).contains(at)).count() > 1);
                prop_assert!(rows.iter().any(|(at, size)| at + size == to));
                before = from;
            }
        }
    }

    #[test]
    fn rows_that_make_no_sense_are_refused() {
        let id = StreamId(7);
        assert!(chunk(id, (0, 0, vec![1, 0, 0, 0], vec![1])).is_ok());
        assert!(chunk(id, (0, 0, vec![1, 0, 0], vec![1])).is_err());
        assert!(chunk(id, (0, 0, vec![2, 0, 0, 0], vec![1])).is_err());
        assert!(chunk(id, (-1, 0, vec![], vec![1])).is_err());
        let row = |name: &str, closed: Option<&str>, asked: Option<&str>| -> StreamRow {
            let (source, at) = (asked.map(|_| 1), asked.map(|_| Offset::ZERO.to_string()));
            let (source_name, asked) = (asked.map(|_| "s".into()), asked.map(str::to_owned));
            let closed = closed.map(str::to_owned);
            let fork = (source, source_name, at, asked);
            (
                7,
                name.into(),
                String::new(),
                1,
                1,
                0,
                closed,
                None,
                None,
                fork.0,
                fork.1,
                fork.2,
                fork.3,
                None,
                0,
                0,
            )
        };
        assert!(stream(row("a", Some("finished"), None)).is_ok());
        assert!(stream(row("a", Some("gone"), None)).is_err());
        assert!(stream(row("", None, None)).is_err());
        assert!(stream(row("a", None, Some("+3"))).is_ok());
        assert!(stream(row("a", None, Some("3"))).is_err());
        assert!(producer((7, "p".into(), 0, 0, 0, vec![0; 32])).is_ok());
        assert!(producer((7, "p".into(), 0, 0, 0, vec![0; 24])).is_err());
    }
}
