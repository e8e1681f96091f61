//! W9: connections that are still there and carry nothing.

use std::time::{Duration, Instant};

use freshsocket::options::SocketOptions;
use freshsocket::{Ended, SocketEvent};
use freshsocket_native_tests::proxy::{Break, FaultProxy, Way};
use freshsocket_native_tests::{DEADLINE, echo, events, eventually, next_where, opened, seen, server};

use crate::{open, signed_in};

const INTERVAL_MS: u64 = 300;
const TIMEOUT_MS: u64 = 200;

fn watchful(options: &mut SocketOptions) {
    options.heartbeat.interval_ms = INTERVAL_MS;
    options.heartbeat.timeout_ms = TIMEOUT_MS;
}

#[tokio::test]
async fn w9_a_connection_that_went_silent_is_found_and_replaced() {
    for ways in [&[Way::Up][..], &[Way::Down], &[Way::Up, Way::Down]] {
        let server = server(|_| {}).await;
        let proxy = FaultProxy::to(server.addr());
        let session = signed_in(&proxy, &server).await;
        let mut socket = open(&proxy, &session, watchful).await;
        echo(&mut socket, "before").await;
        let mut events = events(&socket);
        let since = Instant::now();
        proxy.deafen(ways);
        let event = next_where("the end", &mut events, |e| matches!(e, SocketEvent::Ended { .. })).await;
        let took = since.elapsed();
        assert!(
            matches!(
                event,
                SocketEvent::Ended {
                    ended: Ended::Silent,
                    will_retry: true
                }
            ),
            "{ways:?}: {event:?}"
        );
        // The machine may be busy; a connection that is found by chance alone is not found within this.
        assert!(took < DEADLINE / 4, "{ways:?}: {took:?}");
        assert!(took >= Duration::from_millis(TIMEOUT_MS), "{ways:?}: {took:?}");
        opened(&socket).await;
        echo(&mut socket, "after").await;
        assert_eq!(server.counters().ws_opened, 2, "{ways:?}");
    }
}

#[tokio::test]
async fn w9_the_heartbeat_keeps_a_connection_on_which_nothing_is_said() {
    let server = server(|_| {}).await;
    let proxy = FaultProxy::to(server.addr());
    let session = signed_in(&proxy, &server).await;
    let mut socket = open(&proxy, &session, |o| {
        // The next look comes when the answer has had its time.
        o.heartbeat.interval_ms = 50;
        o.heartbeat.timeout_ms = 500;
    })
    .await;
    // A ping of the client and a pong of the server without a payload have six and two bytes.
    let (up, down) = (proxy.passed(Way::Up), proxy.passed(Way::Down));
    eventually("three pings and their pongs", || {
        proxy.passed(Way::Up) >= up + 18 && proxy.passed(Way::Down) >= down + 6
    })
    .await;
    echo(&mut socket, "still the same").await;
    assert_eq!(server.counters().ws_opened, 1);
}

#[tokio::test]
async fn w6_a_connection_that_is_accepted_and_never_answered_is_given_up() {
    let server = server(|_| {}).await;
    let proxy = FaultProxy::to(server.addr());
    let session = signed_in(&proxy, &server).await;
    for after in [0, 20] {
        proxy.break_next(Way::Down, after, Break::Silence);
    }
    let mut socket = session
        .socket(proxy.ws_url())
        .options(|o| {
            o.connect_timeout_ms = 200;
            o.auto_connect = false;
        })
        .connect()
        .unwrap();
    let mut events = events(&socket);
    socket.connect();
    let mut attempts = 0;
    next_where("open", &mut events, |event| {
        attempts += u32::from(matches!(event, SocketEvent::Attempt { .. }));
        matches!(event, SocketEvent::Opened { .. })
    })
    .await;
    assert_eq!(attempts, 3);
    echo(&mut socket, "hello").await;
}

#[tokio::test]
async fn w10_what_was_said_into_the_silence_has_a_status_and_what_follows_arrives() {
    let server = server(|s| s.record_messages = true).await;
    let proxy = FaultProxy::to(server.addr());
    let session = signed_in(&proxy, &server).await;
    let mut socket = open(&proxy, &session, watchful).await;
    let mut events = events(&socket);
    proxy.break_all(Break::Silence);
    let lost = socket.send("into the silence").await.unwrap();
    next_where("the end", &mut events, |e| matches!(e, SocketEvent::Ended { .. })).await;
    // The operating system had taken it: that is what "sent" says, and no more.
    lost.sent().await.unwrap();
    echo(&mut socket, "after").await;
    seen("the second", &server, |s| s.counters.messages_in == 1).await;
}
