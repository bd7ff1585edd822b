//! The Durable Streams protocol: the bench produces, each channel by an idempotent producer that
//! closes it with its last line; clients catch up, poll and follow events in turns.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::{Told, Verify, verdict};
use crate::check::{LineCheck, lines_len};
use crate::client::Failure;
use crate::dialect::call::{Call, Caller, name};
use crate::dialect::live::{Got, Kind, Mode, Reader};
use crate::load::Pace;
use crate::random::Random;

/// Creates one channel, sends its clients and writes its lines.
pub async fn produce(
    verify: Arc<Verify>,
    channel: usize,
    id: String,
    tell: mpsc::UnboundedSender<Told>,
) {
    let mut random = Random::new(verify.seed, channel as u64);
    sleep(random.up_to(Duration::from_secs_f64(verify.args.ramp))).await;
    let kind = if channel.is_multiple_of(2) { Kind::Text } else { Kind::Bytes };
    let _permit = verify.permits.acquire().await;
    let mut caller = Caller::new(&verify.target.writing(channel));
    if let Err(failure) = create(&mut caller, &id, kind).await {
        let mut fault = Some(format!("channel {id}: not created: {failure}"));
        // Its clients have nothing to read: they count as heard, with one fault for them all.
        for _ in 0..verify.args.clients {
            let _ = tell.send(Told { fault: fault.take(), ..Told::default() });
        }
        return;
    }
    for client in 1..=verify.args.clients {
        let random = Random::new(random.next(), client as u64);
        tokio::spawn(join(Arc::clone(&verify), client, id.clone(), kind, random, tell.clone()));
    }
    // What it failed to write is missing at every client.
    if let Err(failure) = write(&verify, &mut caller, &id, kind).await {
        eprintln!("channel {id}: writing: {failure}");
    }
}

async fn create(caller: &mut Caller, id: &str, kind: Kind) -> Result<(), Failure> {
    let create = Call::new(Method::PUT).header("content-type", kind.content_type());
    let answer = caller.call(id, &create).await?;
    let created = answer.status == StatusCode::CREATED;
    created.then_some(()).ok_or_else(|| answer.wrong("to a creation"))
}

/// Writes the lines, each when it is due.
async fn write(verify: &Verify, caller: &mut Caller, id: &str, kind: Kind) -> Result<(), Failure> {
    let mut pace = Pace::new(f64::from(verify.args.freq));
    for number in 0..verify.args.max {
        pace.next().await;
        let line = Bytes::from(format!("{number}: {id}\n"));
        let call = Call::new(Method::POST)
            .header(name::PRODUCER_ID, "verify")
            .header(name::PRODUCER_EPOCH, 0)
            .header(name::PRODUCER_SEQ, number)
            .closing(number + 1 == verify.args.max)
            .body(kind.content_type(), line);
        let answer = caller.call(id, &call).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.wrong("to an append"));
        }
    }
    Ok(())
}

/// One client: joins at a random moment, perhaps breaks off and comes back, and reads to the end.
async fn join(
    verify: Arc<Verify>,
    client: usize,
    id: String,
    kind: Kind,
    mut random: Random,
    tell: mpsc::UnboundedSender<Told>,
) {
    let length = verify.args.max as f64 / f64::from(verify.args.freq.max(1));
    // Some join only when everything is over.
    sleep(random.up_to(Duration::from_secs_f64(length * 1.2))).await;
    let permit = verify.permits.acquire().await;
    let mut check = LineCheck::new(&id, verify.args.max);
    let breaks = random.one_in(5).then(|| random.below(lines_len(&id, verify.args.max)));
    let mode = Mode::ALL[client % Mode::ALL.len()];
    let mut reader = Reader::new(&verify.target.reading(client), &id, kind, mode, "-1");
    let began = Instant::now();
    let mut resumed = false;
    let outcome = loop {
        match reader.next().await {
            Ok(Got::Data(content)) => {
                if check.position() == 0 {
                    verify.joins.note(began);
                }
                check.feed(&content);
            }
            Ok(Got::Closed) => break Ok(()),
            Err(failure) => break Err(failure),
        }
        if check.is_broken() {
            break Ok(());
        }
        if !resumed && breaks.is_some_and(|breaks| check.position() >= breaks) {
            resumed = true;
            reader.reconnect(
                &verify.target.reading(client),
                Mode::ALL[random.below(Mode::ALL.len() as u64) as usize],
            );
        }
    };
    drop(permit);
    let fault = verdict(&id, client, &check, outcome.err());
    let _ = tell.send(Told { bytes: check.position(), resumed, fault });
}
