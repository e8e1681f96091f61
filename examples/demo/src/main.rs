//! The demo: a session that stays fresh and a socket that survives everything, to be watched.
//!
//! `stage` makes faults happen on a mock server in this process, in the order of `script`; `run` is the application,
//! which signs in, connects and sends numbered messages; `ledger` checks what comes back; `story` keeps what the
//! picture shows, `view` draws it, and `output` brings it to the terminal (`screen`), to plain lines, or to a file
//! (`svg`). `summary` says at the end what was lost and why; anything that the contract promises to keep makes the
//! exit code 1.

mod args;
mod grid;
mod ledger;
mod output;
mod run;
mod screen;
mod script;
mod seen;
mod stage;
mod story;
mod summary;
mod svg;
mod view;
mod words;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::output::{Output, complain};
use crate::script::Pace;

#[tokio::main]
async fn main() -> ExitCode {
    match demo(&Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            complain(&why);
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo and says whether every promise was kept.
async fn demo(args: &Args) -> Result<bool, run::Failure> {
    let pace = if args.fast { &Pace::FAST } else { &Pace::FULL };
    let mut output = Output::open(args).map_err(|error| error.to_string())?;
    // On an error the output goes out of scope, and with it the terminal is as it was.
    let finished = run::play(args, pace, &mut output).await?;
    let summary = summary::lines(&finished.story, &finished.ledger, finished.interrupted);
    output
        .close(args, &finished.story, &summary)
        .map_err(|error| error.to_string())?;
    Ok(summary::is_ok(&finished.story, finished.interrupted))
}
