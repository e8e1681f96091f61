//! The application's session (section 1 of the contract).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::activity::Activity;
use super::authorized::AuthorizedHttp;
use super::builder::{SessionBuilder, SocketBuilder};
use super::clock;
use super::http::Http;
use super::hub::Changes;
use super::shared::{Command, Shared};
use crate::claims::Claims;
use crate::error::Error;
use crate::io::{Input, Reply, TokenGrant};
use crate::json::Json;
use crate::options::{Options, SocketOptions};
use crate::secret::{AccessToken, Secret};
use crate::state::{SessionEvent, SessionState};
use crate::time::Mono;

/// How long before expiry a token counts as expiring soon, if not said otherwise (S5).
const SOON: Duration = Duration::from_secs(300);

/// A session: signs in, keeps the token fresh, and opens sockets that always carry a valid one.
///
/// Cheap to clone; all clones are the same session. When the last clone, socket and request helper is gone, its tasks
/// end. Signing out is something else: [`logout`](Self::logout).
///
/// ```no_run
/// # async fn example() -> Result<(), freshsocket::Error> {
/// let session = freshsocket::Session::builder("https://api.example.com").build().await?;
/// session.login([("username", "ada"), ("password", "secret")]).await?;
/// let mut socket = session.socket("wss://api.example.com/ws").connect()?;
/// socket.send("hello").await?;
/// while let Some(message) = socket.next().await {
///     println!("{:?}", message?.as_text());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) guard: Arc<SessionGuard>,
    http: Http2,
    base_url: String,
    socket_options: Arc<SocketOptions>,
}

/// `Http` without a `Debug` that could show anything.
#[derive(Clone)]
struct Http2(Http);

impl std::fmt::Debug for Http2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

/// The last one to go ends the client.
pub(crate) struct SessionGuard {
    pub(crate) shared: Arc<Shared>,
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let _ = self.shared.commands.send(Command::Shutdown(None));
    }
}

