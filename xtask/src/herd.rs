//! The page and the picture about 10,000 clients that come back. `tests/herd` makes them, and its test compares them
//! with what the code gives.

use crate::Outcome;
use crate::command::{cargo, run};

/// Writes both and prints the table.
pub(crate) fn write() -> Outcome {
    run(&mut cargo(["run", "--quiet", "-p", "freshsocket-herd"]))
}
