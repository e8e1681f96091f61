//! S2, S3, S4, S8 and S12: one refresh for everybody, stored before used, refused told apart from unreachable.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::io::Input;
use freshsocket::{ErrorKind, SessionEvent, SessionState, SignOutCause};
use sim::{Fault, Setup, StoreFault, World, hours, mins, secs};

fn answers(status: u16, body: &'static str, retry_after: Option<&'static str>) -> Fault {
    Fault::Answers {
        status,
        body,
        retry_after,
    }
}

fn token_number(world: &World) -> Option<u64> {
    world
        .view
        .as_ref()
        .unwrap()
        .token
        .as_ref()
        .map(|token| token.number)
}

/// Ada is signed in, and her token is past its margin because nobody refreshed by timer.
fn past_the_margin() -> World {
    let mut world = World::new(Setup::session(|session| session.refresh.proactive = false));
    world.login("ada");
    world.run_for(mins(57));
    assert_eq!(world.server.refreshes(), 0);
    world
}

#[test]
fn s2_a_fresh_token_is_given_without_any_request() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    world.input(Input::TokenNeeded);
    world.run_for(secs(1));
    assert_eq!(world.server.refreshes(), 0);
    assert!(world.answer().unwrap().is_ok());
}

#[test]
fn s2_within_the_margin_a_new_token_is_fetched_and_given() {
    let mut world = past_the_margin();
    world.input(Input::TokenNeeded);
    assert_eq!(world.answer(), None, "the outcome of the refresh decides");
    world.run_for(secs(1));
    assert_eq!(token_number(&world), Some(2));
    let view = world.view.clone().unwrap();
    assert!(view.token.unwrap().fresh_until > world.clock().mono);
}

#[test]
fn s2_within_the_margin_and_unreachable_the_still_valid_token_is_given() {
    let mut world = past_the_margin();
    world.server.fails_to_refresh(Fault::Unreachable, u32::MAX);
    world.input(Input::TokenNeeded);
    world.run_for(100);
    assert!(matches!(world.session(), SessionState::Unreachable { .. }));
    assert!(world.answer().unwrap().is_ok());
}

#[test]
fn s2_expired_and_unreachable_says_so_with_the_time_of_the_next_attempt() {
    let mut world = past_the_margin();
    world.server.fails_to_refresh(Fault::Unreachable, u32::MAX);
    world.input(Input::TokenNeeded);
    world.run_for(mins(4));
    let error = world.answer().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.next_attempt_unix_ms().unwrap() >= world.clock().unix_ms);
}

#[test]
fn s2_signed_out_says_so() {
    let world = World::new(Setup::default());
    assert_eq!(world.answer().unwrap().unwrap_err().kind(), ErrorKind::SignedOut);
}

#[test]
fn s3_a_thousand_callers_make_one_refresh() {
    let mut world = past_the_margin();
    for _ in 0..1_000 {
        world.input(Input::TokenNeeded);
    }
    world.run_for(secs(10));
    assert_eq!(world.server.refreshes(), 1);
    assert_eq!(token_number(&world), Some(2));
}

#[test]
fn s3_a_thousand_callers_during_an_outage_make_no_more_attempts_than_one() {
    let mut world = past_the_margin();
    world.server.fails_to_refresh(Fault::Unreachable, u32::MAX);
    for _ in 0..1_000 {
        world.input(Input::TokenNeeded);
        world.run_for(60);
    }
    assert!(world.server.refreshes() < 15, "{}", world.server.refreshes());
}

#[test]
fn s4_callbacks_are_told_once_per_new_token_in_order() {
    let mut world = World::new(Setup::default());
    world.server.lifetime = mins(1);
    world.login("ada");
    world.run_for(mins(10));
    let issued: Vec<&str> = world.told.iter().map(freshsocket::AccessToken::expose).collect();
    let mut numbers: Vec<u64> = issued
        .iter()
        .map(|text| world.server.issued[*text].number)
        .collect();
    assert_eq!(numbers.len(), world.server.refreshes() + 1);
    assert!(numbers.is_sorted());
    numbers.dedup();
    assert_eq!(numbers.len(), issued.len());
}

#[test]
fn s8_the_pair_is_stored_before_it_is_published() {
    let mut world = World::new(Setup::durable());
    world.store.delay = 300;
    world.login("ada");
    world.run_for(mins(50));
    world.run_until(mins(10), |world| world.server.refreshes() == 1);
    world.run_for(2 * world.server.latency + 10);
    assert_eq!(token_number(&world), Some(1), "issued, and not yet durable");
    world.run_for(secs(1));
    assert_eq!(token_number(&world), Some(2));
    // The world checks every publication against the store.
    world.run_for(hours(5));
}

