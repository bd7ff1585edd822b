//! What somebody does in a conversation by a frame, in two halves.

use super::{
    answer,
    chat_request::{Act, Deed, Recipient},
    label::Label,
    writes::{Begin, Begun},
};
use crate::{
    auth::Principal,
    chat::{self, Chat},
    http::problem::Problem,
};
use futures::FutureExt;
use std::sync::Arc;

/// The first half of something that `principal` does.
pub(super) fn begin(chat: Arc<Chat>, act: Act, principal: Arc<Principal>) -> Begin {
    async move {
        let Act { id, is_private, deed, .. } = act;
        let sends = matches!(deed, Deed::Send { .. });
        let begun = place(&chat, deed, &principal).await;
        let finish = async move {
            let done = match begun {
                Ok(begun) if sends => sent(&chat, begun, id.as_ref(), is_private).await,
                Ok(begun) => done(&chat, begun, id.as_ref()).await,
                Err(problem) => Err(problem),
            };
            done.unwrap_or_else(|problem| Some(answer::error(id.as_ref(), None, &problem)))
        };
        Begun(finish.boxed())
    }
    .boxed()
}

async fn place(
    chat: &Arc<Chat>,
    deed: Deed,
    principal: &Principal,
) -> Result<chat::Begun, Problem> {
    principal.check_time()?;
    let user = principal.subject();
    Ok(match deed {
        Deed::Send { to: Recipient::Conversation(name), message } => {
            chat.begin_send(user, &name, message).await?
        }
        Deed::Send { to: Recipient::User(peer), message } => {
            chat.begin_send_to(user, &peer, message).await?
        }
        Deed::On { message, action } => chat.begin_act_on(user, &message, action).await?,
    })
}

async fn sent(
    chat: &Chat,
    begun: chat::Begun,
    id: Option<&Label>,
    is_private: bool,
) -> Result<Option<String>, Problem> {
    let sent = chat.sent(begun).await?;
    // Who does not speak this protocol does not ask, and is not told.
    let is_told = !is_private || id.is_some();
    Ok(is_told.then(|| answer::sent(id, &sent)))
}

async fn done(
    chat: &Chat,
    begun: chat::Begun,
    id: Option<&Label>,
) -> Result<Option<String>, Problem> {
    let done = chat.done(begun).await?;
    Ok(Some(answer::done(id, done.position)))
}
