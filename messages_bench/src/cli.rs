//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::scenario::append::AppendArgs;
use crate::scenario::cardinality::CardinalityArgs;
use crate::scenario::catchup::CatchupArgs;
use crate::scenario::chat::ChatArgs;
use crate::scenario::chat::load::LoadArgs;
use crate::scenario::crash::CrashArgs;
use crate::scenario::fanout::FanoutArgs;
use crate::scenario::verify::VerifyArgs;

/// Loads a streaming server over HTTP and checks every byte it hands out.
///
/// Exits with 0 only if nothing was lost, doubled, reordered, changed or refused.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    /// What to do; `verify` when not said.
    #[command(subcommand)]
    pub command: Command,
    /// What applies to every scenario.
    #[command(flatten)]
    pub common: Common,
}

/// What applies to every scenario.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The server, http://127.0.0.1:3000 when not said; a URL with /v1/stream in its path speaks Durable Streams, and a token may stand
    /// before its host (http://TOKEN@host). Said several times, or with commas between, these are nodes, whose clients take them in turns.
    #[arg(long, global = true, visible_alias = "target", value_delimiter = ',')]
    pub url: Vec<String>,

    /// Nodes for the readers, where they are to be others than those for the writers.
    #[arg(
        long,
        global = true,
        visible_alias = "read-target",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub read_url: Vec<String>,

    /// What the server is called in the report.
    #[arg(long, global = true, default_value = "messages")]
    pub name: String,

    /// The process of the server, for its CPU time and memory; those of all nodes, where there are several.
    #[arg(long, global = true, value_delimiter = ',')]
    pub pid: Vec<u32>,

    /// Another process that the server uses, for its CPU time and that of its children: redis=PID, postgres=PID.
    #[arg(long, global = true, value_delimiter = ',', value_name = "NAME=PID")]
    pub beside: Vec<String>,

    /// Another server to run in turns with: NAME=URL or NAME=URL,PID.
    #[arg(long, global = true, value_name = "NAME=URL[,PID]")]
    pub compare: Vec<String>,

    /// How often each server has its turn; the report shows medians.
    #[arg(long, global = true)]
    pub rounds: Option<usize>,

    /// Repeats the random choices of an earlier run.
    #[arg(long, global = true)]
    pub seed: Option<u64>,

    /// Threads of the bench; it shares the machine with the server.
    #[arg(long, global = true, default_value_t = 1)]
    pub threads: usize,

    /// Writes the report as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Writes the report as a page that needs nothing else.
    #[arg(long, global = true, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// A remark for the report, such as the durability of the servers.
    #[arg(long, global = true, default_value = "")]
    pub note: String,
}

/// The scenarios.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Thousands of productions, several readers each, every byte compared.
    Verify(VerifyArgs),
    /// Small appends over many connections, one under way on each.
    Append(AppendArgs),
    /// One writer, many live readers: every record, once, in order, and how late it came.
    Fanout(FanoutArgs),
    /// A large stream, read whole again and again.
    Catchup(CatchupArgs),
    /// New streams, each with a first append, as fast as they can be created.
    Cardinality(CardinalityArgs),
    /// Kills a server of its own again and again under load: nothing may be lost or changed.
    Crash(CrashArgs),
    /// People talk while a server of its own is killed: in the end everybody must have the same.
    ///
    /// They send, edit, delete, react, read, lose their connections, are removed and added again.
    /// With --url it uses a server that runs already, whose secret is in AUTH_SECRET, and kills
    /// nothing.
    Chat(ChatArgs),
    /// What chat costs: sends, deliveries, idle clients, everybody coming back at once.
    ///
    /// It starts a server of its own. With --url it uses one that runs already, whose secret is in
    /// AUTH_SECRET; --pid says which process that is.
    ChatLoad(LoadArgs),
}

impl Command {
    /// The name of the scenario.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Verify(_) => "verify",
            Self::Append(_) => "append",
            Self::Fanout(_) => "fanout",
            Self::Catchup(_) => "catchup",
            Self::Cardinality(_) => "cardinality",
            Self::Crash(_) => "crash",
            Self::Chat(_) => "chat",
            Self::ChatLoad(_) => "chat-load",
        }
    }
}

/// The names of the scenarios, to find out whether one is given.
const NAMES: [&str; 8] =
    ["verify", "append", "fanout", "catchup", "cardinality", "crash", "chat", "chat-load"];

impl Cli {
    /// Reads the command line; without a scenario it is `verify`.
    pub fn read() -> Self {
        let mut words: Vec<_> = std::env::args_os().collect();
        let said = |word: &std::ffi::OsString| {
            let known = ["help", "-h", "--help", "-V", "--version"];
            word.to_str().is_some_and(|word| NAMES.contains(&word) || known.contains(&word))
        };
        if !words.iter().skip(1).any(said) {
            words.insert(1.min(words.len()), "verify".into());
        }
        Self::parse_from(words)
    }
}
