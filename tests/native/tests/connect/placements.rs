//! W1, W2, W3: the credential in its place, a fresh one for every attempt, none without a session.

use std::collections::BTreeSet;

use freshsocket::options::{Credential, Method, TicketOptions};
use freshsocket::{ErrorKind, Json, Session, Socket, SocketEvent, SocketState};
use freshsocket_mock_server::{AuthMode, Fault, Kind, MockServer, Placement, Target, Times};
use freshsocket_native_tests::{
    builder, cut, echo, events, force_refresh, next_text, next_where, opened, records, seen, server, sign_in,
    signed_in, socket_state, within,
};

fn ticket(method: Method) -> Credential {
    Credential::Ticket(TicketOptions {
        method,
        url: "/api/ws-ticket".into(),
        ..TicketOptions::default()
    })
}

fn connect(server: &MockServer, session: &Session, credential: Credential) -> Socket {
    session
        .socket(server.ws_url())
        .credential(credential)
        .connect()
        .unwrap()
}

/// The number that the server gave the token in use.
fn current(server: &MockServer) -> Option<u64> {
    server
        .records()
        .iter()
        .rev()
        .find_map(|record| record.issued_token_seq)
}

#[tokio::test]
async fn w2_every_placement_carries_the_current_token_at_every_connect() {
    let header = |prefix: &str| Credential::Header {
        name: "Authorization".into(),
        prefix: prefix.into(),
    };
    let first_message = Json::object([("type", Json::from("auth")), ("token", Json::from("{token}"))]);
    for (credential, placement) in [
        (Credential::default(), Placement::Subprotocol),
        (
            Credential::Subprotocol {
                name: "bearer.jwt".into(),
            },
            Placement::Subprotocol,
        ),
        (
            Credential::Query {
                parameter: "token".into(),
            },
            Placement::Query,
        ),
        (
            Credential::Query {
                parameter: "access_token".into(),
            },
            Placement::Query,
        ),
        (header("Bearer "), Placement::Header),
        (
            Credential::Cookie {
                name: Some("access".into()),
            },
            Placement::Cookie,
        ),
        (
            Credential::FirstMessage {
                template: first_message,
            },
            Placement::FirstMessage,
        ),
        (ticket(Method::Post), Placement::Ticket),
        (ticket(Method::Get), Placement::Ticket),
    ] {
        let server = server(|s| s.accept = vec![placement]).await;
        let greets = placement == Placement::FirstMessage;
        if greets {
            server.set(|s| s.auth_mode = AuthMode::FirstMessage);
        }
        let session = signed_in(&server).await;
        let mut expected = vec![current(&server)];
        let mut socket = connect(&server, &session, credential);
        said_hello(&mut socket, greets, "one").await;

        // Cut: the same token again, as it is still good.
        expected.push(current(&server));
        cut(&server, &socket).await;
        said_hello(&mut socket, greets, "two").await;

        // Refreshed: a handover with the new one.
        force_refresh(&server, &session).await;
        expected.push(current(&server));
        seen("the handover", &server, |s| s.counters.ws_opened == 3).await;
        said_hello(&mut socket, greets, "three").await;
        let connects = records(&server, Kind::WsOpen);
        assert!(
            connects.iter().all(|record| record.placement == Some(placement)),
            "{connects:?}"
        );
        let carried: Vec<_> = connects.iter().map(|record| record.token_seq).collect();
        assert_eq!(carried, expected, "{placement:?}");
        assert_eq!(server.counters().ws_expired, 0);
    }
}

