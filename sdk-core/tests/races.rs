//! What users of other SDKs suffer from: the 25 rows of `anchors/sdk.md`, section 3, as far as the core decides them.
//! The rows that another file covers are named there: 14 and 15 in `session_sources`, 17 in `socket_close_codes`,
//! 21 in `socket_reconnect`, 25 (nothing left behind) in `socket_connect`.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::options::{Credential, Preset, TicketOptions};
use freshsocket::{SessionState, SignOutCause, SocketState};
use sim::{Callback, ConnectFault, FIRST, Fault, Setup, StoreFault, World, hours, mins, secs};

fn rotated_by_another_holder(world: &mut World) -> String {
    let mut stored = world.store.session().unwrap().clone();
    let (access, refresh) = world
        .server
        .spend(world.now, stored.refresh.as_ref().unwrap().expose());
    (stored.access, stored.refresh) = (access.as_str().into(), Some(refresh.as_str().into()));
    (stored.rotation, stored.intent) = (stored.rotation + 1, None);
    stored.received_unix_ms = world.clock().unix_ms;
    world.store.write(Some(Box::new(stored)));
    access
}

#[test]
fn row_1_opening_the_app_offline_deletes_nothing() {
    let mut world = World::open(Setup::durable());
    world.kill();
    world.run_for(hours(2));
    world.server.offline = true;
    world.start();
    world.run_for(hours(1));
    assert!(world.is_signed_in() && world.store.session().is_some());
}

#[test]
fn row_2_waking_before_the_network_is_there_is_a_state_of_its_own() {
    let mut world = World::open(Setup::durable());
    (world.server.offline, world.ws.offline) = (true, true);
    world.suspend(hours(9));
    world.cut_all();
    world.run_for(secs(30));
    assert!(matches!(
        world.session(),
        SessionState::Unreachable { .. } | SessionState::Refreshing { .. }
    ));
    (world.server.offline, world.ws.offline) = (false, false);
    assert!(world.run_until(secs(31), World::is_open));
    assert_eq!(world.ws.handshakes.last().unwrap().token, 2);
}

#[test]
fn row_3_and_10_the_loser_of_a_rotation_adopts_the_winners_pair() {
    for delay in [0, 1, 5, 19, 20, 21, 39, 40, 41] {
        let mut world = World::open(Setup::durable());
        world.run_for(mins(50));
        world.run_until(mins(10), |world| {
            matches!(world.session(), SessionState::Refreshing { .. })
        });
        world.run_for(delay);
        // Whatever it is that the other holder was quicker than.
        if world.server.refreshes() == 0 {
            rotated_by_another_holder(&mut world);
        }
        world.run_for(hours(2));
        assert!(world.is_signed_in() && world.is_open(), "{delay}");
    }
}

#[test]
fn row_4_a_store_that_hangs_freezes_nothing_for_ever() {
    let mut world = World::open(Setup::durable());
    world.run_for(mins(53));
    world.store.write_fault = Some((StoreFault::Hangs, u32::MAX));
    world.store.read_fault = Some((StoreFault::Hangs, u32::MAX));
    world.run_for(hours(3));
    assert!(world.is_signed_in() && world.is_open());
    assert!(matches!(
        world.session(),
        SessionState::Active { .. } | SessionState::Refreshing { .. }
    ));
}

#[test]
fn row_5_and_6_a_refresh_that_ends_after_the_sign_out_writes_nothing() {
    let mut world = World::open(Setup::durable());
    world.run_until(hours(1), |world| world.server.refreshes() == 1);
    world.begin_logout();
    let call = world.begin_login("bob");
    world.run_until(secs(5), |world| world.replies.contains_key(&call));
    world.run_for(hours(2));
    let held = world.store.session().unwrap().access.clone();
    assert_eq!(world.server.issued[held.expose()].user, "bob");
}

#[test]
fn row_7_after_a_wake_the_socket_carries_the_new_token_never_the_stored_old_one() {
    for seed in 0..30 {
        let mut world = World::open(Setup::durable().seed(seed));
        world.run_for(seed * 90_000);
        world.suspend(hours(8));
        world.cut_all();
        world.run_for(mins(1));
        let last = world.ws.handshakes.last().unwrap();
        assert!(world.is_open() && last.accepted, "{last:?}");
        assert!(
            world.ws.handshakes.iter().all(|handshake| handshake.accepted),
            "no attempt was ever refused"
        );
    }
}

