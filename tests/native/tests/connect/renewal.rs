//! W4: what becomes of the live connection when the token is refreshed.

use freshsocket::options::Renewal;
use freshsocket::{Json, Session, Socket, SocketEvent};
use freshsocket_mock_server::{Fault, Kind, MockServer, Target, Times};
use freshsocket_native_tests::{
    echo, events, force_refresh, next_text, next_where, opened, records, seen, server, signed_in, within,
};

async fn connect(server: &MockServer, session: &Session, renewal: Renewal) -> Socket {
    let mut socket = session
        .socket(server.ws_url())
        .renewal(renewal)
        .connect()
        .unwrap();
    opened(&socket).await;
    echo(&mut socket, "before").await;
    socket
}

#[tokio::test]
async fn w5_handover_opens_the_new_before_it_closes_the_old() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = connect(&server, &session, Renewal::Handover).await;
    let mut states = socket.states();
    let mut events = events(&socket);
    force_refresh(&server, &session).await;
    let event = next_where("handover", &mut events, |e| {
        !matches!(e, SocketEvent::Attempt { .. })
    })
    .await;
    assert!(
        matches!(event, SocketEvent::Opened { handover: true, .. }),
        "{event:?}"
    );
    echo(&mut socket, "after").await;
    seen("the old closed", &server, |s| s.counters.ws_closed == 1).await;
    let (opens, closes) = (records(&server, Kind::WsOpen), records(&server, Kind::WsClosed));
    assert!(opens[1].seq < closes[0].seq && closes[0].connection == opens[0].connection);
    assert_eq!(opens[1].token_seq, Some(2));
    // The application saw nothing of it.
    within("disconnect", socket.disconnect()).await;
    let mut seen_states = Vec::new();
    next_where("closed", &mut states, |s| {
        seen_states.push(s.name());
        s.is_final()
    })
    .await;
    assert_eq!(seen_states, ["open", "closed"]);
}

#[tokio::test]
async fn w5_a_handover_that_fails_keeps_the_old_connection_and_is_tried_again() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = connect(&server, &session, Renewal::Handover).await;
    server.fault(
        Target::Ws,
        Fault::RefuseUpgrade {
            status: 503,
            retry_after: None,
        },
        Times::Next(2),
    );
    server.fault(Target::Ws, Fault::Unavailable, Times::Next(1));
    let mut events = events(&socket);
    force_refresh(&server, &session).await;
    let mut attempts = Vec::new();
    loop {
        echo(&mut socket, "never without a connection").await;
        assert!(socket.is_connected());
        match within("an event", events.next()).await.unwrap() {
            SocketEvent::Attempt { handover, token, .. } => attempts.push((handover, token)),
            SocketEvent::Opened { handover, .. } => break assert!(handover),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(attempts, [(true, 2); 4]);
    echo(&mut socket, "on the new one").await;
}

#[tokio::test]
async fn w4_in_band_renews_the_live_connection() {
    let server = server(|s| s.enforce_expiry = true).await;
    let session = signed_in(&server).await;
    let template = Json::object([("type", Json::from("auth")), ("token", Json::from("{token}"))]);
    let mut socket = connect(&server, &session, Renewal::InBand { template, ack: None }).await;
    let mut events = events(&socket);
    let http = session.http();
    // Refused once without the server's expiry, so that the connection itself is not closed for it.
    server.fault(
        Target::Api,
        Fault::Refuse {
            status: 401,
            body: None,
        },
        Times::Next(1),
    );
    let answer = http
        .send(http.client().get(format!("{}/api/me", server.http_url())))
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    next_where("renewed", &mut events, |e| *e == SocketEvent::Renewed).await;
    seen("the renewal", &server, |s| s.counters.ws_renewals == 1).await;
    assert_eq!(next_text(&mut socket).await, r#"{"type":"auth_ok"}"#);
    echo(&mut socket, "after").await;
    let renewal = &records(&server, Kind::WsAuth)[0];
    assert_eq!((renewal.token_seq, renewal.status), (Some(2), Some(200)));
    assert_eq!(server.counters().ws_handshakes, 1);
}

#[tokio::test]
async fn w4_reconnect_closes_the_old_one_first() {
    let server = server(|s| s.one_connection_per_user = true).await;
    let session = signed_in(&server).await;
    let mut socket = connect(&server, &session, Renewal::Reconnect).await;
    force_refresh(&server, &session).await;
    seen("the new one", &server, |s| s.counters.ws_opened == 2).await;
    echo(&mut socket, "after").await;
    let (opens, closes) = (records(&server, Kind::WsOpen), records(&server, Kind::WsClosed));
    assert!(closes[0].seq < opens[1].seq);
    assert_eq!((opens[1].token_seq, closes[0].close_code), (Some(2), Some(1000)));
    assert_eq!(server.counters().ws_opened, 2);
}

#[tokio::test]
async fn w4_keep_does_nothing_until_the_next_connect() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = connect(&server, &session, Renewal::Keep).await;
    force_refresh(&server, &session).await;
    echo(&mut socket, "after").await;
    assert_eq!(
        (server.counters().ws_handshakes, server.counters().ws_renewals),
        (1, 0)
    );
    server.cut_all();
    seen("the next", &server, |s| s.counters.ws_opened == 2).await;
    assert_eq!(records(&server, Kind::WsOpen)[1].token_seq, Some(2));
}
