//! S8, S10 and section 6: the store in Redis, against a real redis-server.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod contract;
mod failures;
mod sessions;

use std::time::Duration;

use freshsocket::store::{StoreVersion, StoredSession, Swapped};
use freshsocket::{RedisStore, Store};
use freshsocket_native_tests::redis::Redis;

const KEY: &str = "tests:session";
const TOKEN: &str = "planted-7c1d";

fn store(redis: &Redis) -> RedisStore {
    RedisStore::new(redis.url(), KEY).unwrap()
}

fn impatient(redis: &Redis) -> RedisStore {
    let builder = RedisStore::builder(redis.url(), KEY).time_limit(Duration::from_millis(300));
    builder.build().unwrap()
}

fn session(number: u64) -> StoredSession {
    StoredSession {
        access: format!("{TOKEN}-{number}").into(),
        refresh: Some(TOKEN.into()),
        cookies: None,
        received_unix_ms: 1,
        lifetime_ms: None,
        user: None,
        rotation: number,
        intent: None,
    }
}

/// Writes at whatever version is held.
async fn write(store: &RedisStore, number: u64) -> StoreVersion {
    let held = store.load().await.unwrap();
    match store
        .swap(held.version, Some(Box::new(session(number))))
        .await
        .unwrap()
    {
        Swapped::Done(version) => version,
        Swapped::Conflict(held) => panic!("conflict with {held:?}"),
    }
}
