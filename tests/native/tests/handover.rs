//! Handover on real sockets: what the demo found.

use std::time::{Duration, Instant};

use freshsocket::{SocketEvent, SocketState};
use freshsocket_native_tests::{server, signed_in, within};

/// A refusal is over once newer tokens were accepted: the next one is a new story, however short the tokens live.
#[tokio::test]
async fn w8_refusals_with_accepted_tokens_between_them_are_not_added_up() {
    let server = server(|s| {
        s.access_lifetime_ms = 1_000;
        s.fractional_times = true;
        s.enforce_expiry = true;
    })
    .await;
    let session = signed_in(&server).await;
    let socket = session.socket(server.ws_url()).connect().unwrap();
    for _ in 0..2 {
        within("open", socket.wait_for(SocketState::is_open)).await;
        let mut events = socket.events();
        server.expire_tokens();
        within("refused", async {
            while !matches!(events.next().await, Some(SocketEvent::AuthRefused { .. })) {}
        })
        .await;
        let mut handovers = 0;
        within("handovers", async {
            while handovers < 3 {
                match events.next().await {
                    Some(SocketEvent::Opened { handover: true, .. }) => handovers += 1,
                    Some(_) => assert!(!socket.state().is_final(), "{:?}", socket.state()),
                    None => panic!("the client ended"),
                }
            }
        })
        .await;
    }
}

/// Sends move to the new connection once the old one is flushed, and do not wait for the old one's end.
#[tokio::test]
async fn w5_a_handover_off_a_half_open_connection_does_not_stall_sends() {
    let server = server(|s| {
        s.access_lifetime_ms = 2_000;
        s.fractional_times = true;
    })
    .await;
    let session = signed_in(&server).await;
    let mut socket = session.socket(server.ws_url()).connect().unwrap();
    within("open", socket.wait_for(SocketState::is_open)).await;
    let mut events = socket.events();
    server.half_open_all();
    within("handover", async {
        while !matches!(
            events.next().await,
            Some(SocketEvent::Opened { handover: true, .. })
        ) {}
    })
    .await;
    let begun = Instant::now();
    socket.send("after").await.unwrap();
    let echo = within("echo", socket.next()).await.unwrap().unwrap();
    assert_eq!(echo.as_text(), Some("after"));
    // The dead connection's close takes five seconds to be given up.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
