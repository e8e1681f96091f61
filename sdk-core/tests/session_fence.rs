//! S9, S11 and S13: late answers lose, sign-out always works, and the state says what happens next.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::io::{Input, Reply};
use freshsocket::{ErrorKind, SessionState, SignOutCause, SocketEvent, SocketState};
use sim::{Fault, Sent, Setup, StoreFault, World, hours, mins, secs};

fn refreshing(durable: bool) -> World {
    let mut world = World::open(Setup {
        durable,
        ..Setup::default()
    });
    world.store.delay = 15;
    world.server.latency = 100;
    world.run_for(mins(50));
    assert!(world.run_until(mins(10), |world| matches!(
        world.session(),
        SessionState::Refreshing { .. }
    )));
    world
}

fn user(world: &World) -> Option<String> {
    let token = world.answer()?.ok()?;
    Some(world.server.issued[token.expose()].user.clone())
}

/// Whose tokens the store holds.
fn stored_user(world: &World) -> Option<String> {
    Some(
        world.server.issued[world.store.session()?.access.expose()]
            .user
            .clone(),
    )
}

#[test]
fn s9_a_sign_out_at_every_step_of_a_refresh_leaves_nothing_behind() {
    for durable in [false, true] {
        for steps in 0..10 {
            let mut world = refreshing(durable);
            for _ in 0..steps {
                world.step_before(u64::MAX);
            }
            let told = world.told.len();
            world.begin_logout();
            let states = world.session_states.len();
            assert_eq!(
                world.session(),
                &SessionState::SignedOut {
                    cause: SignOutCause::LoggedOut
                }
            );
            world.run_for(mins(5));
            assert_eq!(world.session_states.len(), states, "nothing late is published");
            assert_eq!(world.told.len(), told, "nor told");
            assert!(world.store.session().is_none(), "nor stored, after {steps} steps");
            assert_eq!(world.socket_state(), &SocketState::WaitingForSession);
        }
    }
}

#[test]
fn s9_a_user_switch_at_every_step_of_a_refresh_ends_with_the_new_user_alone() {
    for durable in [false, true] {
        for steps in 0..10 {
            let mut world = refreshing(durable);
            for _ in 0..steps {
                world.step_before(u64::MAX);
            }
            world.login("bob");
            let told = world.told.len();
            for _ in 0..40 {
                world.run_for(secs(15));
                assert_eq!(user(&world).as_deref(), Some("bob"), "after {steps} steps");
            }
            assert!(!durable || stored_user(&world).as_deref() == Some("bob"));
            assert_eq!(world.told.len(), told);
            assert!(world.is_open());
            let last = world.ws.handshakes.last().unwrap().text.clone();
            assert_eq!(world.server.issued[&last].user, "bob");
        }
    }
}

#[test]
fn s9_a_refresh_that_begins_while_the_next_user_is_being_stored_loses() {
    // Ada's refresh is tried again while bob's sign-in waits for a slow store.
    for early in 0..40 {
        let mut world = World::open(Setup::durable());
        world.server.fails_to_refresh(Fault::Unreachable, 3);
        world.run_for(mins(53));
        world.run_until(mins(10), |world| {
            matches!(world.session(), SessionState::Unreachable { .. })
        });
        world.store.delay = secs(2);
        world.run_for(early * 50);
        world.login("bob");
        world.run_for(secs(60));
        assert_eq!(user(&world).as_deref(), Some("bob"), "{early}");
        assert_eq!(stored_user(&world).as_deref(), Some("bob"), "{early}");
    }
}

#[test]
fn s9_an_answer_for_the_user_before_that_comes_after_a_slow_sign_in_is_discarded() {
    let mut world = World::open(Setup::durable());
    world.store.write_fault = Some((StoreFault::Hangs, 1));
    let call = world.begin_login("bob");
    world.run_for(100);
    // Bob's pair is being written, and the disk is slow. Ada's token is refused and refreshed meanwhile.
    world.store.write_fault = Some((StoreFault::Fails, 1));
    world.server.latency = secs(10);
    world.input(Input::TokenRejected { token: 1 });
    world.run_for(secs(15));
    assert_eq!(world.server.refreshes(), 1);
    assert!(world.run_until(secs(3), |world| world.replies.contains_key(&call)));
    world.run_for(secs(30));
    assert_eq!(user(&world).as_deref(), Some("bob"));
    world.server.latency = 20;
    world.run_for(hours(1));
    assert_eq!(
        (user(&world).as_deref(), stored_user(&world).as_deref()),
        (Some("bob"), Some("bob"))
    );
}

#[test]
fn s9_a_sign_out_during_a_login_and_its_store_wins() {
    for durable in [false, true] {
        for steps in 0..6 {
            let mut world = World::new(Setup {
                durable,
                ..Setup::default()
            });
            world.store.delay = 30;
            let login = world.begin_login("ada");
            for _ in 0..steps {
                world.step_before(world.now + secs(1));
            }
            let was_done = world.replies.contains_key(&login);
            world.logout();
            world.run_for(mins(1));
            assert!(!world.is_signed_in());
            assert!(world.store.session().is_none(), "after {steps} steps");
            if !was_done {
                assert_eq!(
                    world.replies[&login].clone().unwrap_err().kind(),
                    ErrorKind::Superseded
                );
            }
        }
    }
}

#[test]
fn s9_of_two_logins_the_later_wins_and_the_earlier_hears_so() {
    let mut world = World::new(Setup::durable());
    let first = world.begin_login("ada");
    world.run_for(25);
    world.login("bob");
    world.run_for(mins(1));
    assert_eq!(
        world.replies[&first].clone().unwrap_err().kind(),
        ErrorKind::Superseded
    );
    assert_eq!(
        (user(&world).as_deref(), stored_user(&world).as_deref()),
        (Some("bob"), Some("bob"))
    );
}

