//! What anybody has seen of a conversation: from then on it must stay. Only the text of a message
//! that is deleted may go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::wire::Event;
use super::Fault;

/// An event, and how it was written.
#[derive(Debug)]
pub struct Entry {
    /// As it came.
    pub raw: Box<str>,
    /// What it says.
    pub event: Event,
}

impl Entry {
    /// Reads an event.
    pub fn read(raw: &str) -> Result<Self, Fault> {
        let event = serde_json::from_str(raw);
        let event = event.map_err(|error| Fault::new("no event", format!("{error}: {raw}")))?;
        Ok(Self { raw: raw.into(), event })
    }
}

/// The longest log that any client has seen of one conversation.
#[derive(Debug, Default)]
pub struct Truth(Mutex<Vec<Arc<Entry>>>);

impl Truth {
    fn open(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position of the last event that was seen.
    pub fn len(&self) -> u64 {
        self.open().len() as u64
    }

    /// The whole log, with every text that was ever seen.
    pub fn log(&self) -> Vec<Arc<Entry>> {
        self.open().clone()
    }

    /// The event at a position.
    pub fn at(&self, position: u64) -> Option<Arc<Entry>> {
        self.open().get(index(position)?).cloned()
    }

    /// The same event as others have seen there, when it is written in the same way: that is almost
    /// always so, and spares reading it.
    pub fn same(&self, position: u64, raw: &str) -> Option<Arc<Entry>> {
        self.at(position).filter(|entry| *entry.raw == *raw)
    }

    /// Takes an event that a client got, and tells whether others got something else there.
    pub fn saw(&self, entry: Arc<Entry>) -> Result<Arc<Entry>, Fault> {
        let mut log = self.open();
        let at = index(entry.event.position).filter(|at| *at <= log.len());
        let Some(at) = at else {
            // Whoever is beyond everything has a gap before it, which is told elsewhere.
            return Ok(entry);
        };
        let Some(known) = log.get_mut(at) else {
            log.push(Arc::clone(&entry));
            return Ok(entry);
        };
        if entry.event == known.event || entry.event.is_erased(&known.event) {
            return Ok(entry);
        }
        // Somebody was faster and saw less of it.
        if known.event.is_erased(&entry.event) {
            *known = Arc::clone(&entry);
            return Ok(entry);
        }
        Err(Fault::new("an event has changed", format!("from {} to {}", known.raw, entry.raw)))
    }
}

/// Where a position is in a log.
fn index(position: u64) -> Option<usize> {
    usize::try_from(position.checked_sub(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(truth: &Truth, raw: &str) -> Result<Arc<Entry>, Fault> {
        truth.saw(Arc::new(Entry::read(raw).expect("an event")))
    }

    #[test]
    fn what_was_seen_must_stay() {
        let truth = Truth::default();
        let first = r#"{"type":"message","position":1,"source":"a","text":"x"}"#;
        assert!(saw(&truth, first).is_ok());
        assert!(truth.same(1, first).is_some() && truth.same(2, first).is_none());
        let other = saw(&truth, r#"{"type":"message","position":1,"source":"b","text":"x"}"#);
        assert_eq!(other.expect_err("it changed").kind, "an event has changed");
        assert!(saw(&truth, r#"{"type":"message","position":1,"source":"a","text":"y"}"#).is_err());
        assert!(saw(&truth, r#"{"type":"pin","position":1,"source":"a","text":"x"}"#).is_err());
    }

    #[test]
    fn only_the_text_may_go() {
        let truth = Truth::default();
        assert!(saw(&truth, r#"{"type":"message","position":1,"source":"a"}"#).is_ok());
        let whole = r#"{"type":"message","position":1,"source":"a","text":"x"}"#;
        assert!(saw(&truth, whole).is_ok(), "somebody else was faster");
        assert_eq!(truth.at(1).expect("it is there").event.text.as_deref(), Some("x"));
        assert!(saw(&truth, r#"{"type":"message","position":1,"source":"a"}"#).is_ok());
        assert!(saw(&truth, r#"{"type":"message","position":1}"#).is_err());
    }
}
