//! Formatting, lints and documentation.

use crate::command::{self, cargo};
use crate::{Outcome, examples};

type Check = fn() -> Outcome;

/// All of them, by name.
pub(crate) fn checks() -> [(&'static str, Check); 4] {
    [
        ("formatting", formatting),
        ("lints of everything", everything),
        ("lints of the pure core", pure_core),
        ("documentation", documentation),
    ]
}

pub(crate) fn run() -> Outcome {
    checks().into_iter().try_for_each(|(_, check)| check())
}

fn formatting() -> Outcome {
    command::run(&mut cargo(["fmt", "--all", "--check"]))?;
    command::run(&mut cargo([
        "fmt",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--check",
    ]))
}

fn everything() -> Outcome {
    command::run(&mut cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ]))
}

fn pure_core() -> Outcome {
    command::run(&mut cargo([
        "clippy",
        "-p",
        "freshsocket",
        "--no-default-features",
        "--lib",
        "--",
        "-D",
        "warnings",
    ]))
}

fn documentation() -> Outcome {
    // Libraries only: the program `freshsocket` would overwrite the pages of the crate `freshsocket`.
    let mut doc = cargo(["doc", "--workspace", "--lib", "--no-deps", "--all-features"]);
    command::run(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    examples::every_item_has_one()
}
