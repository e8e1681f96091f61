//! The benchmarks: ours beside bare tokio-tungstenite, in one run.

use crate::Outcome;
use crate::command::{cargo, run};

/// All of them, or what the arguments choose (`--help`); `--smoke`: briefly, to see that they run.
pub(crate) fn run_all(arguments: &[&str]) -> Outcome {
    run(cargo(["run", "--release", "-p", "freshsocket-benches", "--"]).args(arguments))
}
