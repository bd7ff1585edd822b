//! `GET /?id=`: everything from the beginning, then live.

use super::{App, live, problem::Problem, query::ReadQuery, upload::messages_elsewhere};
use crate::stream::StreamError;
use axum::{extract::State, http::Uri, response::Response};

/// Streams a stream. `HEAD` gets the same head and no body.
pub(super) async fn read(State(app): State<App>, uri: Uri) -> Result<Response, Problem> {
    let ReadQuery { name, position } = ReadQuery::parse(&uri)?;
    loop {
        let channel = app.streams.find(&name).await?;
        if channel.holds_messages() {
            return Err(messages_elsewhere());
        }
        match app.streams.read(channel, position).await {
            // The name has just begun anew, and is found with its new life now.
            Err(StreamError::Replaced) => {}
            begun => {
                let (cursor, status) = begun?;
                return Ok(live::response(cursor, status));
            }
        }
    }
}
