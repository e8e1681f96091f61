//! The native client: the machine driven by tokio, reqwest and tungstenite.

mod authorized;
mod builder;
mod callback;
mod clock;
mod dial;
mod driver;
mod handle;
mod handshake;
mod http;
mod hub;
mod pipe;
mod send;
mod session;
mod shared;
mod socket;
mod store;
mod tls;
mod wire;

#[cfg(feature = "testing")]
pub use store::store_conformance;
pub use store::{FileStore, MemoryStore, Store, StoreFuture};

pub use authorized::AuthorizedHttp;
pub use builder::{SessionBuilder, SocketBuilder};
pub use callback::TokenRequest;
pub use handle::SocketHandle;
pub use hub::Changes;
pub use send::Sending;
pub use session::{Session, Subscription};
pub use socket::Socket;
