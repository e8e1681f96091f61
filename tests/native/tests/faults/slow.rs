//! Late, thin and in crumbs: nothing of it is a reason to lose, to double, or to give up.

use std::time::Duration;

use freshsocket_mock_server::Kind;
use freshsocket_native_tests::proxy::{FaultProxy, Flow, Way};
use freshsocket_native_tests::{
    echo, eventually, next_text, opened, records, seen, server, socket_state, within,
};

use crate::{open, signed_in, through};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test]
async fn w10_a_slow_uneven_network_in_crumbs_loses_and_doubles_nothing() {
    const COUNT: u64 = 300;
    let server = server(|s| s.record_messages = true).await;
    let proxy = FaultProxy::to(server.addr());
    proxy.set(Flow {
        delay: ms(20),
        jitter: ms(30),
        piece: Some(3),
        ..Flow::default()
    });
    let session = signed_in(&proxy, &server).await;
    let mut socket = open(&proxy, &session, |_| {}).await;
    let sender = socket.handle();
    let sending = tokio::spawn(async move {
        for n in 1..=COUNT {
            let sending = sender.send(n.to_string()).await.unwrap();
            sending.sent().await.unwrap();
        }
    });
    for n in 1..=COUNT {
        assert_eq!(next_text(&mut socket).await, n.to_string());
    }
    within("all sent", sending).await.unwrap();
    let got: Vec<String> = records(&server, Kind::WsMessage)
        .into_iter()
        .filter_map(|r| r.message)
        .collect();
    let all: Vec<String> = (1..=COUNT).map(|n| n.to_string()).collect();
    assert_eq!(got, all);
    assert_eq!(server.counters().ws_opened, 1);
}

#[tokio::test]
async fn w9_a_message_that_takes_long_to_arrive_is_no_silence() {
    let server = server(|_| {}).await;
    let proxy = FaultProxy::to(server.addr());
    let session = signed_in(&proxy, &server).await;
    let mut socket = open(&proxy, &session, |o| {
        o.heartbeat.interval_ms = 400;
        o.heartbeat.timeout_ms = 400;
    })
    .await;
    proxy.set_way(
        Way::Down,
        Flow {
            bytes_per_second: Some(100_000),
            ..Flow::default()
        },
    );
    // Two and a half seconds of one message, and pongs that wait behind it.
    let long = "x".repeat(250_000);
    within("taken", socket.send(long.clone())).await.unwrap();
    assert!(next_text(&mut socket).await == long);
    assert_eq!(server.counters().ws_opened, 1);
}

#[tokio::test]
async fn s3_a_slow_network_makes_one_refresh_and_one_connection_of_many_wishes() {
    let server = server(|_| {}).await;
    let proxy = FaultProxy::to(server.addr());
    let session = signed_in(&proxy, &server).await;
    proxy.set(Flow {
        delay: ms(250),
        piece: Some(1),
        ..Flow::default()
    });
    server.expire_tokens();
    let rejected = session.http();
    let url = format!("{}/api/me", proxy.http_url());
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let (http, url) = (rejected.clone(), url.clone());
            tokio::spawn(async move {
                let request = http.client().get(url);
                http.send(request).await.unwrap().status().as_u16()
            })
        })
        .collect();
    let mut socket = session.socket(proxy.ws_url()).connect().unwrap();
    for one in asking {
        assert_eq!(within("an answer", one).await.unwrap(), 200);
    }
    opened(&socket).await;
    echo(&mut socket, "hello").await;
    assert_eq!(server.counters().refreshes, 1);
}

#[tokio::test]
async fn w6_refused_then_accepted() {
    let server = server(|_| {}).await;
    let proxy = FaultProxy::to(server.addr());
    let session = signed_in(&proxy, &server).await;
    proxy.refuse().await;
    let mut socket = session.socket(proxy.ws_url()).connect().unwrap();
    socket_state("the third wait", &socket, |s| {
        matches!(s, freshsocket::SocketState::Backoff { attempt: 3.., .. })
    })
    .await;
    let accepted = proxy.accepted();
    let queued = within("queued", socket.send("early")).await.unwrap();
    proxy.accept();
    opened(&socket).await;
    within("sent", queued.sent()).await.unwrap();
    assert_eq!(next_text(&mut socket).await, "early");
    assert_eq!(proxy.accepted(), accepted + 1);
    // A connection that is open does not mind that others are refused.
    proxy.refuse().await;
    echo(&mut socket, "still here").await;
}

#[tokio::test]
async fn s8_a_refresh_that_takes_long_is_not_asked_for_twice() {
    let server = server(|_| {}).await;
    let proxy = FaultProxy::to(server.addr());
    let session = through(&proxy, &server)
        .session_options(|o| {
            o.refresh.proactive = false;
        })
        .build()
        .await
        .unwrap();
    freshsocket_native_tests::sign_in(&session, "ada").await;
    proxy.set_way(
        Way::Down,
        Flow {
            // An answer of a kilobyte takes a second and more.
            bytes_per_second: Some(800),
            ..Flow::default()
        },
    );
    server.expire_tokens();
    let mut sockets: Vec<_> = (0..3)
        .map(|_| session.socket(proxy.ws_url()).connect().unwrap())
        .collect();
    for socket in &mut sockets {
        opened(socket).await;
    }
    proxy.set(Flow::default());
    for socket in &mut sockets {
        echo(socket, "hello").await;
    }
    seen("one", &server, |s| s.counters.refreshes == 1).await;
    eventually("three open", || server.counters().ws_open_now == 3).await;
}
