//! W7, W8: a refused credential is refreshed once, and never tried for ever.

use freshsocket::options::Preset;
use freshsocket::{Ended, ErrorKind, Json, SocketEvent, SocketState, options::Matcher};
use freshsocket_mock_server::{Fault, Kind, Refusal, RetryAfter, Target, Times};
use freshsocket_native_tests::{
    attempts_until_open, builder, echo, events, force_refresh, next_where, open_socket, opened, records,
    seen, server, signed_in, socket_state, unix_ms, within,
};

fn close(code: u16) -> Refusal {
    Refusal::Close {
        code: Some(code),
        reason: String::new(),
    }
}

fn message(code: Option<u16>) -> Refusal {
    Refusal::Message {
        code,
        reason: String::new(),
    }
}

#[tokio::test]
async fn w8_an_expired_token_is_refreshed_however_the_server_refuses_it() {
    for refusal in [
        Refusal::Http { status: 401 },
        Refusal::Http { status: 403 },
        close(4401),
        close(1008),
        close(3000),
        message(None),
        message(Some(1000)),
        message(Some(1008)),
        message(Some(4401)),
    ] {
        let what = format!("{refusal:?}");
        let server = server(|s| s.refusal = refusal).await;
        let session = signed_in(&server).await;
        server.expire_tokens();
        let mut socket = session.socket(server.ws_url()).connect().unwrap();
        seen(&what, &server, |s| s.counters.ws_opened == 1).await;
        opened(&socket).await;
        let counters = server.counters();
        assert_eq!((counters.ws_handshakes, counters.refreshes), (2, 1), "{what}");
        let sending = socket.send("hello").await.unwrap();
        within("sent", sending.sent()).await.unwrap();
        // What the refused connection said, if anything, comes first.
        while freshsocket_native_tests::next_text(&mut socket).await != "hello" {}
    }
}

#[tokio::test]
async fn w8_4401_after_open_is_refreshed_and_reconnected() {
    for code in [4401, 1008, 3000] {
        let server = server(|_| {}).await;
        let session = signed_in(&server).await;
        let mut socket = open_socket(&server, &session).await;
        echo(&mut socket, "one").await;
        let mut events = events(&socket);
        server.close_all(Some(code), "");
        assert_eq!(
            attempts_until_open(&mut events).await,
            [2],
            "with the new token, at once"
        );
        echo(&mut socket, "two").await;
        let counters = server.counters();
        assert_eq!(
            (counters.ws_handshakes, counters.refreshes, counters.ws_expired),
            (2, 1, 0)
        );
    }
}

#[tokio::test]
async fn w8_a_second_refusal_with_a_newly_issued_token_is_final() {
    for fault in [
        Fault::RefuseUpgrade {
            status: 401,
            retry_after: None,
        },
        Fault::RefuseUpgrade {
            status: 403,
            retry_after: None,
        },
        Fault::AcceptThenClose {
            code: Some(4401),
            reason: String::new(),
            after_ms: 0,
        },
        Fault::AcceptThenClose {
            code: Some(1008),
            reason: String::new(),
            after_ms: 0,
        },
        Fault::ErrorMessageThenClose {
            message: "Token required".into(),
            code: None,
        },
    ] {
        let what = format!("{fault:?}");
        let server = server(|_| {}).await;
        let session = signed_in(&server).await;
        server.fault(Target::Ws, fault, Times::Always);
        let mut socket = session
            .socket(format!("{}/first", server.ws_url()))
            .connect()
            .unwrap();
        socket_state(&what, &socket, |s| matches!(s, SocketState::Refused { .. })).await;
        assert_eq!(
            within("send", socket.send("x")).await.unwrap_err().kind(),
            ErrorKind::Refused
        );
        let error = loop {
            // What the server said before it closed is delivered first.
            match within("the end", socket.next()).await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Refused, "{what}");

        // Whatever happens now, there is no third attempt: not when the network comes, nor with yet another token,
        // nor when the server would take it.
        server.clear_faults();
        session.network_changed(false);
        session.network_changed(true);
        force_refresh(&server, &session).await;
        let mut other = open_socket(&server, &session).await;
        echo(&mut other, "hello").await;
        let attempts = |kind| {
            records(&server, kind)
                .into_iter()
                .filter(|r| r.path == "/ws/first")
                .count()
        };
        assert_eq!(attempts(Kind::WsOpen) + attempts(Kind::WsRefused), 2, "{what}");
        assert_eq!(server.counters().ws_handshakes, 3);
        assert_eq!(server.counters().refreshes, 2);
        assert!(session.state().is_signed_in());

        // The application may.
        socket.connect();
        opened(&socket).await;
        echo(&mut socket, "welcome back").await;
    }
}