/// Echoes on a connection that may be new and then greets.
async fn said_hello(socket: &mut Socket, greets: bool, text: &str) {
    if greets {
        assert_eq!(next_text(socket).await, r#"{"type":"auth_ok"}"#);
    }
    echo(socket, text).await;
}

#[tokio::test]
async fn w2_every_attempt_carries_a_ticket_never_used_before() {
    for method in [Method::Get, Method::Post] {
        let server = server(|s| s.accept = vec![Placement::Ticket]).await;
        let session = signed_in(&server).await;
        // Attempts that fail use up their tickets too.
        let fails = Fault::RefuseUpgrade {
            status: 503,
            retry_after: None,
        };
        server.fault(Target::Ws, fails, Times::Next(3));
        let mut socket = connect(&server, &session, ticket(method));
        for _ in 0..5 {
            opened(&socket).await;
            echo(&mut socket, "hello").await;
            cut(&server, &socket).await;
        }
        opened(&socket).await;
        let attempts: Vec<_> = server
            .records()
            .into_iter()
            .filter(|r| r.is(Kind::WsOpen) || r.is(Kind::WsRefused))
            .collect();
        let tickets: BTreeSet<_> = attempts
            .iter()
            .filter_map(|record| record.ticket_id.clone())
            .collect();
        assert_eq!((attempts.len(), tickets.len()), (9, 9));
        assert_eq!(server.counters().tickets, 9);
        assert_eq!(server.counters().ws_refused, 3);
    }
}

#[tokio::test]
async fn w2_a_ticket_endpoint_that_refuses_or_fails_is_asked_again() {
    let server = server(|s| s.accept = vec![Placement::Ticket]).await;
    let session = signed_in(&server).await;
    server.fault(
        Target::Ticket,
        Fault::Refuse {
            status: 401,
            body: None,
        },
        Times::Next(1),
    );
    server.fault(Target::Ticket, Fault::Html { status: 502 }, Times::Next(1));
    server.fault(Target::Ticket, Fault::Malformed, Times::Next(1));
    server.fault(
        Target::Ticket,
        Fault::HugeBody { bytes: 100 << 20 },
        Times::Next(1),
    );
    let mut states = Vec::new();
    let mut socket = connect(&server, &session, ticket(Method::Post));
    let mut changes = socket.states();
    next_where("open", &mut changes, |state| {
        if let SocketState::Backoff {
            cause: freshsocket::Ended::NoToken { cause },
            ..
        } = state
        {
            states.push(cause.kind());
        }
        state.is_open()
    })
    .await;
    assert_eq!(
        states,
        [
            ErrorKind::Unreachable,
            ErrorKind::MalformedAnswer,
            ErrorKind::AnswerTooLarge
        ]
    );
    echo(&mut socket, "hello").await;
    let counters = server.counters();
    assert_eq!(
        (counters.tickets, counters.refreshes, counters.ws_handshakes),
        (5, 1, 1)
    );
}

#[tokio::test]
async fn w3_without_a_session_a_socket_waits_and_connects_after_the_sign_in() {
    let server = server(|_| {}).await;
    let session = builder(&server).build().await.unwrap();
    let mut socket = connect(&server, &session, Credential::default());
    socket_state("waiting", &socket, |s| *s == SocketState::WaitingForSession).await;
    assert_eq!(socket.send("x").await.unwrap_err().kind(), ErrorKind::SignedOut);
    assert_eq!(server.counters().requests, 0);
    sign_in(&session, "ada").await;
    opened(&socket).await;
    echo(&mut socket, "hello").await;
    session.logout().await.unwrap();
    socket_state("waiting", &socket, |s| *s == SocketState::WaitingForSession).await;
    sign_in(&session, "bob").await;
    opened(&socket).await;
    let users: Vec<_> = records(&server, Kind::WsOpen)
        .into_iter()
        .filter_map(|r| r.user)
        .collect();
    assert_eq!(users, ["ada", "bob"]);
}

#[tokio::test]
async fn w2_without_a_credential_no_session_is_needed() {
    let server = server(|s| s.anonymous = true).await;
    let session = builder(&server).build().await.unwrap();
    let mut socket = connect(&server, &session, Credential::None);
    echo(&mut socket, "hello").await;
    session.logout().await.unwrap();
    echo(&mut socket, "still here").await;
    assert_eq!(records(&server, Kind::WsOpen)[0].placement, None);
    assert_eq!(server.counters().ws_opened, 1);
}

#[tokio::test]
async fn w1_the_subprotocol_of_the_application_is_offered_first_and_told() {
    for (of_server, told) in [(vec!["chat.v2".to_owned()], "chat.v2"), (vec![], "access_token")] {
        let server = server(|s| s.subprotocols = of_server).await;
        let session = signed_in(&server).await;
        let socket = session
            .socket(server.ws_url())
            .options(|o| {
                o.subprotocols = vec!["chat.v1".into(), "chat.v2".into()];
                o.auto_connect = false;
            })
            .connect()
            .unwrap();
        let mut events = events(&socket);
        socket.connect();
        let event = next_where("opened", &mut events, |e| matches!(e, SocketEvent::Opened { .. })).await;
        assert_eq!(
            event,
            SocketEvent::Opened {
                subprotocol: Some(told.into()),
                handover: false
            }
        );
    }
}

#[tokio::test]
async fn w1_auto_connect_off_waits_for_connect() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = session
        .socket(server.ws_url())
        .options(|o| o.auto_connect = false)
        .connect()
        .unwrap();
    assert_eq!(
        within("an answer", socket.send("x")).await.unwrap_err().kind(),
        ErrorKind::NotConnected
    );
    assert_eq!(
        (socket.state(), server.counters().ws_handshakes),
        (SocketState::Idle, 0)
    );
    socket.connect();
    // Said in this order, heard in this order: the message is queued for the connection to come.
    let sending = within("queued", socket.send("hello")).await.unwrap();
    within("sent", sending.sent()).await.unwrap();
    assert_eq!(next_text(&mut socket).await, "hello");
    socket.disconnect().await;
    assert!(within("the end", socket.next()).await.is_none());
    socket.connect();
    opened(&socket).await;
    echo(&mut socket, "again").await;
}
