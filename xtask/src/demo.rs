//! The demo, and the picture of it in the README.

use std::fs;
use std::process::Stdio;

use crate::Outcome;
use crate::command::{self, cargo, root};

const PICTURE: &str = "docs/demo.svg";
const BUILD_AND_RUN: [&str; 6] = ["run", "--release", "--quiet", "-p", "freshsocket-demo", "--"];

/// Builds it with optimizations and runs it, with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    println!("building the demo (the first time takes a few minutes)");
    command::run(&mut cargo(["build", "--release", "-p", "freshsocket-demo"]))?;
    command::run(cargo(BUILD_AND_RUN).args(arguments))
}

/// A quick run without a terminal; it fails by itself if something is lost that must not be.
pub(crate) fn check() -> Outcome {
    command::run(
        cargo(BUILD_AND_RUN)
            .args(["--fast", "--plain"])
            .stdin(Stdio::null()),
    )
}

/// Writes the picture.
pub(crate) fn svg() -> Outcome {
    command::run(cargo(BUILD_AND_RUN).args(["--svg", PICTURE]).stdin(Stdio::null()))?;
    check_svg()
}

/// Whether there is a picture to show.
pub(crate) fn check_svg() -> Outcome {
    let text = fs::read_to_string(root().join(PICTURE)).map_err(|error| format!("{PICTURE}: {error}"))?;
    let is_whole = text.trim_start().starts_with("<svg") && text.trim_end().ends_with("</svg>");
    if is_whole {
        Ok(())
    } else {
        Err(format!("{PICTURE} is no picture: run `cargo xtask svg`"))
    }
}
