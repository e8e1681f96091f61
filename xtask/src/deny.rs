//! What the dependencies may be (`deny.toml`), and what is known against them.

use std::process::{Command, Stdio};

use crate::Outcome;
use crate::command::{root, run};
use crate::tools;

const VERSION: &str = "0.20.2";

/// Licences, bans and sources: from the lock file and the packages, without a network.
pub(crate) fn dependencies() -> Outcome {
    check(&["licenses", "bans", "sources"])
}

/// Known vulnerabilities (`RustSec`). Fetches its database by git.
pub(crate) fn advisories() -> Outcome {
    check(&["advisories"])
}

fn check(what: &[&str]) -> Outcome {
    let program = tools::from_crates("cargo-deny", VERSION)?;
    let mut command = Command::new(program);
    command
        .current_dir(root())
        .args(["--all-features", "check", "--hide-inclusion-graph"])
        .args(what);
    run(command.stdin(Stdio::null()))
}
