//! Simulated worlds for the pure machine of `freshsocket`: the same machine that the drivers run, with simulated time,
//! network, servers and stores. Nothing sleeps, and the same seed gives the same run.
//!
//! - At the root: [`World`], one device with scripted servers, for tests that say what happens when.
//! - [`fleet`]: several holders of one session, in which a seed says what happens; and the checks that must hold in all
//!   of it. The command `freshsocket-sim` runs many seeds of it.

pub mod fleet;
mod scripted;

pub use scripted::*;
