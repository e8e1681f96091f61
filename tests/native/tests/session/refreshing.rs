//! S2, S3, S6, S8: a valid token for everybody, by one refresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use freshsocket::{ErrorKind, RefreshReason, Session, SessionEvent, SessionState};
use freshsocket_mock_server::{Fault, Kind, MockServer, Target, Times};
use freshsocket_native_tests::{
    builder, eventually, expired, force_refresh, next_where, records, seen, server, session_state, signed_in,
    supplied, unix_ms, within,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s3_a_thousand_tasks_at_expiry_share_one_refresh() {
    let server = server(|_| {}).await;
    let session = expired(&server, builder(&server)).await;
    server.fault(Target::Refresh, Fault::Hold { act_first: false }, Times::Next(1));
    let asked = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let (session, asked) = (session.clone(), asked.clone());
            tokio::spawn(async move {
                asked.fetch_add(1, Ordering::SeqCst);
                session.ensure_valid_token().await
            })
        })
        .collect();
    eventually("all have asked", || asked.load(Ordering::SeqCst) == 1_000).await;
    seen("the refresh", &server, |s| s.counters.refreshes == 1).await;
    server.release();
    let mut tokens = Vec::new();
    for task in tasks {
        tokens.push(within("a token", task).await.unwrap().unwrap());
    }
    assert_one_new_token(
        &server,
        &session,
        tokens.iter().map(freshsocket::AccessToken::expose),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_eight_threads_at_expiry_share_one_refresh() {
    let server = server(|_| {}).await;
    let session = expired(&server, builder(&server)).await;
    let runtime = tokio::runtime::Handle::current();
    let start = Arc::new(std::sync::Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (session, runtime, start) = (session.clone(), runtime.clone(), start.clone());
            std::thread::spawn(move || {
                start.wait();
                let ask = || runtime.block_on(session.ensure_valid_token()).unwrap();
                (0..100).map(|_| ask().expose().to_owned()).collect::<Vec<_>>()
            })
        })
        .collect();
    let joined = tokio::task::spawn_blocking(|| {
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect::<Vec<_>>()
    });
    let tokens = within("all threads", joined).await.unwrap();
    assert_eq!(tokens.len(), 800);
    assert_one_new_token(&server, &session, tokens.iter().map(String::as_str)).await;
}

/// There was one refresh, and everybody got what it brought.
async fn assert_one_new_token<'a>(
    server: &MockServer,
    session: &Session,
    all: impl Iterator<Item = &'a str>,
) {
    let current = session.ensure_valid_token().await.unwrap();
    assert!(
        all.into_iter().all(|token| token == current.expose()),
        "somebody got another token"
    );
    assert_eq!(server.counters().refreshes, 1);
    assert_eq!(records(server, Kind::Refresh).len(), 1);
}