#[test]
fn row_8_the_core_pulls_a_token_and_never_replays_a_pushed_copy() {
    let mut world = World::new(Setup::session(|session| session.preset = Preset::Callback));
    world.connect();
    world.run_for(mins(1));
    world.suspend(hours(5));
    world.cut_all();
    world.run_for(mins(1));
    assert!(world.is_open());
    assert_eq!((world.asked.len(), world.ws.tokens()), (2, vec![1, 2]));
}

#[test]
fn row_9_a_process_frozen_in_the_middle_of_a_refresh_adopts_what_was_rotated_meanwhile() {
    for frozen_after in 0..5 {
        let mut world = World::open(Setup::durable());
        world.store.delay = 3;
        world.run_for(mins(50));
        world.run_until(mins(10), |world| {
            matches!(world.session(), SessionState::Refreshing { .. })
        });
        for _ in 0..frozen_after {
            world.step_before(u64::MAX);
        }
        if world.server.refreshes() > 0 {
            continue;
        }
        // The notification extension rotates while the app is frozen; then the app's own request goes out.
        let access = rotated_by_another_holder(&mut world);
        world.suspend(mins(20));
        world.run_for(secs(10));
        assert!(world.is_signed_in(), "{frozen_after}: {:?}", world.session());
        assert_eq!(world.store.session().unwrap().access.expose(), access);
        assert!(world.is_open());
    }
}

#[test]
fn row_11_a_clock_an_hour_fast_makes_no_storm_and_429_signs_nobody_out() {
    let mut world = World::prepared(Setup::default(), |world| world.clock_error = 3_600_000);
    world.login("ada");
    world.connect();
    let busy = Fault::Answers {
        status: 429,
        body: r#"{"detail":"throttled"}"#,
        retry_after: None,
    };
    world.server.fails_to_refresh(busy, 5);
    world.run_for(hours(3));
    assert!(world.server.refreshes() <= 8, "{}", world.server.refreshes());
    assert!(world.is_signed_in() && world.is_open());
}

#[test]
fn row_12_one_failed_renewal_after_a_sleep_does_not_end_renewal() {
    let mut world = World::open(Setup::default());
    world.server.fails_to_refresh(Fault::Unreachable, 1);
    world.suspend(hours(3));
    world.run_for(hours(5));
    assert!(world.server.refreshes() >= 6, "{}", world.server.refreshes());
    assert!(matches!(world.session(), SessionState::Active { .. }));
}

#[test]
fn row_13_timers_that_crawl_in_hidden_tabs_send_no_expired_token() {
    for late_by in [secs(10), mins(1), mins(7), mins(20)] {
        let mut world = World::open(Setup::default());
        world.late_by = late_by;
        for _ in 0..20 {
            world.run_for(mins(31));
            world.cut_all();
        }
        world.late_by = 0;
        world.run_for(mins(1));
        assert!(world.is_open(), "{late_by}");
        assert!(world.ws.handshakes.iter().all(|handshake| handshake.accepted));
    }
}

#[test]
fn row_16_a_scheduled_refresh_and_a_refusal_by_the_server_do_not_cancel_each_other() {
    for lead in 0..60 {
        let mut world = World::open(Setup::default());
        let mut probe = World::open(Setup::default());
        probe.run_until(hours(1), |world| {
            matches!(world.session(), SessionState::Refreshing { .. })
        });
        world.run_for(probe.now - world.now - 30 + lead);
        world.server.revoke_access();
        world.close_all(4401);
        world.run_for(secs(10));
        assert!(
            world.is_open(),
            "{lead}: {:?} {:?}",
            world.session(),
            world.socket_state()
        );
        assert!(world.server.refreshes() <= 2, "{lead}");
    }
}

