//! The simulated worlds of `tests/sim`: a few thousand in CI, as many as one likes by hand.

use std::process::Command;

use crate::Outcome;
use crate::command::{cargo, run, target};

/// How many worlds CI runs; always the same ones, so that a failure is a failure of the change.
const SEEDS: &str = "3000";

/// Runs worlds with the arguments of `freshsocket-sim`.
pub(crate) fn soak(arguments: &[&str]) -> Outcome {
    run(&mut cargo([
        "build",
        "--release",
        "--package",
        "freshsocket-sim",
        "--bins",
    ]))?;
    run(Command::new(target().join("release/freshsocket-sim")).args(arguments))
}

/// The worlds of CI.
pub(crate) fn few() -> Outcome {
    soak(&["--seeds", SEEDS])
}
