//! The benchmarks: ours beside bare tokio-tungstenite, in one run.

use crate::Outcome;
use crate::command::{cargo, run};

/// All of them, or what the arguments choose (`--help`); `--smoke`: briefly, to see that they run. `cycles [N]`: what
/// connecting and letting go leaves behind.
pub(crate) fn run_all(arguments: &[&str]) -> Outcome {
    // Counting allocations costs time, so what counts them is a program of its own.
    let (program, arguments) = match arguments {
        ["cycles", rest @ ..] => ("cycles", rest),
        all => ("freshsocket-benches", all),
    };
    let build_and_run = [
        "run",
        "--release",
        "-p",
        "freshsocket-benches",
        "--bin",
        program,
        "--",
    ];
    run(cargo(build_and_run).args(arguments))
}
