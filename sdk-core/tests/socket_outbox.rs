//! W10: what is sent while there is no connection: bounded, in order, with an end for every message, and nobody else's.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::io::SendId;
use freshsocket::options::{OutboxMode, Renewal, WhenFull};
use freshsocket::{ErrorKind, SocketEvent};
use sim::{FIRST, Sent, Setup, World, mins, secs};

/// A socket that was open and is down.
fn down(setup: Setup) -> World {
    let mut world = World::open(setup);
    world.ws.offline = true;
    world.cut_all();
    world
}

fn up(world: &mut World) {
    world.ws.offline = false;
    assert!(world.run_until(secs(70), World::is_open));
    world.run_for(secs(1));
}

fn send_all(world: &mut World, numbers: std::ops::Range<u64>) -> Vec<SendId> {
    numbers.map(|number| world.send(&number.to_string())).collect()
}

fn failed(world: &World, kind: ErrorKind) -> Vec<u64> {
    world
        .sends
        .iter()
        .filter(|(_, sent)| **sent == Sent::Failed(kind))
        .map(|(send, _)| send.0)
        .collect()
}

#[test]
fn w10_messages_wait_and_go_out_in_order_on_the_next_connection() {
    let mut world = down(Setup::default());
    send_all(&mut world, 0..100);
    up(&mut world);
    send_all(&mut world, 100..110);
    world.run_for(secs(1));
    let expected: Vec<String> = (0..110).map(|number: u64| number.to_string()).collect();
    assert_eq!(world.ws.texts(), expected);
    assert!(world.sends.values().all(|sent| *sent == Sent::Out));
}

#[test]
fn w10_the_new_message_is_rejected_when_the_outbox_is_full() {
    let mut world = down(Setup::socket(|socket| socket.outbox.max_messages = 3));
    send_all(&mut world, 0..5);
    assert_eq!(failed(&world, ErrorKind::OutboxFull), [4, 5]);
    up(&mut world);
    assert_eq!(world.ws.texts(), ["0", "1", "2"]);
}

#[test]
fn w10_or_the_oldest_is_dropped() {
    let mut world = down(Setup::socket(|socket| {
        socket.outbox.max_bytes = 3;
        socket.outbox.when_full = WhenFull::DropOldest;
    }));
    send_all(&mut world, 0..5);
    assert_eq!(failed(&world, ErrorKind::OutboxFull), [1, 2]);
    up(&mut world);
    assert_eq!(world.ws.texts(), ["2", "3", "4"]);
    let told = |event: &&SocketEvent| matches!(event, SocketEvent::SendFailed { .. });
    assert_eq!(world.events_of(FIRST).iter().filter(told).count(), 2);
}

#[test]
fn w10_or_nothing_waits() {
    let mut world = down(Setup::socket(|socket| socket.outbox.mode = OutboxMode::Reject));
    send_all(&mut world, 0..2);
    assert_eq!(failed(&world, ErrorKind::NotConnected), [1, 2]);
}

#[test]
fn w10_messages_that_wait_too_long_expire_with_a_cause() {
    let mut world = down(Setup::default());
    send_all(&mut world, 0..2);
    world.run_for(secs(30));
    send_all(&mut world, 2..4);
    world.run_for(secs(31));
    assert_eq!(failed(&world, ErrorKind::MessageExpired), [1, 2]);
    world.run_for(mins(10));
    assert_eq!(failed(&world, ErrorKind::MessageExpired), [1, 2, 3, 4]);
}

#[test]
fn w10_a_message_that_is_too_large_fails_at_once() {
    let mut world = down(Setup::socket(|socket| socket.limits.max_message_bytes = 10));
    world.send("12345678901");
    assert_eq!(failed(&world, ErrorKind::MessageTooLarge), [1]);
}

#[test]
fn w10_messages_are_never_sent_under_another_user() {
    let mut world = down(Setup::default());
    send_all(&mut world, 0..3);
    world.login("bob");
    world.send("bob's");
    up(&mut world);
    assert_eq!(failed(&world, ErrorKind::IdentityChanged), [1, 2, 3]);
    assert_eq!(world.ws.texts(), ["bob's"]);
}

