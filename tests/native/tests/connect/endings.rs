//! W7, W9, P3: how connections end, and what readiness is.

use freshsocket::options::{CloseAction, Matcher};
use freshsocket::{ClosedBy, Ended, ErrorKind, Json, Socket, SocketEvent, SocketState};
use freshsocket_mock_server::{Fault, MockServer, Target, Times};
use freshsocket_native_tests::{
    echo, events, next_text, next_where, open_socket, opened, seen, server, signed_in, socket_state, within,
};

/// How the application's connection ended, when the server does this to it.
async fn ended(socket: &Socket, act: impl FnOnce() -> usize) -> (Ended, bool) {
    let mut events = events(socket);
    act();
    let event = next_where("ended", &mut events, |e| matches!(e, SocketEvent::Ended { .. })).await;
    let SocketEvent::Ended { ended, will_retry } = event else {
        unreachable!()
    };
    (ended, will_retry)
}

#[tokio::test]
async fn w7_ordinary_codes_no_code_and_cuts_are_retried() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = open_socket(&server, &session).await;
    let close = |code, reason: &str| Ended::Closed {
        code,
        reason: reason.into(),
    };
    for (code, expected) in [
        (Some(1000), close(1000, "why")),
        (Some(1001), close(1001, "why")),
        (Some(1011), close(1011, "why")),
        (Some(1012), close(1012, "why")),
        (Some(1013), close(1013, "why")),
        (Some(4000), close(4000, "why")),
        (None, close(1005, "")),
    ] {
        echo(&mut socket, "hello").await;
        assert_eq!(
            ended(&socket, || server.close_all(code, "why")).await,
            (expected, true)
        );
        opened(&socket).await;
    }
    echo(&mut socket, "hello").await;
    let (end, will_retry) = ended(&socket, || server.cut_all()).await;
    assert!(matches!(end, Ended::Lost { .. }) && will_retry, "{end:?}");
    assert_eq!(end.code(), 1006);
    opened(&socket).await;
    server.fault(Target::Ws, Fault::AcceptThenCut, Times::Next(1));
    server.cut_all();
    seen("the third", &server, |s| s.counters.ws_opened == 11).await;
    echo(&mut socket, "hello").await;
    assert_eq!(server.counters().refreshes, 0);
}

#[tokio::test]
async fn w7_4403_ends_the_socket() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = open_socket(&server, &session).await;
    server.close_all(Some(4403), "banned");
    let state = socket_state("closed", &socket, SocketState::is_final).await;
    assert_eq!(
        state,
        SocketState::Closed {
            by: ClosedBy::Server,
            code: 4403,
            reason: "banned".into()
        }
    );
    let error = within("the error", socket.next()).await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.cause()),
        (ErrorKind::Closed, Some("close code 4403"))
    );
    assert!(within("the end", socket.next()).await.is_none());
    assert_eq!(
        within("send", socket.send("x")).await.unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert_eq!(server.counters().ws_handshakes, 1);
    assert!(session.state().is_signed_in());
    socket.connect();
    opened(&socket).await;
    echo(&mut socket, "again").await;
}

#[tokio::test]
async fn w7_protocol_errors_stop_when_they_repeat() {
    for code in [1002, 1003, 1007, 1009, 1010] {
        let server = server(|_| {}).await;
        let session = signed_in(&server).await;
        let fault = Fault::AcceptThenClose {
            code: Some(code),
            reason: "no".into(),
            after_ms: 0,
        };
        server.fault(Target::Ws, fault, Times::Always);
        let socket = session.socket(server.ws_url()).connect().unwrap();
        let state = socket_state("closed", &socket, SocketState::is_final).await;
        assert_eq!(
            state,
            SocketState::Closed {
                by: ClosedBy::Server,
                code,
                reason: "no".into()
            }
        );
        assert_eq!(server.counters().ws_handshakes, 2, "{code}");
    }
}

#[tokio::test]
async fn w7_the_table_of_codes_is_extended_by_option() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let table = [
        (1000, CloseAction::Stop),
        (4403, CloseAction::Retry),
        (4999, CloseAction::RefreshThenRetry),
    ];
    let mut socket = session
        .socket(server.ws_url())
        .options(|o| o.close_codes.extend(table))
        .connect()
        .unwrap();
    opened(&socket).await;
    echo(&mut socket, "one").await;
    server.close_all(Some(4403), "");
    seen("retried", &server, |s| s.counters.ws_opened == 2).await;
    echo(&mut socket, "two").await;
    assert_eq!(server.counters().refreshes, 0);
    server.close_all(Some(4999), "");
    seen("refreshed and retried", &server, |s| s.counters.ws_opened == 3).await;
    echo(&mut socket, "three").await;
    assert_eq!(server.counters().refreshes, 1);
    server.close_all(Some(1000), "bye");
    let state = socket_state("closed", &socket, SocketState::is_final).await;
    assert_eq!(
        state,
        SocketState::Closed {
            by: ClosedBy::Server,
            code: 1000,
            reason: "bye".into()
        }
    );
}

