//! The store that all holders share: compare-and-swap, slow or failing at times.

use freshsocket::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
use freshsocket::{Error, ErrorKind};

/// An access.
#[derive(Debug)]
pub(super) enum Access {
    Load,
    Swap {
        expected: StoreVersion,
        next: Option<Box<StoredSession>>,
    },
}

/// What goes wrong with accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreFault {
    Fails,
    Hangs,
    /// It is done, and the answer says that it is not.
    DoneButFails,
}

#[derive(Default)]
pub(super) struct Store {
    pub(super) held: StoreSnapshot,
    pub(super) fault: Option<StoreFault>,
    pub(super) slow_ms: u64,
    /// When it was last empty.
    pub(super) cleared_at: Option<u64>,
    /// Compares nothing: a planted bug.
    pub(super) swaps_blindly: bool,
}

pub(super) fn failed() -> Error {
    Error::new(ErrorKind::StoreFailed, "the disk is full")
}

impl Store {
    /// Whether the swap is made; the caller performs what follows from a write.
    pub(super) fn swap(
        &mut self,
        now: u64,
        expected: StoreVersion,
        next: Option<Box<StoredSession>>,
    ) -> Swapped {
        if expected != self.held.version && !self.swaps_blindly {
            return Swapped::Conflict(self.held.clone());
        }
        if next.is_none() {
            self.cleared_at = Some(now);
        }
        self.held = StoreSnapshot {
            version: StoreVersion(self.held.version.0 + 1),
            session: next,
        };
        Swapped::Done(self.held.version)
    }
}
