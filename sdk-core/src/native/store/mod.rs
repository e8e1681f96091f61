//! Token stores: where a session outlives the process, and where several holders of it meet (S8, S10).

#[cfg(any(test, feature = "testing"))]
mod conformance;
mod file;
mod memory;
#[cfg(feature = "store-redis")]
mod redis;

use std::future::Future;
use std::pin::Pin;

use futures_core::Stream;

#[cfg(any(test, feature = "testing"))]
pub use conformance::store_conformance;
pub use file::FileStore;
pub use memory::MemoryStore;
#[cfg(feature = "store-redis")]
pub use redis::{RedisStore, RedisStoreBuilder};

use crate::error::Error;
use crate::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};

/// What a store's methods return.
///
/// ```
/// use freshsocket::native::StoreFuture;
///
/// // What a store that keeps nothing between calls would say.
/// fn load() -> StoreFuture<'static, freshsocket::store::StoreSnapshot> {
///     Box::pin(async { Ok(Default::default()) })
/// }
/// # drop(load());
/// ```
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Hints that a store may have changed: what [`Store::watch`] gives.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use freshsocket::native::{MemoryStore, Store, StoreWatch};
/// use futures_util::StreamExt;
///
/// let mut hints: StoreWatch = MemoryStore::new().watch().unwrap();
/// assert_eq!(hints.next().await, Some(())); // the watch is in place
/// # }
/// ```
pub type StoreWatch = Pin<Box<dyn Stream<Item = ()> + Send>>;

/// Keeps one session for all who hold it: tasks, processes or machines.
///
/// The one primitive is compare-and-swap. It alone makes sure that of many holders exactly one buys a new token, so
/// it must be atomic among all of them. Failures are [`ErrorKind::StoreFailed`](crate::ErrorKind::StoreFailed), with
/// no token in them.
///
/// Check a store of your own with `store_conformance` (feature `testing`).
///
/// ```
/// use freshsocket::native::{MemoryStore, Store, StoreFuture};
/// use freshsocket::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
///
/// /// Says in the log who signs in and out.
/// struct Logged(MemoryStore);
///
/// impl Store for Logged {
///     fn load(&self) -> StoreFuture<'_, StoreSnapshot> {
///         self.0.load()
///     }
///
///     fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> StoreFuture<'_, Swapped> {
///         println!("{}", if next.is_some() { "a session is written" } else { "signed out" });
///         self.0.swap(expected, next)
///     }
/// }
///
/// let builder = freshsocket::Session::builder("https://api.example.com").store(Logged(MemoryStore::new()));
/// # drop(builder);
/// ```
pub trait Store: Send + Sync + 'static {
    /// What the store holds now. A store that was never written holds version zero and no session.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), freshsocket::Error> {
    /// use freshsocket::{MemoryStore, Store, store::StoreVersion};
    ///
    /// let snapshot = MemoryStore::new().load().await?;
    /// assert_eq!((snapshot.version, snapshot.session), (StoreVersion(0), None));
    /// # Ok(()) }
    /// ```
    fn load(&self) -> StoreFuture<'_, StoreSnapshot>;

    /// Writes `next` if the store is still at `expected`; `None` clears the session, but not the count of versions.
    ///
    /// Every write makes a version that is higher than all before. The answer comes once the write would survive a
    /// crash. When the future is dropped early, the write is made or not made, never half made. A session of up to 256 KiB
    /// of JSON is to be taken; one that is too large is refused, and changes nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), freshsocket::Error> {
    /// use freshsocket::{MemoryStore, Store, store::Swapped};
    ///
    /// // Signs out whoever is in the store, without a session.
    /// let store = MemoryStore::new();
    /// let mut version = store.load().await?.version;
    /// while let Swapped::Conflict(now) = store.swap(version, None).await? {
    ///     version = now.version; // somebody else has written
    /// }
    /// # Ok(()) }
    /// ```
    fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> StoreFuture<'_, Swapped>;

    /// Hints that somebody may have written to the store; `None`, as by default, where it cannot tell.
    ///
    /// The first hint comes as soon as the watch is in place, and from then on one comes soon after every write, whoever
    /// made it. Several writes may share a hint, and a hint may be false. The session answers a hint with a
    /// [`load`](Self::load), so that another holder's refresh, sign-in or sign-out is followed at once. Nothing rests on
    /// hints: a session that misses one finds the same at its next refresh.
    ///
    /// The stream is polled in a task of its own inside the tokio runtime. It mends itself where a connection breaks, and
    /// hints once when it is back; one that ends is not begun again. Dropping it ends the watch.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), freshsocket::Error> {
    /// use freshsocket::{MemoryStore, Store};
    /// use futures_util::StreamExt;
    ///
    /// let store = MemoryStore::new();
    /// let mut hints = store.clone().watch().unwrap();
    /// hints.next().await; // the watch is in place
    /// store.swap(store.load().await?.version, None).await?;
    /// assert_eq!(hints.next().await, Some(())); // load it again
    /// # Ok(()) }
    /// ```
    fn watch(&self) -> Option<StoreWatch> {
        None
    }
}
