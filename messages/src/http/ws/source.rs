//! What a subscription reads: a stream, or a conversation as far as its user may see it. Both are read
//! by the same cursor.

use crate::{
    channel::{Channel, Status},
    chat::{ChatError, Conversation, ConversationName, Readable},
    http::{App, protocol::Start},
    model::{Offset, StreamName},
    stream::{Cursor, StreamError},
};
use std::sync::Arc;

/// See the module.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Stream(StreamName),
    Conversation(ConversationName),
}

/// A reader of it.
pub(super) struct Found {
    pub cursor: Cursor,
    /// Where it begins.
    pub at: Offset,
    pub status: Status,
    /// Where it is one.
    pub conversation: Option<Arc<Conversation>>,
}

impl Source {
    /// A reader from `start` on, for `user`.
    pub async fn open(self, app: App, user: Arc<str>, start: Start) -> Result<Found, ChatError> {
        match self {
            Self::Conversation(name) => {
                // What this client is told of others first must not be older than what it knows.
                app.chat.take_up_marks(&name).await?;
                let Readable { conversation, reach, from } =
                    app.chat.readable(&user, &name).await?;
                let channel = conversation.channel().clone();
                let found = begin(&app, channel, from, start).await?;
                let cursor = found.cursor.within(reach);
                Ok(Found { cursor, conversation: Some(conversation), ..found })
            }
            Self::Stream(name) => loop {
                let channel = app.streams.find(&name).await?;
                match begin(&app, channel, Offset::ZERO, start).await {
                    // The name has just begun anew, and is found with its new life now.
                    Err(StreamError::Replaced) => tokio::task::yield_now().await,
                    found => return Ok(found?),
                }
            },
        }
    }
}

/// A reader of `channel`, of which what comes before `from` is not to be seen.
async fn begin(
    app: &App,
    channel: Arc<Channel>,
    from: Offset,
    start: Start,
) -> Result<Found, StreamError> {
    let at = match start {
        Start::Now => app.streams.status(&channel).await?.tail,
        Start::At(at) if at.bytes > from.bytes => at,
        Start::At(_) | Start::Beginning => from,
    };
    let (cursor, status) = app.streams.read_whole(channel, at.bytes).await?;
    // A client may know the bytes only; at the end the whole offset is known.
    let at = if at.bytes == status.tail.bytes { status.tail } else { at };
    Ok(Found { cursor, at, status, conversation: None })
}
