//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Watch a session stay fresh and a socket survive everything: a mock server in this process, tokens that live for
/// seconds, and eight faults, one after another. Takes about 50 seconds and says at the end what was lost and why.
#[derive(Clone, Debug, Parser)]
#[command(name = "freshsocket-demo", version)]
pub(crate) struct Args {
    /// Everything faster: about 15 seconds.
    #[arg(long)]
    pub(crate) fast: bool,
    /// Plain lines instead of a picture; so it is anyway when the output is not a terminal.
    #[arg(long)]
    pub(crate) plain: bool,
    /// Seed of the SDK's jitter, for the same delays again.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Writes an animated picture of the run to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Writes the plain lines to this file as well.
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Breaks the run on purpose, to see that it is noticed.
    #[arg(long, hide = true)]
    pub(crate) sabotage: Option<Sabotage>,
}

/// Ways to break a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// One echo is not counted.
    Lose,
    /// One echo is counted twice.
    Duplicate,
    /// The server goes away and does not come back.
    Stop,
}
