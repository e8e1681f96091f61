//! W5: handovers over a long way.

use std::collections::BTreeMap;
use std::time::Duration;

use freshsocket::SocketEvent;
use freshsocket_mock_server::Kind;
use freshsocket_native_tests::proxy::{FaultProxy, Flow};
use freshsocket_native_tests::{events, next_text, next_where, records, seen, server, sign_in, within};

use crate::{open, through};

const COUNT: u64 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w5_handovers_over_200_ms_lose_and_double_nothing() {
    // A token of two seconds is renewed after 1.6, so that there are six handovers in ten seconds. The server checks at the
    // handshake: a refresh and a handshake over this way take longer than what is left of such a token.
    let server = server(|s| {
        s.record_messages = true;
        s.fractional_times = true;
        s.access_lifetime_ms = 2_000;
    })
    .await;
    let proxy = FaultProxy::to(server.addr());
    let session = through(&proxy, &server).build().await.unwrap();
    sign_in(&session, "ada").await;
    proxy.set(Flow {
        delay: Duration::from_millis(100),
        ..Flow::default()
    });
    let mut socket = open(&proxy, &session, |_| {}).await;
    let mut events = events(&socket);
    let mut states = socket.states();
    let sender = socket.handle();
    let sending = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        let mut sendings = Vec::new();
        for n in 1..=COUNT {
            pace.tick().await;
            sendings.push(sender.send(n.to_string()).await.unwrap());
        }
        for sending in sendings {
            sending.sent().await.unwrap();
        }
    });
    let mut echoes: Vec<u64> = Vec::new();
    for _ in 0..COUNT {
        echoes.push(next_text(&mut socket).await.parse().unwrap());
    }
    within("all sent", sending).await.unwrap();
    seen("all", &server, |s| s.counters.messages_in >= COUNT).await;

    let sorted = |mut numbers: Vec<u64>| {
        numbers.sort_unstable();
        numbers
    };
    let all: Vec<u64> = (1..=COUNT).collect();
    let mut got = Vec::new();
    let mut of_connections: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for record in records(&server, Kind::WsMessage) {
        let number: u64 = record.message.unwrap().parse().unwrap();
        got.push(number);
        of_connections.entry(record.connection).or_default().push(number);
    }
    assert!(sorted(got) == all, "lost or doubled on the way there");
    assert!(sorted(echoes) == all, "lost or doubled on the way back");
    for numbers in of_connections.values() {
        assert!(numbers.is_sorted(), "out of order within a connection");
    }
    assert!(of_connections.len() >= 4, "{} connections", of_connections.len());

    // The application saw one connection all the time.
    within("disconnect", socket.disconnect()).await;
    let mut seen_states = Vec::new();
    next_where("closed", &mut states, |state| {
        seen_states.push(state.name());
        state.is_final()
    })
    .await;
    assert_eq!(seen_states, ["open", "closed"]);
    let mut handovers = 0;
    next_where("the end", &mut events, |event| {
        handovers += usize::from(matches!(event, SocketEvent::Opened { handover: true, .. }));
        matches!(event, SocketEvent::Ended { .. })
    })
    .await;
    assert_eq!(handovers + 1, of_connections.len());
    assert_eq!(server.counters().ws_expired, 0);
}
