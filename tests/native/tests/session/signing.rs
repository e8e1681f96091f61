//! S9, S11 and signing in: whoever comes later wins, and out means out.

use freshsocket::{
    ErrorKind, MemoryStore, Session, SessionState, SignOutCause, SocketState, Store, TokenGrant,
};
use freshsocket_mock_server::{Fault, MockServer, Target, Times};
use freshsocket_native_tests::{
    builder, echo, open_socket, opened, seen, server, session_state, sign_in, signed_in, socket_state, within,
};

/// A request of the application's that finds the token expired, and begins a refresh.
fn request(server: &MockServer, session: &Session) -> tokio::task::JoinHandle<()> {
    server.expire_tokens();
    let (http, url) = (session.http(), format!("{}/api/me", server.http_url()));
    tokio::spawn(async move {
        let _ = http.send(http.client().get(url)).await;
    })
}

#[tokio::test]
async fn s11_a_refused_refresh_signs_out_closes_sockets_and_fails_the_queue() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let socket = open_socket(&server, &session).await;
    server.fault(
        Target::Ws,
        Fault::RefuseUpgrade {
            status: 404,
            retry_after: None,
        },
        Times::Always,
    );
    let down = session.socket(server.ws_url()).connect().unwrap();
    let queued = within("queued", down.send("for nobody else")).await.unwrap();
    server.revoke_user("ada");
    request(&server, &session).await.unwrap();
    let out = session_state("signed out", &session, |s| !s.is_signed_in()).await;
    assert_eq!(
        out,
        SessionState::SignedOut {
            cause: SignOutCause::RefreshRefused
        }
    );
    assert_eq!(
        within("failed", queued.sent()).await.unwrap_err().kind(),
        ErrorKind::SignedOut
    );
    for socket in [&socket, &down] {
        socket_state("waiting", socket, |s| *s == SocketState::WaitingForSession).await;
        let error = socket.send("to whom?").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SignedOut);
    }
    seen("closed", &server, |s| s.counters.ws_open_now == 0).await;
    assert_eq!(server.counters().refreshes, 1);
    assert_eq!(
        session.ensure_valid_token().await.unwrap_err().kind(),
        ErrorKind::SignedOut
    );
}

#[tokio::test]
async fn s11_signing_out_works_offline() {
    let server = server(|_| {}).await;
    let store = MemoryStore::new();
    let session = builder(&server).store(store.clone()).build().await.unwrap();
    sign_in(&session, "ada").await;
    let socket = open_socket(&server, &session).await;
    server.stop_listening();
    let queued = async {
        socket_state("down", &socket, |s| !s.is_open()).await;
        socket.send("never sent").await.unwrap()
    };
    let queued = within("queued", queued).await;
    assert!(!within("logout", session.logout()).await.unwrap());
    assert_eq!(
        session.state(),
        SessionState::SignedOut {
            cause: SignOutCause::LoggedOut
        }
    );
    assert_eq!(
        within("failed", queued.sent()).await.unwrap_err().kind(),
        ErrorKind::SignedOut
    );
    assert!(store.load().await.unwrap().session.is_none());
}

#[tokio::test]
async fn s9_a_refresh_that_returns_after_the_sign_out_is_stored_nowhere() {
    let server = server(|_| {}).await;
    let store = MemoryStore::new();
    let session = builder(&server).store(store.clone()).build().await.unwrap();
    sign_in(&session, "ada").await;
    server.fault(Target::Refresh, Fault::Hold { act_first: true }, Times::Next(1));
    let asking = request(&server, &session);
    seen("the rotation", &server, |s| s.counters.refreshes_ok == 1).await;
    within("logout", session.logout()).await.unwrap();
    server.release();
    within("the request", asking).await.unwrap();
    assert_eq!(
        session.state(),
        SessionState::SignedOut {
            cause: SignOutCause::LoggedOut
        }
    );
    assert!(store.load().await.unwrap().session.is_none());
    // The next user is not touched by it either.
    sign_in(&session, "bob").await;
    assert_eq!(session.claims().unwrap().subject.as_deref(), Some("bob"));
    let stored = store.load().await.unwrap().session.unwrap();
    assert_eq!(stored.access, session.ensure_valid_token().await.unwrap());
}

