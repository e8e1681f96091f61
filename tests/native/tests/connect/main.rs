//! Connecting and staying connected, on real sockets (section 2 of the contract).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod backoff;
mod endings;
mod network;
mod placements;
mod refusals;
mod renewal;
mod wake;
