//! The pure core on the web's target. (The web client itself is still to come.)

use crate::Outcome;
use crate::command::{cargo, run};
use crate::tools;

const TARGET: &str = "wasm32-unknown-unknown";

/// Whether the pure core compiles there.
pub(crate) fn check() -> Outcome {
    tools::ensure_target(TARGET)?;
    run(&mut cargo([
        "check",
        "-p",
        "freshsocket",
        "--lib",
        "--no-default-features",
        "--target",
        TARGET,
    ]))
}
