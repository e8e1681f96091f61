//! W6: the device's network, and `disconnect`, which wins over everything.

use freshsocket::{ClosedBy, ErrorKind, SocketState};
use freshsocket_mock_server::{Fault, Kind, MockServer, Target, Times};
use freshsocket_native_tests::{
    builder, echo, open_socket, opened, records, seen, server, sign_in, signed_in, socket_state, within,
};

#[tokio::test]
async fn w6_offline_nothing_is_tried_and_online_it_is_tried_at_once() {
    let server = server(|_| {}).await;
    // Without the network's word nothing would be tried within the test's time.
    let builder = builder(&server).seed(3).socket_options(|o| {
        o.reconnect.delay.base_ms = 3_600_000;
        o.reconnect.delay.cap_ms = 3_600_000;
        o.reconnect.max_attempts = Some(2);
    });
    let session = builder.build().await.unwrap();
    sign_in(&session, "ada").await;
    server.stop_listening();
    let mut socket = session.socket(server.ws_url()).connect().unwrap();
    socket_state("backoff", &socket, |s| {
        matches!(s, SocketState::Backoff { attempt: 1, .. })
    })
    .await;
    session.network_changed(false);
    socket_state("offline", &socket, |s| *s == SocketState::Offline).await;
    // A socket made offline waits as well, and keeps what it is given.
    let mut second = session.socket(server.ws_url()).connect().unwrap();
    socket_state("offline", &second, |s| *s == SocketState::Offline).await;
    let queued = within("queued", second.send("later")).await.unwrap();
    server.listen_again().await.unwrap();
    session.network_changed(true);
    opened(&socket).await;
    within("sent", queued.sent()).await.unwrap();
    assert_eq!(freshsocket_native_tests::next_text(&mut second).await, "later");
    echo(&mut socket, "hello").await;
    assert_eq!(server.counters().ws_handshakes, 2);
}

#[tokio::test]
async fn w6_online_again_a_backoff_is_cut_short() {
    let server = server(|_| {}).await;
    let builder = builder(&server).seed(3).socket_options(|o| {
        o.reconnect.delay.base_ms = 3_600_000;
        o.reconnect.delay.cap_ms = 3_600_000;
    });
    let session = builder.build().await.unwrap();
    sign_in(&session, "ada").await;
    server.fault(
        Target::Ws,
        Fault::RefuseUpgrade {
            status: 503,
            retry_after: None,
        },
        Times::Next(1),
    );
    let socket = session.socket(server.ws_url()).connect().unwrap();
    socket_state("backoff", &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
    session.network_changed(false);
    session.network_changed(true);
    opened(&socket).await;
}

/// Tries at a path of the server's.
fn tries(server: &MockServer, path: &str) -> usize {
    let at = |kind| {
        records(server, kind)
            .into_iter()
            .filter(|record| record.path == path)
            .count()
    };
    at(Kind::WsOpen) + at(Kind::WsRefused)
}

#[tokio::test]
async fn w6_disconnect_wins_over_backoff_network_and_refresh() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.stop_listening();
    let mut socket = session
        .socket(format!("{}/closed", server.ws_url()))
        .connect()
        .unwrap();
    let queued = within("queued", socket.send("never")).await.unwrap();
    socket_state("backoff", &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
    within("disconnected", socket.disconnect()).await;
    assert_eq!(
        socket.state(),
        SocketState::Closed {
            by: ClosedBy::Application,
            code: 1000,
            reason: String::new()
        }
    );
    assert_eq!(
        within("failed", queued.sent()).await.unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert!(within("the end", socket.next()).await.is_none());
    server.listen_again().await.unwrap();
    session.network_changed(false);
    session.network_changed(true);
    freshsocket_native_tests::force_refresh(&server, &session).await;
    let mut other = open_socket(&server, &session).await;
    echo(&mut other, "hello").await;
    sign_in(&session, "bob").await;
    seen("bob", &server, |s| s.counters.ws_opened == 2).await;
    assert_eq!(tries(&server, "/ws/closed"), 0);
    assert!(matches!(socket.state(), SocketState::Closed { .. }));
}

#[tokio::test]
async fn w6_disconnect_wins_over_an_attempt_that_is_under_way() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.fault(Target::Ws, Fault::Hold { act_first: false }, Times::Next(1));
    let socket = session
        .socket(format!("{}/held", server.ws_url()))
        .connect()
        .unwrap();
    seen("the handshake", &server, |s| s.counters.ws_handshakes == 1).await;
    within("disconnected", socket.disconnect()).await;
    server.release();
    let mut other = open_socket(&server, &session).await;
    echo(&mut other, "hello").await;
    // The held upgrade goes to nobody: the server finds the connection gone.
    seen("one connection", &server, |s| s.counters.ws_open_now == 1).await;
    assert!(matches!(socket.state(), SocketState::Closed { .. }));
}

#[tokio::test]
async fn w1_disconnect_closes_with_the_code_and_reason_given() {
    for (code, reason, sent_code, sent_reason) in [
        (1000, String::new(), 1000, String::new()),
        (3999, "done".into(), 3999, "done".into()),
        (4999, "ü".repeat(100), 4999, "ü".repeat(61)),
        // Not the application's to send.
        (1006, "x".into(), 1000, "x".into()),
        (99, "x".into(), 1000, "x".into()),
    ] {
        let server = server(|_| {}).await;
        let session = signed_in(&server).await;
        let socket = open_socket(&server, &session).await;
        within("disconnected", socket.disconnect_with(code, &reason)).await;
        seen("closed", &server, |s| s.counters.ws_closed == 1).await;
        let record = &records(&server, Kind::WsClosed)[0];
        assert_eq!(record.close_code, Some(sent_code));
        assert_eq!(record.close_reason.as_deref(), Some(&*sent_reason));
        assert_eq!(record.closed_by, Some(freshsocket_mock_server::ClosedBy::Client));
    }
}
