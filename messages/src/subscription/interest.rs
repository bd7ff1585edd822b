//! Which subscriptions care for which stream. Found out once for a stream and not at every change of
//! it, so that a change costs what it causes and not what there is.

use super::entry::{Entry, Registry};
use crate::{limits::INTERESTS_MAX, model::StreamName};
use std::{collections::HashMap, sync::Arc};

/// What was found out since the registry changed last.
#[derive(Default)]
pub(super) struct Interests {
    version: u64,
    of: HashMap<StreamName, Arc<Interest>>,
}

/// Who cares for a stream.
#[derive(Default)]
pub(super) struct Interest {
    /// Those that it may wake.
    pub woken: Vec<Arc<Entry>>,
    /// Those whose wake events it takes.
    pub announcing: Vec<Arc<Entry>>,
}

impl Interest {
    pub fn is_empty(&self) -> bool {
        self.woken.is_empty() && self.announcing.is_empty()
    }
}

impl Interests {
    /// Who cares for streams of this name.
    pub fn of(&mut self, registry: &Registry, name: &StreamName) -> Arc<Interest> {
        if self.version != registry.version() || self.of.len() >= INTERESTS_MAX {
            self.version = registry.version();
            self.of.clear();
        }
        if let Some(found) = self.of.get(name) {
            return found.clone();
        }
        let found = Arc::new(find(registry, name));
        self.of.insert(name.clone(), found.clone());
        found
    }
}

fn find(registry: &Registry, name: &StreamName) -> Interest {
    let mut interest = Interest::default();
    let is_wake_stream = registry.is_wake_stream(name);
    for entry in registry.entries() {
        if is_wake_stream && entry.wake_stream().as_ref() == Some(name) {
            interest.announcing.push(entry.clone());
        }
        if registry.may_wake(entry, name) && entry.cares_for(name) {
            interest.woken.push(entry.clone());
        }
    }
    interest
}
