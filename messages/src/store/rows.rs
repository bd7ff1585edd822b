//! Between rows and the values of the model. Pure.

use super::{StoreError, statement::Value};
use crate::{
    limits::{CHUNK_BYTES_MAX, FLUSH_BYTES_MAX},
    model::{Chunk, CloseReason, Flush, Lengths, Offset, StoredStream, StreamId},
};

/// id, name, content type, records, bytes, tied, closed
pub(super) type StreamRow = (i64, String, String, i64, i64, i64, Option<String>);

/// at bytes, at records, lengths, body
pub(super) type ChunkRow = (i64, i64, Vec<u8>, Vec<u8>);

pub(super) fn stream(row: StreamRow) -> Result<StoredStream, StoreError> {
    let (id, name, content_type, records, bytes, tied, closed) = row;
    let id = StreamId(id as u64);
    let corrupt = |what| move || StoreError::Corrupt(id, what);
    let closed = closed
        .map(|word| CloseReason::from_word(&word).ok_or_else(corrupt("closed")))
        .transpose()?;
    Ok(StoredStream {
        id,
        name: name.parse().map_err(|_| corrupt("name")())?,
        content_type: content_type.into(),
        tail: offset(records, bytes).ok_or_else(corrupt("position"))?,
        tied: tied != 0,
        closed,
    })
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

pub(super) fn stream_values(stream: &StoredStream) -> [Value<'_>; 7] {
    [
        Value::Int(stream.id.0 as i64),
        Value::Text(stream.name.as_str()),
        Value::Text(&stream.content_type),
        Value::Int(stream.tail.records as i64),
        Value::Int(stream.tail.bytes as i64),
        Value::Int(stream.tied.into()),
        Value::MaybeText(stream.closed.map(CloseReason::as_str)),
    ]
}

pub(super) fn update_values(flush: &Flush) -> [Value<'_>; 6] {
    let stream = &flush.stream;
    [
        Value::Int(stream.id.0 as i64),
        Value::Int(flush.from.unwrap_or_default().bytes as i64),
        Value::Int(stream.tail.records as i64),
        Value::Int(stream.tail.bytes as i64),
        Value::Int(stream.tied.into()),
        Value::MaybeText(stream.closed.map(CloseReason::as_str)),
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
        let row = |name: &str, closed: Option<&str>| {
            (7, name.to_owned(), String::new(), 1, 1, 0, closed.map(str::to_owned))
        };
        assert!(stream(row("a", Some("finished"))).is_ok());
        assert!(stream(row("a", Some("gone"))).is_err());
        assert!(stream(row("", None)).is_err());
    }
}