#[tokio::test]
async fn w8_a_refused_token_that_is_no_longer_current_costs_no_refresh() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.fault(Target::Ws, Fault::Hold { act_first: false }, Times::Next(1));
    let socket = session
        .socket(server.ws_url())
        .options(|o| o.auto_connect = false)
        .connect()
        .unwrap();
    let mut events = events(&socket);
    socket.connect();
    seen("the handshake", &server, |s| s.counters.ws_handshakes == 1).await;
    force_refresh(&server, &session).await;
    server.release();
    assert_eq!(attempts_until_open(&mut events).await, [1, 2]);
    let counters = server.counters();
    assert_eq!(
        (counters.ws_handshakes, counters.refreshes, counters.ws_expired),
        (2, 1, 1)
    );
}

#[tokio::test]
async fn w8_without_a_way_to_refresh_a_refusal_is_final_at_once() {
    let server = server(|_| {}).await;
    let session = builder(&server).preset(Preset::TokenOnly).build().await.unwrap();
    session
        .login([("email", "ada@example.com"), ("password", "correct")])
        .await
        .unwrap();
    server.expire_tokens();
    let socket = session.socket(server.ws_url()).connect().unwrap();
    let state = socket_state("refused", &socket, |s| matches!(s, SocketState::Refused { .. })).await;
    assert_eq!(
        state,
        SocketState::Refused {
            cause: Ended::Http { status: 401 }
        }
    );
    assert_eq!(server.counters().ws_handshakes, 1);
}

#[tokio::test]
async fn w8_a_refusal_while_the_auth_server_is_gone_waits_for_it() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.expire_tokens();
    server.fault(Target::Refresh, Fault::Unavailable, Times::Next(4));
    let mut socket = session.socket(server.ws_url()).connect().unwrap();
    opened(&socket).await;
    echo(&mut socket, "hello").await;
    let counters = server.counters();
    assert_eq!(counters.refreshes, 5);
    assert_eq!(
        counters.ws_handshakes, 2,
        "no attempt with the refused token in between"
    );
}

#[tokio::test]
async fn p3_a_configured_auth_message_counts_without_a_close() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let refusal = Matcher::new([("/kind", Json::from("kicked"))]);
    let socket = session
        .socket(server.ws_url())
        .options(|o| o.auth_error = Some(vec![refusal]))
        .connect()
        .unwrap();
    opened(&socket).await;
    let mut events = events(&socket);
    server.send_to_user("ada", r#"{"kind":"kicked"}"#);
    let refused = next_where("refused", &mut events, |e| {
        matches!(e, SocketEvent::AuthRefused { .. })
    })
    .await;
    assert_eq!(
        refused,
        SocketEvent::AuthRefused {
            ended: Ended::AuthMessage
        }
    );
    assert_eq!(attempts_until_open(&mut events).await, [2]);
    assert_eq!(server.counters().refreshes, 1);
}

#[tokio::test]
async fn w6_other_statuses_at_the_upgrade_back_off_and_honour_retry_after() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    for (status, retry_after, least_ms) in [
        (404, None, 0),
        (500, None, 0),
        (503, Some(RetryAfter::Seconds(1)), 1_000),
        (429, Some(RetryAfter::Seconds(1)), 1_000),
    ] {
        server.fault(
            Target::Ws,
            Fault::RefuseUpgrade { status, retry_after },
            Times::Next(1),
        );
        let before = unix_ms();
        let mut socket = session.socket(server.ws_url()).connect().unwrap();
        let state = socket_state("backoff", &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
        let SocketState::Backoff {
            attempt,
            cause,
            next_attempt,
        } = state
        else {
            unreachable!()
        };
        assert_eq!((attempt, cause), (1, Ended::Http { status }));
        assert!(next_attempt >= before + least_ms, "{status}");
        opened(&socket).await;
        assert!(unix_ms() + 5 >= next_attempt, "not earlier than announced");
        echo(&mut socket, "hello").await;
    }
    assert_eq!(server.counters().refreshes, 0);
}
