//! S9 and S10: what other holders do to the store is followed at a hint. A hint is never needed, and never does harm.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::io::{EffectId, Input, Output};
use freshsocket::machine::Machine;
use freshsocket::options::SessionOptions;
use freshsocket::store::{RefreshIntent, StoreSnapshot, StoreVersion, StoredSession};
use freshsocket::time::{Mono, Now};
use freshsocket::{SessionEvent, SessionState, SignOutCause};
use sim::{Setup, StoreFault, World, hours, mins, secs};

/// Ada, signed in and connected, on a store that takes its time.
fn ada() -> World {
    let mut world = World::open(Setup::durable());
    world.store.delay = 5;
    world.run_for(mins(5));
    world
}

fn user_of(world: &World, access: &str) -> String {
    world.server.issued[access].user.clone()
}

/// What another holder would store after a refresh of this session.
fn rotated(world: &mut World) -> StoredSession {
    let mut next = world.store.session().unwrap().clone();
    let user = user_of(world, next.access.expose());
    let access = world.server.issue(world.now, &user);
    next.access = access.as_str().into();
    (next.rotation, next.intent) = (next.rotation + 1, None);
    next.received_unix_ms = world.clock().unix_ms;
    next
}

/// Another holder is asking the server.
fn begun(world: &World) -> RefreshIntent {
    let now = world.clock().unix_ms;
    RefreshIntent {
        key: "theirs".into(),
        at_unix_ms: now,
        asked_unix_ms: now,
        lease: 0,
    }
}

fn another_rotates(world: &mut World) -> String {
    let next = rotated(world);
    let access = next.access.expose().to_owned();
    world.store.write(Some(Box::new(next)));
    access
}

/// Somebody signs in with another holder of the store.
fn another_signs_in(world: &mut World, user: &str) -> String {
    let access = world.server.issue(world.now, user);
    let session = StoredSession {
        access: access.as_str().into(),
        refresh: Some("another-holders".into()),
        cookies: None,
        received_unix_ms: world.clock().unix_ms,
        lifetime_ms: Some(hours(1)),
        user: None,
        rotation: world.store.held.version.0 + 1,
        intent: None,
    };
    world.store.write(Some(Box::new(session)));
    access
}

fn hint(world: &mut World) {
    world.input(Input::StoreChanged);
}

fn token(world: &World) -> Option<String> {
    Some(world.answer()?.ok()?.expose().to_owned())
}

fn cause(world: &World) -> Option<SignOutCause> {
    match world.session() {
        SessionState::SignedOut { cause } => Some(*cause),
        _ => None,
    }
}

#[test]
fn s10_a_newer_pair_is_adopted_at_a_hint_without_a_refresh() {
    let mut world = ada();
    let theirs = another_rotates(&mut world);
    let told = world.told.len();
    hint(&mut world);
    world.run_for(50);
    assert_eq!(token(&world), Some(theirs.clone()));
    assert_eq!(world.told.len(), told + 1, "callbacks hear of it once");
    assert!(world.is_open(), "the same user's socket stays");
    world.run_for(mins(40));
    assert_eq!(world.server.refreshes(), 0);
    assert_eq!(token(&world), Some(theirs));
}

#[test]
fn s10_a_sign_out_by_another_holder_is_followed_at_a_hint() {
    let mut world = ada();
    world.store.write(None);
    hint(&mut world);
    world.run_for(secs(10));
    assert_eq!(cause(&world), Some(SignOutCause::SignedOutElsewhere));
    assert!(world.ws.open.is_empty(), "its sockets are closed");
    assert_eq!(
        world.store.held.version,
        StoreVersion(2),
        "and nothing is written"
    );
}

#[test]
fn s10_a_sign_in_by_another_holder_is_followed_at_a_hint() {
    for first in ["never signed in", "signed out here", "signed out elsewhere"] {
        let mut world = World::new(Setup::durable());
        world.store.delay = 5;
        world.connect();
        if first != "never signed in" {
            world.login("ada");
        }
        match first {
            "signed out here" => {
                world.logout();
            }
            "signed out elsewhere" => {
                world.store.write(None);
                hint(&mut world);
            }
            _ => {}
        }
        world.run_for(secs(10));
        assert!(!world.is_signed_in(), "{first}");
        let theirs = another_signs_in(&mut world, "bob");
        hint(&mut world);
        world.run_for(secs(1));
        assert_eq!(token(&world), Some(theirs), "{first}");
        assert!(
            world.is_open(),
            "a socket that waited for a session has one: {first}"
        );
        assert_eq!(world.server.refreshes(), 0);
    }
}

