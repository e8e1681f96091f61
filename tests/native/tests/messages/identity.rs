//! W10: messages belong to the user who queued them, and are never sent under another.

use std::time::Duration;

use freshsocket::{ErrorKind, SocketEvent, SocketState};
use freshsocket_mock_server::{Fault, Kind, Record, Target, Times, Who};
use freshsocket_native_tests::{
    events, next_text, next_where, opened, records, seen, server, sign_in, signed_in, socket_state, within,
};

#[tokio::test]
async fn w10_the_next_user_never_sends_what_the_last_one_queued() {
    for signs_out in [false, true] {
        let server = server(|s| s.record_messages = true).await;
        let session = signed_in(&server).await;
        server.fault(
            Target::Ws,
            Fault::RefuseUpgrade {
                status: 503,
                retry_after: None,
            },
            Times::Always,
        );
        let mut socket = session.socket(server.ws_url()).connect().unwrap();
        socket_state("backoff", &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
        let mut events = events(&socket);
        let secret = within("queued", socket.send("ada's secret")).await.unwrap();
        if signs_out {
            session.logout().await.unwrap();
        }
        sign_in(&session, "bob").await;
        let kind = if signs_out {
            ErrorKind::SignedOut
        } else {
            ErrorKind::IdentityChanged
        };
        assert_eq!(within("failed", secret.sent()).await.unwrap_err().kind(), kind);
        let failed = next_where("told", &mut events, |e| {
            matches!(e, SocketEvent::SendFailed { .. })
        })
        .await;
        assert!(matches!(failed, SocketEvent::SendFailed { send, .. } if send == secret.number()));
        server.clear_faults();
        let own = within("queued", socket.send("bob's own")).await.unwrap();
        within("sent", own.sent()).await.unwrap();
        opened(&socket).await;
        assert_eq!(next_text(&mut socket).await, "bob's own");
        let sent: Vec<_> = records(&server, Kind::WsMessage)
            .into_iter()
            .map(|r| (r.user, r.message))
            .collect();
        assert_eq!(sent, [(Some("bob".into()), Some("bob's own".into()))]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w10_messages_on_their_way_stay_with_their_user_at_a_switch() {
    let server = server(|s| (s.record_messages, s.echo) = (true, false)).await;
    let session = signed_in(&server).await;
    let socket = session.socket(server.ws_url()).connect().unwrap();
    opened(&socket).await;
    for round in 0..10 {
        let user = if round % 2 == 0 { "bob" } else { "ada" };
        let sender = socket.handle();
        let owner = session.claims().unwrap().subject.unwrap();
        let sending = tokio::spawn(async move {
            let mut sent = 0;
            // Ends with the sign-in of the next user at the latest, who would be the sender otherwise.
            for n in 0..200 {
                match sender.send(format!("{owner} {n} {}", "x".repeat(2_000))).await {
                    Ok(_) => sent += 1,
                    Err(_) => break,
                }
            }
            sent
        });
        // Messages that are sent by the task now are said before the sign-in or after it; only the server's view
        // of a single connection can mix them up.
        within("sending", sending).await.unwrap();
        sign_in(&session, user).await;
        opened(&socket).await;
    }
    for record in records(&server, Kind::WsMessage) {
        let (user, message) = (record.user.unwrap(), record.message.unwrap());
        assert!(message.starts_with(&user), "{message:.20} was sent as {user}");
    }
}

#[tokio::test]
async fn w10_a_send_that_waits_for_the_transport_stays_with_its_user_at_a_switch() {
    let server = server(|s| (s.record_messages, s.echo) = (true, false)).await;
    let session = signed_in(&server).await;
    let socket = session.socket(server.ws_url()).connect().unwrap();
    opened(&socket).await;
    server.pause_reads(&Who::User("ada".into()));
    // Fills what is between here and there, until a send has to wait.
    while tokio::time::timeout(
        Duration::from_millis(50),
        socket.send(format!("ada {}", "x".repeat(256 << 10))),
    )
    .await
    .is_ok()
    {}
    let waiting = tokio::spawn({
        let handle = socket.handle();
        async move { handle.send("ada's secret").await?.sent().await }
    });
    tokio::task::yield_now().await;
    sign_in(&session, "bob").await;
    let error = within("failed", waiting).await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::IdentityChanged), "{error}");
    opened(&socket).await;
    let own = within("sent", socket.send("bob's own")).await.unwrap();
    within("sent", own.sent()).await.unwrap();
    seen("bob's message", &server, |s| {
        s.records
            .iter()
            .any(|r| r.message.as_deref() == Some("bob's own"))
    })
    .await;
    let of_bob = |record: &Record| record.user.as_deref() == Some("bob");
    let sent: Vec<_> = records(&server, Kind::WsMessage)
        .into_iter()
        .filter(of_bob)
        .filter_map(|r| r.message)
        .collect();
    assert_eq!(sent, ["bob's own"]);
}
