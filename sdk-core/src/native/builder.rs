//! Building sessions and sockets: bad configuration fails here, naming the field.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;

use super::callback::{Callback, TokenRequest};
use super::clock;
use super::driver::{Driver, World};
use super::http::Http;
use super::session::{Session, SessionGuard};
use super::shared::Shared;
use super::socket::{Socket, SocketShared};
use super::store::Store;
use super::tls;
use crate::error::{Error, ErrorKind};
use crate::io::{CallbackAnswer, SessionView, SocketId};
use crate::machine::Machine;
use crate::options::{Credential, Endpoints, Options, Preset, Renewal, SessionOptions, SocketOptions};
use crate::state::SessionState;

/// Builds a [`Session`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = freshsocket_mock_server::MockServer::start().await?;
/// use freshsocket::{MemoryStore, Session, options::Preset};
///
/// let session = Session::builder(server.http_url())
///     .preset(Preset::SimpleJwt)
///     .store(MemoryStore::new())
///     .socket_options(|options| options.heartbeat.interval_ms = 10_000)
///     .build()
///     .await?;
/// # drop(session);
/// # Ok(()) }
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct SessionBuilder {
    options: Options,
    store: Option<Arc<dyn Store>>,
    callback: Option<Arc<dyn Callback>>,
    roots: Vec<CertificateDer<'static>>,
    seed: Option<u64>,
}

