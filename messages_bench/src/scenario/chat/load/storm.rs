//! Everybody loses the connection at once and comes back at once, having missed something.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use hdrhistogram::Histogram;
use http::Method;
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

use super::super::known::text;
use super::super::rest::Rest;
use super::super::run::Run;
use super::super::socket::Socket;
use super::super::wire::Message;
use super::follower::Follower;
use crate::client::Endpoint;
use crate::limits;
use crate::load::histogram;
use crate::process::{Processes, Snapshot};
use crate::sample::{Better, Sample};

/// What became of it.
struct Storm {
    /// From the first attempt to everything that was missed, for each client.
    took: Histogram<u64>,
    /// The same until the last of them.
    whole: Duration,
    /// Attempts that were not taken.
    refused: u64,
}

/// Lets it come, and adds its figures.
pub async fn storm(
    run: &Arc<Run>,
    processes: &Processes,
    missed: u64,
    followers: &mut [Follower],
    sample: &mut Sample,
) -> anyhow::Result<()> {
    let heads = miss(run, missed).await?;
    let events = |followers: &[Follower]| followers.iter().map(|f| f.events).sum::<u64>();
    let known = events(followers);
    let before = Snapshot::take(processes);
    let (storm, sockets) = come_back(run, followers).await;
    let used = Snapshot::take(processes).since(before);
    let millis = |nanos: u64| nanos as f64 / 1e6;
    let whole = storm.whole.as_secs_f64() * 1e3;
    sample.figure("storm: all caught up after", "ms", whole, Better::Lower);
    for (name, quantile) in [("storm: p50", 0.5), ("storm: p99", 0.99)] {
        let value = millis(storm.took.value_at_quantile(quantile));
        sample.figure(name, "ms", value, Better::Lower);
    }
    if let Some(server) = used.server() {
        let each = server.total().as_secs_f64() * 1e6 / followers.len().max(1) as f64;
        sample.figure("storm: server CPU", "µs/client", each, Better::Lower);
    }
    sample.count("storm: events missed and got", events(followers) - known);
    sample.count("storm: attempts refused", storm.refused);
    for (name, head) in &heads {
        let members = followers.iter().filter(|follower| follower.at(name) > 0);
        for follower in members.filter(|follower| follower.at(name) != *head) {
            let at = follower.at(name);
            sample.faults.add(format!("{name}: caught up at {at} of {head}"));
        }
    }
    drop(sockets);
    Ok(())
}

/// Messages that nobody is there for; tells where the conversations end.
async fn miss(run: &Run, missed: u64) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut rest = Rest::new(run.endpoint(0), &run.tokens.of(&run.cast.host()))?;
    let mut heads = BTreeMap::new();
    for _ in 0..missed {
        for room in run.cast.rooms() {
            let name = run.cast.room(room);
            let body = json!({"text": text::text(run.number(), 4)});
            let path = format!("/conversations/{name}/messages");
            let message: Message = rest.ask(Method::POST, &path, Some(&body)).await?.json()?;
            heads.insert(name, message.position);
        }
    }
    Ok(heads)
}

/// All of them at once. The sockets stay open until everybody is there.
async fn come_back(run: &Run, followers: &mut [Follower]) -> (Storm, Vec<Socket>) {
    let began = Instant::now();
    let came = join_all(
        followers
            .iter_mut()
            .enumerate()
            .map(|(number, follower)| insist(run.endpoint(number), follower, began)),
    )
    .await;
    let mut storm = Storm { took: histogram(), whole: began.elapsed(), refused: 0 };
    let mut sockets = Vec::new();
    for (socket, took, refused) in came {
        storm.took.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        storm.refused += refused;
        sockets.extend(socket);
    }
    (storm, sockets)
}

/// Comes back, however often it takes.
async fn insist(
    endpoint: &Endpoint,
    follower: &mut Follower,
    began: Instant,
) -> (Option<Socket>, Duration, u64) {
    let mut refused = 0;
    loop {
        match follower.come(endpoint).await {
            Ok(socket) => return (Some(socket), began.elapsed(), refused),
            Err(lost) if began.elapsed() > limits::SETTLE => {
                follower.faults.push(format!("does not come back: {lost}"));
                return (None, began.elapsed(), refused);
            }
            Err(_) => refused += 1,
        }
        sleep(limits::CATCH_UP_PAUSE).await;
    }
}
