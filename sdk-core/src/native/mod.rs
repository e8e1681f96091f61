//! The native client: the machine driven by tokio, reqwest and tungstenite.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = freshsocket_mock_server::MockServer::start().await?;
//! # let (api, ws) = (server.http_url(), server.ws_url());
//! use freshsocket::native::{FileStore, Session};
//!
//! # let folder = std::env::temp_dir().join(format!("freshsocket-doc-native-{}", std::process::id()));
//! # let file = folder.join("session.json");
//! let session = Session::builder(api).store(FileStore::new(file)).build().await?;
//! if !session.state().is_signed_in() {
//!     session.login([("username", "ada"), ("password", "secret")]).await?;
//! }
//! let socket = session.socket(ws).connect()?;
//! socket.wait_for(|state| state.is_open()).await;
//! # session.close().await;
//! # std::fs::remove_dir_all(folder)?;
//! # Ok(()) }
//! ```

mod activity;
mod authorized;
mod builder;
mod callback;
mod clock;
mod device;
mod dial;
mod driver;
mod handle;
mod handshake;
mod http;
mod hub;
mod lanes;
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
pub use store::{FileStore, MemoryStore, Store, StoreFuture, StoreWatch};
#[cfg(feature = "store-redis")]
pub use store::{RedisStore, RedisStoreBuilder};

pub use activity::{Activity, ActivityKind};
pub use authorized::AuthorizedHttp;
pub use builder::{SessionBuilder, SocketBuilder};
pub use callback::TokenRequest;
pub use handle::SocketHandle;
pub use hub::Changes;
pub use send::Sending;
pub use session::{Session, Subscription};
pub use socket::Socket;