impl SessionBuilder {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            store: None,
            callback: None,
            roots: Vec::new(),
            seed: None,
        }
    }

    /// Which kind of auth server this is; default: [`Preset::SimpleJwt`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// let session = freshsocket::Session::builder(server.http_url())
    ///     .preset(freshsocket::options::Preset::NodeJwt)
    ///     .build()
    ///     .await?;
    /// session.login([("email", "ada@example.com"), ("password", "secret")]).await?;
    /// # Ok(()) }
    /// ```
    pub fn preset(mut self, preset: Preset) -> Self {
        self.options.session.preset = preset;
        self
    }

    /// Endpoints that differ from the preset's.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// use freshsocket::options::{Endpoint, Endpoints, Preset};
    ///
    /// let me = Endpoint { path: "/api/me".into(), bearer: true, ..Preset::Cookie.endpoints().verify.unwrap() };
    /// let session = freshsocket::Session::builder(server.http_url())
    ///     .endpoints(Endpoints { verify: Some(me), ..Endpoints::default() }) // the others stay the preset's
    ///     .build()
    ///     .await?;
    /// session.login([("username", "ada"), ("password", "secret")]).await?;
    /// assert!(session.verify().await?);
    /// # Ok(()) }
    /// ```
    pub fn endpoints(mut self, endpoints: Endpoints) -> Self {
        self.options.session.endpoints = endpoints;
        self
    }

    /// Changes any option of the session.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// let session = freshsocket::Session::builder(server.http_url())
    ///     .session_options(|options| options.refresh.margin_ms = 60_000)
    ///     .build()
    ///     .await?;
    /// # drop(session);
    /// # Ok(()) }
    /// ```
    pub fn session_options(mut self, change: impl FnOnce(&mut SessionOptions)) -> Self {
        change(&mut self.options.session);
        self
    }

    /// Changes the options that sockets of this session begin with.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// let session = freshsocket::Session::builder(server.http_url())
    ///     .socket_options(|options| options.auto_connect = false)
    ///     .build()
    ///     .await?;
    /// let socket = session.socket(server.ws_url()).connect()?;
    /// assert_eq!(socket.state(), freshsocket::SocketState::Idle);
    /// # Ok(()) }
    /// ```
    pub fn socket_options(mut self, change: impl FnOnce(&mut SocketOptions)) -> Self {
        change(&mut self.options.socket);
        self
    }

    /// Where the session is kept between runs; default: nowhere, it lives and ends with this process.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// let store = freshsocket::MemoryStore::new();
    /// let builder = || freshsocket::Session::builder(server.http_url()).store(store.clone());
    /// builder().build().await?.login([("username", "ada"), ("password", "secret")]).await?;
    /// assert!(builder().build().await?.state().is_signed_in()); // as after a restart
    /// # Ok(()) }
    /// ```
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// The application supplies the tokens (S1): the SDK calls this whenever it needs one, never caches what it was
    /// given beyond its life, and bounds its time by `requestTimeoutMs`. An `Err` or a panic counts as unreachable.
    ///
    /// ```no_run
    /// use freshsocket::{AccessToken, TokenAnswer};
    /// # async fn my_token() -> Result<String, std::io::Error> { Ok(String::new()) }
    /// # async fn example() -> Result<(), freshsocket::Error> {
    /// let session = freshsocket::Session::builder("")
    ///     .token_callback(|_request| async {
    ///         my_token().await.map(|token| TokenAnswer::Token { access: token.into(), expires_in_ms: None })
    ///     })
    ///     .build()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn token_callback<F, Fut, E>(mut self, callback: F) -> Self
    where
        F: Fn(TokenRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<CallbackAnswer, E>> + Send + 'static,
        E: Display + 'static,
    {
        self.options.session.preset = Preset::Callback;
        self.callback = Some(Arc::new(callback));
        self
    }

    /// Trusts this CA certificate (DER) as well, for servers with a private one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let der = rcgen::generate_simple_self_signed(["localhost".into()])?.cert.der().to_vec();
    /// # let ca = std::env::temp_dir().join(format!("freshsocket-doc-ca-{}.der", std::process::id()));
    /// # std::fs::write(&ca, der)?;
    /// let session = freshsocket::Session::builder(server.http_url()) // https:// with that certificate, in earnest
    ///     .root_certificate(std::fs::read(&ca)?)
    ///     .build()
    ///     .await?;
    /// # drop(session);
    /// # std::fs::remove_file(ca)?;
    /// # Ok(()) }
    /// ```
    pub fn root_certificate(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.roots.push(CertificateDer::from(der.into()));
        self
    }

    /// Seeds the jitter, for tests that want the same run twice; default: random.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// let session = freshsocket::Session::builder(server.http_url()).seed(42).build().await?;
    /// # drop(session);
    /// # Ok(()) }
    /// ```
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the session and reads its store: a user who was signed in is signed in when this returns.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let wrong = freshsocket::Session::builder("api.example.com").build().await.unwrap_err();
    /// assert_eq!(wrong.field(), Some("session.baseUrl")); // https:// is missing
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidOptions`](ErrorKind::InvalidOptions) or [`InsecureUrl`](ErrorKind::InsecureUrl), naming the field;
    /// [`Unsupported`](ErrorKind::Unsupported) outside a tokio runtime. A store that cannot be read is no error: nobody
    /// is signed in then, and [`events`](Session::events) says why.
    pub async fn build(self) -> Result<Session, Error> {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a session needs a tokio runtime to be built in",
            ));
        };
        if self.options.session.preset == Preset::Callback && self.callback.is_none() {
            let error = Error::new(
                ErrorKind::InvalidOptions,
                "the callback preset needs a token_callback",
            );
            return Err(error.with_field("session.preset"));
        }
        let mut default_socket = self.options.socket.clone();
        if default_socket.url.is_empty() {
            // Sockets bring their own.
            default_socket.url = "wss://localhost".into();
        }
        default_socket.validate()?;
        let seed = self.seed.map_or_else(random_seed, Ok)?;
        let machine = Machine::new(
            self.options.session.clone(),
            self.store.is_some(),
            seed,
            clock::now(),
        )?;
        let tls = tls::client_config(&self.roots)?;
        let http = Http::new(&tls)?;
        let (commands, command_queue) = mpsc::unbounded_channel();
        let (inputs, input_queue) = mpsc::unbounded_channel();
        let view = SessionView {
            state: SessionState::Restoring,
            token: None,
            user: None,
            attempts_ended: 0,
            identity: None,
            cookies: None,
        };
        let shared = Arc::new(Shared::new(commands, inputs, view));
        let world = World {
            http: http.clone(),
            tls,
            store: self.store,
            callback: self.callback,
            runtime,
        };
        Driver::spawn(machine, shared.clone(), world, command_queue, input_queue);
        let mut seen = shared.seen.subscribe();
        let session = Session::new(shared, http, self.options);
        let restored = seen
            .wait_for(|seen| !matches!(seen.view.state, SessionState::Restoring))
            .await;
        restored.map_err(|_| super::shared::disposed())?;
        Ok(session)
    }
}

impl std::fmt::Debug for SessionBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionBuilder")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Socket`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = freshsocket_mock_server::MockServer::start().await?;
/// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
/// # session.login([("username", "ada"), ("password", "secret")]).await?;
/// use freshsocket::options::{Credential, Renewal};
///
/// let socket = session
///     .socket(server.ws_url())
///     .credential(Credential::Header { name: "Authorization".into(), prefix: "Bearer ".into() })
///     .renewal(Renewal::Reconnect)
///     .connect()?;
/// socket.wait_for(|state| state.is_open()).await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct SocketBuilder {
    session: Arc<SessionGuard>,
    options: SocketOptions,
}

