//! People in conversations, who send, edit, delete, react, read, lose their connections and come
//! back, are removed and added again, while the server is killed again and again. In the end
//! everybody must have the same, and exactly what the server had promised.

mod cast;
mod host;
mod judge;
mod known;
pub mod load;
mod person;
mod rest;
mod run;
mod socket;
mod token;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::cast::Cast;
use self::host::Host;
use self::known::Fault;
use self::person::Person;
use self::run::{End, Run};
use self::token::Tokens;
use super::Context;
use super::kills::Kills;
use super::phase::{Announcer, Listener, Phase};
use crate::client::Endpoint;
use crate::dialect::{Patience, Target};
use crate::limits;
use crate::nodes::{Faults, Nodes, NodesArgs};
use crate::random::Random;
use crate::report::since_epoch;
use crate::sample::Sample;
use crate::server::ServerArgs;

/// The variable that has the secret of a running server, and of a server of the bench's own.
const SECRET: &str = "AUTH_SECRET";

/// How many talk, and how often the server is killed.
#[derive(Clone, Debug, Args)]
pub struct ChatArgs {
    /// Which server. With --url it is one that runs already, whose secret is in AUTH_SECRET, and
    /// nothing is killed.
    #[command(flatten)]
    pub server: ServerArgs,

    /// Who is where.
    #[command(flatten)]
    pub crowd: CrowdArgs,

    /// Several nodes, and faults of all kinds instead of kills.
    #[command(flatten)]
    pub nodes: NodesArgs,

    /// How often the server is killed.
    #[arg(long, default_value_t = 5)]
    pub kills: u64,

    /// Seconds until everybody comes to an end.
    #[arg(long, visible_alias = "seconds", default_value_t = 30.0)]
    pub secs: f64,

    /// The longest time between two faults of all kinds, in seconds.
    #[arg(long, default_value_t = 1.5)]
    pub pause: f64,

    /// What all people together do in a second.
    #[arg(long, default_value_t = 150.0)]
    pub acts: f64,
}

/// How many conversations and people.
#[derive(Clone, Debug, Args)]
pub struct CrowdArgs {
    /// Sets the following three where they are not said.
    #[arg(long, value_enum, default_value = "small")]
    pub preset: Preset,

    /// Conversations.
    #[arg(long)]
    pub rooms: Option<usize>,

    /// People in all.
    #[arg(long)]
    pub people: Option<usize>,

    /// People in each conversation.
    #[arg(long)]
    pub members: Option<usize>,
}

/// Conversations and people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// 8 conversations of 12 out of 40.
    Small,
    /// One conversation of 1,000.
    OneRoom,
    /// 1,000 conversations of 5 out of 250, so 20 for each.
    ManyRooms,
}

impl CrowdArgs {
    fn cast(&self, ctx: &Context) -> Cast {
        let (rooms, people, members) = match self.preset {
            Preset::Small => (8, 40, 12),
            Preset::OneRoom => (1, 1000, 1000),
            Preset::ManyRooms => (1000, 250, 5),
        };
        let (rooms, people) = (self.rooms.unwrap_or(rooms), self.people.unwrap_or(people));
        Cast::new(ctx, rooms, people, self.members.unwrap_or(members))
    }
}

/// Runs the scenario, against a server that is running already or one of its own.
pub async fn run(
    ctx: &Context,
    args: &ChatArgs,
    running: Option<&Target>,
) -> anyhow::Result<Sample> {
    let mut sample = Sample::default();
    if let Some(target) = running {
        let secret = std::env::var(SECRET).context("AUTH_SECRET of the server is needed")?;
        let run = new_run(ctx, args, target.endpoints().to_vec(), &secret);
        talk(ctx, args, &run, None, &mut sample).await?;
        run.faults.report(&mut sample);
        return Ok(sample);
    }
    let temporary = tempfile::Builder::new().prefix("messages-chat-").tempdir()?;
    let dir = args.server.data_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let secret = secret(ctx);
    let environment = [(SECRET, secret.clone())];
    let mut nodes =
        Nodes::new(&args.server, &args.nodes, &dir, args.nodes.has_faults(), &environment)?;
    let endpoints = nodes.urls().into_iter().map(|url| Endpoint::parse(&url));
    let run = new_run(ctx, args, endpoints.collect::<anyhow::Result<_>>()?, &secret);
    let outcome = talk(ctx, args, &run, Some(&mut nodes), &mut sample).await;
    if let Err(error) = &outcome {
        sample.faults.add(format!("the run broke off: {error:#}"));
    }
    let _ = nodes.kill().await;
    run.faults.report(&mut sample);
    if sample.faults.total > 0 && args.server.data_dir.is_none() {
        let kept: PathBuf = temporary.keep();
        eprintln!("data and logs are kept in {}", kept.display());
    }
    Ok(sample)
}

fn new_run(ctx: &Context, args: &ChatArgs, endpoints: Vec<Endpoint>, secret: &str) -> Arc<Run> {
    let tokens = Tokens::new(secret, since_epoch());
    let mut run = Run::new(endpoints, tokens, args.crowd.cast(ctx));
    if args.nodes.has_faults() {
        run.patience = Patience { answer: limits::PATIENCE, silence: limits::PATIENCE };
    }
    Arc::new(run)
}

