//! Stay signed in and stay connected.
//!
//! (The crate's documentation is completed with the public client.)
#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]

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
    ClosedBy, Ended, RefreshReason, SendStatus, SessionEvent, SessionState, SignOutCause, SocketEvent, SocketState,
};

#[cfg(feature = "native")]
pub use native::{
    AuthorizedHttp, Changes, FileStore, MemoryStore, Sending, Session, SessionBuilder, Socket, SocketBuilder,
    SocketHandle, Store, Subscription, TokenRequest,
};
