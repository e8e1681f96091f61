//! The built binary against the mock server in process, on real sockets. Nothing here waits by sleeping: every wait is
//! for a line, a record of the server's, or the end of the process, with a deadline.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod config;
mod exits;
mod format;
mod harness;
mod json;
mod placements;
mod secrets;
mod sending;
