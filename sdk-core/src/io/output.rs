//! What goes out.

use super::{CallId, ConnId, EffectId, SendId, SessionView, SocketId};
use crate::error::Error;
use crate::json::Json;
use crate::message::Message;
use crate::options::Method;
use crate::secret::{AccessToken, Secret, redact_url};
use crate::state::{SessionEvent, SocketEvent, SocketState};
use crate::store::{StoreVersion, StoredSession};

/// What is to be done in the world.
///
/// ```
/// use freshsocket::io::Output;
///
/// // A driver performs them in order; this one only says what it would do.
/// fn perform(output: Output) -> String {
///     match output {
///         Output::Http { effect, request } => format!("request {} for {effect:?}", request.url),
///         Output::Connect { conn, .. } => format!("open {conn:?}"),
///         Output::PublishSession(view) => format!("the session is {}", view.state.name()),
///         other => format!("{other:?}"),
///     }
/// }
/// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
/// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
/// # let mut machine = Machine::new(options, false, 42, now).unwrap();
/// let said: Vec<String> = std::iter::from_fn(|| machine.poll()).map(perform).collect();
/// assert_eq!(said, ["the session is signedOut"]);
/// ```
#[derive(Debug)]
pub enum Output {
    /// Make an HTTP request; answer with `HttpAnswered`.
    Http {
        /// The effect's number.
        effect: EffectId,
        /// The request.
        request: HttpRequest,
    },
    /// The answer to this effect is no longer wanted.
    Cancel {
        /// The effect.
        effect: EffectId,
    },
    /// Read the store; answer with `StoreLoaded`.
    LoadStore {
        /// The effect's number.
        effect: EffectId,
    },
    /// Write the store if it is still at this version; answer with `StoreSwapped` once it is durable.
    SwapStore {
        /// The effect's number.
        effect: EffectId,
        /// The version that the machine last saw.
        expected: StoreVersion,
        /// What to write; `None` clears.
        next: Option<Box<StoredSession>>,
    },
    /// Ask the application for a token; answer with `CallbackAnswered`.
    AskCallback {
        /// The effect's number.
        effect: EffectId,
        /// Whether a cached token will not do, because a server refused the last one.
        force: bool,
    },

    /// The session changed: publish this.
    PublishSession(SessionView),
    /// Something happened to the session, beyond its state.
    SessionEvent(SessionEvent),
    /// Call the token-refresh callbacks, in order, outside everything.
    TokenRefreshed {
        /// The new token.
        token: AccessToken,
    },
    /// Answer a call of the application.
    Reply {
        /// The call.
        call: CallId,
        /// The answer.
        result: Result<Reply, Error>,
    },

    /// Open a connection; answer with `Opened` or `ConnectFailed`, later `Noticed` and once `Ended`.
    Connect {
        /// The connection's number.
        conn: ConnId,
        /// The socket it is for.
        socket: SocketId,
        /// The live connection that it is to replace: from now on both may bring the same messages, and
        /// [`Overlap`](crate::overlap::Overlap) tells which of them the application gets (W5).
        replaces: Option<ConnId>,
        /// Where and how.
        request: ConnectRequest,
    },
    /// How the overlap of two connections of a socket goes on.
    Overlap {
        /// The socket.
        socket: SocketId,
        /// What holds from now on.
        stage: OverlapStage,
    },
    /// Write these messages to the connection, in order, after what was written before.
    Transmit {
        /// The connection.
        conn: ConnId,
        /// The messages.
        messages: Vec<(SendId, Message)>,
    },
    /// Write a message that must not be logged (it carries a token).
    TransmitSecret {
        /// The connection.
        conn: ConnId,
        /// The text.
        text: Secret,
    },
    /// From here on the application may write to this connection itself.
    Direct {
        /// The socket.
        socket: SocketId,
        /// The connection.
        conn: ConnId,
    },
    /// From here on the application's messages come to the machine (`Input::Send`).
    Indirect {
        /// The socket.
        socket: SocketId,
    },
    /// Say when something was last received; answer with `Activity`.
    ReadActivity {
        /// The connection.
        conn: ConnId,
    },
    /// Ping the connection.
    Ping {
        /// The connection.
        conn: ConnId,
    },
    /// Flush, then begin the closing handshake, and answer with `Flushed` if that works; `Ended` follows within a few
    /// seconds in any case.
    Close {
        /// The connection.
        conn: ConnId,
        /// The code.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// Drop the connection at once; `Ended` follows, for the messages that were not sent.
    Abort {
        /// The connection.
        conn: ConnId,
    },
    /// The socket changed: publish this.
    PublishSocket {
        /// The socket.
        socket: SocketId,
        /// Its state.
        state: SocketState,
    },
    /// Something happened on the socket.
    SocketEvent {
        /// The socket.
        socket: SocketId,
        /// What.
        event: SocketEvent,
    },
    /// A queued message failed.
    SendFailed {
        /// The socket.
        socket: SocketId,
        /// The message.
        send: SendId,
        /// Why.
        error: Error,
    },
}

/// How the messages of an old connection and of the one that replaces it reach the application (W5). It begins with
/// `Output::Connect`: those of the new one wait until the old one has ended.
///
/// ```
/// use freshsocket::{io::OverlapStage, options::Duplicates, overlap::Overlap};
///
/// // What a driver looks for duplicates with from then on.
/// fn filter(stage: OverlapStage, so_far: Option<Overlap>) -> Option<Overlap> {
///     match stage {
///         OverlapStage::Mixed => so_far,
///         OverlapStage::Over => None,
///     }
/// }
/// assert!(filter(OverlapStage::Over, Overlap::new(Duplicates::Payload)).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverlapStage {
    /// The old one takes long to end: those of both are delivered as they come, without the duplicates.
    Mixed,
    /// Whatever arrives from now on is no duplicate.
    Over,
}

