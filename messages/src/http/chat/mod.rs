//! Chat over HTTP: a handler for each thing that `docs/chat.md` names. It parses, makes one call, and
//! answers.

mod conversations;
mod events;
mod forms;
mod grow;
mod message;
mod messages;
mod people;
mod problem;
mod receipts;
mod request;
mod transfer;
mod webhooks;

pub(super) use forms::{EditForm, MessageForm};
pub(super) use request::user_of;
pub(super) use webhooks::{forward_webhooks, is_of_webhooks};

use super::{App, problem::Problem};
use axum::{
    Router,
    routing::{get, post, put},
};

/// The routes of chat.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/conversations", get(conversations::list).post(conversations::create))
        .route(
            "/conversations/{name}",
            get(conversations::show).patch(conversations::change).delete(conversations::remove),
        )
        .route("/unread", get(conversations::unread))
        .route("/conversations/{name}/participants", get(people::list))
        .route("/conversations/{name}/participants/{user}", put(people::add).delete(people::remove))
        .route("/conversations/{name}/join", post(people::join))
        .route("/conversations/{name}/leave", post(people::leave))
        .route("/conversations/{name}/bans/{user}", put(people::ban).delete(people::unban))
        .route("/conversations/{name}/mutes/{user}", put(people::mute).delete(people::unmute))
        .route("/conversations/{name}/typing", put(people::typing))
        .route("/conversations/{name}/messages", get(messages::list).post(messages::send))
        .route("/conversations/{name}/messages/{txn}", put(messages::put))
        .route("/conversations/{name}/messages/{txn}/text", put(messages::put_text))
        .route("/conversations/{name}/events", get(events::read))
        .route("/conversations/{name}/pins", get(messages::pinned))
        .route("/conversations/{name}/pins/{message}", put(message::pin).delete(message::unpin))
        .route("/conversations/{name}/search", get(messages::search))
        .route("/search", get(messages::search_all))
        .route("/conversations/{name}/reports", get(messages::reports))
        .route("/conversations/{name}/receipts", get(receipts::list))
        .route("/conversations/{name}/read", put(receipts::read))
        .route("/conversations/{name}/delivered", put(receipts::delivered))
        .route("/conversations/{name}/export", get(transfer::export))
        .route("/conversations/{name}/import", post(transfer::import))
        .route("/conversations/{name}/webhooks", get(webhooks::list))
        .route(
            "/conversations/{name}/webhooks/{id}",
            get(webhooks::show).put(webhooks::put).delete(webhooks::remove),
        )
        .route("/conversations/{name}/webhooks/{id}/replay", post(webhooks::replay))
        .route("/inbox/messages", get(messages::inbox))
        .route("/inbox/{peer}/messages", post(messages::send_to))
        .route(
            "/messages/{message}",
            get(message::show).patch(message::edit).delete(message::remove),
        )
        .route("/messages/{message}/history", get(message::history))
        .route("/messages/{message}/reactions", get(message::reactions))
        .route(
            "/messages/{message}/reactions/{reaction}",
            put(message::react).delete(message::unreact),
        )
        .route("/messages/{message}/report", post(message::report))
        .route("/messages/{message}/receipts", get(receipts::of_message))
        .route("/messages/{message}/read", put(receipts::read_message))
        // Aliases that change something by GET; HEAD must not.
        .route(
            "/messages/{message}/react/{reaction}",
            get(message::react).head(only_get).fallback(only_get),
        )
        .route(
            "/messages/{message}/mark_as_read",
            get(receipts::read_message).head(only_get).fallback(only_get),
        )
}

/// What only GET does.
async fn only_get() -> Problem {
    Problem::method_not_allowed().allow("GET")
}
