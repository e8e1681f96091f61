//! Sessions on a Redis.

use freshsocket::{SessionEvent, SessionState, SignOutCause, Store};
use freshsocket_native_tests::redis::{Redis, signal};
use freshsocket_native_tests::{builder, force_refresh, next_where, server, session_state, sign_in, within};

use super::{impatient, store};

#[tokio::test]
async fn s10_what_one_session_does_the_other_follows() {
    let redis = Redis::start().await;
    let server = server(|_| {}).await;
    let one = builder(&server).store(store(&redis)).build().await.unwrap();
    let other = builder(&server)
        .seed(6)
        .store(store(&redis))
        .build()
        .await
        .unwrap();
    sign_in(&one, "ada").await;
    session_state("signed in elsewhere", &other, SessionState::is_signed_in).await;
    force_refresh(&server, &one).await;
    let token = one.ensure_valid_token().await.unwrap();
    let mut states = other.states();
    while other.ensure_valid_token().await.unwrap() != token {
        within("the new pair", states.next()).await.unwrap();
    }
    one.logout().await.unwrap();
    let out = session_state("signed out elsewhere", &other, |s| !s.is_signed_in()).await;
    assert_eq!(
        out,
        SessionState::SignedOut {
            cause: SignOutCause::SignedOutElsewhere
        }
    );
    assert_eq!(server.counters().refreshes, 1);
}

#[tokio::test]
async fn s8_a_redis_that_lost_everything_gets_the_session_back() {
    let mut redis = Redis::start().await;
    let server = server(|_| {}).await;
    let session = builder(&server).store(store(&redis)).build().await.unwrap();
    sign_in(&session, "ada").await;
    redis.kill();
    redis.start_again().await;
    let mut hints = store(&redis).watch().unwrap();
    let judge = store(&redis);
    while judge.load().await.unwrap().session.is_none() {
        within("written back", futures_util::StreamExt::next(&mut hints))
            .await
            .unwrap();
    }
    assert!(session.state().is_signed_in());
    force_refresh(&server, &session).await;
    assert_eq!(server.counters().refreshes_refused, 0);
}

#[tokio::test]
async fn s11_a_redis_that_hangs_hangs_no_session() {
    let redis = Redis::start().await;
    let server = server(|_| {}).await;
    let session = builder(&server).store(impatient(&redis)).build().await.unwrap();
    let mut events = session.events();
    sign_in(&session, "ada").await;
    signal("STOP", redis.pid());
    force_refresh(&server, &session).await;
    next_where("it is told", &mut events, |e| {
        matches!(e, SessionEvent::StoreFailed { .. })
    })
    .await;
    within("sign-out", session.logout()).await.unwrap();
    assert!(!session.state().is_signed_in());
    signal("CONT", redis.pid());
    let after = builder(&server).store(store(&redis)).build();
    let after = within("the next start", after).await.unwrap();
    sign_in(&after, "bob").await;
    assert_eq!(
        store(&redis).load().await.unwrap().session.unwrap().access,
        after.ensure_valid_token().await.unwrap(),
        "it is written again"
    );
}
