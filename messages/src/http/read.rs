//! `GET /?id=`: everything from the beginning, then live.

use super::{App, live, problem::Problem, query::ReadQuery};
use axum::{extract::State, http::Uri, response::Response};

/// Streams a stream. `HEAD` gets the same head and no body.
pub(super) async fn read(State(app): State<App>, uri: Uri) -> Result<Response, Problem> {
    let ReadQuery { name, position } = ReadQuery::parse(&uri)?;
    let channel = app.streams.find(&name).await?;
    let (cursor, status) = app.streams.read(channel, position).await?;
    Ok(live::response(cursor, status))
}
