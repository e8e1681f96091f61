//! Token stores: where a session outlives the process, and where several holders of it meet (S8, S10).

#[cfg(any(test, feature = "testing"))]
mod conformance;
mod file;
mod memory;

use std::future::Future;
use std::pin::Pin;

#[cfg(any(test, feature = "testing"))]
pub use conformance::store_conformance;
pub use file::FileStore;
pub use memory::MemoryStore;

use crate::error::Error;
use crate::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};

/// What a store's methods return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Keeps one session for all who hold it: tasks, processes or machines.
///
/// The one primitive is compare-and-swap. It alone makes sure that of many holders exactly one buys a new token, so
/// it must be atomic among all of them. Failures are [`ErrorKind::StoreFailed`](crate::ErrorKind::StoreFailed), with
/// no token in them.
///
/// Check a store of your own with `store_conformance` (feature `testing`).
pub trait Store: Send + Sync + 'static {
    /// What the store holds now. A store that was never written holds version zero and no session.
    fn load(&self) -> StoreFuture<'_, StoreSnapshot>;

    /// Writes `next` if the store is still at `expected`; `None` clears the session, but not the count of versions.
    ///
    /// Every write makes a version that is higher than all before. The answer comes once the write would survive a
    /// crash. When the future is dropped early, the write is made or not made, never half made.
    fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> StoreFuture<'_, Swapped>;
}
