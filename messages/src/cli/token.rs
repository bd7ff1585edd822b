//! `messages token`: what lets somebody in.

use super::Failure;
use crate::{
    auth::{Grants, Issuer, KeyOptions, Order},
    clock::SystemClock,
    http::{stream_of_url, with_signature},
    model::Pattern,
};
use anyhow::Context;
use clap::Args;
use std::{
    io::{self, Write},
    time::Duration,
};

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

impl TokenOptions {
    /// Prints what was asked for.
    pub(super) fn run(self) -> Result<(), Failure> {
        Ok(writeln!(io::stdout(), "{}", self.make()?)?)
    }

    fn make(self) -> anyhow::Result<String> {
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
