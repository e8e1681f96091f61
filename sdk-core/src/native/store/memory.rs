//! The store that forgets when the process ends.

use std::sync::Arc;

use futures_util::stream;
use tokio::sync::watch;

use super::{Store, StoreFuture, StoreWatch};
use crate::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};

/// A store in memory. Its clones share what it holds, so that several sessions of one process can be one: what one of
/// them does, the others follow at once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = freshsocket_mock_server::MockServer::start().await?;
/// let store = freshsocket::MemoryStore::new();
/// let one = freshsocket::Session::builder(server.http_url()).store(store.clone()).build().await?;
/// let two = freshsocket::Session::builder(server.http_url()).store(store).build().await?;
/// one.login([("username", "ada"), ("password", "secret")]).await?;
/// let mut states = two.states();
/// while !states.next().await.unwrap().is_signed_in() {}
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    held: Arc<watch::Sender<StoreSnapshot>>,
}

impl MemoryStore {
    /// An empty store.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), freshsocket::Error> {
    /// use freshsocket::{MemoryStore, Store};
    ///
    /// assert!(MemoryStore::new().load().await?.session.is_none());
    /// # Ok(()) }
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
}

impl Store for MemoryStore {
    fn load(&self) -> StoreFuture<'_, StoreSnapshot> {
        Box::pin(async { Ok(self.held.borrow().clone()) })
    }

    fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> StoreFuture<'_, Swapped> {
        Box::pin(async move {
            let mut outcome = Swapped::Done(StoreVersion(expected.0.saturating_add(1)));
            self.held.send_if_modified(|held| {
                if held.version != expected {
                    outcome = Swapped::Conflict(held.clone());
                    return false;
                }
                *held = StoreSnapshot {
                    version: StoreVersion(expected.0.saturating_add(1)),
                    session: next,
                };
                true
            });
            Ok(outcome)
        })
    }

    fn watch(&self) -> Option<StoreWatch> {
        let mut changes = self.held.subscribe();
        changes.mark_changed();
        Some(Box::pin(stream::unfold(changes, |mut changes| async move {
            changes.changed().await.ok().map(|()| ((), changes))
        })))
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
