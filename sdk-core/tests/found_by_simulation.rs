//! What the simulated fleet (`tests/sim`) found, each as the smallest story that shows it.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket::store::RefreshIntent;
use freshsocket::{ErrorKind, SocketState};
use freshsocket_sim as sim;
use sim::{FIRST, Sent, Setup, StoreFault, World, hours, mins, secs};

fn durable() -> Setup {
    let mut setup = Setup::durable();
    setup.session.refresh.idempotency_header = Some("Idempotency-Key".into());
    setup
}

#[test]
fn w3_a_socket_made_while_the_store_is_read_learns_that_nobody_is_signed_in() {
    for fails in [false, true] {
        let mut world = World::prepared(durable(), |world| {
            world.store.delay = 50;
            world.store.read_fault = fails.then_some((StoreFault::Fails, 1));
        });
        world.connect();
        assert_eq!(world.socket_state(), &SocketState::Authenticating);
        world.run_for(secs(1));
        assert_eq!(world.socket_state(), &SocketState::WaitingForSession, "{fails}");
    }
}

#[test]
fn w10_another_user_with_opaque_tokens_is_noticed_by_the_record() {
    let mut world = World::prepared(durable(), |world| {
        world.server.opaque = true;
        world.server.with_expires_in = true;
    });
    world.login("ada");
    world.connect();
    world.run_for(secs(1));
    world.ws.offline = true;
    world.cut_all();
    let hers = world.send("from ada");
    // Another holder of the store signs bob in.
    let mut stored = world.store.session().unwrap().clone();
    stored.access = world.server.issue(world.now, "bob").as_str().into();
    stored.user = Some(freshsocket::Json::object([(
        "name",
        freshsocket::Json::from("bob"),
    )]));
    stored.rotation += 5;
    world.store.write(Some(Box::new(stored)));
    world.input(freshsocket::io::Input::StoreChanged);
    world.run_for(secs(1));
    assert_eq!(world.sends[&hers], Sent::Failed(ErrorKind::IdentityChanged));
}

#[test]
fn s6_a_pair_from_a_holder_whose_clock_is_days_away_is_not_renewed_at_once() {
    for days in [-2i64, 2] {
        let mut world = World::new(durable());
        world.login("ada");
        world.run_for(mins(10));
        let mut stored = world.store.session().unwrap().clone();
        let apart = days * 86_400_000;
        stored.access = world.server.issue(world.now, "ada").as_str().into();
        stored.received_unix_ms = (sim::EPOCH + world.now).saturating_add_signed(apart);
        stored.rotation += 1;
        world.store.write(Some(Box::new(stored)));
        world.input(freshsocket::io::Input::StoreChanged);
        world.run_for(mins(20));
        assert_eq!(world.server.refreshes(), 0, "{days} days");
        // It is no older than the last time that the store was seen without it: ten minutes.
        world.run_for(mins(40));
        assert_eq!(world.server.refreshes(), 1, "{days} days");
    }
}

#[test]
fn s10_the_lease_of_a_holder_that_goes_on_with_our_key_is_not_ours() {
    let mut world = World::prepared(durable(), |world| world.server.honours_key = true);
    world.login("ada");
    world.server.fails_to_refresh(sim::Fault::Hangs, 1);
    world.input(freshsocket::io::Input::TokenRejected { token: 1 });
    world.run_for(secs(16));
    assert_eq!(world.server.refreshes(), 1);
    // Our attempt is over. Another holder has waited for our lease, and asks with our key.
    let mut stored = world.store.session().unwrap().clone();
    let ours = stored.intent.clone().unwrap();
    stored.intent = Some(RefreshIntent {
        asked_unix_ms: sim::EPOCH + world.now + 3,
        lease: 0,
        ..ours
    });
    world.store.write(Some(Box::new(stored)));
    world.run_for(secs(10));
    assert_eq!(world.server.refreshes(), 1, "we wait for it");
    world.run_for(secs(30));
    assert_eq!(world.server.refreshes(), 2, "but not for ever");
}

