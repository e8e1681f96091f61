//! The mock server of freshsocket: HTTP and WebSocket on one port, every dialect and every fault of the
//! contract (SPEC section 5), on real sockets.
//!
//! Rust tests run it in process through [`MockServer`]; browsers, Kotlin and Swift run the binary and steer it
//! over HTTP under `/__control/`. Both see the same [`Settings`], [`Fault`]s, [`Record`]s and [`Counters`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use freshsocket_mock_server::{Fault, MockServer, Target, Times};
//!
//! let server = MockServer::start().await?;
//! server.set(|settings| settings.access_lifetime_ms = 2_000);
//! server.fault(Target::Refresh, Fault::DropAnswer, Times::Next(1));
//! // ... point a client at server.http_url() and server.ws_url() ...
//! server.wait_for(|seen| seen.counters.refreshes_ok == 2, Duration::from_secs(5)).await?;
//! assert!(server.records().iter().all(|record| !record.token_expired));
//! # Ok(())
//! # }
//! ```
//!
//! How a request flows: `listen` accepts TCP and wraps it in a `stream` with a switch (cut, half-open);
//! `http` finds the endpoint, takes its `fault`, and lets the handler act on the `book` of tokens unless the
//! `throttle` refuses; `ws` decides about upgrades and serves each connection in its own task; everything lands in the
//! `record` log.
//!
//! Still to come: Socket.IO.

mod book;
mod control;
mod fault;
mod flood;
mod http;
mod listen;
mod record;
mod server;
mod settings;
mod state;
mod stream;
mod throttle;
mod token;
mod ws;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use tokio_tungstenite::tungstenite::Message;

pub use crate::fault::{Fault, RetryAfter, Target, Times};
pub use crate::flood::Flood;
pub use crate::record::{ClosedBy, Counters, Kind, Record, Snapshot};
pub use crate::server::{Builder, MockServer, TokenPair, WaitTimeout};
pub use crate::settings::{AuthMode, Dialect, Placement, Refusal, Settings, SlashPolicy};
pub use crate::ws::{ConnectionInfo, Who};

/// Locks, also after a panic elsewhere: a test that failed in a predicate must not take the others along.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