#[test]
fn w10_nobodys_messages_are_not_kept() {
    let mut world = World::new(Setup::default());
    world.connect();
    send_all(&mut world, 0..1);
    assert_eq!(failed(&world, ErrorKind::SignedOut), [1]);
}

#[test]
fn w10_a_closed_socket_fails_what_waits_and_what_comes() {
    let mut world = down(Setup::default());
    send_all(&mut world, 0..2);
    world.disconnect();
    send_all(&mut world, 2..3);
    assert_eq!(failed(&world, ErrorKind::Closed), [1, 2, 3]);
}

#[test]
fn w10_messages_that_the_lost_connection_did_not_hand_out_come_first_on_the_next() {
    let mut world = World::open(Setup::default());
    send_all(&mut world, 0..3);
    world.run_for(secs(1));
    world.ws.stalled = true;
    send_all(&mut world, 3..6);
    world.cut_all();
    world.ws.stalled = false;
    send_all(&mut world, 6..9);
    up(&mut world);
    let expected: Vec<String> = (0..9).map(|number: u64| number.to_string()).collect();
    assert_eq!(world.ws.texts(), expected);
}

#[test]
fn w10_order_is_kept_over_a_handover_from_a_stalled_connection() {
    let mut world = World::open(Setup::default());
    world.run_for(mins(53));
    world.ws.stalled = true;
    let mut all = 0;
    world.run_until(mins(10), |world| world.ws.attempts() == 2);
    send_all(&mut world, 0..5);
    world.run_for(200);
    // The new connection is open; the old one still holds five messages.
    send_all(&mut world, 5..10);
    world.run_for(secs(2));
    world.ws.stalled = false;
    world.unstall();
    world.run_for(secs(20));
    all += 10;
    let expected: Vec<String> = (0..all).map(|number: u64| number.to_string()).collect();
    assert_eq!(world.ws.texts(), expected);
    assert!(world.sends.values().all(|sent| *sent == Sent::Out));
}

#[test]
fn w10_every_message_has_an_end_when_a_closing_connection_never_ends_by_itself() {
    type End = fn(&mut World);
    let ends: [(&str, End); 3] = [
        ("disconnect", |world| world.disconnect()),
        ("sign-out", |world| {
            world.begin_logout();
        }),
        ("user switch", |world| world.login("bob")),
    ];
    for (name, end) in ends {
        let mut world = World::open(Setup::default());
        (world.ws.stalled, world.ws.never_closes) = (true, true);
        send_all(&mut world, 0..3);
        end(&mut world);
        world.run_for(secs(20));
        assert!(
            world.sends.values().all(|sent| matches!(sent, Sent::Failed(_))),
            "{name}: {:?}",
            world.sends
        );
    }
}

#[test]
fn w10_no_message_is_lost_when_a_replaced_connection_never_ends_by_itself() {
    for renewal in [Renewal::Handover, Renewal::Reconnect] {
        let mut world = World::open(Setup::socket(|socket| socket.renewal = renewal.clone()));
        world.run_for(mins(53));
        (world.ws.stalled, world.ws.never_closes) = (true, true);
        world.run_until(mins(10), |world| world.server.refreshes() == 1);
        send_all(&mut world, 0..3);
        world.run_for(secs(1));
        world.ws.stalled = false;
        send_all(&mut world, 3..6);
        world.run_for(secs(30));
        assert_eq!(world.ws.texts(), ["0", "1", "2", "3", "4", "5"], "{renewal:?}");
        assert!(world.is_open());
    }
}

#[test]
fn w10_messages_that_come_back_while_nothing_is_open_expire_too() {
    let mut world = World::open(Setup::default());
    world.run_for(mins(53));
    world.ws.stalled = true;
    world.run_until(mins(10), |world| world.ws.attempts() == 2);
    send_all(&mut world, 0..3);
    world.run_for(100);
    // The new connection has just taken over, the old one is being closed; now the new one is lost, then the old one.
    world.ws.offline = true;
    world.cut_newest();
    world.run_for(secs(1));
    world.cut_newest();
    world.run_for(mins(3));
    assert_eq!(
        failed(&world, ErrorKind::MessageExpired),
        [1, 2, 3],
        "{:?}",
        world.sends
    );
}