/// A secret that nobody else knows.
fn secret(ctx: &Context) -> String {
    let mut random = Random::new(ctx.seed, 0x5EC2);
    (0..4).map(|_| format!("{:016x}", random.next())).collect()
}

/// Lets them talk, and judges.
async fn talk(
    ctx: &Context,
    args: &ChatArgs,
    run: &Arc<Run>,
    mut nodes: Option<&mut Nodes>,
    sample: &mut Sample,
) -> anyhow::Result<()> {
    super::connections()?;
    let mut done = Done::default();
    if let Some(nodes) = &mut nodes {
        done.kills.starts = nodes.start().await?;
    }
    host::prepare(run).await?;
    let until = Instant::now() + Duration::from_secs_f64(args.secs);
    let grace = if run.is_impatient() { limits::GRACE } else { Duration::ZERO };
    let (announcer, phase) = Announcer::new(run.endpoints.len(), grace);
    let people = people(ctx, args, run, &phase)?;
    let pause = Duration::from_secs_f64(40.0 / args.acts.max(0.1));
    let host = tokio::spawn(Host::new(run, &phase, ctx.seed, pause)?.work());
    let disturbed = disturb(ctx, args, &announcer, nodes.as_deref_mut(), until, &mut done).await;
    if disturbed.is_ok() {
        sleep_until(until).await;
    }
    announcer.announce(Phase::Finish);
    disturbed?;
    host.await?;
    let (people, heads) = finish(run, people).await?;
    if run.endpoints.len() > 1 {
        // As all nodes have it that were there.
        judge::judge(run, &people, &heads).await?;
    }
    if let Some(nodes) = &mut nodes {
        // What follows comes from what is stored.
        nodes.kill().await?;
        nodes.start().await?;
    }
    judge::judge(run, &people, &heads).await?;
    done.report(sample);
    sample.count("conversations", run.cast.rooms().len() as u64);
    sample.count("people", people.len() as u64);
    sample.count("events", run.truths.iter().map(|truth| truth.len()).sum());
    run.counts.report(sample);
    Ok(())
}

/// Everybody; they wait until the server is said to be there.
fn people(
    ctx: &Context,
    args: &ChatArgs,
    run: &Arc<Run>,
    phase: &Listener,
) -> anyhow::Result<JoinSet<Person>> {
    // A pause is half of the longest in the mean.
    let each = 2.0 * run.cast.people().len() as f64 / args.acts.max(0.1);
    let pause = Duration::from_secs_f64(each);
    let mut people = JoinSet::new();
    for (person, rooms) in run.cast.rooms_of_all().into_iter().enumerate() {
        people.spawn(Person::new(run, phase, ctx.seed, person, &rooms, pause)?.live());
    }
    Ok(people)
}

/// What has been done to the nodes.
#[derive(Default)]
struct Done {
    kills: Kills,
    faults: Option<Faults>,
}

impl Done {
    fn report(&self, sample: &mut Sample) {
        match &self.faults {
            Some(faults) => faults.report(sample),
            None => self.kills.report(sample),
        }
    }
}

/// Does things to the nodes, where they are the bench's own.
async fn disturb(
    ctx: &Context,
    args: &ChatArgs,
    announcer: &Announcer,
    nodes: Option<&mut Nodes>,
    until: Instant,
    done: &mut Done,
) -> anyhow::Result<()> {
    match nodes {
        Some(nodes) if args.nodes.has_faults() => {
            let pause = Duration::from_secs_f64(args.pause);
            let faults = done.faults.insert(Faults::new(&args.nodes, ctx.seed));
            faults.inflict(nodes, announcer, until, pause).await
        }
        Some(nodes) => {
            let pause = Duration::from_secs_f64(args.secs / (args.kills + 1) as f64 * 1.5);
            let (kills, server) = ((args.kills, pause), nodes.first());
            done.kills.inflict(ctx, kills, server, announcer, async |_| ()).await
        }
        None => {
            announcer.announce(Phase::Up(0));
            Ok(())
        }
    }
}

/// Waits until nobody does anything any more, and then until everybody has everything.
async fn finish(run: &Run, people: JoinSet<Person>) -> anyhow::Result<(Vec<Person>, run::Heads)> {
    let all = people.len() as u64;
    let quiet = async {
        while run.quiet.load(Ordering::SeqCst) < all {
            sleep(limits::FINISH_POLL).await;
        }
    };
    if timeout(limits::SETTLE, quiet).await.is_err() {
        run.faults.add("the run", Fault::new("somebody is not done", "in time"));
    }
    let heads = judge::heads(run).await?;
    run.end.send_replace(End::Heads(Arc::new(heads.clone())));
    let everybody = people.join_all();
    tokio::pin!(everybody);
    let people = match timeout(limits::SETTLE, &mut everybody).await {
        Ok(people) => people,
        Err(_) => {
            run.end.send_replace(End::Late);
            everybody.await
        }
    };
    Ok((people, heads))
}
