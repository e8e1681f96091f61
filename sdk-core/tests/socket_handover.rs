//! W4, W5: a new token is shown without the application noticing.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::io::OverlapStage;
use freshsocket::options::{Matcher, OutboxMode, Renewal};
use freshsocket::{Json, SocketEvent, SocketState};
use sim::{ConnectFault, FIRST, OnOpen, Overlap, RefuseAs, Sent, Setup, World, hours, mins, secs};

fn count(world: &World, event: &SocketEvent) -> usize {
    world
        .events_of(FIRST)
        .iter()
        .filter(|seen| *seen == event)
        .count()
}

/// Runs until the first renewal has begun, to the millisecond.
fn until_handover(world: &mut World) {
    assert!(world.run_until(hours(2), |world| world.ws.attempts() == 2));
}

#[test]
fn w5_the_old_connection_is_closed_when_the_new_one_is_ready_and_nobody_notices() {
    let mut world = World::open(Setup::default());
    until_handover(&mut world);
    let began = world.now;
    assert_eq!(world.ws.client_closes, []);
    assert!(world.run_until(secs(1), |world| !world.ws.client_closes.is_empty()));
    assert_eq!(world.now - began, 40, "one round trip later");
    world.run_for(hours(3));
    assert_eq!((world.ends(), world.ws.most_open), (0, 2));
    let states: Vec<_> = world.socket_states[&FIRST]
        .iter()
        .map(|(_, state)| state.name())
        .collect();
    assert_eq!(states, ["connecting", "open"]);
}

#[test]
fn w5_the_overlap_begins_with_the_attempt_and_ends_a_moment_after_the_old_connection() {
    let mut world = World::open(Setup::default());
    until_handover(&mut world);
    let (began, overlap) = world.overlaps[0];
    let Overlap::Began { old, new } = overlap else {
        panic!("{overlap:?}")
    };
    assert_eq!((began, old.0 + 1), (world.now, new.0));
    world.run_for(secs(5));
    // 40 ms until ready, 40 ms for the closing handshake (as long as the hold, and told first), 250 ms for copies.
    let over = Overlap::Stage(OverlapStage::Over);
    assert_eq!(world.overlaps[1..].last(), Some(&(began + 40 + 40 + 250, over)));
}

#[test]
fn w5_messages_of_the_new_connection_do_not_wait_long_for_an_old_one_that_does_not_end() {
    let mut world = World::open(Setup::default());
    world.ws.never_closes = true;
    until_handover(&mut world);
    let began = world.now;
    world.run_for(secs(1));
    let mixed = Overlap::Stage(OverlapStage::Mixed);
    assert_eq!(world.overlaps[1], (began + 40 + 40, mixed));
}

#[test]
fn w5_an_old_connection_that_still_brings_something_is_kept_and_a_silent_one_is_dropped() {
    let mut world = World::open(Setup::session(|session| session.refresh.proactive = true));
    world.ws.never_closes = true;
    until_handover(&mut world);
    world.run_for(secs(1));
    for _ in 0..20 {
        world.say("more");
        world.run_for(secs(2));
    }
    assert_eq!(world.ws.open.len(), 2, "it still brings messages");
    world.run_for(secs(20));
    assert_eq!(world.ws.open.len(), 1);
    assert_eq!(world.ends(), 0);
}

#[test]
fn w5_a_welcome_is_waited_for_before_the_old_connection_goes() {
    let welcome = r#"{"type":"connected"}"#;
    let mut world = World::new(Setup::socket(|socket| {
        socket.ready = Some(Matcher::new([("/type", "connected".into())]));
    }));
    world.ws.on_open = vec![(300, OnOpen::Say(welcome))];
    world.login("ada");
    world.connect();
    assert!(world.run_until(secs(1), World::is_open));
    until_handover(&mut world);
    world.run_for(200);
    assert_eq!(world.ws.client_closes, [], "open, but not ready");
    world.run_for(200);
    assert_eq!(world.ws.client_closes.len(), 1);
    assert_eq!(world.ends(), 0);
}

