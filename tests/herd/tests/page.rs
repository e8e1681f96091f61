//! The page about the herd says what the code does (W6, section 7).
#![allow(clippy::unwrap_used, reason = "test code")]

use std::fs;

use freshsocket_herd::files;
use freshsocket_herd::page::rows;

#[test]
fn w6_the_page_and_the_picture_are_what_the_machines_give() {
    for file in files().unwrap() {
        let found = fs::read_to_string(&file.path).unwrap_or_default();
        assert!(
            found == file.text,
            "{} is out of date: run `cargo xtask herd`",
            file.path.display()
        );
    }
}

#[test]
fn w6_nobody_is_lost_and_the_first_retries_are_spread_at_least_as_thin_as_any_peers() {
    let rows = rows().unwrap();
    let (ours, peers) = rows.split_first().unwrap();
    assert_eq!(ours.dead.to_bits(), 0.0_f64.to_bits());
    assert!(ours.herd.busiest_first() <= 0.02, "{}", ours.herd.busiest_first());
    // The second row is ours too, after a restart that was announced.
    for peer in &peers[1..] {
        assert!(
            ours.herd.busiest_first() <= peer.herd.busiest_first(),
            "{}",
            peer.name
        );
    }
}
