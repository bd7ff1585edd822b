//! `GET /?id=`: everything from the beginning, then live.

use super::{
    App, live, problem::Problem, query::ReadQuery, traffic::Transport, upload::messages_elsewhere,
};
use crate::{auth::Access, stream::StreamError};
use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};

/// Streams a stream. `HEAD` gets the same head and no body.
pub(super) async fn read(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let principal = app.auth.principal(&headers, &uri).await?;
    let ReadQuery { name, position } = ReadQuery::parse(&uri)?;
    principal.check(Access::Read, &name)?;
    let reading = app.auth.reading(principal, app.traffic.reads(Transport::Http))?;
    loop {
        let channel = app.streams.find(&name).await?;
        if channel.holds_messages() {
            return Err(messages_elsewhere());
        }
        match app.streams.read(channel, position).await {
            // The name has just begun anew, and is found with its new life now.
            Err(StreamError::Replaced) => tokio::task::yield_now().await,
            begun => {
                let (cursor, status) = begun?;
                return Ok(live::response(cursor, status, reading));
            }
        }
    }
}
