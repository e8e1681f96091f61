//! W13, W14: many sockets on one session; what is dropped is gone.

use freshsocket_mock_server::{ClosedBy, Kind};
use freshsocket_native_tests::{
    builder, echo, eventually, expired, open_socket, opened, records, seen, server, sign_in, signed_in,
    socket_state, within,
};
use tokio::runtime::Handle;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w13_twenty_sockets_share_one_refresh() {
    let server = server(|_| {}).await;
    let session = expired(&server, builder(&server)).await;
    let mut sockets: Vec<_> = (0..20)
        .map(|n| {
            session
                .socket(format!("{}/{n}", server.ws_url()))
                .connect()
                .unwrap()
        })
        .collect();
    for socket in &mut sockets {
        opened(socket).await;
        echo(socket, "hello").await;
    }
    assert_eq!(
        (server.counters().refreshes, server.counters().ws_handshakes),
        (1, 20)
    );
    server.expire_tokens();
    server.close_all(Some(4401), "");
    seen("all again", &server, |s| s.counters.ws_opened == 40).await;
    for socket in &mut sockets {
        opened(socket).await;
        echo(socket, "hello").await;
    }
    let counters = server.counters();
    assert_eq!(
        (counters.refreshes, counters.ws_handshakes, counters.ws_expired),
        (2, 40, 0)
    );
}

#[tokio::test]
async fn w14_dropping_the_last_handle_closes_the_connection() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let socket = open_socket(&server, &session).await;
    let handle = socket.handle();
    drop(socket);
    let sending = handle.send("a handle is enough").await.unwrap();
    sending.sent().await.unwrap();
    seen("the message", &server, |s| s.counters.messages_in == 1).await;
    assert_eq!(server.counters().ws_open_now, 1);
    drop(handle);
    seen("closed", &server, |s| s.counters.ws_open_now == 0).await;
    let close = &records(&server, Kind::WsClosed)[0];
    assert_eq!(
        (close.close_code, close.closed_by),
        (Some(1000), Some(ClosedBy::Client))
    );
    assert!(session.state().is_signed_in());
}

#[tokio::test]
async fn w14_what_a_dropped_socket_leaves_has_an_outcome_and_an_end() {
    for with_connection in [true, false] {
        let server = server(|_| {}).await;
        let session = signed_in(&server).await;
        let mut socket = open_socket(&server, &session).await;
        if with_connection {
            // Read by nobody.
            echo(&mut socket, "hello").await;
            server.broadcast("unread");
        } else {
            server.stop_listening();
            server.cut_all();
            socket_state("backoff", &socket, |s| !s.is_open()).await;
        }
        let (mut states, mut events) = (socket.states(), socket.events());
        let sending = socket.send("the last").await.unwrap();
        drop(socket);
        let outcome = within("the outcome", sending.sent()).await;
        assert_eq!(outcome.is_ok(), with_connection, "{outcome:?}");
        let all = async {
            while states.next().await.is_some() {}
            while events.next().await.is_some() {}
        };
        within("the ends of the streams", all).await;
    }
}

#[tokio::test]
async fn w14_a_dropped_socket_sends_what_it_took_before_it_closes() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    for n in 1..=20 {
        let socket = open_socket(&server, &session).await;
        socket.send("x".repeat(100_000)).await.unwrap();
        drop(socket);
        seen("closed", &server, |s| s.counters.ws_closed == n).await;
        assert_eq!(server.counters().messages_in, n);
    }
}

#[tokio::test]
async fn w14_five_hundred_connects_and_drops_leave_nothing_behind() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let cycles = async |count: u64| {
        for n in 0..count {
            let mut socket = session.socket(server.ws_url()).connect().unwrap();
            match n % 4 {
                // Dropped before it is open, while it opens, when it is open, and after use.
                0 => {}
                1 => drop(socket.wait_for(|s| s.name() == "connecting").await),
                2 => opened(&socket).await,
                _ => echo(&mut socket, "hello").await,
            }
        }
        seen("all closed", &server, |s| s.counters.ws_open_now == 0).await;
    };
    cycles(20).await;
    let alive = || Handle::current().metrics().num_alive_tasks();
    // The server's tasks live in this runtime as well, and end when their connections do.
    let (mut least, mut looks) = (alive(), 0);
    eventually("a quiet moment", || {
        least = least.min(alive());
        looks += 1;
        looks > 50
    })
    .await;
    cycles(500).await;
    eventually("no more tasks than before", || alive() <= least).await;
    assert!(server.connections().is_empty());
}

#[tokio::test]
async fn w14_sessions_that_are_dropped_end_their_tasks() {
    let server = server(|_| {}).await;
    let alive = || Handle::current().metrics().num_alive_tasks();
    let before = alive();
    for n in 0..30 {
        let session = builder(&server).build().await.unwrap();
        if n % 2 == 0 {
            sign_in(&session, "ada").await;
            let mut socket = open_socket(&server, &session).await;
            echo(&mut socket, "hello").await;
        }
        if n % 3 == 0 {
            session.close().await;
        }
    }
    eventually("no more tasks than before", || alive() <= before).await;
    assert_eq!(server.counters().ws_open_now, 0);
}