#[test]
fn s10_sleep_does_not_end_the_lease_of_another_process_of_the_same_device() {
    let mut world = World::new(durable());
    world.login("ada");
    let mut stored = world.store.session().unwrap().clone();
    let at = sim::EPOCH + world.now;
    stored.intent = Some(RefreshIntent {
        key: "theirs".into(),
        at_unix_ms: at,
        asked_unix_ms: at,
        lease: 0,
    });
    world.store.write(Some(Box::new(stored)));
    world.input(freshsocket::io::Input::TokenRejected { token: 1 });
    world.run_for(secs(1));
    world.suspend(mins(5));
    world.run_for(secs(5));
    assert_eq!(world.server.refreshes(), 0, "it woke together with us");
    world.run_for(secs(15));
    assert_eq!(world.server.refreshes(), 1);
}

#[test]
fn s6_an_answer_given_again_for_its_key_after_the_clock_was_set_back_is_no_new_token() {
    for with_date in [true, false] {
        let mut world = World::prepared(durable(), |world| {
            world.server.honours_key = true;
            world.server.with_date = with_date;
            world.server.lifetime = secs(60);
        });
        world.login("ada");
        world.connect();
        world.run_for(secs(5));
        world.server.fails_to_refresh(sim::Fault::LosesAnswer, 1);
        world.input(freshsocket::io::Input::TokenRejected { token: 1 });
        world.run_for(secs(1));
        world.kill();
        // The clock is set back before the next process asks again.
        world.run_for(mins(5));
        world.clock_error = -hours(50).cast_signed();
        world.start();
        world.connect();
        // The world's own check sees every token that is shown to a server.
        world.run_for(mins(5));
        assert!(world.is_signed_in());
        assert!(world.state_of(FIRST).is_open());
    }
}

#[test]
fn s8_a_sign_in_that_could_not_be_stored_is_newer_than_what_was() {
    let mut world = World::new(durable());
    world.login("ada");
    world.store.write_fault = Some((StoreFault::Fails, 3));
    for _ in 0..3 {
        world.login("ada");
    }
    world.logout();
    world.login("bob");
    let bobs = world.store.session().unwrap().rotation;
    assert!(bobs > 4, "{bobs}");
}

#[test]
fn w3_a_clock_that_was_set_back_over_a_sleep_does_not_make_a_stored_pair_young() {
    let mut world = World::prepared(durable(), |world| world.server.lifetime = secs(60));
    world.login("ada");
    world.run_for(secs(5));
    // Another process of this device renews; then the device sleeps. Nothing runs here meanwhile, so that what the wall
    // clock was set back hides the sleep, and the store was last seen without this pair five seconds ago.
    world.clock_error = -mins(2).cast_signed();
    let mut stored = world.store.session().unwrap().clone();
    stored.access = world.server.issue(world.now, "ada").as_str().into();
    stored.received_unix_ms = world.clock().unix_ms;
    stored.rotation += 1;
    world.store.write(Some(Box::new(stored)));
    world.suspend(secs(70));
    world.input(freshsocket::io::Input::StoreChanged);
    world.run_for(secs(1));
    // The world's own check sees every token that is shown to a server.
    world.connect();
    world.run_for(secs(1));
    assert!(world.state_of(FIRST).is_open());
    assert_eq!(world.server.refreshes(), 1, "it is as old as the wall clock says");
}

#[test]
fn s10_a_lease_that_a_slow_store_left_half_of_is_written_again_before_the_server_is_asked() {
    for taken_over in [true, false] {
        let mut world = World::new(durable());
        world.login("ada");
        // To the store and back: nine of the sixteen seconds.
        world.store.delay = 4_500;
        world.input(freshsocket::io::Input::TokenRejected { token: 1 });
        world.run_for(secs(10));
        if taken_over {
            // To another holder, whose wall clock is ahead of ours, the lease was over when it found it.
            let mut stored = world.store.session().unwrap().clone();
            let spent = stored.refresh.clone().unwrap();
            let (access, refresh) = world.server.spend(world.now, spent.expose());
            stored.access = access.as_str().into();
            stored.refresh = Some(refresh.as_str().into());
            stored.rotation += 1;
            stored.intent = None;
            world.store.write(Some(Box::new(stored)));
        }
        world.run_for(secs(30));
        assert!(world.is_signed_in());
        // A store that is always slow keeps nobody from going on.
        assert_eq!(world.server.refreshes(), usize::from(!taken_over));
    }
}
