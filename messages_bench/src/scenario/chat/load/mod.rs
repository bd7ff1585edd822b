//! What chat costs: messages in conversations with many members, or in many conversations, idle
//! clients, and everybody coming back at once. No kills; every client counts its positions.

mod follower;
mod storm;
mod tracker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::select;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::follower::{Follower, News};
use self::tracker::Tracker;
use super::known::text;
use super::run::Run;
use super::socket::{Lost, Socket};
use super::token::Tokens;
use super::{Context, CrowdArgs, Preset, SECRET, secret};
use crate::client::Endpoint;
use crate::dialect::Target;
use crate::limits;
use crate::load::Pace;
use crate::process::{Processes, Snapshot};
use crate::random::Random;
use crate::report::since_epoch;
use crate::sample::{Better, Sample};
use crate::scenario::{bar, run_clock};
use crate::server::{Server, ServerArgs};

/// Clients that connect at the same time, except in the storm.
const CONNECTING: usize = 64;

/// How many talk, and how much.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Which server. With --url it is one that runs already, whose secret is in AUTH_SECRET; --pid
    /// says which process it is.
    #[command(flatten)]
    pub server: ServerArgs,

    /// Who is where.
    #[command(flatten)]
    pub crowd: CrowdArgs,

    /// Messages a second in all; what the preset is good for when not said.
    #[arg(long)]
    pub rate: Option<f64>,

    /// Seconds of sending.
    #[arg(long, default_value_t = 10.0)]
    pub duration: f64,

    /// Seconds for which everybody is connected and nothing is sent.
    #[arg(long, default_value_t = 2.0)]
    pub idle: f64,

    /// Messages that everybody misses in each of their conversations before all come back at once.
    #[arg(long, default_value_t = 5)]
    pub missed: u64,
}

impl LoadArgs {
    fn rate(&self) -> f64 {
        let usual = match self.crowd.preset {
            Preset::Small => 200.0,
            Preset::OneRoom => 20.0,
            Preset::ManyRooms => 1000.0,
        };
        self.rate.unwrap_or(usual)
    }
}

/// Runs the scenario once, against a server that is running already or one of its own.
pub async fn run(
    ctx: &Context,
    args: &LoadArgs,
    running: Option<&Target>,
) -> anyhow::Result<Sample> {
    super::super::connections()?;
    let new_run = |endpoints, secret: &str| {
        Arc::new(Run::new(endpoints, Tokens::new(secret, since_epoch()), args.crowd.cast(ctx)))
    };
    if let Some(target) = running {
        let secret = std::env::var(SECRET).context("AUTH_SECRET of the server is needed")?;
        let run = new_run(target.endpoints().to_vec(), &secret);
        return measure(ctx, args, &run, &target.processes).await;
    }
    let temporary = tempfile::Builder::new().prefix("messages-chat-").tempdir()?;
    let dir = args.server.data_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let secret = secret(ctx);
    let environment = [(SECRET, secret.clone())];
    let mut server = Server::new(&args.server, &dir)?.with(&[], &environment);
    server.start().await?;
    let run = new_run(vec![Endpoint::parse(&server.url())?], &secret);
    let processes = Processes { nodes: server.pid().into_iter().collect(), ..Processes::default() };
    let sample = measure(ctx, args, &run, &processes).await;
    server.kill().await?;
    sample
}

async fn measure(
    ctx: &Context,
    args: &LoadArgs,
    run: &Arc<Run>,
    processes: &Processes,
) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    super::host::prepare(run).await?;
    let mut idle = Sample::default();
    let crowd = gather(args, run, processes, &mut idle).await?;
    let mut followers = send(ctx, args, run, processes, crowd, &mut sample).await?;
    sample.figures.append(&mut idle.figures);
    storm::storm(run, processes, args.missed, &mut followers, &mut sample).await?;
    let gaps = followers.iter().map(|follower| follower.gaps).sum();
    sample.count("gaps", gaps);
    if gaps > 0 {
        sample.faults.add_many(gaps, "positions that did not follow the one before");
    }
    sample.count("conversations", run.cast.rooms().len() as u64);
    sample.count("clients", followers.len() as u64);
    for (person, follower) in followers.into_iter().enumerate() {
        sample.faults.add_all(&run.cast.person(person), follower.faults);
    }
    Ok(sample)
}

