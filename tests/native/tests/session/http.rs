//! S12: authenticated requests of the application; and the end of a client.

use freshsocket::{ErrorKind, Session, TokenGrant};
use freshsocket_mock_server::{Fault, Kind, MockServer, Target, Times};
use freshsocket_native_tests::{builder, open_socket, records, seen, server, signed_in, within};

async fn me(server: &MockServer, session: &Session) -> u16 {
    let http = session.http();
    let answer = within(
        "an answer",
        http.send(http.client().get(format!("{}/api/me", server.http_url()))),
    )
    .await;
    answer.unwrap().status().as_u16()
}

#[tokio::test]
async fn s12_a_401_is_answered_by_one_refresh_and_one_retry() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    assert_eq!(me(&server, &session).await, 200);
    server.expire_tokens();
    assert_eq!(me(&server, &session).await, 200);
    assert_eq!((server.counters().api, server.counters().refreshes), (3, 1));

    // A body is sent again whole.
    server.expire_tokens();
    let http = session.http();
    let request = http
        .client()
        .post(format!("{}/api/echo", server.http_url()))
        .body("x".repeat(100_000));
    let answer = within("an answer", http.send(request)).await.unwrap();
    assert_eq!(answer.text().await.unwrap().len(), 100_000);
    assert_eq!(server.counters().refreshes, 2);
}

#[tokio::test]
async fn s12_a_second_401_is_handed_out() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.fault(
        Target::Api,
        Fault::Refuse {
            status: 401,
            body: None,
        },
        Times::Next(2),
    );
    assert_eq!(me(&server, &session).await, 401);
    assert_eq!((server.counters().api, server.counters().refreshes), (2, 1));
    assert!(session.state().is_signed_in());
}

#[tokio::test]
async fn s12_a_rejected_token_that_is_no_longer_current_costs_no_refresh() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.expire_tokens();
    server.fault(Target::Api, Fault::Hold { act_first: true }, Times::Next(1));
    let slow = tokio::spawn({
        let (server, session) = (server.clone(), session.clone());
        async move { me(&server, &session).await }
    });
    seen("the refusal of the first", &server, |s| {
        s.counters.api == 1 && s.records.iter().any(|r| r.is(Kind::Api))
    })
    .await;
    assert_eq!(me(&server, &session).await, 200);
    assert_eq!(server.counters().refreshes, 1);
    server.release();
    assert_eq!(within("the first", slow).await.unwrap(), 200);
    assert_eq!(
        server.counters().refreshes,
        1,
        "the token that was refused was the old one"
    );
    let statuses: Vec<_> = records(&server, Kind::Api)
        .into_iter()
        .filter_map(|r| r.status)
        .collect();
    assert_eq!(statuses, [401, 401, 200, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_many_requests_at_expiry_share_one_refresh() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    server.expire_tokens();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (server, session) = (server.clone(), session.clone());
            tokio::spawn(async move { me(&server, &session).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(within("an answer", task).await.unwrap(), 200);
    }
    assert_eq!(server.counters().refreshes, 1);
}

#[tokio::test]
async fn s12_without_a_session_nothing_is_sent() {
    let server = server(|_| {}).await;
    let session = builder(&server).build().await.unwrap();
    let http = session.http();
    let error = http
        .send(http.client().get(format!("{}/api/me", server.http_url())))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SignedOut);
    assert_eq!(server.counters().requests, 0);
}

#[tokio::test]
async fn w14_after_close_everything_fails_as_disposed() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut socket = open_socket(&server, &session).await;
    let mut states = session.states();
    within("close", session.close()).await;
    seen("the socket closed", &server, |s| s.counters.ws_open_now == 0).await;
    let disposed = |kind: ErrorKind| assert_eq!(kind, ErrorKind::Disposed);
    disposed(
        session
            .login([("username", "ada"), ("password", "correct")])
            .await
            .unwrap_err()
            .kind(),
    );
    disposed(session.logout().await.unwrap_err().kind());
    disposed(session.verify().await.unwrap_err().kind());
    let grant = TokenGrant {
        access: "a".into(),
        refresh: None,
        expires_in_ms: None,
        user: None,
    };
    disposed(session.adopt(grant).await.unwrap_err().kind());
    disposed(session.socket(server.ws_url()).connect().unwrap_err().kind());
    disposed(within("send", socket.send("x")).await.unwrap_err().kind());
    disposed(
        within("token", session.ensure_valid_token())
            .await
            .unwrap_err()
            .kind(),
    );
    disposed(me_error(&server, &session).await);
    assert!(within("the end", socket.next()).await.is_none());
    assert_eq!(states.next().await.map(|s| s.name()), Some("active"));
    assert!(within("the end", states.next()).await.is_none());
    within("disconnect", socket.disconnect()).await;
    within("close again", session.close()).await;
}

async fn me_error(server: &MockServer, session: &Session) -> ErrorKind {
    let http = session.http();
    let request = http.client().get(format!("{}/api/me", server.http_url()));
    within("an answer", http.send(request)).await.unwrap_err().kind()
}

#[tokio::test]
async fn w14_dropping_the_last_clone_ends_the_client() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let socket = open_socket(&server, &session).await;
    let mut states = session.states();
    drop(session.clone());
    drop(session);
    assert!(socket.is_connected(), "a socket keeps its session");
    drop(socket);
    seen("closed", &server, |s| s.counters.ws_open_now == 0).await;
    while within("the end of the states", states.next()).await.is_some() {}
}
