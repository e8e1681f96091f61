//! Redis restarts, hangs, refuses, loses what it held, or holds something else.

use std::time::{Duration, Instant};

use freshsocket::store::{StoreSnapshot, StoreVersion};
use freshsocket::{Error, ErrorKind, RedisStore, Store};
use freshsocket_native_tests::redis::{Redis, signal};
use freshsocket_native_tests::within;
use futures_util::StreamExt as _;

use super::{KEY, TOKEN, impatient, session, store, write};

fn is_clean(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::StoreFailed);
    let all = format!("{error} {error:?}");
    assert!(!all.contains(TOKEN) && !all.contains("hunter2"), "{all}");
}

#[tokio::test]
async fn s8_a_durable_redis_that_was_killed_has_what_was_written() {
    let mut redis = Redis::durable().await;
    let store = store(&redis);
    let version = write(&store, 1).await;
    redis.kill();
    is_clean(&store.load().await.unwrap_err());
    is_clean(&store.swap(version, Some(Box::new(session(2)))).await.unwrap_err());
    redis.start_again().await;
    let held = store.load().await.unwrap();
    assert_eq!(
        (held.version, held.session),
        (version, Some(Box::new(session(1))))
    );
    write(&store, 2).await;
}

#[tokio::test]
async fn s10_a_restart_between_two_accesses_is_not_noticed() {
    let mut redis = Redis::durable().await;
    let store = store(&redis);
    let mut version = write(&store, 1).await;
    for number in 2..5 {
        redis.kill();
        redis.start_again().await;
        let next = write(&store, number).await;
        assert!(next > version);
        version = next;
    }
}

#[tokio::test]
async fn s10_a_redis_that_lost_everything_gives_no_version_again() {
    let mut redis = Redis::start().await;
    let store = store(&redis);
    let before = write(&store, 1).await;
    redis.kill();
    redis.start_again().await;
    assert_eq!(store.load().await.unwrap(), StoreSnapshot::default());
    assert!(write(&store, 2).await > before);
}

#[tokio::test]
async fn s10_a_redis_that_hangs_is_given_up_within_the_time_limit_and_used_again() {
    let redis = Redis::start().await;
    let store = impatient(&redis);
    let version = write(&store, 1).await;
    signal("STOP", redis.pid());
    let began = Instant::now();
    is_clean(&within("the load", store.load()).await.unwrap_err());
    is_clean(
        &within("the swap", store.swap(version, Some(Box::new(session(2)))))
            .await
            .unwrap_err(),
    );
    is_clean(
        &within("a new handle", impatient(&redis).load())
            .await
            .unwrap_err(),
    );
    assert!(
        began.elapsed() >= Duration::from_millis(900),
        "each was given its time"
    );
    signal("CONT", redis.pid());
    // The write that was given up may be made yet: it is one like another's.
    write(&store, 3).await;
}

#[tokio::test]
async fn s10_the_watch_mends_itself_and_hints_when_it_is_back() {
    let mut redis = Redis::durable().await;
    let store = store(&redis);
    let mut hints = store.watch().unwrap();
    within("in place", hints.next()).await.unwrap();
    for number in 1..3 {
        redis.kill();
        let back = tokio::spawn(async move {
            let hint = hints.next().await;
            (hint, hints)
        });
        redis.start_again().await;
        let (hint, again) = within("back", back).await.unwrap();
        assert_eq!(hint, Some(()));
        hints = again;
        write(&store, number).await;
        within("the write", hints.next()).await.unwrap();
    }
}

#[tokio::test]
async fn s10_a_watch_of_a_redis_that_comes_later_begins_then() {
    let mut redis = Redis::start().await;
    redis.kill();
    let store = impatient(&redis);
    let mut hints = store.watch().unwrap();
    let waiting = tokio::spawn(async move { hints.next().await });
    redis.start_again().await;
    assert_eq!(within("in place", waiting).await.unwrap(), Some(()));
}

#[tokio::test]
async fn s6_a_refused_password_is_said_and_not_shown() {
    let redis = Redis::with(&["--save", "", "--requirepass", "hunter1"]).await;
    for url in [redis.url(), format!("{}?pass=hunter2", redis.url())] {
        let store = RedisStore::new(url, KEY).unwrap();
        let error = store.load().await.unwrap_err();
        is_clean(&error);
        assert!(error.cause().is_some(), "{error:?}");
        is_clean(
            &store
                .swap(StoreVersion(0), Some(Box::new(session(1))))
                .await
                .unwrap_err(),
        );
    }
    let right = RedisStore::new(format!("{}?pass=hunter1", redis.url()), KEY).unwrap();
    write(&right, 1).await;
    assert!(!format!("{right:?}").contains("hunter1"));
}

#[tokio::test]
async fn s10_a_user_who_may_not_publish_writes_all_the_same() {
    let redis = Redis::start().await;
    let rights = [
        "acl",
        "setuser",
        "bot",
        "on",
        ">pw",
        "~*",
        "+@all",
        "-publish",
        "resetchannels",
    ];
    assert_eq!(redis.run(&rights), "OK");
    let store = RedisStore::new(format!("{}?user=bot&pass=pw", redis.url()), KEY).unwrap();
    write(&store, 1).await;
    assert_eq!(store.load().await.unwrap().session, Some(Box::new(session(1))));
}

#[tokio::test]
async fn s10_the_documented_commands_are_all_that_is_needed() {
    let redis = Redis::start().await;
    let rights = [
        "acl",
        "setuser",
        "bot",
        "on",
        ">pw",
        "~tests:session",
        "&tests:session:changed",
        "+hmget",
        "+hget",
        "+hstrlen",
        "+hset",
        "+hdel",
        "+time",
        "+evalsha",
        "+script|load",
        "+publish",
        "+subscribe",
        "+ping",
    ];
    assert_eq!(redis.run(&rights), "OK");
    let bot = || RedisStore::new(format!("{}?user=bot&pass=pw", redis.url()), KEY).unwrap();
    let mut hints = bot().watch().unwrap();
    within("in place", hints.next()).await.unwrap();
    write(&bot(), 1).await;
    within("the write", hints.next()).await.unwrap();
}

#[tokio::test]
async fn s6_what_is_held_is_bounded_and_need_not_be_ours() {
    let redis = Redis::start().await;
    let store = store(&redis);
    write(&store, 1).await;
    // Two megabytes that nobody asked for.
    let fill = "redis.call('HSET', KEYS[1], 'session', string.rep('x', 2000000))";
    redis.run(&["eval", fill, "1", KEY]);
    let error = store.load().await.unwrap_err();
    is_clean(&error);
    assert!(error.cause().unwrap().contains("larger than"), "{error:?}");

    redis.run(&["hset", KEY, "session", &format!("{{\"access\":\"{TOKEN}\"")]);
    is_clean(&store.load().await.unwrap_err());

    redis.run(&["del", KEY]);
    redis.run(&["set", KEY, TOKEN]);
    let error = store.load().await.unwrap_err();
    is_clean(&error);
    is_clean(
        &store
            .swap(StoreVersion(0), Some(Box::new(session(1))))
            .await
            .unwrap_err(),
    );
    assert_eq!(redis.run(&["get", KEY]), TOKEN, "and it is left alone");
}

#[tokio::test]
async fn s6_a_server_that_quotes_commands_is_not_quoted() {
    let redis = Redis::with(&["--save", "", "--rename-command", "EVALSHA", ""]).await;
    let error = store(&redis)
        .swap(StoreVersion(0), Some(Box::new(session(1))))
        .await;
    is_clean(&error.unwrap_err());
}
