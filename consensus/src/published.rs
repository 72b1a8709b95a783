//! What the state machine shows to the rest of the node: the applied catalog, a signal when it
//! changes, and the outcomes of the latest entries as computed *here*.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::watch;
use trine_proto::catalog::Catalog;
use trine_proto::command::Outcome;
use trine_proto::ids::LogIndex;

use crate::limits::RECENT_OUTCOMES_MAX;

/// Shared between the state machine (writes) and [`crate::Consensus`] (reads).
#[derive(Debug)]
pub(crate) struct Published {
    catalog: RwLock<Arc<Catalog>>,
    applied: watch::Sender<LogIndex>,
    recent: Mutex<BTreeMap<LogIndex, Applied>>,
}

/// What became of one entry.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    /// BLAKE3 of the encoded command.
    pub(crate) command_digest: [u8; 32],
    pub(crate) outcome: Outcome,
}

impl Published {
    pub(crate) fn new(catalog: Catalog) -> Self {
        let applied = watch::Sender::new(catalog.applied);
        Self { catalog: RwLock::new(Arc::new(catalog)), applied, recent: Mutex::default() }
    }
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }
    pub(crate) fn subscribe(&self) -> watch::Receiver<LogIndex> {
        self.applied.subscribe()
    }
    /// The outcome of the entry at a position, if it is one of the latest that were applied here.
    pub(crate) fn recent(&self, index: LogIndex) -> Option<Applied> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).get(&index).cloned()
    }
    /// Shows a new state. The signal comes last: whoever sees it finds at least this state.
    pub(crate) fn publish(&self, catalog: Catalog, outcomes: Vec<(LogIndex, Applied)>) {
        let index = catalog.applied;
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.extend(outcomes);
        while recent.len() > RECENT_OUTCOMES_MAX {
            recent.pop_first();
        }
        drop(recent);
        *self.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
        self.applied.send_if_modified(|seen| std::mem::replace(seen, index) != index);
    }
}
