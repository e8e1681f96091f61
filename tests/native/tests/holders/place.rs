//! Where the session is kept.

use std::path::PathBuf;

use freshsocket::native::{MemoryStore, Store, StoreFuture, StoreWatch};
use freshsocket::store::{StoreSnapshot, StoreVersion, StoredSession, Swapped};
use freshsocket::{FileStore, RedisStore};
use freshsocket_native_tests::redis::Redis;

pub(crate) enum Place {
    File(tempfile::TempDir),
    Redis(Redis),
}

impl Place {
    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn redis() -> Self {
        Self::Redis(Redis::start().await)
    }

    /// How a child is told.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(folder) => folder.path().join("session.json").display().to_string(),
            Self::Redis(redis) => redis.url(),
        }
    }

    pub(crate) fn store(&self) -> AnyStore {
        AnyStore::named(&self.name())
    }
}

/// A store whose kind is known when the test runs.
pub(crate) struct AnyStore(Box<dyn Store>);

impl AnyStore {
    pub(crate) fn named(name: &str) -> Self {
        if name.is_empty() {
            Self(Box::new(MemoryStore::new()))
        } else if name.starts_with("redis") {
            Self(Box::new(RedisStore::new(name, "holders").unwrap()))
        } else {
            Self(Box::new(FileStore::new(PathBuf::from(name))))
        }
    }
}

impl Store for AnyStore {
    fn load(&self) -> StoreFuture<'_, StoreSnapshot> {
        self.0.load()
    }

    fn swap(&self, expected: StoreVersion, next: Option<Box<StoredSession>>) -> StoreFuture<'_, Swapped> {
        self.0.swap(expected, next)
    }

    fn watch(&self) -> Option<StoreWatch> {
        self.0.watch()
    }
}
