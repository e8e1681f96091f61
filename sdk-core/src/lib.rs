//! Stay signed in and stay connected: a JWT session that keeps itself fresh, and `WebSockets` that always carry a valid
//! token, on one sans-IO core.
//!
//! ```
//! # #[cfg(not(feature = "native"))] fn main() {}
//! # #[cfg(feature = "native")]
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), freshsocket::Error> {
//! use freshsocket::Session;
//!
//! # let server = freshsocket_mock_server::MockServer::start().await.unwrap();
//! # let (api, ws) = (server.http_url(), server.ws_url());
//! let session = Session::builder(api).build().await?;
//! session.login([("username", "ada"), ("password", "secret")]).await?;
//!
//! let mut socket = session.socket(ws).connect()?;
//! socket.send("hello").await?;
//! assert_eq!(socket.next().await.unwrap()?.as_text(), Some("hello"));
//! # Ok(()) }
//! ```
//!
//! * [`Session`]: sign in and out, [`ensure_valid_token`](Session::ensure_valid_token),
//!   [`on_token_refresh`](Session::on_token_refresh), states and events.
//! * [`Socket`] and [`SocketHandle`]: a durable handle that outlives its connections; a stream and a sink of messages.
//! * [`Options`]: everything that can be set, in one structure with one JSON form.
//! * [`ErrorKind`], [`SessionState`], [`SocketState`]: the same on every platform.
//! * [`machine`]: the pure machine behind all of it, for those who bring their own I/O.
//!
//! # Features
//!
//! * `native` (default): the tokio client. Without it the crate is the pure machine and compiles for
//!   `wasm32-unknown-unknown`.
//! * `schema`: JSON Schema of [`Options`].
//! * `store-redis`: a token store in Redis, for processes on many machines.
//! * `testing`: a conformance test for custom [`Store`]s.
//!
//! # What is logged
//!
//! Through `tracing`: states and events at debug level, inputs and outputs of the machine at trace level. No token, no
//! URL query, no message and no request body at any level: they are of types that cannot be printed.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]

pub mod backoff;
mod claims;
pub mod close;
mod cookies;
mod ctx;
mod error;
mod http_date;
pub mod inspect;
pub mod io;
pub mod json;
pub mod machine;
mod message;
pub mod options;
mod outbox;
pub mod overlap;
pub mod rng;
mod secret;
mod session;
mod socket;
mod state;
pub mod store;
pub mod time;
pub mod timer;

#[cfg(feature = "native")]
pub mod native;

pub use claims::Claims;
pub use error::{Error, ErrorKind};
pub use io::{CallbackAnswer as TokenAnswer, TokenGrant};
pub use json::Json;
pub use message::{Message, Text};
pub use options::Options;
pub use secret::{AccessToken, RefreshToken, Secret, redact_url};
pub use state::{
    ClosedBy, Ended, RefreshReason, SendStatus, SessionEvent, SessionState, SignOutCause, SocketEvent,
    SocketState,
};

#[cfg(feature = "store-redis")]
pub use native::{RedisStore, RedisStoreBuilder};

#[cfg(feature = "native")]
pub use native::{
    Activity, ActivityKind, AuthorizedHttp, Changes, FileStore, MemoryStore, Sending, Session,
    SessionBuilder, Socket, SocketBuilder, SocketHandle, Store, Subscription, TokenRequest,
};
