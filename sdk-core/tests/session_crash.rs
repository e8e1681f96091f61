//! S8: a process may die at any step between the refresh and the store.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::{SessionEvent, SessionState, SignOutCause};
use sim::{Fault, Setup, StoreFault, World, hours, mins, secs};

/// Ada's process lives until just before her first refresh.
fn before_the_refresh(key: bool) -> World {
    let mut setup = Setup::durable();
    setup.session.refresh.idempotency_header = key.then(|| "Idempotency-Key".into());
    let mut world = World::new(setup);
    world.server.honours_key = key;
    world.store.delay = 5;
    world.login("ada");
    world.connect();
    world.run_for(mins(53));
    world
}

/// Kills the process after so many steps of the refresh; how far it came: requests seen by the server.
fn killed_after(steps: u32, world: &mut World) -> usize {
    world.run_until(mins(10), |world| world.effects_out() > 0);
    for _ in 0..steps {
        world.step_before(u64::MAX);
    }
    world.kill();
    world.run_for(secs(1));
    world.server.refreshes()
}

/// What the next process finds.
fn restarted(world: &mut World) -> SessionState {
    world.start();
    world.connect();
    world.run_for(secs(30));
    world.session().clone()
}

const STEPS: u32 = 12;

#[test]
fn s8_killed_at_every_step_the_next_start_is_signed_in_or_says_refresh_interrupted() {
    let mut seen = [0, 0];
    for loses_writes in [false, true] {
        for steps in 0..STEPS {
            let mut world = before_the_refresh(false);
            world.store.loses_writes_on_kill = loses_writes;
            killed_after(steps, &mut world);
            match restarted(&mut world) {
                SessionState::Active { .. } => {
                    seen[0] += 1;
                    assert!(world.is_open());
                    world.run_for(hours(3));
                    assert!(world.is_signed_in() && world.is_open(), "and stays so");
                }
                SessionState::SignedOut {
                    cause: SignOutCause::RefreshInterrupted,
                } => seen[1] += 1,
                other => panic!("killed after {steps} steps: {other:?}"),
            }
        }
    }
    assert!(
        seen[0] > 0 && seen[1] > 0,
        "the scene: both ends were reached: {seen:?}"
    );
}

#[test]
fn s8_killed_at_every_step_and_with_an_idempotency_key_the_next_start_is_signed_in() {
    for loses_writes in [false, true] {
        for steps in 0..STEPS {
            let mut world = before_the_refresh(true);
            world.store.loses_writes_on_kill = loses_writes;
            let asked = killed_after(steps, &mut world);
            let state = restarted(&mut world);
            assert!(
                matches!(state, SessionState::Active { .. }),
                "after {steps} steps: {state:?}"
            );
            assert!(world.is_open());
            let keys: Vec<_> = world
                .server
                .to("refresh")
                .iter()
                .map(|request| request.key.clone())
                .collect();
            if asked == 1 && keys.len() > 1 {
                assert_eq!(
                    keys[0], keys[1],
                    "the dead process's exchange is finished with its key"
                );
            }
        }
    }
}

#[test]
fn s8_killed_twice_in_the_same_exchange() {
    for second in 0..STEPS {
        let mut world = before_the_refresh(true);
        killed_after(3, &mut world);
        world.start();
        for _ in 0..second {
            world.step_before(world.now + secs(30));
        }
        world.kill();
        let state = restarted(&mut world);
        assert!(
            matches!(state, SessionState::Active { .. }),
            "after {second} steps: {state:?}"
        );
    }
}

#[test]
fn s8_killed_in_the_exchange_and_unreachable_at_the_next_start_is_still_signed_in() {
    let mut world = before_the_refresh(true);
    killed_after(4, &mut world);
    world.server.fails_to_refresh(Fault::Unreachable, u32::MAX);
    world.start();
    world.connect();
    world.run_for(mins(2));
    assert!(world.is_signed_in());
    assert!(
        world.is_open(),
        "the old token is valid yet: {:?}",
        world.socket_state()
    );
    world.server.refresh_fault = None;
    world.run_for(mins(1));
    assert!(matches!(world.session(), SessionState::Active { .. }));
}