/// The answer to a call.
///
/// ```
/// use freshsocket::io::Reply;
///
/// fn shown(reply: &Reply) -> &'static str {
///     match reply {
///         Reply::SignedIn { .. } => "signed in",
///         Reply::SignedOut { revoked: true } => "signed out everywhere",
///         Reply::SignedOut { revoked: false } => "signed out here; the server was not reached",
///         Reply::Verified(true) => "the server takes the token",
///         Reply::Verified(false) => "the server refuses the token",
///     }
/// }
/// assert_eq!(shown(&Reply::Verified(true)), "the server takes the token");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `login` or `adopt` succeeded.
    SignedIn {
        /// The user record that came with the tokens.
        user: Option<Json>,
    },
    /// `logout` is done.
    SignedOut {
        /// Whether the server confirmed that it revoked the tokens.
        revoked: bool,
    },
    /// `verify`: whether the server takes the token.
    Verified(bool),
}

/// One HTTP request, complete. Redirects to another origin are not followed with it.
///
/// ```
/// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
/// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
/// # let mut machine = Machine::new(options, false, 42, now).unwrap();
/// # while machine.poll().is_some() {}
/// # let credentials = vec![("username".into(), "ada".into()), ("password".into(), "hunter2".into())];
/// # machine.handle(now, Input::Login { call: CallId(1), credentials });
/// let Some(Output::Http { request, .. }) = machine.poll() else { panic!("a login is a request") };
/// assert_eq!(request.method.as_str(), "POST");
/// assert_eq!(request.url, "https://api.example.com/api/auth/login/");
/// assert!(request.body.as_ref().unwrap().expose().contains("hunter2"));
/// assert!(!format!("{request:?}").contains("hunter2"));
/// ```
#[derive(Clone)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: String,
    /// Headers; their values are secret.
    pub headers: Vec<(&'static str, Secret)>,
    /// A header whose name comes from the options.
    pub extra_header: Option<(String, Secret)>,
    /// The JSON body.
    pub body: Option<Secret>,
    /// The largest answer to read, in bytes.
    pub max_answer_bytes: u64,
    /// The time limit for all of it, in milliseconds.
    pub timeout_ms: u64,
}

// Its URL may have been configured with a secret in its query.
impl std::fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &redact_url(&self.url))
            .finish_non_exhaustive()
    }
}

/// One connection attempt, complete.
///
/// ```
/// # use freshsocket::{io::*, machine::Machine, options::{SessionOptions, SocketOptions}, time::{Mono, Now}};
/// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
/// # let mut machine = Machine::new(options, false, 42, now).unwrap();
/// # let refresh = Some("r1".into());
/// # let tokens = TokenGrant { access: "eyJ…".into(), refresh, expires_in_ms: Some(300_000), user: None };
/// # machine.handle(now, Input::Adopt { call: CallId(0), tokens });
/// # while machine.poll().is_some() {}
/// # let options = SocketOptions { url: "wss://api.example.com/ws".into(), ..SocketOptions::default() };
/// # let options = std::sync::Arc::new(options);
/// # machine.handle(now, Input::OpenSocket { socket: SocketId(1), options });
/// let request = std::iter::from_fn(|| machine.poll()).find_map(|output| match output {
///     Output::Connect { request, .. } => Some(request),
///     _ => None,
/// });
/// let request = request.unwrap();
/// assert_eq!(request.url.expose(), "wss://api.example.com/ws");
/// let offered: Vec<&str> = request.subprotocols.iter().map(|secret| secret.expose()).collect();
/// assert_eq!(offered, ["access_token", "eyJ…"]); // where the credential travels by default
/// ```
#[derive(Clone, Debug)]
pub struct ConnectRequest {
    /// The URL, with the credential where it travels there.
    pub url: Secret,
    /// Subprotocols to offer, with the credential where it travels there.
    pub subprotocols: Vec<Secret>,
    /// Headers; their values are secret.
    pub headers: Vec<(String, Secret)>,
    /// A first message with the credential, written before everything else and never logged.
    pub first_message: Option<Secret>,
    /// The time limit for the upgrade, in milliseconds; the machine keeps one of its own as well.
    pub timeout_ms: u64,
}
