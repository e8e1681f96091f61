//! The thinnest path end to end: sign in, connect, exchange, survive.

use freshsocket_native_tests::{server, signed_in, within};

#[tokio::test]
async fn signs_in_connects_echoes_and_survives_a_cut() {
    let server = server(|s| s.access_lifetime_ms = 60_000).await;
    let session = signed_in(&server).await;
    let mut socket = session.socket(server.ws_url()).connect().unwrap();
    within("open", socket.wait_for(freshsocket::SocketState::is_open)).await;
    socket.send("one").await.unwrap();
    assert_eq!(
        within("echo", socket.next()).await.unwrap().unwrap().as_text(),
        Some("one")
    );

    server.cut_all();
    within("closed", socket.wait_for(|s| !s.is_open())).await;
    let sending = socket.send("two").await.unwrap();
    within("sent", sending.sent()).await.unwrap();
    assert_eq!(
        within("echo", socket.next()).await.unwrap().unwrap().as_text(),
        Some("two")
    );
    socket.disconnect().await;
    assert!(within("end", socket.next()).await.is_none());
    assert!(session.logout().await.unwrap());
}

#[tokio::test]
async fn s6_tokens_are_refreshed_and_connections_handed_over() {
    let server = server(|s| {
        s.access_lifetime_ms = 1_000;
        s.fractional_times = true;
    })
    .await;
    let session = signed_in(&server).await;
    let mut socket = session.socket(server.ws_url()).connect().unwrap();
    within("open", socket.wait_for(freshsocket::SocketState::is_open)).await;
    let mut n = 0;
    let start = std::time::Instant::now();
    while start.elapsed().as_secs() < 4 {
        n += 1;
        socket.send(n.to_string()).await.unwrap();
        assert_eq!(
            within("echo", socket.next()).await.unwrap().unwrap().as_text(),
            Some(&*n.to_string())
        );
    }
    println!("{n} {:?}", server.counters());
    assert!(server.counters().refreshes_ok >= 3);
    assert_eq!(server.counters().ws_expired, 0);
}
