//! W10: messages that wait for a connection are bounded, and nothing disappears silently.

use freshsocket::options::{OutboxMode, SocketOptions, WhenFull};
use freshsocket::{ErrorKind, SendStatus, Sending, Session, Socket, SocketEvent, SocketState};
use freshsocket_mock_server::{Fault, MockServer, Target, Times};
use freshsocket_native_tests::{
    events, next_text, next_where, opened, server, signed_in, socket_state, within,
};

/// A socket whose connects fail until the faults are cleared.
async fn down(server: &MockServer, session: &Session, change: impl FnOnce(&mut SocketOptions)) -> Socket {
    server.fault(
        Target::Ws,
        Fault::RefuseUpgrade {
            status: 503,
            retry_after: None,
        },
        Times::Always,
    );
    let socket = session.socket(server.ws_url()).options(change).connect().unwrap();
    socket_state("backoff", &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
    socket
}

async fn queue(socket: &Socket, text: &str) -> Sending {
    let sending = within("queued", socket.send(text)).await.unwrap();
    assert_eq!(sending.status(), SendStatus::Queued);
    sending
}

#[tokio::test]
async fn w10_queued_messages_are_sent_in_order_when_the_connection_is_there() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = down(&server, &session, |_| {}).await;
    let mut sendings = Vec::new();
    for n in 1..=100 {
        sendings.push(queue(&socket, &n.to_string()).await);
    }
    assert!(sendings.windows(2).all(|two| two[0].number() < two[1].number()));
    server.clear_faults();
    for sending in &sendings {
        within("sent", sending.sent()).await.unwrap();
        assert_eq!(sending.status(), SendStatus::Sent);
    }
    for n in 1..=100 {
        assert_eq!(next_text(&mut socket).await, n.to_string());
    }
    let direct = within("sent", socket.send("direct")).await.unwrap();
    assert_eq!(direct.status(), SendStatus::Sent);
}

#[tokio::test]
async fn w10_without_a_queue_messages_are_refused_at_once() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = down(&server, &session, |o| o.outbox.mode = OutboxMode::Reject).await;
    let mut events = events(&socket);
    let error = within("refused", socket.send("now or never")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    let failed = next_where("told", &mut events, |e| {
        matches!(e, SocketEvent::SendFailed { .. })
    })
    .await;
    assert!(matches!(failed, SocketEvent::SendFailed { error: told, .. } if told == error));
    server.clear_faults();
    opened(&socket).await;
    within("sent", socket.send("now")).await.unwrap();
    assert_eq!(next_text(&mut socket).await, "now");
}

#[tokio::test]
async fn w10_a_full_queue_refuses_the_new_or_drops_the_oldest() {
    for (max_messages, max_bytes) in [(3, 1_000), (1_000, 12)] {
        let server = server(|_| {}).await;
        let session = signed_in(&server).await;
        let bounds = |o: &mut SocketOptions| {
            (o.outbox.max_messages, o.outbox.max_bytes) = (max_messages, max_bytes);
        };
        let mut refuses = down(&server, &session, bounds).await;
        let mut drops = down(&server, &session, |o| {
            bounds(o);
            o.outbox.when_full = WhenFull::DropOldest;
        })
        .await;
        let mut sendings = Vec::new();
        for text in ["aaaa", "bbbb", "cccc"] {
            queue(&refuses, text).await;
            sendings.push(queue(&drops, text).await);
        }
        let error = within("refused", refuses.send("dddd")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutboxFull);
        let last = queue(&drops, "dddd").await;
        assert_eq!(
            within("dropped", sendings[0].sent()).await.unwrap_err().kind(),
            ErrorKind::OutboxFull
        );
        assert_eq!(sendings[1].status(), SendStatus::Queued);
        server.clear_faults();
        within("sent", last.sent()).await.unwrap();
        assert_eq!(next_text(&mut drops).await, "bbbb");
        assert_eq!(next_text(&mut refuses).await, "aaaa");
    }
}

#[tokio::test]
async fn w10_messages_that_wait_too_long_expire() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = down(&server, &session, |o| o.outbox.max_age_ms = 150).await;
    let old = queue(&socket, "old").await;
    let error = within("expired", old.sent()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MessageExpired);
    assert_eq!(old.status(), SendStatus::Failed(error));
    server.clear_faults();
    opened(&socket).await;
    within("sent", socket.send("new")).await.unwrap();
    assert_eq!(next_text(&mut socket).await, "new");
}

#[tokio::test]
async fn w10_messages_to_a_socket_just_made_wait_for_it() {
    // Said right after `connect`, before the driver can have heard of the socket.
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    for _ in 0..50 {
        let mut socket = session.socket(server.ws_url()).connect().unwrap();
        let sending = within("queued", socket.send("first")).await.unwrap();
        within("sent", sending.sent()).await.unwrap();
        assert_eq!(next_text(&mut socket).await, "first");
    }
}

#[tokio::test]
async fn w11_messages_above_the_limit_are_refused_with_and_without_a_connection() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = down(&server, &session, |o| o.limits.max_message_bytes = 1_000).await;
    let too_large = "x".repeat(1_001);
    assert_eq!(
        socket.send(too_large.as_str()).await.unwrap_err().kind(),
        ErrorKind::MessageTooLarge
    );
    server.clear_faults();
    opened(&socket).await;
    assert_eq!(
        socket.send(too_large.as_str()).await.unwrap_err().kind(),
        ErrorKind::MessageTooLarge
    );
    let largest = "x".repeat(1_000);
    within("sent", socket.send(largest.as_str())).await.unwrap();
    assert_eq!(next_text(&mut socket).await, largest);
}