#[test]
fn s8_a_long_stopped_process_starts_with_a_refresh_and_shows_no_expired_token() {
    let mut world = before_the_refresh(false);
    world.kill();
    world.run_for(hours(40));
    world.start();
    assert!(world.answer().is_none_or(|answer| answer.is_err()));
    world.connect();
    world.run_for(secs(1));
    assert!(world.is_open());
    assert_eq!(world.server.refreshes(), 1);
}

#[test]
fn s8_a_start_offline_is_signed_in_and_deletes_nothing() {
    let mut world = before_the_refresh(false);
    world.kill();
    world.run_for(hours(40));
    (world.server.offline, world.ws.offline) = (true, true);
    world.start();
    world.connect();
    world.run_for(hours(1));
    assert!(matches!(
        world.session(),
        SessionState::Unreachable { .. } | SessionState::Refreshing { .. }
    ));
    assert!(world.store.session().is_some());
    (world.server.offline, world.ws.offline) = (false, false);
    assert!(world.run_until(secs(31), World::is_open));
}

#[test]
fn s8_a_store_that_cannot_be_read_at_the_start_says_so_and_is_not_overwritten() {
    for fault in [StoreFault::Fails, StoreFault::Hangs] {
        let mut world = before_the_refresh(false);
        world.kill();
        world.store.read_fault = Some((fault, 3));
        world.start();
        world.run_for(100);
        assert!(!world.is_signed_in());
        assert!(world.store.session().is_some());
        assert!(
            world.run_until(mins(2), World::is_signed_in),
            "{fault:?}: it is read again until it can be"
        );
        let failures = world.session_events.iter();
        let failures = failures.filter(|event| matches!(event, SessionEvent::StoreFailed { .. }));
        assert_eq!(failures.count(), 3, "{fault:?}");
    }
}

#[test]
fn s8_a_sign_in_while_the_store_cannot_be_read_is_not_undone_by_what_it_held() {
    let mut world = before_the_refresh(false);
    world.kill();
    world.store.read_fault = Some((StoreFault::Fails, 2));
    world.start();
    world.login("grace");
    world.run_for(mins(2));
    assert!(world.is_signed_in());
    let user = world.view.as_ref().unwrap().user.as_ref().unwrap().to_string();
    assert!(user.contains("grace"), "{user}");
}

#[test]
fn s8_an_answer_that_came_while_the_process_was_frozen_is_used() {
    let mut world = before_the_refresh(false);
    world.run_until(mins(10), |world| world.server.refreshes() == 1);
    // The answer is on its way back; nobody runs for ten minutes, with the monotonic clock going on.
    world.freeze(mins(10));
    world.run_for(secs(5));
    assert!(world.is_signed_in());
    assert_eq!(
        world.store.session().unwrap().rotation,
        2,
        "the pair that was bought is kept"
    );
}

#[test]
fn s8_a_refusal_with_a_store_that_cannot_be_reread_does_not_wipe_what_another_holder_stored() {
    let mut world = before_the_refresh(false);
    world.run_until(mins(10), |world| {
        world.effects_out() > 0 && world.store.session().unwrap().intent.is_some()
    });
    // Another process was quicker: it exchanged the token and stored the new pair; then the disk hiccups.
    let mut stored = world.store.session().unwrap().clone();
    let (access, refresh) = world
        .server
        .spend(world.now, stored.refresh.as_ref().unwrap().expose());
    (stored.access, stored.refresh) = (access.as_str().into(), Some(refresh.as_str().into()));
    (stored.rotation, stored.intent) = (stored.rotation + 1, None);
    world.store.write(Some(Box::new(stored)));
    world.store.read_fault = Some((StoreFault::Fails, 1));
    world.run_for(secs(30));
    let kept = world
        .store
        .session()
        .map(|stored| stored.access.expose().to_owned());
    assert_eq!(kept, Some(access), "it is the other holder's session");
    assert!(world.is_signed_in(), "{:?}", world.session());
}

#[test]
fn s8_a_clock_set_back_or_forward_while_no_process_ran_costs_one_refresh() {
    for days in [-4i64, 4] {
        let mut world = before_the_refresh(false);
        world.kill();
        world.clock_error = days * 86_400_000;
        world.start();
        world.connect();
        world.run_for(mins(1));
        assert!(world.is_signed_in() && world.is_open());
        assert_eq!(world.server.refreshes(), 1);
    }
}