#[test]
fn s10_another_user_signed_in_by_another_holder_is_another_identity() {
    let mut world = ada();
    let before = world.view.as_ref().unwrap().identity;
    another_signs_in(&mut world, "bob");
    hint(&mut world);
    world.run_for(secs(1));
    assert_ne!(world.view.as_ref().unwrap().identity, before);
    let last = world.ws.handshakes.last().unwrap().text.clone();
    assert_eq!(user_of(&world, &last), "bob", "the socket is bob's from here on");
}

#[test]
fn s10_hints_of_our_own_writes_and_needless_hints_change_nothing() {
    let mut world = ada();
    let (states, events, told) = (
        world.session_states.len(),
        world.session_events.len(),
        world.told.len(),
    );
    for _ in 0..50 {
        hint(&mut world);
        world.run_for(20);
    }
    assert_eq!(
        (
            world.session_states.len(),
            world.session_events.len(),
            world.told.len()
        ),
        (states, events, told)
    );
    assert_eq!(world.store.writes, 1);
    world.logout();
    let states = world.session_states.len();
    for _ in 0..50 {
        hint(&mut world);
        world.run_for(20);
    }
    assert_eq!(world.session_states.len(), states);
    assert!(world.store.session().is_none());
}

#[test]
fn s10_a_store_that_cannot_be_read_at_a_hint_is_told_and_nothing_else_happens() {
    for fault in [StoreFault::Fails, StoreFault::Hangs] {
        let mut world = ada();
        let before = token(&world);
        world.store.read_fault = Some((fault, 1));
        hint(&mut world);
        world.run_for(secs(20));
        assert_eq!(token(&world), before);
        let failed = |event: &SessionEvent| matches!(event, SessionEvent::StoreFailed { .. });
        assert_eq!(
            world.session_events.iter().filter(|event| failed(event)).count(),
            1
        );
        let theirs = another_rotates(&mut world);
        hint(&mut world);
        world.run_for(50);
        assert_eq!(token(&world), Some(theirs), "the next hint is followed");
    }
}

/// A machine on its own, to see every output.
struct Bare {
    machine: Machine,
    now: u64,
}

impl Bare {
    fn new() -> Self {
        let options = SessionOptions {
            base_url: "https://auth.test".into(),
            ..SessionOptions::default()
        };
        let now = Now {
            mono: Mono(0),
            unix_ms: sim::EPOCH,
        };
        let machine = Machine::new(options, true, 1, now).unwrap();
        Self { machine, now: 0 }
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.now += 1;
        let now = Now {
            mono: Mono(self.now),
            unix_ms: sim::EPOCH + self.now,
        };
        self.machine.handle(now, input);
        std::iter::from_fn(|| self.machine.poll()).collect()
    }
}

fn loads(outputs: &[Output]) -> Vec<EffectId> {
    let load = |output: &Output| match output {
        Output::LoadStore { effect } => Some(*effect),
        _ => None,
    };
    outputs.iter().filter_map(load).collect()
}

#[test]
fn s10_a_storm_of_hints_makes_one_read_at_a_time_and_one_more() {
    let mut bare = Bare::new();
    let mut outputs = Vec::new();
    while let Some(output) = bare.machine.poll() {
        outputs.push(output);
    }
    let mut out = loads(&outputs);
    assert_eq!(out.len(), 1, "the restore");
    let empty = || Ok(StoreSnapshot::default());
    for round in 0..4 {
        for _ in 0..1_000 {
            assert!(
                loads(&bare.input(Input::StoreChanged)).is_empty(),
                "a read is out already"
            );
        }
        let effect = out.pop().unwrap();
        let answered = bare.input(Input::StoreLoaded {
            effect,
            loaded: empty(),
        });
        out = loads(&answered);
        assert_eq!(out.len(), 1, "a thousand hints make one more: round {round}");
    }
    let effect = out.pop().unwrap();
    let answered = bare.input(Input::StoreLoaded {
        effect,
        loaded: empty(),
    });
    assert!(loads(&answered).is_empty(), "and then it is quiet");
    assert_eq!(loads(&bare.input(Input::StoreChanged)).len(), 1);
}