#[test]
fn w5_a_handover_that_fails_leaves_the_old_connection_and_is_tried_again_before_its_token_expires() {
    let fails = [
        ConnectFault::Unreachable,
        ConnectFault::Http(503, Some("100000")),
        ConnectFault::Http(500, None),
    ];
    for fault in fails {
        let mut world = World::open(Setup::default());
        world.ws.closes_at_expiry = Some(4401);
        world.ws.fails(fault, 3);
        until_handover(&mut world);
        let replaced = world.run_until(mins(6), |world| !world.ws.client_closes.is_empty());
        assert!(replaced, "{fault:?}: three failed, the next did not");
        world.run_for(mins(5));
        assert!(world.is_open(), "{fault:?}");
        assert_eq!(world.ends(), 0, "{fault:?}: the old one was never missed");
        assert!(
            world
                .overlaps
                .iter()
                .any(|(_, stage)| *stage == Overlap::Stage(OverlapStage::Over))
        );
    }
}

#[test]
fn w5_sends_in_a_handover_are_taken_even_where_the_options_refuse_to_queue() {
    let mut world = World::open(Setup::socket(|socket| socket.outbox.mode = OutboxMode::Reject));
    world.ws.stalled = true;
    let first = world.send("before");
    until_handover(&mut world);
    assert!(world.run_until(secs(1), |world| !world.ws.client_closes.is_empty()));
    let second = world.send("after");
    world.run_for(1);
    assert_eq!(world.sends[&second], Sent::Queued);
    world.unstall();
    world.run_for(secs(20));
    assert_eq!(
        (world.sends[&first], world.sends[&second]),
        (Sent::Out, Sent::Out)
    );
    let texts = world.ws.texts();
    assert_eq!(texts, ["before", "after"]);
}

#[test]
fn w5_a_server_that_closes_the_old_connection_for_the_new_one_is_renewed_by_reconnecting_from_then_on() {
    for offset in [-5, 0, 5] {
        let mut world = World::open(Setup::default());
        world.ws.only_one = Some((4000, offset));
        world.run_for(hours(1));
        assert_eq!(count(&world, &SocketEvent::OneConnectionPerUser), 1, "{offset}");
        world.ws.most_open = 1;
        world.run_for(hours(5));
        assert_eq!(world.ws.most_open, 1, "{offset}: the old one first");
        assert!(world.is_open());
        assert_eq!(
            world.ws.attempts(),
            1 + world.server.refreshes(),
            "{offset}: one each"
        );
        assert_eq!(
            count(&world, &SocketEvent::OneConnectionPerUser),
            1,
            "{offset}: told once"
        );
    }
}

#[test]
fn w5_a_conflict_at_the_upgrade_means_one_connection_as_well() {
    let mut world = World::open(Setup::default());
    world.ws.fails(ConnectFault::Http(409, None), 1);
    world.run_for(hours(1));
    assert_eq!(count(&world, &SocketEvent::OneConnectionPerUser), 1);
    assert!(world.is_open());
    assert_eq!(world.ws.tokens(), [1, 2, 2]);
}

#[test]
fn w5_ends_for_other_reasons_during_a_handover_prove_nothing() {
    for code in [4401, 1001, 1012, 1011] {
        let mut world = World::open(Setup::default());
        until_handover(&mut world);
        world.close_all(code);
        world.run_for(mins(1));
        assert!(world.is_open(), "{code}: {:?}", world.socket_state());
        assert_eq!(count(&world, &SocketEvent::OneConnectionPerUser), 0, "{code}");
    }
}

#[test]
fn w5_a_refused_handover_leaves_the_old_connection() {
    let mut world = World::open(Setup::default());
    world.ws.refuses_all = true;
    world.ws.refuse_as = RefuseAs::Http(401);
    until_handover(&mut world);
    world.run_for(mins(4));
    assert!(world.is_open());
    assert_eq!(world.ends(), 0);
}

