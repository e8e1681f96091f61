//! S7: what the application tells of wakes, on real sockets.

use freshsocket::{Ended, SocketEvent};
use freshsocket_mock_server::MockServer;
use freshsocket_native_tests::{builder, next_where, opened, server, sign_in};

async fn open(server: &MockServer) -> (freshsocket::Session, freshsocket::Socket) {
    let builder = builder(server).socket_options(|o| {
        // Without a wake nobody would look for an hour.
        o.heartbeat.interval_ms = 3_600_000;
        o.heartbeat.probe_timeout_ms = 300;
    });
    let session = builder.build().await.unwrap();
    sign_in(&session, "ada").await;
    let socket = session.socket(server.ws_url()).connect().unwrap();
    opened(&socket).await;
    (session, socket)
}

#[tokio::test]
async fn s7_a_wake_finds_a_dead_connection_and_replaces_it() {
    let server = server(|_| {}).await;
    let (session, socket) = open(&server).await;
    let mut events = socket.events();
    server.half_open_all();
    session.woke();
    let silent = |event: &SocketEvent| {
        matches!(
            event,
            SocketEvent::Ended {
                ended: Ended::Silent,
                ..
            }
        )
    };
    next_where("the end", &mut events, silent).await;
    opened(&socket).await;
}

#[tokio::test]
async fn s7_a_wake_keeps_a_connection_that_answers() {
    let server = server(|_| {}).await;
    let (session, mut socket) = open(&server).await;
    for _ in 0..20 {
        session.woke();
        session.network_changed(true);
        session.foreground_changed(false);
        session.foreground_changed(true);
    }
    // Whatever follows from the wakes follows before this, on the same connection.
    socket.send("still here").await.unwrap();
    let echo = socket.next().await.unwrap().unwrap();
    assert_eq!(echo.as_text(), Some("still here"));
    assert_eq!(server.counters().ws_opened, 1);
}

#[tokio::test]
async fn s7_coming_to_the_foreground_ends_a_delay() {
    let server = server(|_| {}).await;
    let builder = builder(&server).seed(3).socket_options(|o| {
        o.reconnect.delay.base_ms = 3_600_000;
        o.reconnect.delay.cap_ms = 3_600_000;
    });
    let session = builder.build().await.unwrap();
    sign_in(&session, "ada").await;
    let socket = session.socket(server.ws_url()).connect().unwrap();
    opened(&socket).await;
    session.foreground_changed(false);
    let mut events = socket.events();
    server.cut_all();
    let ended = |event: &SocketEvent| matches!(event, SocketEvent::Ended { .. });
    next_where("the end", &mut events, ended).await;
    session.foreground_changed(true);
    opened(&socket).await;
}
