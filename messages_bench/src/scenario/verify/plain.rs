//! The plain interface: the server produces, and its caller is the first reader.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::{Told, Verify, verdict};
use crate::check::{LineCheck, lines_len};
use crate::client::Failure;
use crate::dialect::{Follow, Session};
use crate::random::Random;

/// Starts one channel, reads it as its first client, and sends the others.
pub async fn produce(
    verify: Arc<Verify>,
    channel: usize,
    id: String,
    tell: mpsc::UnboundedSender<Told>,
) {
    let mut random = Random::new(verify.seed, channel as u64);
    sleep(random.up_to(Duration::from_secs_f64(verify.args.ramp))).await;
    let mut session = Session::new(&verify.target.writing(channel));
    let permit = verify.permits.acquire().await;
    let began = Instant::now();
    let started = session.produce(&id, verify.args.freq, verify.args.max).await;
    let mut follow = match started {
        Ok(follow) => follow,
        Err(failure) => {
            let fault = format!("channel {id}: not started: {failure}");
            let told = |fault| Told { fault, ..Told::default() };
            // Its clients have nothing to read: they count as heard, with one fault for them all.
            (0..verify.args.clients).for_each(|_| drop(tell.send(told(None))));
            return drop(tell.send(told(Some(fault))));
        }
    };
    verify.joins.note(began);
    for client in 1..=verify.args.clients {
        let random = Random::new(random.next(), client as u64);
        tokio::spawn(join(Arc::clone(&verify), client, id.clone(), random, tell.clone()));
    }
    let mut check = LineCheck::new(&id, verify.args.max);
    // Every fourth caller leaves early: the production must go on without it.
    let leaves = random.one_in(4).then(|| random.below(lines_len(&id, verify.args.max)));
    let read = read_to(&mut session, &mut follow, &mut check, leaves.unwrap_or(u64::MAX)).await;
    drop(permit);
    let left = matches!(read, Ok(false));
    let fault = if left { None } else { verdict(&id, 0, &check, read.err()) };
    let _ = tell.send(Told { bytes: check.position(), resumed: false, fault });
}

/// One client: joins at a random moment, perhaps breaks off and comes back, and reads to the end.
async fn join(
    verify: Arc<Verify>,
    client: usize,
    id: String,
    mut random: Random,
    tell: mpsc::UnboundedSender<Told>,
) {
    let length = verify.args.max as f64 / f64::from(verify.args.freq.max(1));
    // Some join only when everything is over.
    sleep(random.up_to(Duration::from_secs_f64(length * 1.2))).await;
    let permit = verify.permits.acquire().await;
    let mut session = Session::new(&verify.target.reading(client));
    let mut check = LineCheck::new(&id, verify.args.max);
    let breaks = random.one_in(5).then(|| random.below(lines_len(&id, verify.args.max)));
    let mut read =
        attempt(&verify, &mut session, &id, &mut check, breaks.unwrap_or(u64::MAX)).await;
    let resumed = matches!(read, Ok(false));
    if resumed {
        session.disconnect();
        read = attempt(&verify, &mut session, &id, &mut check, u64::MAX).await;
    }
    drop(permit);
    let fault = verdict(&id, client, &check, read.err());
    let _ = tell.send(Told { bytes: check.position(), resumed, fault });
}

/// Reads from where `check` is, up to `stop` bytes; false if stopped there.
async fn attempt(
    verify: &Verify,
    session: &mut Session,
    id: &str,
    check: &mut LineCheck,
    stop: u64,
) -> Result<bool, Failure> {
    let began = Instant::now();
    let mut follow = session.follow_from(id, check.position()).await?;
    verify.joins.note(began);
    read_to(session, &mut follow, check, stop).await
}

async fn read_to(
    session: &mut Session,
    follow: &mut Follow,
    check: &mut LineCheck,
    stop: u64,
) -> Result<bool, Failure> {
    while session.next(follow, |piece| check.feed(piece)).await? {
        if check.position() >= stop {
            return Ok(false);
        }
        if check.is_broken() {
            return Ok(true);
        }
    }
    Ok(true)
}
