//! For whoever watches the server.

use super::{App, problem::Problem};
use axum::extract::State;

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Appends are taken.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    app.streams.ready()?;
    Ok("ready\n")
}
