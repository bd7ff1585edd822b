//! An append on a socket, in two halves.

use super::{
    answer,
    request::Append,
    writes::{Begin, Begun},
};
use crate::{
    auth::{Access, Principal},
    channel::Channel,
    http::problem::Problem,
    model::{CloseReason, media_type},
    stream::{Addition, PendingAppend, StreamError, Streams},
};
use futures::FutureExt;
use std::sync::Arc;

/// The first half of one that `principal` sends.
pub(super) fn begin(streams: Arc<Streams>, append: Append, principal: Arc<Principal>) -> Begin {
    async move {
        let id = append.id.clone();
        let pending = place(&streams, append, &principal).await;
        let finish = async move {
            let appended = match pending {
                Ok(pending) => streams.appended(pending).await.map_err(Problem::from),
                Err(problem) => Err(problem),
            };
            Some(match appended {
                Ok(appended) => answer::appended(id.as_ref(), &appended),
                Err(problem) => answer::error(id.as_ref(), None, &problem),
            })
        };
        Begun(finish.boxed())
    }
    .boxed()
}

async fn place(
    streams: &Arc<Streams>,
    append: Append,
    principal: &Principal,
) -> Result<PendingAppend, Problem> {
    principal.check(Access::Write, &append.stream)?;
    let channel = streams.find_to_append(&append.stream).await?;
    let again = streams.shared().map(|_| append.clone());
    let placed = place_in(streams, &channel, append).await;
    let is_fine = placed.as_ref().is_ok_and(PendingAppend::is_accepted);
    if let Some(again) = again.filter(|_| !is_fine)
        && let Some(present) = streams.instead_of(&channel).await
    {
        return Ok(place_in(streams, &present?, again).await?);
    }
    Ok(placed?)
}

async fn place_in(
    streams: &Streams,
    channel: &Arc<Channel>,
    append: Append,
) -> Result<PendingAppend, StreamError> {
    let Append { records, content_type, writer, close, .. } = append;
    let own = media_type(channel.content_type());
    let differs = |other: String| !media_type(&other).eq_ignore_ascii_case(own);
    let wrong_type = !records.is_empty() && content_type.is_some_and(differs);
    let close = close.then_some(CloseReason::Finished);
    let addition = Addition { records, close, writer, wrong_type, ..Addition::default() };
    streams.begin_append(channel, addition).await
}
