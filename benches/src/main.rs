//! Benchmarks of freshsocket beside bare tokio-tungstenite, in one run on one machine (section 7 of the contract).
//!
//! Ratios are taken pair by pair: one run of ours, one of theirs, in turn, so that a machine whose speed drifts does
//! not favour either. What is printed is the median of the pairs' ratios, with the lowest and highest.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a program that prints its results"
)]
#![allow(clippy::cast_precision_loss, reason = "counts of messages are far below 2^52")]

mod handover;
mod idle;
mod server;
mod stats;
mod token;
mod wire;

use clap::{Parser, Subcommand};

/// Benchmarks of freshsocket.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// A short run that shows only that everything works; its figures mean nothing.
    #[arg(long, global = true)]
    smoke: bool,
}

#[derive(Subcommand)]
enum What {
    /// `ensure_valid_token` with a good token, from 1, 2 and 8 threads.
    Token,
    /// Receive and echo, 64 bytes and 64 KiB.
    Wire {
        /// Only the rows that have this in their names, for example "echo 64 B".
        #[arg(long)]
        only: Option<String>,
    },
    /// One echo loop of 64 bytes, 64 on the way, on one thread: for a profiler.
    #[command(hide = true)]
    WireOne {
        /// `ours` or `theirs`.
        side: String,
        count: usize,
    },
    /// Messages lost, duplicated and out of order over many renewals of the token.
    Handover {
        /// How many renewals.
        #[arg(long, default_value_t = 20)]
        rotations: u64,
    },
    /// Memory of idle sockets.
    Idle {
        /// How many.
        #[arg(long, default_value_t = 1_000)]
        sockets: usize,
    },
    /// One measurement of `idle`, in a process of its own.
    #[command(hide = true)]
    IdleClient {
        kind: String,
        address: String,
        sockets: usize,
    },
}

fn main() {
    let arguments = Arguments::parse();
    let smoke = arguments.smoke;
    match arguments.what {
        Some(What::Token) => token::run(smoke),
        Some(What::Wire { only }) => wire::run(smoke, only.as_deref()),
        Some(What::WireOne { side, count }) => wire::one(&side, count),
        Some(What::Handover { rotations }) => handover::run(smoke, rotations),
        Some(What::Idle { sockets }) => idle::run(if smoke { sockets.min(50) } else { sockets }),
        Some(What::IdleClient {
            kind,
            address,
            sockets,
        }) => idle::client(&kind, &address, sockets),
        None => {
            token::run(smoke);
            wire::run(smoke, None);
            handover::run(smoke, 20);
            idle::run(if smoke { 50 } else { 1_000 });
        }
    }
}