#[tokio::test]
async fn s3_a_caller_that_gives_up_does_not_cancel_the_refresh() {
    let server = server(|_| {}).await;
    let session = expired(&server, builder(&server)).await;
    server.fault(Target::Refresh, Fault::Hold { act_first: false }, Times::Next(1));
    let first = tokio::spawn({
        let session = session.clone();
        async move { session.ensure_valid_token().await }
    });
    seen("the refresh", &server, |s| s.counters.refreshes == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let limit = Duration::from_millis(1);
    assert!(
        tokio::time::timeout(limit, session.ensure_valid_token())
            .await
            .is_err(),
        "the server is held"
    );
    server.release();
    within("a token", session.ensure_valid_token()).await.unwrap();
    assert_eq!(
        (server.counters().refreshes, server.counters().refreshes_ok),
        (1, 1)
    );
}

#[tokio::test]
async fn s2_expired_and_unreachable_says_when_it_tries_again() {
    let server = server(|_| {}).await;
    let session = expired(&server, builder(&server)).await;
    server.stop_listening();
    let asked_at = unix_ms();
    let error = within("an answer", session.ensure_valid_token())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(
        error.next_attempt_unix_ms().is_some_and(|at| at >= asked_at),
        "{error:?}"
    );
    assert!(session.state().is_signed_in());

    server.listen_again().await.unwrap();
    session_state("active", &session, |s| matches!(s, SessionState::Active { .. })).await;
    within("a token", session.ensure_valid_token()).await.unwrap();
}

#[tokio::test]
async fn s8_a_failed_early_refresh_keeps_the_valid_token() {
    let server = server(|_| {}).await;
    // Valid for a minute, but with a margin of 59.4 s, so that it counts as fresh for the first 600 ms only.
    let builder = builder(&server).session_options(|o| {
        o.refresh.margin_ms = 59_400;
        o.refresh.margin_fraction = 0.9;
        o.refresh.retry.base_ms = 30_000;
        o.refresh.retry.cap_ms = 30_000;
    });
    let session = supplied(&server, builder, Duration::from_secs(60)).await;
    let first = session.ensure_valid_token().await.unwrap();
    server.fault(
        Target::Refresh,
        Fault::Status {
            code: 503,
            retry_after: None,
            body: None,
            content_type: None,
        },
        Times::Always,
    );
    eventually("the margin", || {
        session.is_token_expiring_soon(Some(Duration::from_millis(53_900)))
    })
    .await;
    let still = within("a token", session.ensure_valid_token()).await.unwrap();
    assert_eq!(still.expose(), first.expose());
    assert_eq!(server.counters().refreshes, 1);
    match session.state() {
        SessionState::Unreachable {
            expires_at, cause, ..
        } => {
            assert!(expires_at.is_some_and(|at| at > unix_ms()));
            assert_eq!(cause.status(), Some(503));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn s6_the_timer_refreshes_before_expiry_and_goes_on() {
    let server = server(|s| {
        s.access_lifetime_ms = 1_500;
        s.fractional_times = true;
    })
    .await;
    let session = signed_in(&server).await;
    let mut events = session.events();
    for _ in 0..3 {
        let why = next_where("refresh", &mut events, |e| {
            matches!(e, SessionEvent::RefreshStarted { .. })
        })
        .await;
        assert_eq!(
            why,
            SessionEvent::RefreshStarted {
                why: RefreshReason::Timer
            }
        );
        next_where("refreshed", &mut events, |e| {
            matches!(e, SessionEvent::Refreshed { .. })
        })
        .await;
        let token = session.ensure_valid_token().await.unwrap();
        assert!(
            server
                .tokens_issued()
                .iter()
                .any(|issued| issued == token.expose())
        );
    }
}

#[tokio::test]
async fn s6_a_server_clock_hours_wrong_changes_nothing() {
    for clock_offset_s in [-7_200, 7_200] {
        for omit_iat in [false, true] {
            let server = server(|s| {
                s.clock_offset_s = clock_offset_s;
                s.omit_iat = omit_iat;
                s.access_lifetime_ms = 3_600_000;
            })
            .await;
            let session = signed_in(&server).await;
            let left = Duration::from_secs(3_600);
            assert!(session.is_token_expiring_soon(Some(left + Duration::from_secs(5))));
            assert!(
                !session.is_token_expiring_soon(Some(left.checked_sub(Duration::from_secs(60)).unwrap()))
            );
            session.ensure_valid_token().await.unwrap();
            assert_eq!(server.counters().refreshes, 0);
        }
    }
}

#[tokio::test]
async fn s8_the_new_refresh_token_is_used_and_a_missing_one_keeps_the_old() {
    for rotation in [true, false] {
        let server = server(|s| s.rotation = rotation).await;
        let session = signed_in(&server).await;
        for _ in 0..3 {
            force_refresh(&server, &session).await;
        }
        let counters = server.counters();
        assert_eq!(
            (counters.refreshes_ok, counters.refreshes_refused),
            (3, 0),
            "rotation {rotation}"
        );
        let used: std::collections::BTreeSet<_> = records(&server, Kind::Refresh)
            .into_iter()
            .filter_map(|r| r.token_id)
            .collect();
        assert_eq!(used.len(), if rotation { 3 } else { 1 });
    }
}

#[tokio::test]
async fn s8_an_idempotency_key_is_sent_and_new_for_every_rotation() {
    let server = server(|s| s.honour_idempotency_key = true).await;
    let builder =
        builder(&server).session_options(|o| o.refresh.idempotency_header = Some("Idempotency-Key".into()));
    let session = builder.build().await.unwrap();
    freshsocket_native_tests::sign_in(&session, "ada").await;
    // The answer of the first is lost: the key is sent again, and the server gives its answer again.
    server.fault(Target::Refresh, Fault::DropAnswer, Times::Next(1));
    server.expire_tokens();
    let http = session.http();
    let lost = within(
        "answer",
        http.send(http.client().get(format!("{}/api/me", server.http_url()))),
    )
    .await
    .unwrap();
    assert_eq!(lost.status().as_u16(), 401);
    session_state("active", &session, |s| matches!(s, SessionState::Active { .. })).await;
    force_refresh(&server, &session).await;
    let keys: Vec<_> = records(&server, Kind::Refresh)
        .into_iter()
        .map(|r| r.idempotency_key.unwrap())
        .collect();
    assert_eq!(keys.len(), 3);
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[1], keys[2]);
}