#[test]
fn s10_a_session_without_a_store_takes_no_hints() {
    let mut world = World::open(Setup::default());
    hint(&mut world);
    world.run_for(secs(1));
    assert!(world.is_open());
    assert_eq!(world.effects_out(), 0);
}

#[test]
fn s9_a_pair_seen_during_our_exchange_is_adopted_and_the_late_answer_is_discarded() {
    let mut world = ada();
    world.server.latency = secs(5);
    world.run_until(mins(60), |world| world.server.refreshes() == 1);
    let theirs = another_rotates(&mut world);
    hint(&mut world);
    world.run_for(100);
    assert_eq!(
        token(&world),
        Some(theirs.clone()),
        "not after the answer, but now"
    );
    world.run_for(secs(30));
    assert_eq!(token(&world), Some(theirs.clone()));
    assert_eq!(world.store.session().unwrap().access.expose(), theirs);
}

#[test]
fn s9_a_sign_out_elsewhere_at_every_step_of_our_refresh_leaves_nothing_stored() {
    for hinted in [true, false] {
        for steps in 0..10 {
            let mut world = ada();
            world.server.latency = 100;
            world.run_until(mins(60), |world| {
                matches!(world.session(), SessionState::Refreshing { .. })
            });
            for _ in 0..steps {
                world.step_before(world.now + 500);
            }
            world.store.write(None);
            if hinted {
                hint(&mut world);
                world.run_for(secs(2));
                assert_eq!(
                    cause(&world),
                    Some(SignOutCause::SignedOutElsewhere),
                    "{steps} steps"
                );
            }
            world.run_for(hours(1));
            assert_eq!(
                cause(&world),
                Some(SignOutCause::SignedOutElsewhere),
                "{steps} steps"
            );
            assert!(world.store.session().is_none(), "{steps} steps");
        }
    }
}

#[test]
fn s9_hints_at_every_step_of_our_own_sign_out_bring_nobody_back() {
    for steps in 0..8 {
        for write_fault in [
            None,
            Some((StoreFault::Fails, 2)),
            Some((StoreFault::DoneButFails, 1)),
        ] {
            let mut world = ada();
            world.store.write_fault = write_fault;
            hint(&mut world);
            world.begin_logout();
            for _ in 0..steps {
                hint(&mut world);
                world.step_before(world.now + 500);
            }
            hint(&mut world);
            let states = world.session_states.len();
            world.run_for(mins(5));
            assert_eq!(cause(&world), Some(SignOutCause::LoggedOut), "{steps} steps");
            assert_eq!(world.session_states.len(), states, "{steps} steps");
            assert!(world.store.session().is_none(), "{steps} steps");
        }
    }
}

#[test]
fn s9_a_session_that_could_not_be_cleared_does_not_come_back_by_a_hint() {
    let mut world = ada();
    world.store.write_fault = Some((StoreFault::Fails, u32::MAX));
    world.logout();
    world.run_for(secs(10));
    world.store.write_fault = None;
    assert!(world.store.session().is_some(), "the scene: the disk was full");
    for _ in 0..3 {
        // Another holder, who knows of no sign-out, goes on with it.
        another_rotates(&mut world);
        hint(&mut world);
        world.run_for(secs(1));
        assert_eq!(cause(&world), Some(SignOutCause::LoggedOut));
    }
    // Once it is over, a new one is a new one.
    world.store.write(None);
    hint(&mut world);
    world.run_for(secs(1));
    let theirs = another_signs_in(&mut world, "bob");
    hint(&mut world);
    world.run_for(secs(1));
    assert_eq!(token(&world), Some(theirs));
}

