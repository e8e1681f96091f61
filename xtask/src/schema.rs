//! The options' schema and the pages made from it. The work is done by `sdk-core/tests/schema.rs`, which can see both
//! the types and their schema; this only calls it, to write or to check.

use crate::Outcome;
use crate::command::{cargo, run_tests};

// Built as `cargo xtask test` builds it, so that whoever ran that waits for nothing.
const TEST: [&str; 5] = [
    "test",
    "--workspace",
    "--all-features",
    "--test=schema",
    "--quiet",
];

/// Writes what is out of date.
pub(crate) fn write() -> Outcome {
    // The examples are checked in the second run: in the first one they may be just about to be written.
    let (_, outcome) = run_tests(
        cargo(TEST)
            .args(["--", "current"])
            .env("FRESHSOCKET_WRITE_DOCS", "1"),
    );
    outcome.and_then(|()| check())
}

/// Fails where something is out of date.
pub(crate) fn check() -> Outcome {
    run_tests(&mut cargo(TEST)).1
}