/// Connects everybody, and measures what they cost while nothing happens.
async fn gather(
    args: &LoadArgs,
    run: &Arc<Run>,
    processes: &Processes,
    sample: &mut Sample,
) -> anyhow::Result<Vec<(Follower, Socket)>> {
    let resident = || processes.memory().map(|memory| memory.resident);
    let without = resident();
    let all = run.cast.rooms_of_all();
    let bar = bar("connect".to_owned(), all.len() as u64);
    let come = |(person, rooms): (usize, Vec<usize>)| {
        let token = run.tokens.of(&run.cast.person(person));
        let mut follower = Follower::new(token, rooms.iter().map(|room| run.cast.room(*room)));
        let bar = &bar;
        async move {
            let socket = follower.come(run.endpoint(person)).await?;
            bar.inc(1);
            Ok::<_, Lost>((follower, socket))
        }
    };
    // In the order of the people: messages are sent by their numbers.
    let crowd = stream::iter(all.into_iter().enumerate().map(come)).buffered(CONNECTING);
    let crowd: Vec<(Follower, Socket)> = crowd.try_collect().await?;
    bar.finish_and_clear();
    let before = Snapshot::take(processes);
    sleep(Duration::from_secs_f64(args.idle)).await;
    let used = Snapshot::take(processes).since(before);
    if let Some((with, without)) = resident().zip(without) {
        let grown = with.saturating_sub(without) as f64 / 1024.0;
        let rooms: usize = crowd.iter().map(|(follower, _)| follower.rooms()).sum();
        sample.grown("memory per idle client", "KiB", grown / crowd.len().max(1) as f64);
        sample.grown("memory per idle subscription", "KiB", grown / rooms.max(1) as f64);
    }
    if let Some(server) = used.server() {
        let share = 100.0 * server.total().as_secs_f64() / args.idle.max(1e-9);
        sample.figure("server CPU while idle", "%", share, Better::Lower);
    }
    Ok(crowd)
}

/// What the clients of a run measure together.
#[derive(Clone)]
struct Measure {
    tracker: Arc<Mutex<Tracker>>,
    began: Instant,
}

