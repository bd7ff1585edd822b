//! What people are told when something goes wrong in a chat.

use super::super::problem::Problem;
use crate::chat::ChatError;
use axum::http::StatusCode as S;

impl From<ChatError> for Problem {
    fn from(error: ChatError) -> Self {
        let detail = error.to_string();
        let problem = |status, code| Self::new(status, code, detail.clone());
        match error {
            ChatError::BadName => problem(S::BAD_REQUEST, "bad_name"),
            ChatError::BadMessageId => problem(S::BAD_REQUEST, "bad_message_id"),
            ChatError::BadUser => problem(S::BAD_REQUEST, "bad_user"),
            ChatError::Invalid(_) => problem(S::BAD_REQUEST, "bad_body"),
            ChatError::BadThread => problem(S::BAD_REQUEST, "bad_thread"),
            ChatError::BadReply => problem(S::BAD_REQUEST, "bad_reply_to"),
            ChatError::BadMention(_) => problem(S::BAD_REQUEST, "bad_mention"),
            ChatError::NotFound => problem(S::NOT_FOUND, "conversation_not_found"),
            ChatError::NoMessage => problem(S::NOT_FOUND, "message_not_found"),
            ChatError::NoSuchParticipant => problem(S::NOT_FOUND, "participant_not_found"),
            ChatError::Exists => problem(S::CONFLICT, "conversation_exists"),
            ChatError::Direct => problem(S::CONFLICT, "direct_conversation"),
            ChatError::LastOwner => problem(S::CONFLICT, "last_owner"),
            ChatError::TxnReused => problem(S::CONFLICT, "txn_reused"),
            ChatError::Growing => problem(S::CONFLICT, "message_growing"),
            ChatError::TooMany(_) => problem(S::CONFLICT, "too_many"),
            ChatError::Deleted => problem(S::GONE, "message_deleted"),
            ChatError::EditedMeanwhile { .. } => {
                problem(S::PRECONDITION_FAILED, "edited_meanwhile")
            }
            ChatError::NotAParticipant => problem(S::FORBIDDEN, "not_a_participant"),
            ChatError::NotInvited => problem(S::FORBIDDEN, "not_invited"),
            ChatError::NotYours => problem(S::FORBIDDEN, "not_yours"),
            ChatError::Forbidden(_) | ChatError::Rank => problem(S::FORBIDDEN, "forbidden"),
            ChatError::Banned { until } => problem(S::FORBIDDEN, "banned").until(until),
            ChatError::Muted { until } => problem(S::FORBIDDEN, "muted").until(until),
            ChatError::Slow { wait_ms, .. } => {
                problem(S::TOO_MANY_REQUESTS, "slow_mode").retry_after(wait_ms.div_ceil(1000))
            }
            ChatError::Stream(error) => error.into(),
        }
    }
}
