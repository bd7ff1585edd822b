//! Taking content out of a stream that is stored: single records of it, or its beginning.

use crate::{
    model::{Chunk, Offset, Place, StreamId, erased},
    store::{
        StoreError, rows,
        sql::{READ, REMOVE_RUN, insert_chunks},
        statement::{Run, Statement, Value},
    },
};

const OVERWRITE: &str = "UPDATE chunks SET body = $3 WHERE stream = $1 AND at_bytes = $2";

/// Erases the records at `places`, each chunk at once. What is not there any more needs no erasing.
pub(super) async fn erase<DB: Run>(
    on: &mut DB::Connection,
    stream: StreamId,
    mut places: Vec<Place>,
) -> Result<(), StoreError> {
    places.sort_unstable_by_key(|place| place.at);
    let mut rest = &places[..];
    while let [first, others @ ..] = rest {
        let Some(chunk) = chunk_with::<DB>(on, stream, first.at).await? else {
            rest = others;
            continue;
        };
        let end = chunk.end().bytes;
        let (within, behind) = rest.split_at(rest.partition_point(|place| place.at < end));
        let body = without(&chunk, within)
            .ok_or(StoreError::Corrupt(stream, "a record across two chunks"))?;
        let at = Value::from(chunk.at.bytes);
        let values = vec![Value::Int(stream.0 as i64), at, Value::Bytes(&body)];
        DB::execute(on, Statement::fixed(OVERWRITE, values)).await?;
        rest = behind;
    }
    Ok(())
}

/// The body of a chunk, the records at `places` erased. `None` when one does not end in it.
fn without(chunk: &Chunk, places: &[Place]) -> Option<Vec<u8>> {
    let mut body = chunk.body.to_vec();
    for place in places {
        let from = usize::try_from(place.at.checked_sub(chunk.at.bytes)?).ok()?;
        let record = body.get_mut(from..from.checked_add(place.bytes as usize)?)?;
        let blank = erased(record);
        record.copy_from_slice(&blank);
    }
    Some(body)
}

/// Removes what comes before `low`, where a record begins. Of a chunk across it the rest stays.
pub(super) async fn cut<DB: Run>(
    on: &mut DB::Connection,
    stream: StreamId,
    low: Offset,
) -> Result<(), StoreError> {
    let across = chunk_with::<DB>(on, stream, low.bytes).await?;
    let range = vec![Value::Int(stream.0 as i64), Value::Int(0), Value::from(low.bytes)];
    DB::execute(on, Statement::fixed(REMOVE_RUN, range)).await?;
    let Some(mut chunk) = across.filter(|chunk| chunk.at.bytes < low.bytes) else {
        return Ok(());
    };
    if chunk.ends().all(|end| end != low) {
        return Err(StoreError::Corrupt(stream, "a cut within a record"));
    }
    chunk.drop_before(low);
    insert_chunks::<DB>(on, &[(stream, &chunk)]).await
}

/// The chunk that holds byte `at`.
async fn chunk_with<DB: Run>(
    on: &mut DB::Connection,
    stream: StreamId,
    at: u64,
) -> Result<Option<Chunk>, StoreError> {
    let range = vec![Value::Int(stream.0 as i64), at.into(), at.saturating_add(1).into()];
    let found: Vec<rows::ChunkRow> = DB::fetch(on, Statement::fixed(READ, range)).await?;
    let chunk = found.into_iter().next().map(|row| rows::chunk(stream, row)).transpose()?;
    Ok(chunk.filter(|chunk| chunk.end().bytes > at))
}
