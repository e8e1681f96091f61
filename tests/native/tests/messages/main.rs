//! Messages and the lives of sockets, on real sockets (W10, W11, W13, W14, P1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod flow;
mod identity;
mod kinds;
mod life;
mod order;
mod outbox;
