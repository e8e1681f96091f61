//! S8: the answer to a refresh that does not arrive whole, after the server has rotated.

use freshsocket::ErrorKind;
use freshsocket_mock_server::Kind;
use freshsocket_native_tests::proxy::{Break, FaultProxy, Way};
use freshsocket_native_tests::{echo, opened, records, seen, server, sign_in, within};

use crate::{open, through};

/// Positions in the answer: before it, in the status line, in a header, in the body.
const AFTER: [usize; 4] = [0, 10, 90, 400];

#[tokio::test]
async fn s8_a_refresh_answer_that_breaks_off_is_asked_for_again_with_the_same_key() {
    for how in [Break::Fin, Break::Reset, Break::Silence] {
        for after in AFTER {
            let server = server(|s| s.honour_idempotency_key = true).await;
            let proxy = FaultProxy::to(server.addr());
            let session = through(&proxy, &server)
                .session_options(|o| {
                    o.refresh.idempotency_header = Some("Idempotency-Key".into());
                    o.request_timeout_ms = 300;
                })
                .build()
                .await
                .unwrap();
            sign_in(&session, "ada").await;
            let mut socket = open(&proxy, &session, |_| {}).await;
            proxy.break_next(Way::Down, after, how);
            server.expire_tokens();
            server.close_all(Some(4401), "");
            seen("open with the second answer", &server, |s| {
                s.counters.ws_opened == 2
            })
            .await;
            opened(&socket).await;
            echo(&mut socket, "after").await;
            assert!(session.state().is_signed_in(), "{how:?} after {after}");
            let refreshes = records(&server, Kind::Refresh);
            let keys: Vec<_> = refreshes.iter().map(|r| r.idempotency_key.clone()).collect();
            // A busy machine may be late with the second answer too.
            assert!(keys.len() >= 2, "{how:?} after {after}");
            let is_one = keys[0].is_some() && keys.iter().all(|key| *key == keys[0]);
            assert!(is_one, "{how:?} after {after}: {keys:?}");
            assert_eq!(server.counters().refreshes_refused, 0);
            within("a token", session.ensure_valid_token()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn s1_a_login_answer_that_breaks_off_is_unreachable_and_signs_nobody_in() {
    for how in [Break::Fin, Break::Reset, Break::Silence] {
        for after in AFTER {
            let server = server(|_| {}).await;
            let proxy = FaultProxy::to(server.addr());
            let session = through(&proxy, &server)
                .session_options(|o| o.request_timeout_ms = 300)
                .build()
                .await
                .unwrap();
            proxy.break_next(Way::Down, after, how);
            let login = session.login([("username", "ada"), ("password", "correct")]);
            let error = within("the login", login).await.unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Unreachable,
                "{how:?} after {after}: {error}"
            );
            assert!(!session.state().is_signed_in());
            sign_in(&session, "ada").await;
        }
    }
}
