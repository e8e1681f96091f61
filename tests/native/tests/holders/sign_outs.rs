//! What one process does with the session, the others follow.

use freshsocket::Store as _;
use freshsocket_mock_server::{Fault, Target, Times};
use freshsocket_native_tests::{seen, server};

use crate::holders::{agree, all_me, holders};
use crate::in_every_place;
use crate::place::Place;

in_every_place! {
    s10_s11_a_sign_out_is_followed_by_all;
    s10_a_sign_in_is_followed_by_all;
    s9_a_sign_out_during_the_refresh_of_another_leaves_nothing_stored;
}

async fn s10_s11_a_sign_out_is_followed_by_all(place: Place) {
    let server = server(|_| {}).await;
    let mut holders = holders(&server, &place, 5).await;
    holders[2].order("logout").await;
    for (number, holder) in holders.iter().enumerate() {
        holder
            .until("signed out", |h| h.state().starts_with("signedOut"))
            .await;
        let cause = if number == 2 {
            "LoggedOut"
        } else {
            "SignedOutElsewhere"
        };
        assert_eq!(holder.state(), format!("signedOut {cause}"));
    }
    // Nobody asked for a token: they heard of it.
    let counters = server.counters();
    assert_eq!((counters.refreshes, counters.api), (0, 0));
    assert!(place.store().load().await.unwrap().session.is_none());
}

async fn s10_a_sign_in_is_followed_by_all(place: Place) {
    let server = server(|_| {}).await;
    let mut holders = holders(&server, &place, 4).await;
    holders[0].order("logout").await;
    for holder in &holders {
        holder
            .until("signed out", |h| h.state().starts_with("signedOut"))
            .await;
    }
    holders[3].order("login bob").await;
    for holder in &holders {
        holder.until("signed in", |h| h.state() == "active").await;
    }
    agree(&place, &holders).await;
    assert_eq!(all_me(&mut holders).await, ["200"; 4]);
    server.expire_tokens();
    assert_eq!(all_me(&mut holders).await, ["200"; 4]);
    assert_eq!((server.counters().logins, server.counters().refreshes), (2, 1));
}

async fn s9_a_sign_out_during_the_refresh_of_another_leaves_nothing_stored(place: Place) {
    let server = server(|_| {}).await;
    let mut holders = holders(&server, &place, 3).await;
    server.expire_tokens();
    server.fault(Target::Refresh, Fault::Hold { act_first: true }, Times::Next(1));
    holders[0].order("me").await;
    seen("the refresh", &server, |s| s.counters.refreshes_ok == 1).await;
    holders[1].order("logout").await;
    for holder in &holders {
        holder
            .until("signed out", |h| h.state().starts_with("signedOut"))
            .await;
    }
    server.release();
    // What it asked for has an answer, and the answer is late.
    holders[0].answer("me", 0).await;
    assert_eq!(holders[0].me().await, "signedOut");
    assert!(place.store().load().await.unwrap().session.is_none());
    for holder in &holders {
        assert!(holder.state().starts_with("signedOut"), "{}", holder.state());
    }
}
