//! S1: every source of tokens.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::io::{Input, Reply};
use freshsocket::options::{Credential, Endpoint, Endpoints, Method, Preset};
use freshsocket::{ErrorKind, Json, SessionEvent, SessionState, SignOutCause, SocketState};
use sim::{Callback, Setup, World, hours, mins, secs};

fn preset(preset: Preset) -> Setup {
    Setup::session(|session| session.preset = preset)
}

#[test]
fn s1_simple_jwt_signs_in_refreshes_verifies_and_logs_out() {
    let mut world = World::open(Setup::default());
    let login = world.server.to("login")[0].clone();
    assert_eq!(
        (login.path.as_str(), login.body.as_str()),
        ("/api/auth/login/", r#"{"password":"pw","username":"ada"}"#)
    );
    assert_eq!(
        world
            .view
            .clone()
            .unwrap()
            .user
            .unwrap()
            .at("/name")
            .and_then(Json::as_str),
        Some("ada")
    );
    assert_eq!(world.verify().unwrap(), Reply::Verified(true));
    world.run_for(hours(1));
    let refresh = world.server.to("refresh")[0].clone();
    assert_eq!(
        (refresh.path.as_str(), refresh.body.as_str()),
        ("/api/auth/token/refresh/", r#"{"refresh":"refresh-1"}"#)
    );
    assert!(world.logout());
    let logout = world.server.to("logout")[0].clone();
    assert!(
        logout.bearer.is_some() && logout.body.contains("refresh-"),
        "{logout:?}"
    );
}

#[test]
fn s1_node_jwt_signs_in_and_refreshes() {
    let mut world = World::new(preset(Preset::NodeJwt));
    world.server.node = true;
    world.login("ada");
    world.connect();
    world.run_for(hours(3));
    assert!(world.is_open());
    assert_eq!(world.server.to("/api/auth/refresh").len(), 3);
}

#[test]
fn s1_token_only_says_expiring_soon_before_it_signs_out_as_expired() {
    let mut world = World::new(preset(Preset::TokenOnly));
    world.server.node = true;
    world.login("ada");
    world.connect();
    world.run_for(mins(53));
    assert!(
        !world
            .session_events
            .iter()
            .any(|event| matches!(event, SessionEvent::ExpiringSoon { .. }))
    );
    world.run_for(mins(3));
    let said = world
        .session_events
        .iter()
        .filter(|event| matches!(event, SessionEvent::ExpiringSoon { .. }))
        .count();
    assert_eq!(said, 1, "early enough to act, and once");
    assert!(world.is_open());
    world.run_for(mins(5));
    assert_eq!(
        world.session(),
        &SessionState::SignedOut {
            cause: SignOutCause::Expired
        }
    );
    assert_eq!(world.socket_state(), &SocketState::WaitingForSession);
    assert_eq!(world.server.requests.len(), 1, "there is nothing to ask");
    world.login("ada");
    world.run_for(secs(1));
    assert!(world.is_open());
}

#[test]
fn s1_token_only_survives_a_restart_on_a_clock_that_was_set_back() {
    let mut setup = preset(Preset::TokenOnly);
    setup.durable = true;
    let mut world = World::new(setup);
    world.server.node = true;
    world.login("ada");
    world.kill();
    world.clock_error = -3_000;
    world.start();
    world.run_for(mins(10));
    assert!(
        world.is_signed_in(),
        "a token that was valid is not thrown away: {:?}",
        world.session()
    );
}

#[test]
fn s1_cookie_sessions_refresh_and_connect_with_cookies_that_nobody_sees() {
    let mut setup = preset(Preset::Cookie);
    setup.socket.credential = Credential::Cookie { name: None };
    let mut world = World::new(setup);
    world.server.cookies = true;
    world.login("ada");
    world.connect();
    world.run_for(hours(3));
    assert!(world.is_open());
    assert_eq!(world.server.refreshes(), 3);
    assert!(
        world.told.iter().all(freshsocket::AccessToken::is_empty),
        "the token is never handed out"
    );
    assert!(world.answer().unwrap().is_ok());
    let last = world.server.to("refresh")[2].cookie.clone().unwrap();
    assert!(last.contains("access=") && last.contains("refresh="), "{last}");
    assert_eq!(world.ws.tokens().len(), 4, "each renewal was shown");
}

#[test]
fn s1_custom_endpoints_need_no_code() {
    let custom = |path: &str, body: &str| Endpoint {
        path: path.into(),
        method: Method::Put,
        body: Json::parse(body),
        access: "/access".into(),
        ..Endpoint::default()
    };
    let mut world = World::new(Setup::session(|session| {
        session.preset = Preset::Custom;
        session.endpoints = Endpoints {
            login: Some(custom("/v2/login", r#"{"username":"{username}","app":7}"#)),
            refresh: Some(custom("/v2/refresh", r#"{"refresh":"{refresh}"}"#)),
            ..Endpoints::default()
        };
    }));
    world.login("ada");
    assert_eq!(
        world.server.to("/v2/login")[0].body,
        r#"{"app":7,"username":"ada"}"#
    );
    world.run_for(hours(1));
    assert_eq!(world.server.to("/v2/refresh").len(), 1);
    assert_eq!(world.verify().unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn s1_a_refused_login_says_so_and_changes_nothing() {
    let mut world = World::new(Setup::default());
    let call = world.begin_login("nobody");
    world.run_for(secs(1));
    let error = world.replies[&call].clone().unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (ErrorKind::LoginRefused, Some(401))
    );
    assert_eq!(
        world.session(),
        &SessionState::SignedOut {
            cause: SignOutCause::NotSignedIn
        }
    );
}

#[test]
fn s1_a_callback_is_pulled_for_every_token_and_never_replayed() {
    let mut world = World::prepared(preset(Preset::Callback), |world| world.server.lifetime = mins(1));
    world.connect();
    world.run_for(mins(10));
    assert!(world.is_open());
    assert!((12..=15).contains(&world.asked.len()), "{}", world.asked.len());
    assert!(world.asked.iter().all(|forced| !forced));
    assert_eq!(world.server.requests.len(), 0);
}

#[test]
fn s1_a_callback_that_throws_or_hangs_stops_nothing() {
    for (trouble, kind) in [
        (Callback::Throws, ErrorKind::CallbackFailed),
        (Callback::Hangs, ErrorKind::CallbackFailed),
        (Callback::Unreachable, ErrorKind::Unreachable),
    ] {
        let mut world = World::new(preset(Preset::Callback));
        world.connect();
        world.run_for(secs(1));
        assert!(world.is_open());
        world.callback = trouble;
        world.run_for(mins(58));
        let SessionState::Unreachable {
            cause, next_attempt, ..
        } = world.session()
        else {
            // A hanging call may be out right now.
            assert!(
                matches!(world.session(), SessionState::Refreshing { .. }),
                "{:?}",
                world.session()
            );
            continue;
        };
        assert_eq!(cause.kind(), kind);
        assert!(*next_attempt >= world.clock().unix_ms);
        assert!(world.is_open(), "a valid token is kept");
        world.run_for(mins(30));
        assert!(
            world
                .answer()
                .is_none_or(|answer| answer.unwrap_err().kind() == ErrorKind::Unreachable)
        );
        world.callback = Callback::Fresh;
        assert!(world.run_until(secs(50), |world| matches!(
            world.session(),
            SessionState::Active { .. }
        )));
        assert!(world.run_until(secs(1), World::is_open));
    }
}

#[test]
fn s1_a_callback_that_hangs_from_the_first_call_is_asked_again() {
    let mut world = World::prepared(preset(Preset::Callback), |world| world.callback = Callback::Hangs);
    world.connect();
    world.run_for(mins(2));
    assert!(world.asked.len() >= 4);
    world.callback = Callback::Fresh;
    assert!(world.run_until(secs(50), World::is_open));
}

#[test]
fn s1_a_callback_that_says_signed_out_is_asked_again_when_somebody_asks() {
    let mut world = World::new(preset(Preset::Callback));
    world.connect();
    world.run_for(secs(1));
    world.callback = Callback::SignedOut;
    world.run_for(hours(1));
    assert_eq!(
        world.session(),
        &SessionState::SignedOut {
            cause: SignOutCause::SaidByCallback
        }
    );
    assert_eq!(world.socket_state(), &SocketState::WaitingForSession);
    let asked = world.asked.len();
    world.run_for(hours(1));
    assert_eq!(world.asked.len(), asked, "nobody asked");
    world.callback = Callback::Fresh;
    world.input(Input::TokenNeeded);
    world.run_for(secs(1));
    assert!(world.is_open());
}

#[test]
fn s1_the_same_token_again_is_no_new_token_and_the_next_one_comes_before_the_old_one_is_missed() {
    let mut world = World::new(preset(Preset::Callback));
    // A callback that caches until the last moment, as many libraries do.
    world.callback = Callback::CachedUntil(0);
    world.connect();
    let mut missing = 0;
    for _ in 0..4 * 3_600 {
        world.run_for(secs(1));
        missing += usize::from(world.view.as_ref().unwrap().token.is_none());
    }
    assert!(missing <= 4, "a valid token was missing for {missing} s");
    assert!(world.asked.len() < 4 * 80, "{}", world.asked.len());
    assert_eq!(world.told.len(), 4, "once per new token");
}

#[test]
fn s1_after_a_refusal_a_cached_token_will_not_do() {
    let mut world = World::new(preset(Preset::Callback));
    world.callback = Callback::CachedUntil(mins(1));
    world.connect();
    world.run_for(secs(1));
    world.server.revoke_access();
    world.close_all(4401);
    world.run_for(secs(1));
    assert_eq!(world.asked, [false, true]);
    assert!(world.is_open());
}

#[test]
fn s1_a_refusal_while_the_callback_is_in_trouble_still_forces_a_new_token() {
    let mut world = World::new(preset(Preset::Callback));
    world.callback = Callback::CachedUntil(mins(1));
    world.connect();
    world.run_for(mins(54));
    world.callback = Callback::Throws;
    world.run_for(mins(2));
    // The token is revoked while the callback is failing.
    world.server.revoke_access();
    world.close_all(4401);
    world.callback = Callback::CachedUntil(mins(1));
    world.run_for(mins(1));
    assert_eq!(world.asked.last(), Some(&true), "{:?}", world.asked);
    assert!(world.is_open(), "{:?}", world.socket_state());
}
