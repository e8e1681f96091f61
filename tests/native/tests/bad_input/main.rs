//! Section 6: whatever is put in, by the application or by a server, has a named error and no panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod options;
mod servers;
mod usage;
