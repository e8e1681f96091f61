//! S1, S8, section 6: answers that are not what they should be each have their name, and end no session.

use std::time::Duration;

use freshsocket::{Error, ErrorKind, Session, SessionState};
use freshsocket_mock_server::{Fault, MockServer, RetryAfter, Target, Times};
use freshsocket_native_tests::{
    builder, echo, expired, memory_kb, opened, seen, server, session_state, signed_in, unix_ms, within,
};

fn status(code: u16) -> Fault {
    Fault::Status {
        code,
        retry_after: None,
        body: None,
        content_type: None,
    }
}

fn text(code: u16, body: &str) -> Fault {
    Fault::Status {
        code,
        retry_after: None,
        body: Some(body.into()),
        content_type: Some("application/json".into()),
    }
}

/// What is wrong with an answer, by which kind a sign-in fails, and by which a refresh.
fn bad_answers() -> Vec<(Fault, ErrorKind, ErrorKind)> {
    use ErrorKind::{AnswerTooLarge, LoginRefused, MalformedAnswer, Unreachable};
    vec![
        (Fault::Html { status: 200 }, MalformedAnswer, MalformedAnswer),
        (Fault::Html { status: 502 }, Unreachable, Unreachable),
        (Fault::Malformed, MalformedAnswer, MalformedAnswer),
        (text(200, ""), MalformedAnswer, MalformedAnswer),
        (text(200, "[]"), MalformedAnswer, MalformedAnswer),
        (text(200, r#"{"access":""}"#), MalformedAnswer, MalformedAnswer),
        (text(200, r#"{"access":17}"#), MalformedAnswer, MalformedAnswer),
        (text(200, r#"{"access":null}"#), MalformedAnswer, MalformedAnswer),
        (text(200, "\u{0}\u{1}"), MalformedAnswer, MalformedAnswer),
        (status(204), MalformedAnswer, MalformedAnswer),
        (status(500), Unreachable, Unreachable),
        (status(503), Unreachable, Unreachable),
        (status(429), Unreachable, Unreachable),
        // A page that says 401 is a captive portal: no sign-in, but no sign-out either.
        (Fault::Html { status: 401 }, LoginRefused, Unreachable),
        (text(403, r#"{"detail":"blocked"}"#), LoginRefused, Unreachable),
        (text(404, r#"{"detail":"Not found."}"#), LoginRefused, Unreachable),
        (Fault::Unavailable, Unreachable, Unreachable),
        (Fault::HugeBody { bytes: 2 << 20 }, AnswerTooLarge, AnswerTooLarge),
        (
            Fault::Redirect {
                to: "/api/auth/login/".into(),
                status: 307,
            },
            MalformedAnswer,
            MalformedAnswer,
        ),
    ]
}

#[tokio::test]
async fn s1_bad_answers_to_a_sign_in_are_named() {
    let server = server(|_| {}).await;
    let session = builder(&server).build().await.unwrap();
    for (fault, kind, _) in bad_answers() {
        let what = format!("{fault:?}");
        server.fault(Target::Login, fault, Times::Always);
        let error = within(
            &what,
            session.login([("username", "ada"), ("password", "correct")]),
        )
        .await
        .unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert!(!session.state().is_signed_in());
    }
    server.clear_faults();
    let error = session
        .login([("username", "ada"), ("password", "wrong")])
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::LoginRefused, Some(401))
    );
    assert_eq!(
        error.cause(),
        Some("No active account found with the given credentials")
    );
    freshsocket_native_tests::sign_in(&session, "ada").await;
}

#[tokio::test]
async fn s8_bad_answers_to_a_refresh_are_named_and_keep_the_session() {
    for (fault, _, kind) in bad_answers() {
        let what = format!("{fault:?}");
        let server = server(|_| {}).await;
        let session = expired(&server, builder(&server)).await;
        let redirect_loop = matches!(fault, Fault::Redirect { .. });
        let fault = if redirect_loop {
            Fault::Redirect {
                to: "/api/auth/token/refresh/".into(),
                status: 307,
            }
        } else {
            fault
        };
        server.fault(Target::Refresh, fault, Times::Always);
        assert_eq!(refresh_failure(&session).await.kind(), kind, "{what}");
        server.clear_faults();
        session_state(&what, &session, |s| matches!(s, SessionState::Active { .. })).await;
    }
}

/// The cause for which an expired session is unreachable.
async fn refresh_failure(session: &Session) -> Error {
    let error = within("an answer", session.ensure_valid_token())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let state = session_state("unreachable", session, |s| {
        matches!(s, SessionState::Unreachable { .. })
    })
    .await;
    let SessionState::Unreachable { cause, .. } = state else {
        unreachable!()
    };
    cause
}

#[tokio::test]
async fn s8_retry_after_is_honoured_in_both_forms() {
    for retry_after in [RetryAfter::Seconds(30), RetryAfter::DateIn(30)] {
        for code in [429, 503] {
            let server = server(|_| {}).await;
            let session = expired(&server, builder(&server)).await;
            let fault = Fault::Status {
                code,
                retry_after: Some(retry_after),
                body: None,
                content_type: None,
            };
            server.fault(Target::Refresh, fault, Times::Always);
            let before = unix_ms();
            let error = within("an answer", session.ensure_valid_token())
                .await
                .unwrap_err();
            // A date has whole seconds.
            let next = error.next_attempt_unix_ms().unwrap();
            assert!(
                next >= before + 28_500 && next <= unix_ms() + 35_000,
                "{} ms",
                next.abs_diff(before)
            );
            assert_eq!(server.counters().refreshes, 1);
        }
    }
}

#[tokio::test]
async fn s1_too_many_failed_sign_ins_are_unreachable_and_not_refused() {
    let server = server(|s| s.failed_auth_limit = 1).await;
    let session = builder(&server).build().await.unwrap();
    let wrong = || session.login([("username", "ada"), ("password", "wrong")]);
    assert_eq!(wrong().await.unwrap_err().kind(), ErrorKind::LoginRefused);
    let error = wrong().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::Unreachable, Some(429))
    );
}

#[tokio::test]
async fn s6_a_body_of_100_mb_is_refused_without_being_kept() {
    let server = server(|_| {}).await;
    let session = expired(&server, builder(&server)).await;
    server.fault(Target::Http, Fault::HugeBody { bytes: 100 << 20 }, Times::Always);
    let before = memory_kb("VmHWM");
    let error = within(
        "login",
        session.login([("username", "ada"), ("password", "correct")]),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AnswerTooLarge);
    assert_eq!(refresh_failure(&session).await.kind(), ErrorKind::AnswerTooLarge);
    // Other tests run in this process; none of them comes near this either.
    let grown = memory_kb("VmHWM") - before;
    assert!(grown < 48 << 10, "{grown} kB more");
}

#[tokio::test]
async fn s1_answers_that_take_too_long_count_as_unreachable() {
    let server = server(|_| {}).await;
    let short = builder(&server).session_options(|o| o.request_timeout_ms = 100);
    let session = expired(&server, short).await;
    server.fault(Target::Http, Fault::DelayAnswer { ms: 60_000 }, Times::Always);
    let error = within(
        "login",
        session.login([("username", "ada"), ("password", "correct")]),
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(refresh_failure(&session).await.kind(), ErrorKind::Unreachable);
    assert_eq!(session.verify().await.unwrap_err().kind(), ErrorKind::Unreachable);
    assert!(!session.logout().await.unwrap(), "not confirmed, but done");
    assert!(!session.state().is_signed_in());
}

#[tokio::test]
async fn w8_identical_tokens_in_one_second_are_told_apart_by_number() {
    // Refused once: the next attempt carries the new token, whose text is the same.
    let (server, session) = identical_twice(1).await;
    let mut socket = session.socket(server.ws_url()).connect().unwrap();
    opened(&socket).await;
    echo(&mut socket, "hello").await;
    assert_eq!(
        (server.counters().ws_handshakes, server.counters().refreshes),
        (2, 1)
    );

    // Refused twice: a newly issued token was refused too.
    let (server, session) = identical_twice(2).await;
    let socket = session.socket(server.ws_url()).connect().unwrap();
    within("refused", socket.wait_for(|s| s.name() == "refused"))
        .await
        .unwrap();
    assert_eq!(
        (server.counters().ws_handshakes, server.counters().refreshes),
        (2, 1)
    );
}

/// A session whose first refresh gives the same token again, because the server's clock stands at a second's beginning.
async fn identical_twice(refusals: u32) -> (MockServer, Session) {
    let server = server(|s| s.omit_jti = true).await;
    let session = signed_in(&server).await;
    server.fault(
        Target::Ws,
        Fault::RefuseUpgrade {
            status: 401,
            retry_after: None,
        },
        Times::Next(refusals),
    );
    let first = session.ensure_valid_token().await.unwrap();
    let body = format!(r#"{{"access":"{}"}}"#, first.expose());
    server.fault(Target::Refresh, text(200, &body), Times::Next(1));
    (server, session)
}

#[tokio::test]
async fn s8_a_server_gone_for_a_while_is_found_again_without_help() {
    let server = server(|_| {}).await;
    let session = expired(&server, builder(&server)).await;
    server.fault(Target::Refresh, Fault::Unavailable, Times::Next(6));
    assert_eq!(refresh_failure(&session).await.kind(), ErrorKind::Unreachable);
    seen("retries", &server, |s| s.counters.refreshes_ok == 1).await;
    let token = within("a token", session.ensure_valid_token()).await.unwrap();
    assert!(!token.expose().is_empty());
    assert_eq!(server.counters().refreshes, 7);
    assert!(!session.is_token_expiring_soon(Some(Duration::from_secs(200))));
}
