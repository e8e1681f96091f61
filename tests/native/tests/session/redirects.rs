//! Section 6: redirects never carry a token, a password or a cookie to another origin.

use freshsocket::options::{Credential, TicketOptions};
use freshsocket::{ErrorKind, SocketState};
use freshsocket_mock_server::{Fault, MockServer, Target, Times};
use freshsocket_native_tests::{
    builder, expired, server, session_state, sign_in, signed_in, socket_state, within,
};

/// Every endpoint redirects to the other server, which must not hear of it.
async fn two_servers(status: u16) -> (MockServer, MockServer) {
    let (server, other) = (server(|_| {}).await, server(|_| {}).await);
    let to = format!("{}/api/auth/login/", other.http_url());
    server.fault(Target::Http, Fault::Redirect { to, status }, Times::Always);
    (server, other)
}

#[tokio::test]
async fn s6_managed_requests_do_not_follow_to_another_origin() {
    for status in [301, 302, 303, 307, 308] {
        let (server, other) = two_servers(status).await;
        let session = expired(&server, builder(&server)).await;
        let login = within(
            "login",
            session.login([("username", "ada"), ("password", "correct")]),
        )
        .await;
        assert_eq!(login.unwrap_err().kind(), ErrorKind::MalformedAnswer, "{status}");
        assert_eq!(
            within("refresh", session.ensure_valid_token())
                .await
                .unwrap_err()
                .kind(),
            ErrorKind::Unreachable
        );
        assert_eq!(
            session.verify().await.unwrap_err().kind(),
            ErrorKind::MalformedAnswer
        );
        assert!(!session.logout().await.unwrap());
        assert_untouched(&other);
    }
}

#[tokio::test]
async fn s6_tickets_and_requests_of_the_application_do_not_follow_either() {
    let (server, other) = two_servers(307).await;
    server.clear_faults();
    let session = signed_in(&server).await;
    let to = format!("{}/api/me", other.http_url());
    server.fault(Target::Http, Fault::Redirect { to, status: 307 }, Times::Always);
    let http = session.http();
    let answer = http
        .send(http.client().get(format!("{}/api/me", server.http_url())))
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 307, "handed out as it is");
    let ticket = TicketOptions {
        url: "/api/ws-ticket".into(),
        ..TicketOptions::default()
    };
    let socket = session
        .socket(server.ws_url())
        .credential(Credential::Ticket(ticket))
        .connect()
        .unwrap();
    socket_state("backoff", &socket, |s| matches!(s, SocketState::Backoff { .. })).await;
    assert_untouched(&other);
}

#[tokio::test]
async fn s6_a_slash_redirect_to_another_origin_is_not_followed() {
    let other = server(|_| {}).await;
    let origin = other.http_url();
    let server = server(|s| {
        s.slash = freshsocket_mock_server::SlashPolicy::RedirectFromSlash;
        s.redirect_origin = Some(origin);
    })
    .await;
    let session = builder(&server).build().await.unwrap();
    let login = session
        .login([("username", "ada"), ("password", "correct")])
        .await;
    assert_eq!(login.unwrap_err().kind(), ErrorKind::MalformedAnswer);
    assert_untouched(&other);
}

#[tokio::test]
async fn s12_the_token_is_not_sent_to_origins_that_were_not_allowed() {
    let (server, other) = (server(|_| {}).await, server(|_| {}).await);
    let session = signed_in(&server).await;
    let http = session.http();
    let foreign = || http.client().get(format!("{}/api/me", other.http_url()));
    assert_eq!(
        http.send(foreign()).await.unwrap_err().kind(),
        ErrorKind::InsecureUrl
    );
    assert_untouched(&other);
    // The other server does not know the token, but gets it now; the refusal changes nothing here but one refresh.
    let allowed = http.clone().allow_origin(other.http_url());
    let answer = allowed.send(foreign()).await.unwrap();
    assert_eq!(answer.status().as_u16(), 401);
    assert_eq!(other.counters().api, 2);
    session_state("active", &session, |s| s.name() == "active").await;
    sign_in(&session, "bob").await;
}

fn assert_untouched(other: &MockServer) {
    assert_eq!(other.counters().requests, 0, "{:?}", other.records());
    assert!(other.records().is_empty());
}
