//! At expiry, and when the holder that asks the server is killed, frozen, slow, or not answered.

use freshsocket::Store as _;
use freshsocket_mock_server::{Fault, MockServer, Target, Times};
use freshsocket_native_tests::{seen, server};

use crate::child::REQUEST_TIMEOUT_MS;
use crate::holders::{Holder, agree, all_me, holders, keys, nobody_was_signed_out, start};
use crate::in_every_place;
use crate::place::Place;

in_every_place! {
    s10_five_processes_that_find_their_token_refused_make_one_refresh;
    s10_five_processes_at_expiry_make_one_refresh;
    s10_five_processes_that_start_with_a_spent_token_make_one_refresh;
    s10_a_killed_holder_delays_the_others_by_its_lease;
    s9_s10_the_late_answer_of_a_frozen_holder_overwrites_nothing;
    s10_a_slow_server_is_asked_once;
    s10_a_server_slower_than_the_lease_signs_nobody_out;
    s8_a_lost_answer_is_asked_for_again_with_its_key;
    s8_a_lost_answer_that_is_not_given_again_ends_the_session_for_all;
}

/// The first holder asks the server, which acts and keeps its answer; then the others need a token as well.
async fn first_asks(server: &MockServer, holders: &mut [Holder]) {
    server.expire_tokens();
    server.fault(Target::Refresh, Fault::Hold { act_first: true }, Times::Next(1));
    holders[0].order("me").await;
    seen("the refresh", server, |s| s.counters.refreshes_ok == 1).await;
}

async fn s10_five_processes_that_find_their_token_refused_make_one_refresh(place: Place) {
    let server = server(|_| {}).await;
    let mut holders = holders(&server, &place, 5).await;
    for round in 1..=3 {
        server.expire_tokens();
        assert_eq!(all_me(&mut holders).await, ["200"; 5]);
        agree(&place, &holders).await;
        assert_eq!(server.counters().refreshes, round);
    }
    nobody_was_signed_out(&holders);
}

async fn s10_five_processes_at_expiry_make_one_refresh(place: Place) {
    let server = server(|s| s.access_lifetime_ms = 10_000).await;
    let holders = holders(&server, &place, 5).await;
    let first = agree(&place, &holders).await;
    // Nobody asks for anything: the timers do it.
    for holder in &holders {
        holder.until("the next token", |h| h.token() != first).await;
    }
    assert_eq!(server.counters().refreshes, 1);
    agree(&place, &holders).await;
    nobody_was_signed_out(&holders);
}

async fn s10_five_processes_that_start_with_a_spent_token_make_one_refresh(place: Place) {
    let server = server(|_| {}).await;
    drop(holders(&server, &place, 0).await);
    server.expire_tokens();
    server.fault(Target::Refresh, Fault::Delay { ms: 200 }, Times::Always);
    let mut holders: Vec<Holder> = (0..5).map(|_| Holder::start(&server, &place)).collect();
    assert_eq!(all_me(&mut holders).await, ["200"; 5]);
    agree(&place, &holders).await;
    assert_eq!(server.counters().refreshes, 1);
    nobody_was_signed_out(&holders);
}

async fn s10_a_killed_holder_delays_the_others_by_its_lease(place: Place) {
    let server = server(|s| s.honour_idempotency_key = true).await;
    let mut holders = holders(&server, &place, 5).await;
    first_asks(&server, &mut holders).await;
    holders[0].kill().await;
    server.release();
    // One of the others finishes what it began; a program that starts now waits as well.
    holders[0] = Holder::start(&server, &place);
    assert_eq!(all_me(&mut holders).await, ["200"; 5]);
    agree(&place, &holders).await;
    let keys = keys(&server);
    assert!(
        keys.len() == 2 && keys[0].is_some() && keys[0] == keys[1],
        "{keys:?}"
    );
    assert_eq!(server.counters().refreshes_refused, 0);
    nobody_was_signed_out(&holders);
}

