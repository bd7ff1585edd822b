//! What texts may be.

use super::super::{ChatError, event::Extra};
use crate::{
    limits::{
        ATTACHMENTS_MAX, CHAT_TEXT_BYTES_MAX, FOREIGN_ID_BYTES_MAX, MENTIONS_MAX, META_BYTES_MAX,
        REACTION_BYTES_MAX, REASON_BYTES_MAX, TITLE_BYTES_MAX, TXN_BYTES_MAX, URL_BYTES_MAX,
    },
    model::is_writer_text,
};

pub(super) fn check_title(title: Option<&str>) -> Result<(), ChatError> {
    if title
        .is_some_and(|title| title.len() > TITLE_BYTES_MAX || title.chars().any(char::is_control))
    {
        return Err(ChatError::Invalid(format!("title may have at most {TITLE_BYTES_MAX} bytes")));
    }
    Ok(())
}

pub(super) fn check_reason(reason: Option<&str>) -> Result<(), ChatError> {
    if reason.is_some_and(|reason| reason.len() > REASON_BYTES_MAX || has_nul(reason)) {
        return Err(ChatError::Invalid(format!(
            "reason may have at most {REASON_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

pub(super) fn check_reaction(reaction: &str) -> Result<(), ChatError> {
    let fits = (1..=REACTION_BYTES_MAX).contains(&reaction.len());
    if !fits || reaction.chars().any(char::is_control) {
        let what = format!("a reaction is a text of 1 to {REACTION_BYTES_MAX} bytes");
        return Err(ChatError::Invalid(what));
    }
    Ok(())
}

/// The id of a message that was sent elsewhere may be anything.
pub(super) fn check_foreign(id: Option<&str>) -> Result<(), ChatError> {
    if id.is_some_and(|id| id.len() > FOREIGN_ID_BYTES_MAX || has_nul(id)) {
        let what = format!("reply_to may have at most {FOREIGN_ID_BYTES_MAX} bytes, and no NUL");
        return Err(ChatError::Invalid(what));
    }
    Ok(())
}

/// Whether a client may call a message so.
#[must_use]
pub fn is_txn(text: &str) -> bool {
    (1..=TXN_BYTES_MAX).contains(&text.len()) && is_writer_text(text)
}

/// What no database would keep in a text.
fn has_nul(text: &str) -> bool {
    text.contains('\0')
}

pub(super) fn check_text(text: &str, extra: &Extra, may_be_empty: bool) -> Result<(), ChatError> {
    let bad = |what: String| Err(ChatError::Invalid(what));
    if text.is_empty() && extra.attachments.is_empty() && !may_be_empty {
        return bad("text: there is nothing in the message".into());
    }
    if text.len() > CHAT_TEXT_BYTES_MAX || has_nul(text) {
        return bad(format!("text may have at most {CHAT_TEXT_BYTES_MAX} bytes, and no NUL"));
    }
    if extra.mentions.len() > MENTIONS_MAX {
        return bad(format!("mentions: at most {MENTIONS_MAX}"));
    }
    if extra.attachments.len() > ATTACHMENTS_MAX {
        return bad(format!("attachments: at most {ATTACHMENTS_MAX}"));
    }
    let long = |url: &str| url.is_empty() || url.len() > URL_BYTES_MAX;
    if extra.attachments.iter().any(|one| long(&one.url)) {
        return bad(format!("attachments: a url has 1 to {URL_BYTES_MAX} bytes"));
    }
    let meta = extra.meta.as_ref().map_or(0, |meta| meta.to_string().len());
    if meta > META_BYTES_MAX {
        return bad(format!("meta may have at most {META_BYTES_MAX} bytes"));
    }
    // Two backslashes are one, which escapes nothing.
    let whole = extra.text().unwrap_or_default().replace("\\\\", "");
    if whole.contains("\\u0000") {
        return bad("no text in a message may have a NUL".into());
    }
    Ok(())
}
