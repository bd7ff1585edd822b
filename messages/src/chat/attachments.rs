//! Which files may be referred to.

use super::{ChatError, decide::Action, event::Extra};

/// What is allowed of attachments.
#[derive(Clone, Debug)]
pub struct AttachmentRules {
    /// Media types, as `image/*`; `*/*` for all.
    pub types: Vec<String>,
    /// How large a file may say it is.
    pub bytes_max: u64,
}

impl AttachmentRules {
    /// Whether what `action` would attach is allowed.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn check(&self, action: &Action) -> Result<(), ChatError> {
        match action {
            Action::Send(message) => self.check_extra(&message.extra),
            Action::Edit { extra, .. } => self.check_extra(extra),
            Action::Import(messages) => {
                messages.iter().try_for_each(|message| self.check_extra(&message.extra))
            }
            _ => Ok(()),
        }
    }

    fn check_extra(&self, extra: &Extra) -> Result<(), ChatError> {
        for attachment in &extra.attachments {
            let media_type = attachment.media_type.as_deref().unwrap_or("application/octet-stream");
            if !self.types.iter().any(|allowed| fits(allowed, media_type)) {
                let what = format!("attachments: the type {media_type} is not allowed here");
                return Err(ChatError::Invalid(what));
            }
            if attachment.bytes.is_some_and(|bytes| bytes > self.bytes_max) {
                let what = format!("attachments: at most {} bytes", self.bytes_max);
                return Err(ChatError::Invalid(what));
            }
        }
        Ok(())
    }
}

fn fits(allowed: &str, media_type: &str) -> bool {
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    match allowed.split_once('/') {
        Some(("*", "*")) => true,
        Some((kind, "*")) => {
            media_type.split('/').next().is_some_and(|own| own.eq_ignore_ascii_case(kind))
        }
        _ => media_type.eq_ignore_ascii_case(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::event::Attachment;

    #[test]
    fn only_what_is_allowed_may_be_attached() {
        let rules =
            AttachmentRules { types: vec!["image/*".into(), "text/plain".into()], bytes_max: 10 };
        let check = |media_type: Option<&str>, bytes| {
            let attachment = Attachment {
                url: "u".into(),
                name: None,
                media_type: media_type.map(Into::into),
                bytes,
            };
            rules.check_extra(&Extra { attachments: vec![attachment], ..Extra::default() }).is_ok()
        };
        assert!(check(Some("image/png"), Some(10)) && check(Some("Text/plain; a=b"), None));
        assert!(!check(Some("image/png"), Some(11)), "too large");
        assert!(
            !check(Some("video/mp4"), None) && !check(None, None),
            "of no type that is allowed"
        );
    }
}
