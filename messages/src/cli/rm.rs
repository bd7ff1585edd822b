//! `messages rm`: deletes streams.

use super::{
    client::{Ask, ServerOptions, stream_path},
    exit::{Exit, Failure},
};
use crate::model::StreamName;
use clap::Args;
use http::Method;
use std::time::Duration;

/// What to delete.
#[derive(Clone, Debug, Args)]
pub struct RmOptions {
    /// The streams.
    #[arg(required = true)]
    names: Vec<StreamName>,

    /// It is no failure if one is not there.
    #[arg(long, short)]
    force: bool,

    #[command(flatten)]
    server: ServerOptions,
}

impl RmOptions {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.server.client(Duration::ZERO)?;
        for name in &self.names {
            let target = stream_path(name.as_str());
            match client.insist(&Ask::new(Method::DELETE, &target)).await {
                Ok(_) => {}
                Err(failure) if self.force && failure.exit() == Exit::NotFound => {}
                Err(failure) => return Err(failure.of(name)),
            }
        }
        Ok(())
    }
}
