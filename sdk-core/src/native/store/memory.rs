//! The store that forgets when the process ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Store, StoreFuture};
use crate::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};

/// A store in memory. Its clones share what it holds, so that several clients of one process can share a session.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    held: Arc<Mutex<StoreSnapshot>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&self) -> MutexGuard<'_, StoreSnapshot> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load(&self) -> StoreFuture<'_, StoreSnapshot> {
        Box::pin(async { Ok(self.held().clone()) })
    }

    fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> StoreFuture<'_, Swapped> {
        Box::pin(async move {
            let mut held = self.held();
            if held.version != expected {
                return Ok(Swapped::Conflict(held.clone()));
            }
            *held = StoreSnapshot {
                version: StoreVersion(expected.0 + 1),
                session: next,
            };
            Ok(Swapped::Done(held.version))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::store::store_conformance;

    #[tokio::test]
    async fn conforms() {
        let store = MemoryStore::new();
        store_conformance(|| async { Box::new(store.clone()) as Box<dyn Store> })
            .await
            .unwrap();
    }
}