#[test]
fn s8_a_store_that_fails_loses_no_session_and_says_so() {
    for fault in [StoreFault::Fails, StoreFault::Hangs, StoreFault::DoneButFails] {
        let mut world = World::new(Setup::durable());
        world.login("ada");
        world.connect();
        world.store.write_fault = Some((fault, 6));
        world.run_for(hours(6));
        assert!(
            world.is_signed_in() && world.is_open(),
            "{fault:?}: {:?}",
            world.session()
        );
        let said = |event: &SessionEvent| matches!(event, SessionEvent::StoreFailed { .. });
        assert!(world.session_events.iter().any(said));
        let held = world.store.session().unwrap().access.clone();
        assert_eq!(
            world.answer().unwrap().unwrap(),
            held,
            "{fault:?}: in the end the store has caught up"
        );
    }
}

#[test]
fn s8_refused_signs_out_with_its_cause() {
    for durable in [false, true] {
        let mut world = World::open(Setup {
            durable,
            ..Setup::default()
        });
        world.server.refuses_to_refresh();
        world.run_for(hours(1));
        assert_eq!(
            world.session(),
            &SessionState::SignedOut {
                cause: SignOutCause::RefreshRefused
            }
        );
        assert_eq!(world.server.refreshes(), 1, "a refusal is final");
        assert!(!world.is_open());
        assert!(world.store.session().is_none());
    }
}

#[test]
fn s8_refused_then_the_pair_of_another_holder_is_adopted() {
    let mut world = World::open(Setup::durable());
    world.run_for(mins(50));
    // Another process exchanges the refresh token while our request is on its way, and stores what it got.
    world.run_until(mins(10), |world| {
        world.effects_out() > 0 && world.store.session().unwrap().intent.is_some()
    });
    let mut stored = world.store.session().unwrap().clone();
    let (access, refresh) = world
        .server
        .spend(world.now, stored.refresh.as_ref().unwrap().expose());
    (stored.access, stored.refresh) = (access.as_str().into(), Some(refresh.as_str().into()));
    (stored.rotation, stored.intent) = (stored.rotation + 1, None);
    stored.received_unix_ms = world.clock().unix_ms;
    world.store.write(Some(Box::new(stored)));
    world.run_for(secs(2));
    assert_eq!(world.answer().unwrap().unwrap().expose(), access);
    assert_eq!(world.server.refreshes(), 1);
    world.run_for(hours(3));
    assert!(world.is_signed_in() && world.is_open());
}

#[test]
fn s8_unreachable_for_an_hour_keeps_the_session_and_is_connected_one_step_after_its_return() {
    for seed in 0..10 {
        let mut world = World::open(Setup::default().seed(seed));
        world.run_for(mins(30));
        (world.server.offline, world.ws.offline) = (true, true);
        world.cut_all();
        world.run_for(mins(90));
        assert!(matches!(
            world.session(),
            SessionState::Unreachable { .. } | SessionState::Refreshing { .. }
        ));
        (world.server.offline, world.ws.offline) = (false, false);
        assert!(
            world.run_until(secs(31), World::is_open),
            "{:?} {:?}",
            world.session(),
            world.socket_state()
        );
    }
}

#[test]
fn s8_an_early_refresh_that_fails_is_tried_again_before_the_token_expires() {
    for seed in 0..20 {
        let mut world = World::new(Setup::default().seed(seed));
        world.server.lifetime = secs(60);
        world.login("ada");
        world.server.fails_to_refresh(Fault::Unreachable, 2);
        world.run_for(secs(60));
        assert!(world.server.refreshes() >= 3);
        assert_eq!(token_number(&world), Some(2));
    }
}