impl std::fmt::Debug for SessionGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.shared.view().state)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Begins a session with the auth server at this address; see [`SessionBuilder`] for everything else.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// assert_eq!(session.state().name(), "signedOut");
    /// # Ok(()) }
    /// ```
    pub fn builder(base_url: impl Into<String>) -> SessionBuilder {
        let mut options = Options::default();
        options.session.base_url = base_url.into();
        SessionBuilder::new(options)
    }

    /// Begins a session with these options, as read from a configuration file for example.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// let json = format!(r#"{{"session": {{"baseUrl": "{}", "preset": "simpleJwt"}}}}"#, server.http_url());
    /// let options = freshsocket::Options::from_json(&json)?;
    /// let session = freshsocket::Session::with_options(options).build().await?;
    /// # drop(session);
    /// # Ok(()) }
    /// ```
    pub fn with_options(options: Options) -> SessionBuilder {
        SessionBuilder::new(options)
    }

    pub(super) fn new(shared: Arc<Shared>, http: Http, options: Options) -> Self {
        Self {
            guard: Arc::new(SessionGuard { shared }),
            http: Http2(http),
            base_url: options.session.base_url,
            socket_options: Arc::new(options.socket),
        }
    }

    /// Signs in with these names and values (as the login endpoint's body calls them), and gives the user record that
    /// the server sent. Whoever was signed in before is signed in no more; their queued messages fail.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// let user = session.login([("username", "ada"), ("password", "secret")]).await?;
    /// assert_eq!(user.unwrap().at("/username").and_then(|name| name.as_str().map(String::from)), Some("ada".into()));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`LoginRefused`](crate::ErrorKind::LoginRefused), [`Unreachable`](crate::ErrorKind::Unreachable),
    /// [`MalformedAnswer`](crate::ErrorKind::MalformedAnswer), [`Unsupported`](crate::ErrorKind::Unsupported) (callback
    /// sessions), [`Superseded`](crate::ErrorKind::Superseded).
    pub async fn login<N, V>(
        &self,
        credentials: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Option<Json>, Error>
    where
        N: Into<String>,
        V: Into<Secret>,
    {
        let credentials = credentials
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        match self
            .guard
            .shared
            .call(|call| Input::Login { call, credentials })
            .await?
        {
            Reply::SignedIn { user } => Ok(user),
            _ => Ok(None),
        }
    }

    /// Signs in with tokens that came from elsewhere (the app's own login, a deep link).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// session
    ///     .adopt(freshsocket::TokenGrant {
    ///         access: "eyJ…".into(),
    ///         refresh: Some("eyJ…".into()),
    ///         expires_in_ms: Some(300_000),
    ///         user: None,
    ///     })
    ///     .await?;
    /// assert!(session.state().is_signed_in());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for callback sessions: they pull their tokens.
    pub async fn adopt(&self, tokens: TokenGrant) -> Result<(), Error> {
        self.guard
            .shared
            .call(|call| Input::Adopt { call, tokens })
            .await
            .map(|_| ())
    }

    /// Signs out: clears the store, closes the sockets and fails their queued messages at once, works offline, and
    /// revokes at the server if it can be reached within 5 s. Gives whether the server confirmed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let revoked = session.logout().await?;
    /// assert!(revoked && !session.state().is_signed_in());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Disposed`](crate::ErrorKind::Disposed) only.
    pub async fn logout(&self) -> Result<bool, Error> {
        let reply = self.guard.shared.call(|call| Input::Logout { call }).await?;
        Ok(matches!(reply, Reply::SignedOut { revoked: true }))
    }

    /// Asks the server whether it takes the present token.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// assert!(session.verify().await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without a verify endpoint,
    /// [`Unreachable`](crate::ErrorKind::Unreachable), [`SignedOut`](crate::ErrorKind::SignedOut).
    pub async fn verify(&self) -> Result<bool, Error> {
        let reply = self.guard.shared.call(|call| Input::Verify { call }).await?;
        Ok(matches!(reply, Reply::Verified(true)))
    }

    /// A token that is valid for at least the margin if the server can be reached, else one that is still valid (S2).
    ///
    /// With a good token at hand this takes no lock, allocates nothing and does no I/O. Otherwise any number of callers
    /// share one refresh (S3); dropping the future does not cancel it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let token = session.ensure_valid_token().await?;
    /// assert!(token.expose().starts_with("eyJ"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SignedOut`](crate::ErrorKind::SignedOut), or [`Unreachable`](crate::ErrorKind::Unreachable) with
    /// [`next_attempt_unix_ms`](Error::next_attempt_unix_ms).
    #[inline]
    pub async fn ensure_valid_token(&self) -> Result<AccessToken, Error> {
        self.guard.shared.ensure_valid_token().await
    }

    /// Calls `callback` with every new token, in order, outside every lock, from a task of the SDK's (S4).
    ///
    /// The callback may use the SDK, panic, or drop its own subscription. It should return soon: the next token waits
    /// for it. Dropping the subscription unsubscribes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    /// let subscription = session.on_token_refresh(move |token| drop(tell.send(token)));
    /// session.login([("username", "ada"), ("password", "secret")]).await?;
    /// assert_eq!(told.recv().await, Some(session.ensure_valid_token().await?));
    /// drop(subscription); // unsubscribes
    /// # Ok(()) }
    /// ```
    pub fn on_token_refresh(&self, callback: impl Fn(AccessToken) + Send + Sync + 'static) -> Subscription {
        let number = self.guard.shared.add_callback(Arc::new(callback));
        Subscription {
            shared: Arc::downgrade(&self.guard.shared),
            number,
        }
    }

    /// Whether the token expires within `buffer` (default 5 minutes), or there is none (S5).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// use std::time::Duration;
    /// # server.set(|settings| settings.access_lifetime_ms = 3_600_000);
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// assert!(!session.is_token_expiring_soon(None));
    /// assert!(session.is_token_expiring_soon(Some(Duration::from_secs(7_200))));
    /// # Ok(()) }
    /// ```
    pub fn is_token_expiring_soon(&self, buffer: Option<Duration>) -> bool {
        let view = self.guard.shared.view();
        let Some(token) = &view.token else { return true };
        let buffer_ms = buffer.unwrap_or(SOON).as_millis() as u64;
        token.valid_until != Mono::NEVER && token.valid_until.since(clock::mono()) <= buffer_ms
    }

    /// The state now (S13).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// assert!(matches!(session.state(), freshsocket::SessionState::Active { .. }));
    /// # Ok(()) }
    /// ```
    pub fn state(&self) -> SessionState {
        self.guard.shared.view().state.clone()
    }

    /// The state now, then every change.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let mut states = session.states();
    /// assert_eq!(states.next().await.unwrap().name(), "active");
    /// session.logout().await?;
    /// assert_eq!(states.next().await.unwrap().name(), "signedOut");
    /// # Ok(()) }
    /// ```
    pub fn states(&self) -> Changes<SessionState> {
        let shared = &self.guard.shared;
        shared.states.subscribe_from(|| shared.view().state.clone())
    }

    /// What happens from now on: refreshes begun, done and failed, tokens about to expire, trouble with the store. The
    /// first subscriber also hears what came before it (the last 16 events): a session acts before it is built.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let mut events = session.events();
    /// session.login([("username", "eve"), ("password", "secret")]).await?;
    /// assert!(matches!(events.next().await, Some(freshsocket::SessionEvent::Refreshed { .. })));
    /// # Ok(()) }
    /// ```
    pub fn events(&self) -> Changes<SessionEvent> {
        self.guard.shared.events.subscribe([])
    }

    /// Everything that happens to the session and to all its sockets, in one order and with the time of each: what
    /// [`states`](Self::states) and [`events`](Self::events) of the session and of every socket tell, from now on. The
    /// first subscriber also hears what came before it, if that is no more than 16 entries. What is the case already,
    /// `state` tells; asked after this call, it leaves no change out.
    ///
    /// A reader that falls more than 1024 entries behind misses the oldest: [`Changes::missed`] counts them, and the
    /// numbers show where. While nobody listens, nothing is kept. Messages are not in it, and no token is.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// use freshsocket::{ActivityKind, SocketState};
    ///
    /// let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// let mut activity = session.activity();
    /// session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let socket = session.socket(server.ws_url()).connect()?;
    /// while let Some(entry) = activity.next().await {
    ///     println!("{} {} {:?}", entry.number, entry.at, entry.what);
    ///     let open = ActivityKind::SocketState { socket: socket.number(), state: SocketState::Open };
    ///     if entry.what == open {
    ///         break;
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn activity(&self) -> Changes<Activity> {
        self.guard.shared.activity.subscribe([])
    }

    /// The user record that the server sent with the tokens.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let user = session.user().unwrap();
    /// assert_eq!(user.at("/username").unwrap().as_str(), Some("ada"));
    /// # Ok(()) }
    /// ```
    pub fn user(&self) -> Option<Json> {
        self.guard.shared.view().user.clone()
    }

    /// What the present token says about itself. Not verified: that is the server's job.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let claims = session.claims().unwrap();
    /// assert!(claims.expires_at > claims.issued_at);
    /// # Ok(()) }
    /// ```
    pub fn claims(&self) -> Option<Claims> {
        self.guard
            .shared
            .view()
            .token
            .as_ref()
            .and_then(|view| Claims::read(view.token.expose()))
    }

    /// A socket to this URL, with the session's socket options; see [`SocketBuilder`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let mut socket = session.socket(server.ws_url()).connect()?;
    /// socket.send("hello").await?;
    /// assert_eq!(socket.next().await.unwrap()?.as_text(), Some("hello"));
    /// # Ok(()) }
    /// ```
    pub fn socket(&self, url: impl Into<String>) -> SocketBuilder {
        let mut options = (*self.socket_options).clone();
        options.url = url.into();
        SocketBuilder::new(self.guard.clone(), options)
    }

    /// A socket with options of its own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let options = freshsocket::options::SocketOptions { url: server.ws_url(), ..Default::default() };
    /// let socket = session.socket_with(options).connect()?;
    /// socket.wait_for(|state| state.is_open()).await;
    /// # Ok(()) }
    /// ```
    pub fn socket_with(&self, options: SocketOptions) -> SocketBuilder {
        SocketBuilder::new(self.guard.clone(), options)
    }

    /// A helper that sends `reqwest` requests with a valid token (S12).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let http = session.http();
    /// let request = http.client().get(format!("{}/api/me", server.http_url()));
    /// assert_eq!(http.send(request).await?.status(), 200);
    /// # Ok(()) }
    /// ```
    pub fn http(&self) -> AuthorizedHttp {
        AuthorizedHttp::new(self.guard.clone(), self.http.0.clone(), self.base_url.clone())
    }

    /// Closes all sockets and ends the client's tasks; waits for closing handshakes up to 2 s. The user stays signed in
    /// as far as the store is concerned. Whatever is called afterwards fails as
    /// [`Disposed`](crate::ErrorKind::Disposed).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// session.close().await;
    /// assert_eq!(session.ensure_valid_token().await.unwrap_err().kind(), freshsocket::ErrorKind::Disposed);
    /// # Ok(()) }
    /// ```
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self
            .guard
            .shared
            .commands
            .send(Command::Shutdown(Some(done)))
            .is_ok()
        {
            let _ = closed.await;
        }
    }
}

/// A subscription to new tokens; dropping it unsubscribes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = freshsocket_mock_server::MockServer::start().await?;
/// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
/// struct App {
///     _tokens: freshsocket::Subscription, // for as long as the application lives
/// }
/// let app = App { _tokens: session.on_token_refresh(|token| println!("{token:?}")) };
/// # drop(app);
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "dropping the subscription unsubscribes"]
pub struct Subscription {
    shared: std::sync::Weak<Shared>,
    number: u64,
}

impl Subscription {
    /// Unsubscribes now. A call that is under way ends; no further one begins.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = freshsocket_mock_server::MockServer::start().await?;
    /// # let session = freshsocket::Session::builder(server.http_url()).build().await?;
    /// # session.login([("username", "ada"), ("password", "secret")]).await?;
    /// let subscription = session.on_token_refresh(|_token| println!("a new token"));
    /// subscription.unsubscribe();
    /// # Ok(()) }
    /// ```
    pub fn unsubscribe(self) {}
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.remove_callback(self.number);
        }
    }
}