#[test]
fn s9_a_new_user_signed_in_by_another_holder_is_not_overwritten_by_a_late_refresh() {
    let mut world = refreshing(true);
    // Another tab: bob signs in (on the store he finds) while ada's refresh is out.
    world.run_until(secs(5), |world| world.server.refreshes() == 1);
    let mut bobs = world.store.session().unwrap().clone();
    let access = world.server.issue(world.now, "bob");
    (bobs.access, bobs.rotation, bobs.intent) = (access.as_str().into(), bobs.rotation + 1, None);
    world.store.write(Some(Box::new(bobs)));
    world.run_for(secs(30));
    assert_eq!(stored_user(&world).as_deref(), Some("bob"));
}

#[test]
fn s9_w10_a_new_user_found_in_the_store_is_a_new_identity() {
    let mut setup = Setup::durable();
    setup.socket.outbox.max_age_ms = 0;
    let mut world = World::open(setup);
    world.run_for(mins(50));
    let mut bobs = world.store.session().unwrap().clone();
    let access = world.server.issue(world.now, "bob");
    (bobs.access, bobs.rotation) = (access.as_str().into(), bobs.rotation + 1);
    world.store.write(Some(Box::new(bobs)));
    world.ws.offline = true;
    world.cut_all();
    let send = world.send("ada's words");
    world.run_until(mins(10), |world| user(world).as_deref() == Some("bob"));
    world.ws.offline = false;
    world.run_for(mins(1));
    assert_eq!(world.sends[&send], Sent::Failed(ErrorKind::IdentityChanged));
    assert!(world.ws.received.is_empty());
}

#[test]
fn s11_signing_out_revokes_closes_and_fails_what_waits() {
    let mut world = World::open(Setup::durable());
    world.ws.stalled = true;
    let send = world.send("not yet out");
    assert!(world.logout(), "the server confirmed");
    assert_eq!(world.server.to("logout").len(), 1);
    world.run_for(secs(10));
    assert_eq!(world.sends[&send], Sent::Failed(ErrorKind::SignedOut));
    assert!(world.ws.open.is_empty());
    assert!(world.store.session().is_none());
    assert_eq!(world.socket_state(), &SocketState::WaitingForSession);
    assert!(matches!(
        world.events_of(sim::FIRST).last(),
        Some(SocketEvent::SendFailed { .. })
    ));
    assert_eq!(world.ends(), 1, "the application sees its connection end");
}

#[test]
fn s11_signing_out_works_offline() {
    for fault in [Fault::Unreachable, Fault::Hangs] {
        let mut world = World::open(Setup::durable());
        world.server.fault = Some((fault, u32::MAX));
        let call = world.begin_logout();
        assert!(!world.is_signed_in(), "at once");
        assert!(world.run_until(secs(6), |world| world.replies.contains_key(&call)));
        assert_eq!(world.replies[&call], Ok(Reply::SignedOut { revoked: false }));
        assert!(world.store.session().is_none());
    }
}

#[test]
fn s11_a_store_that_fails_for_a_moment_is_cleared_all_the_same() {
    for fault in [StoreFault::Fails, StoreFault::Hangs] {
        let mut world = World::open(Setup::durable());
        world.store.write_fault = Some((fault, 2));
        world.logout();
        world.run_for(mins(2));
        assert!(
            world.store.session().is_none(),
            "{fault:?}: the next start would be signed in again"
        );
    }
}

#[test]
fn s11_after_a_sign_out_nothing_is_asked_of_the_server() {
    let mut world = World::open(Setup::default());
    world.logout();
    let requests = world.server.requests.len();
    world.run_for(hours(24));
    assert_eq!(world.server.requests.len(), requests);
    assert!(
        world.machine().next_deadline().is_none(),
        "nothing is left to wait for"
    );
}

#[test]
fn s13_states_follow_each_other_and_say_what_happens_next() {
    let mut world = World::open(Setup::default());
    world.server.fails_to_refresh(Fault::Unreachable, 3);
    world.run_for(mins(58));
    let names: Vec<&str> = world.session_states.iter().map(SessionState::name).collect();
    let expected = [
        "signedOut",
        "active",
        "refreshing",
        "unreachable",
        "refreshing",
        "unreachable",
        "refreshing",
        "unreachable",
        "refreshing",
        "active",
    ];
    assert_eq!(names, expected);
    let since: Vec<u64> = world
        .session_states
        .iter()
        .filter_map(|state| match state {
            SessionState::Unreachable { since, .. } => Some(*since),
            _ => None,
        })
        .collect();
    assert!(
        since.windows(2).all(|two| two[0] == two[1]),
        "since the first failure: {since:?}"
    );
}

#[test]
fn s13_the_next_attempt_is_when_it_says() {
    let mut world = World::open(Setup::default());
    world.server.fails_to_refresh(Fault::Unreachable, u32::MAX);
    world.run_until(hours(1), |world| {
        matches!(world.session(), SessionState::Unreachable { .. })
    });
    for _ in 0..20 {
        let SessionState::Unreachable { next_attempt, .. } = world.session().clone() else {
            panic!()
        };
        world.run_until(mins(2), |world| {
            matches!(world.session(), SessionState::Refreshing { .. })
        });
        assert_eq!(world.clock().unix_ms, next_attempt);
        world.run_until(mins(2), |world| {
            matches!(world.session(), SessionState::Unreachable { .. })
        });
    }
}
