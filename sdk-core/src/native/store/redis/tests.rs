//! What needs no server; the rest is in tests/native/tests/redis.

use super::*;

fn refused(url: &str, key: &str) -> Error {
    RedisStore::new(url, key).unwrap_err()
}

#[test]
fn a_wrong_option_is_named_and_never_quoted() {
    for url in [
        "",
        "localhost",
        "https://localhost",
        "redis://:hunter2@",
        "redis://u:hunter2@localhost:port/",
        "redis://localhost/hunter2",
        "rediss://:hunter2@localhost",
    ] {
        let error = refused(url, "key");
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidOptions, Some("redis.url")),
            "{url}"
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
    }
    let long = "k".repeat(513);
    for key in ["", long.as_str()] {
        assert_eq!(refused("redis://localhost", key).field(), Some("redis.key"));
    }
    for limit in [Duration::ZERO, Duration::from_secs(61)] {
        let builder = RedisStore::builder("redis://localhost", "key").time_limit(limit);
        assert_eq!(builder.build().unwrap_err().field(), Some("redis.timeLimit"));
    }
}

#[test]
fn another_machine_needs_leave() {
    for url in [
        "redis://example.com",
        "redis://10.0.0.1:6379/1",
        "redis://u:hunter2@redis:6379",
    ] {
        let error = refused(url, "key");
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InsecureUrl, Some("redis.url")),
            "{url}"
        );
        let allowed = RedisStore::builder(url, "key").allow_insecure(true).build();
        assert!(allowed.is_ok(), "{url}");
    }
    for url in [
        "redis://localhost",
        "redis://127.0.0.1:7000/2",
        "redis://[::1]",
        "redis+unix:///run/redis.sock?db=1",
    ] {
        assert!(RedisStore::new(url, "key").is_ok(), "{url}");
    }
}

#[tokio::test]
async fn s6_neither_debug_nor_an_error_shows_a_password() {
    for url in [
        "redis://user:hunter2@127.0.0.1:1/0",
        "redis+unix:///nowhere/redis.sock?pass=hunter2",
    ] {
        let builder = RedisStore::builder(url, "key");
        let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
        let error = builder.build().unwrap().load().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StoreFailed);
        let all = format!("{shown} {error} {error:?}");
        assert!(!all.contains("hunter2"), "{all}");
    }
}
