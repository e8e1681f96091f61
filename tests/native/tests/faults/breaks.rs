//! W6, W7, W10: connections that break off at any byte.

use std::time::Duration;

use freshsocket::{Ended, SocketEvent};
use freshsocket_mock_server::{Kind, MockServer};
use freshsocket_native_tests::proxy::{Break, FaultProxy, Flow, Way};
use freshsocket_native_tests::{
    DEADLINE, echo, events, next_text, next_where, records, seen, server, within,
};

use crate::{open, signed_in};

/// The numbers that the server received, in order.
fn received(server: &MockServer) -> Vec<u64> {
    records(server, Kind::WsMessage)
        .into_iter()
        .filter_map(|r| r.message?.parse().ok())
        .collect()
}

fn assert_ascending(what: &str, numbers: &[u64]) {
    let wrong = numbers.windows(2).find(|two| two[0] >= two[1]);
    assert!(wrong.is_none(), "{what}: out of order, or twice: {wrong:?}");
}

#[tokio::test]
async fn w6_an_upgrade_that_breaks_off_is_tried_again() {
    let places = [
        (Way::Up, 0),
        (Way::Up, 30),
        (Way::Down, 0),
        (Way::Down, 1),
        (Way::Down, 12),
        (Way::Down, 60),
    ];
    for how in [Break::Fin, Break::Reset] {
        let server = server(|_| {}).await;
        let proxy = FaultProxy::to(server.addr());
        let session = signed_in(&proxy, &server).await;
        for (way, after) in places {
            proxy.break_next(way, after, how);
        }
        let mut socket = session
            .socket(proxy.ws_url())
            .options(|o| o.auto_connect = false)
            .connect()
            .unwrap();
        let mut events = events(&socket);
        socket.connect();
        let mut attempts = 0;
        next_where("open", &mut events, |event| {
            attempts += usize::from(matches!(event, SocketEvent::Attempt { .. }));
            assert!(
                !matches!(event, SocketEvent::AuthRefused { .. }),
                "{how:?}: {event:?}"
            );
            matches!(event, SocketEvent::Opened { .. })
        })
        .await;
        assert_eq!(attempts, places.len() + 1, "{how:?}");
        echo(&mut socket, "hello").await;
        assert_eq!(server.counters().refreshes, 0, "{how:?}");
    }
}

#[tokio::test]
async fn w7_an_answer_that_breaks_off_behind_the_upgrade_is_a_lost_connection() {
    for how in [Break::Fin, Break::Reset] {
        let server = server(|s| s.welcome = true).await;
        let proxy = FaultProxy::to(server.addr());
        let session = signed_in(&proxy, &server).await;
        let mut socket = open(&proxy, &session, |_| {}).await;
        assert!(next_text(&mut socket).await.contains("connected"));
        let mut events = events(&socket);
        proxy.break_all(how);
        let event = next_where("the end", &mut events, |e| matches!(e, SocketEvent::Ended { .. })).await;
        assert!(
            matches!(
                event,
                SocketEvent::Ended {
                    ended: Ended::Lost { .. },
                    will_retry: true
                }
            ),
            "{how:?}: {event:?}"
        );
        assert!(next_text(&mut socket).await.contains("connected"));
        echo(&mut socket, "again").await;
    }
}

#[tokio::test]
async fn w10_a_message_that_breaks_off_on_its_way_out_arrives_once_or_not_at_all() {
    // Larger than what the way there holds, so that the break is in the middle of what the client writes.
    let long = "x".repeat(24 << 20);
    for how in [Break::Fin, Break::Reset] {
        let server = server(|s| s.echo = false).await;
        let proxy = FaultProxy::to(server.addr());
        let session = signed_in(&proxy, &server).await;
        proxy.break_next(Way::Up, 100_000, how);
        let socket = open(&proxy, &session, |o| {
            o.limits.max_message_bytes = 32 << 20;
            o.outbox.max_bytes = 64 << 20;
        })
        .await;
        proxy.set_way(
            Way::Up,
            Flow {
                bytes_per_second: Some(400_000),
                ..Flow::default()
            },
        );
        let first = within("taken", socket.send(long.clone())).await.unwrap();
        seen("the end", &server, |s| s.counters.ws_closed == 1).await;
        proxy.set(Flow::default());
        within("sent", first.sent()).await.unwrap();
        let second = within("taken", socket.send("after")).await.unwrap();
        within("sent", second.sent()).await.unwrap();
        // It was not handed to the system whole, so it goes out again.
        let counters = seen("both", &server, |s| s.counters.messages_in >= 2).await;
        assert_eq!(counters.messages_in, 2, "{how:?}");
        assert_eq!(counters.ws_opened, 2, "{how:?}");
    }
}

#[tokio::test]
async fn w10_a_message_that_breaks_off_on_its_way_in_is_not_delivered() {
    for how in [Break::Fin, Break::Reset] {
        let server = server(|_| {}).await;
        let proxy = FaultProxy::to(server.addr());
        let session = signed_in(&proxy, &server).await;
        proxy.break_next(Way::Down, 30_000, how);
        let mut socket = open(&proxy, &session, |_| {}).await;
        server.broadcast("y".repeat(100_000));
        seen("the end", &server, |s| s.counters.ws_closed == 1).await;
        seen("again", &server, |s| s.counters.ws_opened == 2).await;
        freshsocket_native_tests::opened(&socket).await;
        // The next thing that the application sees is whole.
        echo(&mut socket, "whole").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w10_at_a_steady_pace_through_breaks_order_is_kept_and_everything_has_a_status() {
    const COUNT: u64 = 1_200;
    let server = server(|s| s.record_messages = true).await;
    let proxy = FaultProxy::to(server.addr());
    proxy.set(Flow {
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(10),
        ..Flow::default()
    });
    let session = signed_in(&proxy, &server).await;
    let mut socket = open(&proxy, &session, |o| {
        o.outbox.max_messages = 10_000;
        o.heartbeat.interval_ms = 100;
        o.heartbeat.timeout_ms = 100;
    })
    .await;
    let sender = socket.handle();
    let mut reading = tokio::spawn(async move {
        let mut echoes = Vec::new();
        loop {
            match next_text(&mut socket).await.as_str() {
                "end" => return (echoes, socket),
                number => echoes.push(number.parse().unwrap()),
            }
        }
    });
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    let mut sendings = Vec::new();
    for n in 1..=COUNT {
        pace.tick().await;
        if n % 200 == 0 {
            proxy.break_all(match n / 200 % 3 {
                0 => Break::Fin,
                1 => Break::Reset,
                _ => Break::Silence,
            });
        }
        sendings.push(within("taken", sender.send(n.to_string())).await.unwrap());
    }
    for sending in sendings {
        within("sent", sending.sent()).await.unwrap();
    }
    // Said again until it comes back: it may have gone into a silence that is not found yet.
    let ending = async {
        loop {
            within("taken", sender.send("end")).await.unwrap();
            if let Ok(read) = tokio::time::timeout(Duration::from_millis(500), &mut reading).await {
                return read.unwrap();
            }
        }
    };
    let (echoes, _socket) = tokio::time::timeout(DEADLINE, ending).await.expect("the end");
    let got = received(&server);
    assert_ascending("there", &got);
    assert_ascending("and back", &echoes);
    let opened = server.counters().ws_opened;
    assert!(opened > 3, "{opened} connections");
    println!(
        "{} of {COUNT} were on their way at {} breaks",
        COUNT - got.len() as u64,
        opened - 1
    );
}