impl SocketBuilder {
    pub(super) fn new(session: Arc<SessionGuard>, options: SocketOptions) -> Self {
        Self { session, options }
    }

    /// How the connection shows who it is (W2); default: the subprotocol pair `["access_token", <token>]`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// use freshsocket::options::Credential;
    ///
    /// let socket = session
    ///     .socket(server.ws_url())
    ///     .credential(Credential::Query { parameter: "token".into() })
    ///     .connect()?;
    /// socket.wait_for(|state| state.is_open()).await;
    /// # Ok(()) }
    /// ```
    pub fn credential(mut self, credential: Credential) -> Self {
        self.options.credential = credential;
        self
    }

    /// What to do with the live connection when the token is refreshed (W4); default: handover.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let socket = session
    ///     .socket(server.ws_url())
    ///     .renewal(freshsocket::options::Renewal::Keep)
    ///     .connect()?;
    /// # drop(socket);
    /// # Ok(()) }
    /// ```
    pub fn renewal(mut self, renewal: Renewal) -> Self {
        self.options.renewal = renewal;
        self
    }

    /// Changes any option.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let socket = session
    ///     .socket(server.ws_url())
    ///     .options(|options| options.outbox.max_messages = 100)
    ///     .connect()?;
    /// # drop(socket);
    /// # Ok(()) }
    /// ```
    pub fn options(mut self, change: impl FnOnce(&mut SocketOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Makes the socket, and connects it unless `autoConnect` is off. Returns at once: the first connection is tried
    /// as often as any other, and the state tells how it goes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let socket = session.socket(server.ws_url()).connect()?;
    /// assert!(!socket.state().is_open()); // on its way
    /// socket.wait_for(|state| state.is_open()).await;
    /// let wrong = session.socket("https://api.example.com/ws").connect().unwrap_err();
    /// assert_eq!(wrong.field(), Some("socket.url"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidOptions`](ErrorKind::InvalidOptions) or [`InsecureUrl`](ErrorKind::InsecureUrl), naming the field;
    /// [`Disposed`](ErrorKind::Disposed).
    pub fn connect(self) -> Result<Socket, Error> {
        self.options.validate()?;
        let shared = &self.session.shared;
        let socket = Arc::new(SocketShared::new(
            SocketId(shared.next_socket()),
            Arc::new(self.options),
        ));
        shared.open(socket.clone())?;
        Ok(Socket::new(socket, self.session))
    }
}

fn random_seed() -> Result<u64, Error> {
    getrandom::u64().map_err(|cause| {
        Error::new(ErrorKind::Unsupported, "the operating system gives no randomness")
            .with_cause(cause.to_string())
    })
}
