//! The command line: the server, and what an operator needs beside it.

use crate::{
    auth::{Grants, Issuer, KeyOptions, Order},
    clock::SystemClock,
    config::Config,
    health::HealthOptions,
    http::{stream_of_url, with_signature},
    model::Pattern,
};
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use std::time::Duration;

/// Hands out whatever is produced piece by piece to any number of readers, from the beginning and
/// live. Without a command it serves.
#[derive(Debug, Parser)]
#[command(version = crate::VERSION, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    config: Config,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve
    Serve(Box<Config>),
    /// Print a token, or a signed URL, made with the secret of the server
    Token(Box<TokenOptions>),
    /// Tell whether the server on this machine takes appends; exits with 1 where it does not
    Health(HealthOptions),
}

/// What kind of token.
#[derive(Clone, Debug, Args)]
pub struct TokenOptions {
    /// What it is made with.
    #[command(flatten)]
    keys: KeyOptions,

    /// Who it stands for.
    #[arg(long, value_name = "NAME")]
    sub: Option<String>,

    /// Streams it may read: a name, or a pattern with * for one segment and ** for any number of
    /// them. May be given again, as those below.
    #[arg(long, value_name = "PATTERN", conflicts_with = "url")]
    read: Vec<Pattern>,

    /// Streams it may create, append to and close.
    #[arg(long, value_name = "PATTERN", conflicts_with = "url")]
    write: Vec<Pattern>,

    /// Streams it may create, delete, begin anew, fork into and subscribe to.
    #[arg(long, value_name = "PATTERN", conflicts_with = "url")]
    manage: Vec<Pattern>,

    /// How long it is good: 90s, 15m, 12h, 30d.
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = duration)]
    ttl: Duration,

    /// Print this URL of a stream with a signature, so that whoever has it may read the stream.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

impl Cli {
    /// The command line and the environment. Ends the process with a message where they make no
    /// sense, and for `--help`.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::parse()
    }

    /// What is to be done.
    #[must_use]
    pub fn command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Serve(Box::new(self.config)))
    }
}

impl TokenOptions {
    /// The text that was asked for.
    ///
    /// # Errors
    /// It cannot be made; said for whoever asked.
    pub fn make(self) -> anyhow::Result<String> {
        let Self { keys, sub, read, write, manage, ttl, url } = self;
        let issuer = Issuer::new(&keys, &SystemClock)?;
        let Some(url) = url else {
            let subject = sub.context("who is it for? Say --sub NAME")?;
            return Ok(issuer.token(&Order { subject, ttl }, &Grants { read, write, manage })?);
        };
        let stream = stream_of_url(&url).map_err(|error| anyhow::anyhow!("--url: {error}"))?;
        let order = Order { subject: sub.unwrap_or_else(|| "signed-url".into()), ttl };
        Ok(with_signature(&url, &issuer.signed(&order, &stream)?))
    }
}

/// A number and its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 24 * 3600)];
    let parsed = units.into_iter().find_map(|(unit, secs)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(secs).filter(|secs| (1..=u64::from(u32::MAX)).contains(secs))
    });
    parsed.map(Duration::from_secs).ok_or_else(|| "a number and s, m, h or d, as 15m".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn serving_needs_no_command() {
        for args in
            [&["messages", "--data-dir", "x"][..], &["messages", "serve", "--data-dir", "x"]]
        {
            match Cli::try_parse_from(args).expect("valid").command() {
                Command::Serve(config) => assert_eq!(config.data_dir, Path::new("x")),
                Command::Token(_) | Command::Health(_) => panic!("not asked for"),
            }
        }
        assert!(Cli::try_parse_from(["messages", "--data-dir", "x", "token"]).is_err());
        assert!(Cli::try_parse_from(["messages", "other"]).is_err());
    }

    #[test]
    fn times_have_a_unit() {
        for (text, secs) in [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(secs)));
        }
        for text in ["", "15", "m", "0s", "-1s", "1w", "1.5h", "99999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
