//! S4, S5, S13: what the application hears and sees.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use freshsocket::{ErrorKind, SessionEvent, SessionState, SignOutCause, Subscription};
use freshsocket_mock_server::{Fault, Target, Times};
use freshsocket_native_tests::{
    builder, eventually, force_refresh, next_where, server, sign_in, signed_in, within,
};
use futures_util::StreamExt as _;

type Heard = Arc<Mutex<Vec<String>>>;

#[tokio::test]
async fn s4_callbacks_hear_every_token_once_and_in_order() {
    let server = server(|_| {}).await;
    let session = builder(&server).build().await.unwrap();
    let heard = Heard::default();
    let subscription = session.on_token_refresh({
        let heard = heard.clone();
        move |token| heard.lock().unwrap().push(token.expose().to_owned())
    });
    let mut tokens = Vec::new();
    sign_in(&session, "ada").await;
    tokens.push(session.ensure_valid_token().await.unwrap().expose().to_owned());
    for _ in 0..5 {
        force_refresh(&server, &session).await;
        tokens.push(session.ensure_valid_token().await.unwrap().expose().to_owned());
    }
    eventually("six calls", || heard.lock().unwrap().len() == 6).await;
    assert_eq!(*heard.lock().unwrap(), tokens);

    subscription.unsubscribe();
    let after = session.on_token_refresh({
        let heard = heard.clone();
        move |_| heard.lock().unwrap().push("after".into())
    });
    force_refresh(&server, &session).await;
    eventually("the other call", || {
        heard.lock().unwrap().last().is_some_and(|last| last == "after")
    })
    .await;
    assert_eq!(
        heard.lock().unwrap().len(),
        7,
        "the first callback was unsubscribed"
    );
    drop(after);
}

#[tokio::test]
async fn s4_a_callback_may_unsubscribe_itself_and_panic() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let (once, always) = (Heard::default(), Heard::default());
    let own: Arc<Mutex<Option<Subscription>>> = Arc::default();
    let subscription = session.on_token_refresh({
        let (once, own) = (once.clone(), own.clone());
        move |token| {
            once.lock().unwrap().push(token.expose().to_owned());
            drop(own.lock().unwrap().take());
        }
    });
    *own.lock().unwrap() = Some(subscription);
    let _panics = session.on_token_refresh(|_| panic!("a callback of the application's"));
    let _always = session.on_token_refresh({
        let always = always.clone();
        move |token| always.lock().unwrap().push(token.expose().to_owned())
    });
    for round in 1..=3 {
        force_refresh(&server, &session).await;
        eventually("the last callback", || always.lock().unwrap().len() == round).await;
    }
    assert_eq!(once.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn s4_a_callback_may_use_the_sdk() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let heard = Heard::default();
    let inner: Arc<Mutex<Vec<Subscription>>> = Arc::default();
    let _subscription = session.on_token_refresh({
        let (session, heard, inner) = (session.clone(), heard.clone(), inner.clone());
        move |token| {
            assert!(session.state().is_signed_in());
            assert!(session.claims().is_some());
            assert!(!session.is_token_expiring_soon(Some(Duration::ZERO)));
            inner.lock().unwrap().push(session.on_token_refresh(|_| {}));
            let socket = session.socket("ws://127.0.0.1:9/").connect().unwrap();
            drop(socket);
            let (session, heard) = (session.clone(), heard.clone());
            tokio::spawn(async move {
                let current = session.ensure_valid_token().await.unwrap();
                assert_eq!(current.expose(), token.expose());
                assert!(session.verify().await.unwrap());
                heard.lock().unwrap().push("done".into());
            });
        }
    });
    force_refresh(&server, &session).await;
    eventually("the callback's own work", || heard.lock().unwrap().len() == 1).await;
}

#[tokio::test]
async fn s5_expiring_soon_is_asked_with_any_buffer_and_five_minutes_otherwise() {
    for (life_s, soon) in [(299, true), (400, false)] {
        let server = server(|s| s.access_lifetime_ms = life_s * 1_000).await;
        let session = builder(&server).build().await.unwrap();
        assert!(session.is_token_expiring_soon(None), "nobody is signed in");
        sign_in(&session, "ada").await;
        assert_eq!(session.is_token_expiring_soon(None), soon, "{life_s} s");
        assert!(!session.is_token_expiring_soon(Some(Duration::ZERO)));
        assert!(session.is_token_expiring_soon(Some(Duration::from_secs(life_s + 1))));
    }
}

#[tokio::test]
async fn s13_states_claims_and_user_follow_the_session() {
    let server = server(|_| {}).await;
    let session = builder(&server).build().await.unwrap();
    assert_eq!(
        session.state(),
        SessionState::SignedOut {
            cause: SignOutCause::NotSignedIn
        }
    );
    assert!((session.claims(), session.user()) == (None, None));
    let states = session.states();
    let user = session
        .login([("username", "ada"), ("password", "correct")])
        .await
        .unwrap();
    assert_eq!(
        user.as_ref().and_then(|user| user.at("/username")?.as_str()),
        Some("ada")
    );
    assert_eq!(session.user(), user);
    let claims = session.claims().unwrap();
    assert_eq!(claims.subject.as_deref(), Some("ada"));
    assert!(claims.expires_at > claims.issued_at);
    force_refresh(&server, &session).await;
    assert_eq!(
        session.user(),
        user,
        "a refresh answer without a user record keeps it"
    );
    session.logout().await.unwrap();
    assert!((session.claims(), session.user()) == (None, None));
    session.close().await;
    let names: Vec<_> = within("the end", states.map(|state| state.name()).collect()).await;
    assert_eq!(
        names,
        ["signedOut", "active", "refreshing", "active", "signedOut"]
    );
}

#[tokio::test]
async fn s13_events_tell_of_refreshes_begun_done_and_failed() {
    let server = server(|_| {}).await;
    let session = signed_in(&server).await;
    let mut events = session.events();
    server.fault(Target::Refresh, Fault::Malformed, Times::Next(1));
    server.expire_tokens();
    let http = session.http();
    let _ = within(
        "answer",
        http.send(http.client().get(format!("{}/api/me", server.http_url()))),
    )
    .await
    .unwrap();
    let failed = next_where("failed", &mut events, |e| {
        matches!(e, SessionEvent::RefreshFailed { .. })
    })
    .await;
    let SessionEvent::RefreshFailed { error } = failed else {
        unreachable!()
    };
    assert_eq!(error.kind(), ErrorKind::MalformedAnswer);
    let done = next_where("done", &mut events, |e| {
        matches!(e, SessionEvent::Refreshed { .. })
    })
    .await;
    assert!(
        matches!(
            done,
            SessionEvent::Refreshed {
                token: 2,
                expires_at: Some(_)
            }
        ),
        "{done:?}"
    );
}
