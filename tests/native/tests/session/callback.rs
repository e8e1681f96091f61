//! S1 (b): the application supplies the tokens; token, signed out and unreachable are told apart.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use freshsocket::{ErrorKind, Session, SessionState, SignOutCause, TokenAnswer, TokenGrant};
use freshsocket_mock_server::{Fault, MockServer, Target, Times};
use freshsocket_native_tests::{builder, echo, eventually, open_socket, server, session_state, within};

/// What the callback does next, and which of its questions were forced.
#[derive(Clone, Default)]
struct App {
    mood: Arc<Mutex<Mood>>,
    forced: Arc<Mutex<Vec<bool>>>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Mood {
    #[default]
    Token,
    SignedOut,
    Fails,
    Panics,
    Hangs,
}

impl App {
    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    async fn session(&self, server: &MockServer) -> Session {
        let (app, issuer) = (self.clone(), server.clone());
        let callback = move |request: freshsocket::TokenRequest| {
            app.forced.lock().unwrap().push(request.force);
            let (mood, issuer) = (*app.mood.lock().unwrap(), issuer.clone());
            async move {
                match mood {
                    Mood::Token => {
                        let access = issuer
                            .issue_access_token("ada", Duration::from_secs(300))
                            .as_str()
                            .into();
                        Ok(TokenAnswer::Token {
                            access,
                            expires_in_ms: None,
                        })
                    }
                    Mood::SignedOut => Ok(TokenAnswer::SignedOut),
                    Mood::Fails => Err(std::io::Error::other("no network in the app")),
                    Mood::Panics => panic!("the application's own mistake"),
                    Mood::Hangs => std::future::pending().await,
                }
            }
        };
        let builder = builder(server)
            .token_callback(callback)
            .session_options(|o| o.request_timeout_ms = 100);
        builder.build().await.unwrap()
    }
}

#[tokio::test]
async fn s1_a_callback_session_is_pulled_from_the_start_and_connects() {
    let server = server(|_| {}).await;
    let app = App::default();
    let session = app.session(&server).await;
    let token = within("a token", session.ensure_valid_token()).await.unwrap();
    assert_eq!(server.tokens_issued(), [token.expose()]);
    echo(&mut open_socket(&server, &session).await, "hello").await;
    assert_eq!(*app.forced.lock().unwrap(), [false], "asked once");
    let pushed = TokenGrant {
        access: "pushed".into(),
        refresh: None,
        expires_in_ms: None,
        user: None,
    };
    assert_eq!(
        session.adopt(pushed).await.unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(
        session.login([("a", "b")]).await.unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(server.counters().requests, 1, "the upgrade");
}

#[tokio::test]
async fn s1_after_a_refusal_a_cached_token_will_not_do() {
    let server = server(|_| {}).await;
    let app = App::default();
    let session = app.session(&server).await;
    server.fault(
        Target::Ws,
        Fault::RefuseUpgrade {
            status: 401,
            retry_after: None,
        },
        Times::Next(1),
    );
    echo(&mut open_socket(&server, &session).await, "hello").await;
    assert_eq!(*app.forced.lock().unwrap(), [false, true]);
}

#[tokio::test]
async fn s1_errors_panics_and_hanging_mean_unreachable_and_pass() {
    for mood in [Mood::Fails, Mood::Panics, Mood::Hangs] {
        let server = server(|_| {}).await;
        let app = App::default();
        app.set(mood);
        let session = app.session(&server).await;
        let error = within("an answer", session.ensure_valid_token())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        let state = session_state("unreachable", &session, |s| {
            matches!(s, SessionState::Unreachable { .. })
        })
        .await;
        let SessionState::Unreachable { cause, .. } = state else {
            unreachable!()
        };
        assert_eq!(cause.kind(), ErrorKind::CallbackFailed, "{cause}");
        assert_eq!(
            cause.cause().is_some_and(|c| c.contains("no network in the app")),
            mood == Mood::Fails
        );
        app.set(Mood::Token);
        session_state("active", &session, |s| matches!(s, SessionState::Active { .. })).await;
        echo(&mut open_socket(&server, &session).await, "hello").await;
    }
}

#[tokio::test]
async fn s1_signed_out_by_the_callback_and_in_again() {
    let server = server(|_| {}).await;
    let app = App::default();
    let session = app.session(&server).await;
    let socket = open_socket(&server, &session).await;
    app.set(Mood::SignedOut);
    server.expire_tokens();
    let http = session.http().allow_origin(server.http_url());
    let answer = http
        .send(http.client().get(format!("{}/api/me", server.http_url())))
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 401);
    let out = session_state("signed out", &session, |s| !s.is_signed_in()).await;
    assert_eq!(
        out,
        SessionState::SignedOut {
            cause: SignOutCause::SaidByCallback
        }
    );
    within("waiting", socket.wait_for(|s| s.name() == "waitingForSession"))
        .await
        .unwrap();
    app.set(Mood::Token);
    // The next who needs a token asks again.
    within("a token", session.ensure_valid_token()).await.unwrap();
    eventually("open again", || socket.is_connected()).await;
}