fn welcome() -> Matcher {
    Matcher::new([("/type", Json::from("connected"))])
}

async fn waits_for_welcome(server: &MockServer) -> Socket {
    let session = signed_in(server).await;
    let socket = session.socket(server.ws_url()).options(|o| {
        o.ready = Some(welcome());
        o.connect_timeout_ms = 300;
    });
    socket.connect().unwrap()
}

#[tokio::test]
async fn p3_a_welcome_makes_the_connection_ready() {
    let server = server(|s| s.welcome = true).await;
    let mut socket = waits_for_welcome(&server).await;
    let sending = within("queued", socket.send("early")).await.unwrap();
    opened(&socket).await;
    within("sent", sending.sent()).await.unwrap();
    assert!(
        next_text(&mut socket).await.contains(r#""type":"connected""#),
        "it is delivered as well"
    );
    assert_eq!(next_text(&mut socket).await, "early");
}

#[tokio::test]
async fn p3_a_welcome_that_comes_too_late_is_a_failed_attempt() {
    let server = server(|s| (s.welcome, s.welcome_delay_ms) = (true, 60_000)).await;
    let mut socket = waits_for_welcome(&server).await;
    let state = socket_state("backoff", &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
    assert!(
        matches!(
            state,
            SocketState::Backoff {
                cause: Ended::TimedOut,
                attempt: 1,
                ..
            }
        ),
        "{state:?}"
    );
    let second = |s: &SocketState| matches!(s, SocketState::Backoff { attempt: 2, .. });
    socket_state("a second", &socket, second).await;
    server.set(|s| s.welcome_delay_ms = 0);
    opened(&socket).await;
    assert!(next_text(&mut socket).await.contains("connected"));
    echo(&mut socket, "hello").await;
}

#[tokio::test]
async fn w6_a_slow_upgrade_times_out_and_is_tried_again() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.fault(Target::Ws, Fault::SlowUpgrade { ms: 60_000 }, Times::Next(1));
    let mut socket = session
        .socket(server.ws_url())
        .options(|o| o.connect_timeout_ms = 200)
        .connect()
        .unwrap();
    let state = socket_state("backoff", &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
    assert!(
        matches!(
            state,
            SocketState::Backoff {
                cause: Ended::TimedOut,
                ..
            }
        ),
        "{state:?}"
    );
    opened(&socket).await;
    echo(&mut socket, "hello").await;
}

#[tokio::test]
async fn w9_a_half_open_connection_is_noticed_and_replaced() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let connect = || {
        let socket = session.socket(server.ws_url()).options(|o| {
            o.heartbeat.interval_ms = 100;
            o.heartbeat.timeout_ms = 400;
        });
        socket.connect().unwrap()
    };
    let mut healthy = connect();
    opened(&healthy).await;
    server.fault(Target::Ws, Fault::HalfOpen, Times::Next(1));
    let mut frozen = connect();
    let (end, will_retry) = ended(&frozen, || 0).await;
    assert_eq!((end, will_retry), (Ended::Silent, true));
    opened(&frozen).await;
    echo(&mut frozen, "alive").await;
    // In all that time an idle connection whose server answers the pings was left alone.
    echo(&mut healthy, "alive").await;
    assert_eq!(server.counters().ws_handshakes, 3);
}

#[tokio::test]
async fn w9_the_servers_pings_are_answered_while_the_application_does_not_read() {
    let server = server(|s| s.heartbeat_interval_ms = 150).await;
    let session = signed_in(&server).await;
    let mut idle = open_socket(&server, &session).await;
    // The frozen one is dropped by the server after two intervals at most; ten of them pass by this measure.
    let mut clock = session.socket(server.ws_url()).connect().unwrap();
    server.flood(freshsocket_mock_server::Flood {
        count: 11,
        per_second: 7,
        ..Default::default()
    });
    for _ in 0..9 {
        next_text(&mut clock).await;
    }
    assert_eq!(server.counters().ws_closed, 0);
    assert!(next_text(&mut idle).await.contains("tick"));
}

#[tokio::test]
async fn w9_an_application_heartbeat_replaces_the_ping() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = session
        .socket(server.ws_url())
        .options(|o| {
            o.heartbeat.interval_ms = 100;
            o.heartbeat.timeout_ms = 2_000;
            o.heartbeat.message = Some(Json::object([("type", Json::from("ping"))]));
            o.heartbeat.reply = Some(Matcher::new([("/type", Json::from("pong"))]));
        })
        .connect()
        .unwrap();
    opened(&socket).await;
    seen("three heartbeats", &server, |s| s.counters.messages_in >= 3).await;
    let sending = socket.send("hello").await.unwrap();
    within("sent", sending.sent()).await.unwrap();
    assert_eq!(
        next_text(&mut socket).await,
        "hello",
        "the answers are not delivered"
    );
    assert_eq!(server.counters().ws_handshakes, 1);
}
