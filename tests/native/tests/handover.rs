//! W5: handover on real sockets.

use std::time::{Duration, Instant};

use freshsocket::{Ended, SocketEvent, SocketState};
use freshsocket_native_tests::rotation::{self, Plan};
use freshsocket_native_tests::{next_where, opened, server, signed_in, within};

/// The bar of section 7, in small; `cargo xtask bench handover` runs it in full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w5_messages_both_ways_over_rotations_are_neither_lost_nor_duplicated_nor_reordered() {
    let report = rotation::run(Plan {
        rotations: 5,
        per_second: 500,
        round_trip: Duration::from_millis(50),
        lifetime: Duration::from_millis(1_500),
    })
    .await;
    assert_eq!((report.handovers, report.interruptions), (5, 0), "{report:?}");
    for way in [&report.down, &report.up] {
        assert!(way.sent > 500, "{report:?}");
        assert_eq!((way.lost, way.duplicated, way.reordered), (0, 0, 0), "{report:?}");
    }
}

#[tokio::test]
async fn w5_a_server_that_allows_one_connection_is_noticed_and_spared() {
    let server = server(|s| {
        s.access_lifetime_ms = 1_000;
        s.fractional_times = true;
        s.one_connection_per_user = true;
    })
    .await;
    let session = signed_in(&server).await;
    let socket = session.socket(server.ws_url()).connect().unwrap();
    let mut events = socket.events();
    next_where("the discovery", &mut events, |event| {
        *event == SocketEvent::OneConnectionPerUser
    })
    .await;
    for _ in 0..3 {
        let ended = |event: &SocketEvent| matches!(event, SocketEvent::Ended { .. });
        let end = next_where("the end of the old one", &mut events, ended).await;
        let ours = SocketEvent::Ended {
            ended: Ended::Replaced,
            will_retry: true,
        };
        // The first may be the server's, of the connection by which it was discovered.
        assert!(end == ours || server.counters().ws_opened <= 3, "{end:?}");
        opened(&socket).await;
        assert_eq!(server.connection_count("ada"), 1);
    }
}

/// The old connection is read to its end, however long the application takes.
#[tokio::test]
async fn w5_a_backlog_on_the_old_connection_is_not_given_up_on_a_slow_reader() {
    const COUNT: usize = 3_000;
    let server = server(|s| {
        s.access_lifetime_ms = 4_000;
        s.fractional_times = true;
        s.echo = false;
    })
    .await;
    let session = signed_in(&server).await;
    let mut socket = session
        .socket(server.ws_url())
        .options(|o| o.limits.receive_messages = 16)
        .connect()
        .unwrap();
    opened(&socket).await;
    let mut events = socket.events();
    for number in 0..COUNT {
        server.send_to_user("ada", format!("{number} {}", "x".repeat(1_000)));
    }
    let handover = |event: &SocketEvent| matches!(event, SocketEvent::Opened { handover: true, .. });
    next_where("the handover", &mut events, handover).await;
    // Longer than a connection is given to end that brings nothing.
    tokio::time::sleep(Duration::from_millis(6_500)).await;
    for number in 0..COUNT {
        let message = within("a message", socket.next()).await.unwrap().unwrap();
        let text = message.as_text().unwrap();
        assert_eq!(text.split(' ').next(), Some(number.to_string().as_str()));
    }
}

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
