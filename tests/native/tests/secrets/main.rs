//! Section 6: no token, password or ticket appears in any log, error, panic or `Debug` form.
//!
//! One process of its own: everything that any crate in it logs at any level, and every panic's text, goes into one
//! buffer, to which the scenarios add every error and value they see. Then the buffer is searched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod net;
mod scenarios;

use net::{PASSWORD, SAID, forms, found, listen_to_everything};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s6_no_secret_is_ever_printed() {
    listen_to_everything();
    let mut secrets = vec![PASSWORD.to_owned()];
    secrets.extend(scenarios::placements().await);
    secrets.extend(scenarios::renewals().await);
    secrets.extend(scenarios::refusals().await);
    secrets.extend(scenarios::bad_answers().await);
    secrets.extend(scenarios::stores().await);
    secrets.extend(scenarios::callbacks().await);
    secrets.extend(scenarios::other_presets().await);
    secrets.extend(scenarios::wrong_places().await);
    let said = || String::from_utf8_lossy(&SAID.0.lock().unwrap()).into_owned();
    let text = said();

    // The net is cast: it holds what the SDK and the crates below it say at the most verbose level.
    for expected in [
        "TRACE",
        "machine input",
        "machine output",
        "HTTP request answered",
        "hyper",
        "reqwest",
        "a panic of",
    ] {
        assert!(text.contains(expected), "nothing of {expected:?} was caught");
    }
    assert!(
        secrets.len() > 100 && text.len() > 100_000,
        "{} secrets, {} bytes",
        secrets.len(),
        text.len()
    );
    let hits = found(&text, &secrets);
    assert!(hits.is_empty(), "{} hits: {hits:#?}", hits.len());

    // And it would catch one: planted on purpose, in each of the ways by which the buffer is filled.
    let planted = secrets.last().unwrap().clone();
    tracing::trace!(token = planted.as_str(), "planted");
    assert_eq!(
        found(&said()[text.len()..], &secrets[secrets.len() - 1..])
            .first()
            .map(|hit| &hit[..5]),
        Some("plain")
    );
    for (form, shown) in forms(&planted) {
        assert!(
            !found(&format!("x {shown} y"), std::slice::from_ref(&planted)).is_empty(),
            "{form}"
        );
    }
    let before = said().len();
    let in_panic = planted.clone();
    let _ = std::thread::spawn(move || panic!("{in_panic}")).join();
    assert!(!found(&said()[before..], &[planted]).is_empty());
}
