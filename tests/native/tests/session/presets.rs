//! S1: every preset signs in, refreshes, connects and signs out, and custom endpoints do as well.

use freshsocket::options::{Credential, Endpoint, Endpoints, Method, Preset};
use freshsocket::{ErrorKind, Json, Session, SessionEvent, SessionState, SignOutCause};
use freshsocket_mock_server::{Dialect, Kind, MockServer, Placement, SlashPolicy};
use freshsocket_native_tests::{
    builder, echo, force_refresh, next_where, open_socket, opened, records, server, session_state, signed_in,
    within,
};

#[tokio::test]
async fn s1_simple_jwt_with_any_success_status() {
    for success_status in [200, 201, 204] {
        let server = server(|s| s.success_status = success_status).await;
        let session = signed_in(&server).await;
        assert!(session.user().is_some());
        assert!(session.verify().await.unwrap(), "{success_status}");
        force_refresh(&server, &session).await;
        assert!(session.verify().await.unwrap());
        echo(&mut open_socket(&server, &session).await, "hello").await;
        assert!(session.logout().await.unwrap(), "{success_status}");
        assert_eq!(server.counters().logouts, 1);
    }
}

#[tokio::test]
async fn s1_node_jwt_with_any_success_status() {
    for success_status in [200, 201, 204] {
        let server = server(|s| {
            s.success_status = success_status;
            s.dialect = Dialect::Node;
        })
        .await;
        let session = builder(&server).preset(Preset::NodeJwt).build().await.unwrap();
        session
            .login([("email", "ada@example.com"), ("password", "correct")])
            .await
            .unwrap();
        force_refresh(&server, &session).await;
        echo(&mut open_socket(&server, &session).await, "hello").await;
        assert_eq!(session.verify().await.unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(session.logout().await.unwrap(), "{success_status}");
    }
}

#[tokio::test]
async fn s1_token_only_says_early_that_it_expires_and_then_asks_for_a_sign_in() {
    let server = server(|s| {
        s.access_lifetime_ms = 1_500;
        s.fractional_times = true;
    })
    .await;
    let login = Endpoint {
        path: "/auth/token-only/login".into(),
        access: "/token".into(),
        ..Endpoint::default()
    };
    let builder = builder(&server).preset(Preset::TokenOnly);
    let session = builder
        .endpoints(Endpoints {
            login: Some(login),
            ..Endpoints::default()
        })
        .build()
        .await
        .unwrap();
    let mut events = session.events();
    let sign_in = || session.login([("email", "ada@example.com"), ("password", "correct")]);
    sign_in().await.unwrap();
    let mut socket = open_socket(&server, &session).await;
    let soon = next_where("expiring soon", &mut events, |e| {
        matches!(e, SessionEvent::ExpiringSoon { .. })
    })
    .await;
    let SessionEvent::ExpiringSoon { expires_at } = soon else {
        unreachable!()
    };
    assert!(matches!(session.state(), SessionState::Active { expires_at: Some(at) } if at == expires_at));
    let out = session_state("signed out", &session, |s| !s.is_signed_in()).await;
    assert_eq!(
        out,
        SessionState::SignedOut {
            cause: SignOutCause::Expired
        }
    );
    assert_eq!(
        session.ensure_valid_token().await.unwrap_err().kind(),
        ErrorKind::SignedOut
    );
    within("waiting", socket.wait_for(|s| s.name() == "waitingForSession"))
        .await
        .unwrap();
    server.set(|s| s.access_lifetime_ms = 60_000);
    sign_in().await.unwrap();
    opened(&socket).await;
    echo(&mut socket, "again").await;
    assert_eq!(server.counters().refreshes, 0);
}

fn cookie_endpoints() -> Endpoints {
    let at = |path: &str| {
        Some(Endpoint {
            path: path.into(),
            ..Endpoint::default()
        })
    };
    let verify = Endpoint {
        method: Method::Get,
        path: "/cookie/me".into(),
        ..Endpoint::default()
    };
    Endpoints {
        login: at("/cookie/login"),
        refresh: at("/cookie/refresh"),
        verify: Some(verify),
        logout: at("/cookie/logout"),
    }
}

async fn cookie_session(server: &MockServer) -> Session {
    let builder = builder(server)
        .preset(Preset::Cookie)
        .endpoints(cookie_endpoints());
    let session = builder.build().await.unwrap();
    session
        .login([("username", "ada"), ("password", "correct")])
        .await
        .unwrap();
    session
}

#[tokio::test]
async fn s1_cookie_sessions_refresh_and_connect_without_showing_a_token() {
    for success_status in [200, 201, 204] {
        let server = server(|s| {
            s.success_status = success_status;
            s.access_lifetime_ms = 1_500;
            s.fractional_times = true;
        })
        .await;
        let session = cookie_session(&server).await;
        assert_eq!(session.ensure_valid_token().await.unwrap().expose(), "");
        assert!(session.verify().await.unwrap());
        let mut socket = session
            .socket(server.ws_url())
            .credential(Credential::Cookie { name: None })
            .connect()
            .unwrap();
        opened(&socket).await;
        echo(&mut socket, "one").await;
        seen_refreshes(&server, 2).await;
        echo(&mut socket, "two").await;
        // The cookies of every connection are those of the latest refresh.
        for record in records(&server, Kind::WsOpen) {
            assert_eq!(
                (record.placement, record.token_expired),
                (Some(Placement::Cookie), false)
            );
        }
        assert!(session.logout().await.unwrap());
        assert_eq!(session.verify().await.unwrap_err().kind(), ErrorKind::SignedOut);
    }
}

#[tokio::test]
async fn s12_requests_of_a_cookie_session_carry_its_cookies() {
    let server = server(|_| {}).await;
    let session = cookie_session(&server).await;
    let http = session.http();
    let answer = within(
        "answer",
        http.send(http.client().get(format!("{}/api/me", server.http_url()))),
    )
    .await;
    assert_eq!(answer.unwrap().status().as_u16(), 200);
}

async fn seen_refreshes(server: &MockServer, times: u64) {
    freshsocket_native_tests::seen("refreshes", server, |s| s.counters.refreshes_ok >= times).await;
}

#[tokio::test]
async fn s1_custom_endpoints_with_their_own_fields_and_bodies() {
    let server = server(|s| {
        s.dialect = Dialect::Node;
        s.opaque_tokens = true;
    })
    .await;
    let node = |path: &str, body: Option<Json>| Endpoint {
        path: path.into(),
        body,
        access: "/token".into(),
        refresh: "/refreshToken".into(),
        expires_in: "/expiresIn".into(),
        ..Endpoint::default()
    };
    let object = |name: &str, value: &str| (name.to_owned(), Json::from(value));
    let login_body = Json::object([
        object("email", "{who}@example.com"),
        object("password", "{secret}"),
    ]);
    let refresh_body = Json::object([object("refreshToken", "{refresh}"), object("client", "test")]);
    let endpoints = Endpoints {
        login: Some(node("/api/auth/login", Some(login_body))),
        // A whole URL of the same origin is as good as a path.
        refresh: Some(node(
            &format!("{}/api/auth/refresh", server.http_url()),
            Some(refresh_body.clone()),
        )),
        verify: None,
        logout: Some(Endpoint {
            bearer: true,
            ..node("/api/auth/logout", Some(refresh_body))
        }),
    };
    let session = builder(&server)
        .preset(Preset::Custom)
        .endpoints(endpoints)
        .build()
        .await
        .unwrap();
    session
        .login([("who", "ada"), ("secret", "correct")])
        .await
        .unwrap();
    assert_eq!(
        records(&server, Kind::Login)[0].user.as_deref(),
        Some("ada@example.com")
    );
    assert!(
        session.claims().is_none(),
        "an opaque token says nothing of itself"
    );
    assert!(session.is_token_expiring_soon(Some(std::time::Duration::from_secs(301))));
    force_refresh(&server, &session).await;
    echo(&mut open_socket(&server, &session).await, "hello").await;
    assert!(session.logout().await.unwrap());
}

#[tokio::test]
async fn s1_custom_sessions_without_a_login_endpoint_say_so() {
    let server = server(|_| {}).await;
    let session = builder(&server).preset(Preset::Custom).build().await.unwrap();
    let error = session.login([("username", "ada")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(session.verify().await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn s1_a_missing_or_superfluous_final_slash_is_forgiven() {
    for redirect_status in [301, 302, 307, 308] {
        let server = server(|s| {
            s.redirect_status = redirect_status;
            s.slash = SlashPolicy::RedirectFromSlash;
        })
        .await;
        let session = signed_in(&server).await;
        force_refresh(&server, &session).await;
        assert!(session.verify().await.unwrap());
        assert!(session.logout().await.unwrap(), "{redirect_status}");
        assert_eq!(records(&server, Kind::Redirect).len(), 4);
    }
}
