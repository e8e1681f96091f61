//! What every store does, and what only this one has.

use freshsocket::native::store_conformance;
use freshsocket::store::{StoreSnapshot, StoreVersion, Swapped};
use freshsocket::{ErrorKind, Store};
use freshsocket_native_tests::redis::Redis;

use super::{KEY, session, store, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s10_the_redis_store_conforms() {
    let redis = Redis::start().await;
    store_conformance(|| async { Box::new(store(&redis)) as Box<dyn Store> })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s10_one_shared_handle_conforms() {
    let redis = Redis::start().await;
    let shared = store(&redis);
    store_conformance(|| async { Box::new(shared.clone()) as Box<dyn Store> })
        .await
        .unwrap();
}

#[tokio::test]
async fn s10_two_keys_are_two_stores() {
    let redis = Redis::start().await;
    let one = store(&redis);
    write(&one, 1).await;
    let other = freshsocket::RedisStore::new(redis.url(), "another").unwrap();
    assert_eq!(other.load().await.unwrap(), StoreSnapshot::default());
}

#[tokio::test]
async fn s10_what_it_writes_has_no_expiry_and_keeps_its_version_when_cleared() {
    let redis = Redis::start().await;
    let store = store(&redis);
    let version = write(&store, 1).await;
    assert_eq!(redis.run(&["ttl", KEY]), "-1");
    assert_eq!(redis.run(&["hget", KEY, "format"]), "1");
    let cleared = store.swap(version, None).await.unwrap();
    let Swapped::Done(cleared) = cleared else {
        panic!("{cleared:?}")
    };
    assert!(cleared > version);
    assert_eq!(redis.run(&["hget", KEY, "version"]), cleared.0.to_string());
    assert_eq!(redis.run(&["hexists", KEY, "session"]), "0");
}

#[tokio::test]
async fn s10_a_server_that_forgot_the_script_is_told_it_again() {
    let redis = Redis::start().await;
    let store = store(&redis);
    write(&store, 1).await;
    redis.run(&["script", "flush"]);
    write(&store, 2).await;
    assert_eq!(store.load().await.unwrap().session, Some(Box::new(session(2))));
}

#[tokio::test]
async fn s8_what_a_newer_version_wrote_is_kept() {
    let redis = Redis::start().await;
    let store = store(&redis);
    let version = write(&store, 1).await;
    redis.run(&["hset", KEY, "format", "2"]);
    let error = store.load().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreFailed);
    assert!(error.message().contains("newer version"), "{error}");
    let behind = store.swap(StoreVersion(version.0 - 1), None).await;
    assert!(behind.is_err(), "{behind:?}");
    assert_eq!(redis.run(&["hexists", KEY, "session"]), "1");
}
