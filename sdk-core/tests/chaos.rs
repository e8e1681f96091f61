//! Everything at once: a random hour of faults, sleeps, clock jumps, sign-outs and process deaths, with the world's
//! checks on; then all is well again, and so must the client be.
#![allow(clippy::unwrap_used, clippy::panic)]

use freshsocket_sim as sim;

use freshsocket::options::{Credential, Renewal, TicketOptions};
use freshsocket::rng::Rng;
use freshsocket::{SessionState, SignOutCause};
use sim::{ConnectFault, Fault, RefuseAs, Sent, Setup, StoreFault, World, hours, mins, secs};

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    let index = rng.up_to(from.len() as u64 - 1);
    from[usize::try_from(index).unwrap()]
}

fn setup(rng: &mut Rng, durable: bool) -> Setup {
    let mut setup = Setup {
        durable,
        seed: rng.next_u64(),
        ..Setup::default()
    };
    setup.session.refresh.idempotency_header = Some("Idempotency-Key".into());
    setup.socket.renewal = match rng.up_to(3) {
        0 => Renewal::Reconnect,
        1 => Renewal::Keep,
        _ => Renewal::Handover,
    };
    if rng.up_to(4) == 0 {
        setup.socket.credential = Credential::Ticket(TicketOptions {
            url: "/ticket".into(),
            ..TicketOptions::default()
        });
    }
    setup
}

fn http_fault(rng: &mut Rng) -> Fault {
    match rng.up_to(5) {
        0 => Fault::Hangs,
        1 => Fault::LosesAnswer,
        2 => Fault::Answers {
            status: 503,
            body: "{}",
            retry_after: Some("20"),
        },
        3 => Fault::Answers {
            status: 401,
            body: "<html>",
            retry_after: None,
        },
        4 => Fault::Answers {
            status: 429,
            body: "{}",
            retry_after: None,
        },
        _ => Fault::Unreachable,
    }
}

fn something_happens(world: &mut World, rng: &mut Rng, durable: bool) {
    let times = pick(rng, &[1, 2, 3, 5]);
    match rng.up_to(20) {
        0 => world.cut_all(),
        1 => world.close_all(pick(rng, &[1000, 1001, 1012, 1013, 1011, 4401, 1008])),
        2 => world.server.fails_to_refresh(http_fault(rng), times),
        3 => world.server.fault = Some((http_fault(rng), times)),
        4 => world.ws.fails(ConnectFault::Hangs, times),
        5 => world.ws.fails(ConnectFault::Http(503, Some("5")), times),
        6 => world.ws.fails(ConnectFault::Unreachable, times),
        7 => world.suspend(rng.up_to(mins(10))),
        // What a process that died stored by one clock, the next one would read by another.
        8 if !durable => world.set_clock_error(rng.up_to(hours(50)).cast_signed() - hours(25).cast_signed()),
        9 => world.network(false),
        10 => world.network(true),
        11 => world.server.revoke_access(),
        12 => world.ws.silent = !world.ws.silent,
        13 => world.ws.stalled = !world.ws.stalled,
        14 => {
            world.ws.refuse_as = pick(
                rng,
                &[RefuseAs::Http(403), RefuseAs::Close(4401), RefuseAs::Http(401)],
            );
        }
        15 => world.ws.never_closes = !world.ws.never_closes,
        16 if durable => world.store.write_fault = Some((StoreFault::DoneButFails, times)),
        17 if durable => {
            world.kill();
            world.run_for(rng.up_to(secs(30)));
            world.start();
            world.connect();
        }
        18 => {
            world.begin_logout();
            world.run_for(rng.up_to(50));
            world.begin_login("bob");
        }
        19 => {
            world.begin_login("ada");
        }
        _ => {
            world.send("x");
        }
    }
}

fn heal(world: &mut World) {
    (world.server.fault, world.server.refresh_fault, world.ws.fault) = (None, None, None);
    (world.store.write_fault, world.store.read_fault) = (None, None);
    (world.ws.silent, world.ws.never_closes) = (false, false);
    world.unstall();
    world.network(true);
}

fn an_hour_of(seed: u64, durable: bool) {
    let mut rng = Rng::new(seed);
    let mut world = World::new(setup(&mut rng, durable));
    world.server.honours_key = true;
    world.server.with_date = rng.up_to(1) == 0;
    world.server.lifetime = pick(&mut rng, &[secs(60), mins(5), mins(60)]);
    world.login("ada");
    world.connect();
    for _ in 0..120 {
        something_happens(&mut world, &mut rng, durable);
        world.run_for(rng.up_to(secs(60)));
    }
    heal(&mut world);
    world.run_for(mins(3));
    if !world.is_signed_in() {
        // "Elsewhere" is the dead process, whose last write landed after the next one had read.
        use SignOutCause::{LoggedOut, NotSignedIn, RefreshInterrupted, RefreshRefused, SignedOutElsewhere};
        let fair = [
            LoggedOut,
            NotSignedIn,
            RefreshInterrupted,
            RefreshRefused,
            SignedOutElsewhere,
        ];
        let SessionState::SignedOut { cause } = world.session() else {
            panic!("{:?}", world.session())
        };
        assert!(fair.contains(cause), "seed {seed}: {cause:?}");
        world.login("ada");
    }
    if world.socket_state().is_final() {
        world.connect();
    }
    world.run_for(mins(3));
    assert!(
        world.run_until(secs(5), World::is_open),
        "seed {seed}: {:?} {:?}",
        world.session(),
        world.socket_state()
    );
    world.send("at last");
    world.run_for(secs(30));
    let waiting = world.sends.values().filter(|sent| **sent == Sent::Queued).count();
    assert!(
        durable || waiting == 0,
        "seed {seed}: {waiting} messages have no end"
    );
    assert_eq!(world.ws.texts().last(), Some(&"at last"));
}

#[test]
fn an_hour_of_chaos_ends_open_and_with_an_end_for_every_message() {
    (0..300).for_each(|seed| an_hour_of(seed, false));
}

#[test]
fn an_hour_of_chaos_with_a_store_and_dying_processes_ends_open() {
    (0..300).for_each(|seed| an_hour_of(seed + 1_000, true));
}