#[test]
fn row_18_after_a_refusal_the_next_attempt_carries_another_token_or_does_not_happen() {
    for seed in 0..20 {
        let mut world = World::open(Setup::default().seed(seed));
        world.server.fails_to_refresh(Fault::Unreachable, 7);
        world.server.revoke_access();
        world.cut_all();
        world.run_for(mins(10));
        let refused: Vec<u64> = world
            .ws
            .handshakes
            .iter()
            .filter(|handshake| !handshake.accepted)
            .map(|handshake| handshake.token)
            .collect();
        assert_eq!(refused, [1], "once, and never again");
        assert!(world.is_open());
    }
}

#[test]
fn row_19_a_ticket_provider_that_fails_once_does_not_end_reconnecting() {
    let options = TicketOptions {
        url: "/ticket".into(),
        ..TicketOptions::default()
    };
    let mut world = World::open(Setup::socket(|socket| {
        socket.credential = Credential::Ticket(options);
    }));
    for fault in [Fault::Unreachable, Fault::Hangs] {
        world.server.fault = Some((fault, 1));
        world.cut_all();
        assert!(world.run_until(mins(2), World::is_open));
        world.run_for(mins(1));
    }
}

#[test]
fn row_20_a_user_who_was_thrown_out_does_not_come_back_by_reconnecting() {
    let mut world = World::open(Setup::default());
    world.server.revoke_access();
    world.server.refuses_to_refresh();
    world.cut_all();
    world.run_for(hours(1));
    assert_eq!(
        world.session(),
        &SessionState::SignedOut {
            cause: SignOutCause::RefreshRefused
        }
    );
    assert!(world.ws.open.is_empty());
    assert!(
        world.ws.handshakes[1..]
            .iter()
            .all(|handshake| !handshake.accepted)
    );
}

#[test]
fn row_22_no_socket_is_stuck_in_connecting_and_an_explicit_stop_wins() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    world.ws.fails(ConnectFault::Hangs, u32::MAX);
    world.connect();
    world.run_for(mins(10));
    assert!(world.ws.attempts() > 10);
    world.disconnect();
    world.ws.fault = None;
    for online in [false, true, true, false, true] {
        world.network(online);
        world.suspend(mins(5));
        world.run_for(mins(1));
    }
    assert!(matches!(world.socket_state(), SocketState::Closed { .. }));
    assert!(world.ws.open.is_empty());
}

#[test]
fn row_23_mounting_twice_opens_one_connection_and_queued_messages_survive_a_replacement() {
    let mut world = World::new(Setup::default());
    world.login("ada");
    world.connect();
    world.connect();
    world.run_for(secs(1));
    world.connect();
    world.run_for(secs(1));
    assert_eq!((world.ws.attempts(), world.ws.open.len()), (1, 1));
    // Mount, unmount, mount: as StrictMode does.
    world.disconnect();
    world.connect();
    world.run_for(secs(10));
    assert_eq!(world.ws.open.len(), 1);
    assert!(world.is_open());
    for minute in 0..180 {
        world.run_for(mins(1));
        world.send(&minute.to_string());
    }
    world.run_for(secs(5));
    assert_eq!(world.ws.received.len(), 180);
}

#[test]
fn row_24_no_retries_are_burnt_while_suspended_and_no_zombie_stays() {
    let mut world = World::open(Setup::socket(|socket| socket.reconnect.max_attempts = Some(3)));
    world.run_for(secs(20));
    for _ in 0..10 {
        world.ws.silent = true;
        world.suspend(hours(2));
        world.ws.silent = false;
        // The connection did not survive; the device does not know.
        world.ws.open.clear();
        let attempts = world.ws.attempts();
        world.cut_all();
        assert!(
            world.run_until(secs(20), World::is_open),
            "{:?}",
            world.socket_state()
        );
        assert_eq!(world.ws.attempts(), attempts + 1);
        world.run_for(mins(2));
    }
}

#[test]
fn row_24_a_callback_that_fails_on_waking_is_asked_again() {
    let mut world = World::new(Setup::session(|session| session.preset = Preset::Callback));
    world.connect();
    world.run_for(mins(1));
    world.callback = Callback::Unreachable;
    world.suspend(hours(3));
    world.cut_all();
    world.run_for(secs(20));
    assert!(!world.is_open());
    world.callback = Callback::Fresh;
    assert!(world.run_until(secs(31), World::is_open));
    assert!(
        world.socket_states[&FIRST]
            .iter()
            .all(|(_, state)| state.name() != "refused")
    );
}