#[tokio::test]
async fn s9_a_refresh_of_the_user_before_does_not_come_back_over_the_next() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.fault(Target::Refresh, Fault::Hold { act_first: true }, Times::Next(1));
    let asking = request(&server, &session);
    seen("the rotation", &server, |s| s.counters.refreshes_ok == 1).await;
    sign_in(&session, "bob").await;
    server.release();
    within("the request", asking).await.unwrap();
    let token = session.ensure_valid_token().await.unwrap();
    assert_eq!(
        freshsocket::Claims::read(token.expose())
            .unwrap()
            .subject
            .as_deref(),
        Some("bob")
    );
}

#[tokio::test]
async fn s9_the_newer_of_two_sign_ins_wins() {
    let server = server(|_| {}).await;
    let session = builder(&server).build().await.unwrap();
    server.fault(Target::Login, Fault::Hold { act_first: true }, Times::Next(1));
    let first = tokio::spawn({
        let session = session.clone();
        async move {
            session
                .login([("username", "ada"), ("password", "correct")])
                .await
        }
    });
    seen("the first", &server, |s| s.counters.logins_ok == 1).await;
    sign_in(&session, "bob").await;
    assert_eq!(
        within("the first", first).await.unwrap().unwrap_err().kind(),
        ErrorKind::Superseded
    );
    server.release();
    assert_eq!(session.claims().unwrap().subject.as_deref(), Some("bob"));
}

#[tokio::test]
async fn w10_signing_in_as_another_moves_the_sockets_to_the_new_user() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = open_socket(&server, &session).await;
    sign_in(&session, "bob").await;
    assert_eq!(
        session
            .user()
            .unwrap()
            .at("/username")
            .and_then(|u| u.as_str().map(str::to_owned))
            .as_deref(),
        Some("bob")
    );
    seen("ada closed", &server, |s| {
        s.counters.ws_closed == 1 && s.counters.ws_opened == 2
    })
    .await;
    opened(&socket).await;
    echo(&mut socket, "hello from bob").await;
    assert_eq!(
        (server.connection_count("ada"), server.connection_count("bob")),
        (0, 1)
    );
}

#[tokio::test]
async fn s1_tokens_from_elsewhere_are_adopted_and_then_kept_fresh() {
    let server = server(|_| {}).await;
    let session = builder(&server).build().await.unwrap();
    let mut socket = session.socket(server.ws_url()).connect().unwrap();
    socket_state("waiting", &socket, |s| *s == SocketState::WaitingForSession).await;
    let pair = server.issue_session("ada");
    let (access, refresh) = (pair.access.as_str().into(), Some(pair.refresh.as_str().into()));
    session
        .adopt(TokenGrant {
            access,
            refresh,
            expires_in_ms: None,
            user: None,
        })
        .await
        .unwrap();
    opened(&socket).await;
    echo(&mut socket, "hello").await;
    freshsocket_native_tests::force_refresh(&server, &session).await;
    assert_eq!(server.counters().logins, 0);
}

#[tokio::test]
async fn s1_verify_asks_the_server() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    assert!(session.verify().await.unwrap());
    server.set(|s| s.boot_id = true);
    assert!(
        !session.verify().await.unwrap(),
        "the server no longer knows the token"
    );
    server.fault(Target::Verify, Fault::Html { status: 502 }, Times::Next(1));
    assert_eq!(session.verify().await.unwrap_err().kind(), ErrorKind::Unreachable);
    assert!(session.state().is_signed_in(), "asking changes nothing");
}
