//! The session on real sockets (section 1 of the contract).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod activity;
mod answers;
mod callback;
mod http;
mod presets;
mod publishing;
mod redirects;
mod refreshing;
mod signing;