impl Measure {
    fn open(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that somebody is to send.
struct Order {
    room: String,
    number: u64,
}

/// Sends messages for a time; gives the clients back, without their connections.
async fn send(
    ctx: &Context,
    args: &LoadArgs,
    run: &Arc<Run>,
    processes: &Processes,
    crowd: Vec<(Follower, Socket)>,
    sample: &mut Sample,
) -> anyhow::Result<Vec<Follower>> {
    let measure = Measure { tracker: Arc::new(Mutex::new(Tracker::new())), began: Instant::now() };
    let before = Snapshot::take(processes);
    let (mut tasks, mut orders) = (JoinSet::new(), Vec::new());
    for (person, (follower, socket)) in crowd.into_iter().enumerate() {
        let (sender, receiver) = mpsc::channel(limits::ORDERS);
        orders.push(sender);
        let serve = serve(follower, socket, receiver, measure.clone());
        tasks.spawn(async move { (person, serve.await) });
    }
    let until = measure.began + Duration::from_secs_f64(args.duration);
    let clock = run_clock("send".to_owned(), until);
    tokio::join!(order(ctx, args, run, &measure, &orders, until), clock);
    let lasted = settle(&measure).await;
    let used = Snapshot::take(processes).since(before);
    drop(orders);
    let mut followers = tasks.join_all().await;
    followers.sort_by_key(|(person, _)| *person);
    figures(&measure, lasted, used, sample);
    Ok(followers.into_iter().map(|(_, follower)| follower).collect())
}

/// Has somebody send a message whenever one is due.
async fn order(
    ctx: &Context,
    args: &LoadArgs,
    run: &Run,
    measure: &Measure,
    orders: &[mpsc::Sender<Order>],
    until: Instant,
) {
    let mut random = Random::new(ctx.seed, 0x10AD);
    let mut pace = Pace::new(args.rate().max(0.1));
    loop {
        let due = pace.next().await;
        if due >= until {
            return;
        }
        let room = random.below(run.cast.rooms().len() as u64) as usize;
        let members: Vec<usize> = run.cast.members(room).collect();
        let sender = members[random.below(members.len() as u64) as usize];
        let due = due.saturating_duration_since(measure.began);
        let number = measure.open().send(due, members.len() as u64);
        let order = Order { room: run.cast.room(room), number };
        if orders[sender].send(order).await.is_err() {
            return;
        }
    }
}

/// One client: sends what it is told to and takes what comes, until there are no more orders.
async fn serve(
    mut follower: Follower,
    mut socket: Socket,
    mut orders: mpsc::Receiver<Order>,
    measure: Measure,
) -> Follower {
    loop {
        let done = select! {
            text = socket.next() => text.map(|text| {
                let news = follower.take(&text);
                let now = measure.began.elapsed();
                match news {
                    News::Messages(numbers) => {
                        let mut tracker = measure.open();
                        numbers.into_iter().for_each(|number| tracker.deliver(number, now));
                    }
                    News::Acknowledged(number) => measure.open().acknowledge(number, now),
                    News::Nothing => (),
                }
            }),
            order = orders.recv() => match order {
                None => return follower,
                Some(Order { room, number }) => {
                    let text = text::text(number, 8);
                    let txn = format!("n{number}");
                    let frame = json!({"type": "send", "id": number, "conversation": room,
                                       "txn": txn, "text": text});
                    socket.send(&frame).await
                }
            },
        };
        if let Err(lost) = done {
            follower.faults.push(lost.to_string());
            return follower;
        }
    }
}

/// Waits until everything has come, within limits; tells how long all of it took.
async fn settle(measure: &Measure) -> Duration {
    let late = Instant::now() + limits::SETTLE;
    while measure.open().missing() != (0, 0) && Instant::now() < late {
        sleep(limits::GAP_PAUSE).await;
    }
    measure.began.elapsed()
}

/// Adds what was measured.
fn figures(measure: &Measure, lasted: Duration, used: Snapshot, sample: &mut Sample) {
    let tracker = measure.open();
    let seconds = lasted.as_secs_f64().max(1e-9);
    let deliveries = tracker.delivered.len();
    let told = [
        (["send to ack p50", "send to ack p99"], &tracker.acknowledged),
        (["send to receiver p50", "send to receiver p99"], &tracker.delivered),
        (["send to last receiver p50", "send to last receiver p99"], &tracker.last),
    ];
    sample.figure("sends", "/s", tracker.sent() as f64 / seconds, Better::Higher);
    sample.figure("deliveries", "/s", deliveries as f64 / seconds, Better::Higher);
    for (names, latency) in told {
        for (name, quantile) in names.into_iter().zip([0.5, 0.99]) {
            let millis = latency.value_at_quantile(quantile) as f64 / 1e6;
            sample.figure(name, "ms", millis, Better::Lower);
        }
    }
    sample.cpu(&used, deliveries, "µs/delivery");
    sample.latency = Some(tracker.last.clone());
    sample.timeline.clone_from(&tracker.timeline);
    let (open, missing) = tracker.missing();
    for (count, what) in [
        (open, "messages that were not acknowledged"),
        (missing, "deliveries that are missing"),
        (tracker.strange, "what was not sent or came again"),
    ] {
        if count > 0 {
            sample.faults.add_many(count, format!("{what}: {count}"));
        }
    }
}
