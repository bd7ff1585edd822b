//! `messages ls`: which streams there are.

use super::{
    client::{Ask, Client, ServerOptions, document, parameter},
    exit::{Exit, Failure},
};
use crate::limits::BROWSE_STREAMS_MAX;
use clap::Args;
use http::Method;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write},
    time::Duration,
};

/// What to list.
#[derive(Clone, Debug, Args)]
pub struct LsOptions {
    /// What the names begin with. [default: all]
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,

    /// Tell more: state, records, bytes, readers, content type.
    #[arg(long, short)]
    long: bool,

    /// A JSON document for each, as the server says it.
    #[arg(long, conflicts_with = "long")]
    json: bool,

    #[command(flatten)]
    server: ServerOptions,
}

/// A stream, as the server lists it. What is not known here stays.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Listed {
    pub name: String,
    pub content_type: String,
    pub closed: bool,
    pub records: u64,
    pub bytes: u64,
    pub readers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    #[serde(flatten)]
    more: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Page {
    streams: Vec<Listed>,
    next: Option<String>,
}

/// Goes through a list, page by page.
pub(super) struct Pages<'a> {
    client: &'a Client,
    prefix: &'a str,
    after: Option<String>,
    ended: bool,
}

impl<'a> Pages<'a> {
    pub fn new(client: &'a Client, prefix: &'a str) -> Self {
        Self { client, prefix, after: None, ended: false }
    }

    /// The next ones; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<Listed>>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let mut target =
            format!("/v1/streams?limit={BROWSE_STREAMS_MAX}&prefix={}", parameter(self.prefix));
        if let Some(after) = &self.after {
            target = format!("{target}&after={}", parameter(after));
        }
        let response = self.client.insist(&Ask::new(Method::GET, &target)).await?;
        let page: Page = serde_json::from_slice(&document(response).await?).map_err(|error| {
            Failure::new(Exit::Failed, format!("the server does not list its streams: {error}"))
        })?;
        self.ended = page.next.is_none();
        self.after = page.next;
        Ok(Some(page.streams))
    }
}

impl LsOptions {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.server.client(Duration::ZERO)?;
        let mut pages = Pages::new(&client, &self.prefix);
        while let Some(page) = pages.next().await? {
            let mut out = io::BufWriter::new(io::stdout().lock());
            for listed in page {
                self.print(&listed, &mut out)?;
            }
            out.flush()?;
        }
        Ok(())
    }

    fn print(&self, listed: &Listed, out: &mut impl Write) -> Result<(), Failure> {
        let Listed { name, content_type, closed, records, bytes, readers, .. } = listed;
        if self.json {
            let line = serde_json::to_string(listed).map_err(io::Error::from)?;
            writeln!(out, "{line}")?;
        } else if self.long {
            let state = if *closed { "closed" } else { "open" };
            writeln!(
                out,
                "{state:6} {records:>12} {bytes:>15} {readers:>7}  {content_type:24} {name}"
            )?;
        } else {
            writeln!(out, "{name}")?;
        }
        Ok(())
    }
}