async fn s9_s10_the_late_answer_of_a_frozen_holder_overwrites_nothing(place: Place) {
    let server = server(|s| s.honour_idempotency_key = true).await;
    let mut holders = holders(&server, &place, 5).await;
    first_asks(&server, &mut holders).await;
    holders[0].freeze();
    // Its answer lies in its socket from here on.
    server.release();
    assert_eq!(all_me(&mut holders[1..]).await, ["200"; 4]);
    let overtaken = agree(&place, &holders[1..]).await;
    // Longer than the lease, and until there is a pair newer than the one in that answer.
    server.expire_tokens();
    assert_eq!(all_me(&mut holders[1..]).await, ["200"; 4]);
    let newest = agree(&place, &holders[1..]).await;
    assert_ne!(newest, overtaken);
    holders[0].thaw();
    holders[0]
        .until("the newest token", |h| h.token() == newest)
        .await;
    assert_eq!(agree(&place, &holders).await, newest, "and it is stored yet");
    assert_eq!(all_me(&mut holders).await, ["200"; 5]);
    assert_eq!(server.counters().refreshes_refused, 0);
    nobody_was_signed_out(&holders);
}

async fn s10_a_slow_server_is_asked_once(place: Place) {
    let server = server(|_| {}).await;
    let mut holders = holders(&server, &place, 5).await;
    server.expire_tokens();
    server.fault(
        Target::Refresh,
        Fault::DelayAnswer {
            ms: REQUEST_TIMEOUT_MS / 4,
        },
        Times::Next(1),
    );
    assert_eq!(all_me(&mut holders).await, ["200"; 5]);
    agree(&place, &holders).await;
    assert_eq!(server.counters().refreshes, 1);
    nobody_was_signed_out(&holders);
}

async fn s10_a_server_slower_than_the_lease_signs_nobody_out(place: Place) {
    let server = server(|s| s.honour_idempotency_key = true).await;
    let mut holders = holders(&server, &place, 5).await;
    let before = agree(&place, &holders).await;
    server.expire_tokens();
    let slow = Fault::DelayAnswer {
        ms: 3 * REQUEST_TIMEOUT_MS,
    };
    server.fault(Target::Refresh, slow, Times::Next(1));
    all_me(&mut holders).await;
    for holder in &holders {
        holder.until("the next token", |h| h.token() != before).await;
    }
    agree(&place, &holders).await;
    assert_eq!(all_me(&mut holders).await, ["200"; 5]);
    let keys = keys(&server);
    assert!(
        keys.len() >= 2 && keys.iter().all(|key| *key == keys[0]),
        "{keys:?}"
    );
    assert_eq!(server.counters().refreshes_refused, 0);
    nobody_was_signed_out(&holders);
}

async fn s8_a_lost_answer_is_asked_for_again_with_its_key(place: Place) {
    let server = server(|s| s.honour_idempotency_key = true).await;
    let mut holders = holders(&server, &place, 5).await;
    let before = agree(&place, &holders).await;
    server.expire_tokens();
    server.fault(Target::Refresh, Fault::DropAnswer, Times::Next(1));
    all_me(&mut holders).await;
    for holder in &holders {
        holder.until("the next token", |h| h.token() != before).await;
    }
    agree(&place, &holders).await;
    assert_eq!(all_me(&mut holders).await, ["200"; 5]);
    let keys = keys(&server);
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    nobody_was_signed_out(&holders);
}

async fn s8_a_lost_answer_that_is_not_given_again_ends_the_session_for_all(place: Place) {
    let server = server(|_| {}).await;
    let mut holders = holders(&server, &place, 5).await;
    server.expire_tokens();
    server.fault(Target::Refresh, Fault::DropAnswer, Times::Next(1));
    all_me(&mut holders).await;
    for holder in &holders {
        holder
            .until("signed out", |h| h.state().starts_with("signedOut"))
            .await;
    }
    let mut states: Vec<String> = holders.iter().map(Holder::state).collect();
    states.sort();
    assert_eq!(states[0], "signedOut RefreshRefused", "who was refused says so");
    for state in &states {
        let known = ["signedOut RefreshRefused", "signedOut SignedOutElsewhere"];
        assert!(known.contains(&state.as_str()), "{states:?}");
    }
    assert!(place.store().load().await.unwrap().session.is_none());
    // And a sign-in makes all of them whole.
    holders[3].order("login ada").await;
    for holder in &holders {
        holder.until("signed in", |h| h.state() == "active").await;
    }
    drop(start(&server, &place, 1).await);
}