#[test]
fn s8_retry_after_is_honoured_and_429_is_unreachable() {
    for (status, retry_after, least) in [(429, Some("90"), 90), (503, Some("40"), 40), (429, None, 0)] {
        let mut world = World::open(Setup::default());
        world
            .server
            .fails_to_refresh(answers(status, r#"{"detail":"slow down"}"#, retry_after), 1);
        world.run_for(mins(58));
        assert!(world.is_signed_in());
        let times = world.server.refresh_times();
        assert!(times.len() >= 2, "{times:?}");
        assert!(times[1] - times[0] >= secs(least), "{times:?}");
        assert!(times[1] - times[0] <= secs(least + least / 10 + 3), "{times:?}");
    }
}

#[test]
fn s8_what_a_captive_portal_says_ends_no_session() {
    for (status, body) in [
        (401, "<html>Please log in to Hotel WiFi</html>"),
        (400, "<!doctype html>"),
        (200, "<html>Welcome</html>"),
        (302, ""),
        (511, "<html></html>"),
        (200, "{}"),
        (404, "{}"),
        (500, "{}"),
    ] {
        let mut world = World::open(Setup::default());
        world
            .server
            .fails_to_refresh(answers(status, body, None), u32::MAX);
        world.run_for(mins(59));
        assert!(world.is_signed_in() && world.is_open(), "{status} {body}");
        world.server.refresh_fault = None;
        world.run_for(mins(1));
        assert!(matches!(world.session(), SessionState::Active { .. }));
    }
}

#[test]
fn s8_a_lost_answer_is_asked_for_again_with_the_same_key() {
    let mut world = World::open(Setup::session(|session| {
        session.refresh.idempotency_header = Some("Idempotency-Key".into());
    }));
    world.server.honours_key = true;
    for hour in 0..3 {
        world.server.fails_to_refresh(Fault::LosesAnswer, 2);
        world.run_for(hours(1));
        assert!(world.is_signed_in(), "hour {hour}: {:?}", world.session());
    }
    let keys: Vec<String> = world
        .server
        .to("refresh")
        .iter()
        .map(|r| r.key.clone().unwrap())
        .collect();
    let rotations: std::collections::BTreeSet<&String> = keys.iter().collect();
    assert_eq!(
        rotations.len() * 3,
        keys.len(),
        "one key per rotation, three tries each"
    );
    assert!(world.is_open());
}

#[test]
fn s8_an_answer_that_is_given_again_is_as_old_as_the_first_time() {
    for with_date in [false, true] {
        let mut world = World::open(Setup::session(|session| {
            session.refresh.idempotency_header = Some("Idempotency-Key".into());
        }));
        world.server.honours_key = true;
        world.server.with_date = with_date;
        world.server.lifetime = mins(5);
        world.run_for(mins(53));
        // The first answer is lost, then the server is away for longer than the token in that answer lives.
        world.server.fails_to_refresh(Fault::LosesAnswer, 1);
        world.run_until(mins(10), |world| world.server.refreshes() == 1);
        world.server.fails_to_refresh(Fault::Unreachable, u32::MAX);
        world.run_for(mins(10));
        world.server.refresh_fault = None;
        world.cut_all();
        // The world checks that no connect carries it.
        assert!(world.run_until(mins(1), World::is_open));
        world.run_for(mins(3));
        assert!(world.is_signed_in() && world.is_open());
    }
}

#[test]
fn s8_a_lost_answer_without_idempotency_ends_where_the_server_says_so() {
    let mut world = World::open(Setup::durable());
    world.server.fails_to_refresh(Fault::LosesAnswer, 1);
    world.run_for(hours(1));
    assert_eq!(
        world.session(),
        &SessionState::SignedOut {
            cause: SignOutCause::RefreshRefused
        }
    );
    // A server that does not blacklist answers again.
    let mut world = World::open(Setup::durable());
    world.server.blacklists = false;
    world.server.fails_to_refresh(Fault::LosesAnswer, 3);
    world.run_for(hours(2));
    assert!(world.is_signed_in());
}

#[test]
fn s8_a_server_that_does_not_rotate_keeps_its_refresh_token() {
    let mut world = World::open(Setup::durable());
    world.server.rotates = false;
    world.run_for(hours(5));
    let bodies: std::collections::BTreeSet<String> = world
        .server
        .to("refresh")
        .iter()
        .map(|request| request.body.clone())
        .collect();
    assert_eq!(bodies.len(), 1);
    assert!(world.is_signed_in());
}

#[test]
fn s12_a_rejected_token_is_refreshed_once_and_an_old_one_not_at_all() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    for _ in 0..50 {
        world.input(Input::TokenRejected { token: 1 });
    }
    world.run_for(secs(1));
    assert_eq!((world.server.refreshes(), token_number(&world)), (1, Some(2)));
    world.input(Input::TokenRejected { token: 1 });
    world.input(Input::TokenRejected { token: 99 });
    world.run_for(secs(1));
    assert_eq!(world.server.refreshes(), 1, "it was no longer the current one");
}

#[test]
fn s12_the_same_text_twice_in_a_second_is_still_a_new_token() {
    let mut world = World::new(Setup::default());
    world.server.same_in_a_second = true;
    world.login("ada");
    world.input(Input::TokenRejected { token: 1 });
    world.run_for(500);
    assert_eq!(world.server.issued.len(), 1, "the scene: one text, two tokens");
    assert_eq!(token_number(&world), Some(2));
    assert_eq!(world.told.len(), 2);
}
