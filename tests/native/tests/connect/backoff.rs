//! W6: attempts are spread by backoff, bounded if asked, and the server's coming back is enough.

use std::time::Duration;

use freshsocket::{ClosedBy, Ended, ErrorKind, SocketState};
use freshsocket_mock_server::{Fault, Kind, Target, Times};
use freshsocket_native_tests::{
    builder, cut, echo, next_where, open_socket, opened, records, seen, server, sign_in, signed_in,
    socket_state, unix_ms, within,
};

#[tokio::test]
async fn w6_an_accept_then_close_server_is_not_hammered() {
    const ATTEMPTS: usize = 9;
    let server = server(|_| {}).await;
    let (base, cap) = (60_u64, 480_u64);
    let session = builder(&server)
        .seed(11)
        .socket_options(|o| {
            (
                o.reconnect.delay.base_ms,
                o.reconnect.delay.cap_ms,
                o.reconnect.delay.factor,
            ) = (base, cap, 2.0);
        })
        .build()
        .await
        .unwrap();
    sign_in(&session, "ada").await;
    let fault = Fault::AcceptThenClose {
        code: Some(1000),
        reason: String::new(),
        after_ms: 0,
    };
    server.fault(Target::Ws, fault, Times::Always);
    let socket = session.socket(server.ws_url()).connect().unwrap();
    let mut states = socket.states();
    let mut announced = Vec::new();
    for expected in 1..u32::try_from(ATTEMPTS).unwrap() {
        let state = next_where("backoff", &mut states, |s| {
            matches!(s, SocketState::Backoff { .. })
        })
        .await;
        let SocketState::Backoff {
            attempt,
            next_attempt,
            ..
        } = state
        else {
            unreachable!()
        };
        // Opening alone proves nothing: the count goes on.
        assert_eq!(attempt, expected);
        let ceiling = cap.min(base << (attempt - 1));
        let wait = next_attempt.saturating_sub(unix_ms());
        assert!(
            wait <= ceiling,
            "{wait} of at most {ceiling} ms at attempt {attempt}"
        );
        announced.push(wait);
    }
    seen("the attempts", &server, |s| {
        s.counters.ws_opened >= ATTEMPTS as u64
    })
    .await;
    let times: Vec<u64> = records(&server, Kind::WsOpen)
        .iter()
        .map(|record| record.at_ms)
        .collect();
    let gaps: Vec<u64> = times.windows(2).map(|two| two[1] - two[0]).collect();
    for (gap, wait) in gaps.iter().zip(&announced) {
        assert!(
            gap + 10 >= *wait,
            "tried {gap} ms after the last, {wait} ms were announced: {gaps:?} {announced:?}"
        );
    }
    // Seeded: these draws are no accident, and add up to much more than nothing.
    assert!(announced.iter().sum::<u64>() > 400, "{announced:?}");
    let distinct: std::collections::BTreeSet<_> = announced.iter().collect();
    assert!(distinct.len() > ATTEMPTS / 2, "full jitter: {announced:?}");
}

#[tokio::test]
async fn w6_max_attempts_end_in_a_named_state() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.fault(
        Target::Ws,
        Fault::RefuseUpgrade {
            status: 404,
            retry_after: None,
        },
        Times::Always,
    );
    let mut socket = session
        .socket(server.ws_url())
        .options(|o| o.reconnect.max_attempts = Some(3))
        .connect()
        .unwrap();
    let queued = within("queued", socket.send("never")).await.unwrap();
    let state = socket_state("closed", &socket, SocketState::is_final).await;
    assert!(
        matches!(
            state,
            SocketState::Closed {
                by: ClosedBy::AttemptsExhausted,
                ..
            }
        ),
        "{state:?}"
    );
    assert_eq!(
        within("failed", queued.sent()).await.unwrap_err().kind(),
        ErrorKind::AttemptsExhausted
    );
    let error = within("the error", socket.next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AttemptsExhausted);
    assert_eq!(server.counters().ws_handshakes, 3);
    // A new start has all attempts again.
    server.clear_faults();
    server.fault(
        Target::Ws,
        Fault::RefuseUpgrade {
            status: 404,
            retry_after: None,
        },
        Times::Next(2),
    );
    socket.connect();
    opened(&socket).await;
    echo(&mut socket, "hello").await;
}

#[tokio::test]
async fn w6_a_healthy_connection_gives_the_attempts_back() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = session
        .socket(server.ws_url())
        .options(|o| o.reconnect.max_attempts = Some(2))
        .connect()
        .unwrap();
    for _ in 0..4 {
        opened(&socket).await;
        // A message from the server proves it healthy.
        echo(&mut socket, "hello").await;
        cut(&server, &socket).await;
    }
    opened(&socket).await;
}

#[tokio::test]
async fn w6_connects_when_the_server_comes_back() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.stop_listening();
    let mut socket = session.socket(server.ws_url()).connect().unwrap();
    let second = |s: &SocketState| matches!(s, SocketState::Backoff { attempt: 2.., .. });
    let state = socket_state("refused connections", &socket, second).await;
    assert!(
        matches!(
            state,
            SocketState::Backoff {
                cause: Ended::Unreachable { .. },
                ..
            }
        ),
        "{state:?}"
    );
    server.listen_again().await.unwrap();
    opened(&socket).await;
    echo(&mut socket, "hello").await;
}

#[tokio::test]
async fn w6_survives_restarts_of_the_server() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = open_socket(&server, &session).await;
    for (n, code) in [(2, None), (3, Some(1012)), (4, Some(1001)), (5, None)] {
        echo(&mut socket, "before").await;
        server
            .restart_after(Duration::from_millis(50), code)
            .await
            .unwrap();
        seen("back", &server, |s| s.counters.ws_opened == n).await;
        opened(&socket).await;
        echo(&mut socket, "after").await;
    }
    // A restart by which all tokens die.
    server.set(|s| s.boot_id = true);
    session.logout().await.unwrap();
    sign_in(&session, "ada").await;
    opened(&socket).await;
    server.restart().await.unwrap();
    seen("a new token", &server, |s| s.counters.refreshes_ok == 1).await;
    opened(&socket).await;
    echo(&mut socket, "with a token of the new boot").await;
}