#[test]
fn w8_a_handover_refused_with_a_newly_issued_token_leaves_the_old_connection_as_the_last() {
    let mut world = World::open(Setup::default());
    world.ws.refuses_all = true;
    world.run_for(mins(58));
    assert!(world.is_open(), "the old connection works");
    let carried = world.ws.tokens();
    assert_eq!(carried, [1, 2, 3], "one refresh, one more try, no third");
    world.cut_all();
    world.run_for(mins(10));
    assert!(
        matches!(world.socket_state(), SocketState::Refused { .. }),
        "{:?}",
        world.socket_state()
    );
    assert_eq!(world.ws.tokens(), carried, "no refused token is shown again");
}

#[test]
fn w8_a_handover_that_was_refused_for_good_is_tried_again_with_the_next_token() {
    let mut world = World::open(Setup::default());
    world.ws.refuses_all = true;
    world.run_for(mins(58));
    world.ws.refuses_all = false;
    world.run_for(mins(60));
    assert!(world.is_open());
    assert_eq!(*world.ws.tokens().last().unwrap(), 4);
    assert_eq!(world.ends(), 0);
}

#[test]
fn w8_a_connection_that_opened_after_a_refusal_for_good_is_a_new_story() {
    let mut world = World::open(Setup::default());
    world.ws.refuses_all = true;
    world.run_for(mins(58));
    world.ws.refuses_all = false;
    // The old connection dies while the one with the next token is being opened.
    let before = world.ws.attempts();
    assert!(world.run_until(hours(2), |world| world.ws.attempts() > before));
    world.cut_all();
    world.run_for(secs(10));
    assert!(world.is_open());
    world.cut_all();
    assert!(
        world.run_until(mins(1), World::is_open),
        "{:?}",
        world.socket_state()
    );
}

fn in_band(ack: bool) -> Setup {
    Setup::socket(|socket| {
        socket.renewal = Renewal::InBand {
            template: Json::parse(r#"{"type":"renew","token":"{token}"}"#).unwrap(),
            ack: ack.then(|| Matcher::new([("/type", "renewed".into())])),
        };
    })
}

#[test]
fn w4_an_acknowledged_renewal_needs_no_other_connection() {
    let mut world = World::open(in_band(true));
    assert!(world.run_until(hours(1), |world| !world.ws.received.is_empty()));
    assert_eq!(count(&world, &SocketEvent::Renewed), 0, "not yet");
    world.say(r#"{"type":"renewed"}"#);
    assert_eq!(count(&world, &SocketEvent::Renewed), 1);
    world.run_for(mins(30));
    assert_eq!((world.ws.attempts(), world.ends()), (1, 0));
}

#[test]
fn w4_a_renewal_that_is_not_acknowledged_is_followed_by_a_handover() {
    let mut world = World::open(in_band(true));
    assert!(world.run_until(hours(1), |world| !world.ws.received.is_empty()));
    world.run_for(secs(14));
    assert_eq!(world.ws.attempts(), 1);
    world.run_for(secs(2));
    assert_eq!(world.ws.tokens(), [1, 2]);
    assert_eq!((world.ends(), count(&world, &SocketEvent::Renewed)), (0, 0));
    assert_eq!(world.socket_state(), &SocketState::Open);
}

#[test]
fn w4_a_token_that_comes_while_the_last_one_is_not_acknowledged_is_shown_as_well() {
    let mut world = World::open(in_band(true));
    assert!(world.run_until(hours(1), |world| world.ws.received.len() == 1));
    let number = world.view.as_ref().unwrap().token.as_ref().unwrap().number;
    world.input(freshsocket::io::Input::TokenRejected { token: number });
    assert!(world.run_until(secs(10), |world| world.ws.received.len() == 2));
    world.say(r#"{"type":"renewed"}"#);
    world.run_for(mins(1));
    assert_eq!(world.ws.attempts(), 1, "the newest was acknowledged");
}