#[test]
fn s9_our_own_sign_in_that_is_under_way_wins_over_what_a_hint_shows() {
    for steps in 0..8 {
        for cleared in [false, true] {
            let mut world = ada();
            let call = world.begin_login("bob");
            for _ in 0..steps {
                world.step_before(world.now + 200);
            }
            let stored = user_of(&world, world.store.session().unwrap().access.expose()) == "bob";
            if cleared {
                world.store.write(None);
            } else {
                another_rotates(&mut world);
            }
            hint(&mut world);
            world.run_for(secs(10));
            assert!(
                world.replies[&call].is_ok(),
                "{steps} steps: {:?}",
                world.replies[&call]
            );
            if stored && cleared {
                assert_eq!(
                    cause(&world),
                    Some(SignOutCause::SignedOutElsewhere),
                    "{steps} steps"
                );
            } else {
                let user = user_of(&world, &token(&world).unwrap());
                assert_eq!(user, "bob", "{steps} steps, cleared: {cleared}");
                assert_eq!(
                    world.store.session().unwrap().access.expose(),
                    token(&world).unwrap()
                );
            }
        }
    }
}

#[test]
fn s10_a_hint_that_shows_another_holder_at_the_server_does_not_cost_it_its_lease() {
    let mut world = ada();
    world.run_for(mins(45));
    // Another holder says that it is asking, and is slow.
    let mut theirs = world.store.session().unwrap().clone();
    theirs.intent = Some(begun(&world));
    world.store.write(Some(Box::new(theirs)));
    hint(&mut world);
    world.run_for(50);
    world.input(Input::TokenRejected { token: 1 });
    for _ in 0..10 {
        hint(&mut world);
        world.run_for(secs(1));
    }
    assert_eq!(world.server.refreshes(), 0, "we wait for it");
    let theirs = another_rotates(&mut world);
    hint(&mut world);
    world.run_for(30);
    assert_eq!(token(&world), Some(theirs), "and a hint ends the wait");
    assert_eq!(world.server.refreshes(), 0);
}

#[test]
fn s10_a_pair_adopted_while_its_next_exchange_is_under_way_leaves_that_its_lease() {
    let mut world = ada();
    let mut theirs = rotated(&mut world);
    theirs.intent = Some(begun(&world));
    world.store.write(Some(Box::new(theirs)));
    hint(&mut world);
    world.run_for(50);
    let number = world.view.as_ref().unwrap().token.as_ref().unwrap().number;
    world.input(Input::TokenRejected { token: number });
    world.run_for(secs(12));
    assert_eq!(world.server.refreshes(), 0, "we wait for it");
    world.run_for(secs(20));
    assert_eq!(world.server.refreshes(), 1, "but not for ever");
}

#[test]
fn s8_a_store_that_lost_what_it_held_gets_it_back_and_nobody_is_signed_out() {
    for hinted in [true, false] {
        let mut world = ada();
        world.run_for(mins(5));
        world.store.held = StoreSnapshot::default();
        if hinted {
            hint(&mut world);
            world.run_for(secs(1));
            assert!(world.store.session().is_some(), "written back at the hint");
        }
        world.run_for(hours(3));
        assert!(world.is_signed_in());
        assert_eq!(
            world.store.session().unwrap().access.expose(),
            token(&world).unwrap()
        );
    }
}

#[test]
fn s9_a_sign_out_elsewhere_is_not_undone_where_the_intent_could_not_be_written() {
    let mut world = ada();
    world.store.write(None);
    world.store.write_fault = Some((StoreFault::Fails, 1));
    world.input(Input::TokenRejected { token: 1 });
    world.run_for(mins(1));
    assert_eq!(cause(&world), Some(SignOutCause::SignedOutElsewhere));
    assert!(world.store.session().is_none());
}

#[test]
fn s10_another_holders_lease_counts_where_the_intent_could_not_be_written() {
    let mut world = ada();
    let mut theirs = world.store.session().unwrap().clone();
    theirs.intent = Some(begun(&world));
    world.store.write(Some(Box::new(theirs)));
    world.store.write_fault = Some((StoreFault::Fails, 1));
    world.input(Input::TokenRejected { token: 1 });
    world.run_for(secs(10));
    assert_eq!(world.server.refreshes(), 0, "we wait for it");
    world.store.write_fault = Some((StoreFault::Fails, u32::MAX));
    world.run_for(secs(20));
    assert_eq!(world.server.refreshes(), 1, "but not for ever");
}
