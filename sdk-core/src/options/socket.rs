//! Options of a socket: where it connects, how it shows who it is, and what it does when things go wrong (W1–W11).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Matcher, Method, RetryOptions};
use crate::json::Json;
use crate::secret::redact_url;

/// How to connect and stay connected.
///
/// ```
/// use freshsocket::{Options, options::{Credential, SocketOptions}};
///
/// let json = r#"{"socket": {"url": "wss://api.example.com/ws", "credential": {"placement": "query"}}}"#;
/// let same = SocketOptions {
///     url: "wss://api.example.com/ws".into(),
///     credential: Credential::Query { parameter: "token".into() },
///     ..SocketOptions::default()
/// };
/// assert_eq!(Options::from_json(json).unwrap().socket, same);
/// assert_eq!(same.connect_timeout_ms, 15_000);
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SocketOptions {
    /// `ws://` or `wss://` URL.
    pub url: String,
    /// Subprotocols to offer (the credential's pair, where it is one, comes after these).
    pub subprotocols: Vec<String>,
    /// How the connection shows who it is.
    pub credential: Credential,
    /// What to do with the live connection when the token is refreshed.
    pub renewal: Renewal,
    /// Which messages count as the same while two connections overlap in a handover.
    pub duplicates: Duplicates,
    /// When to try again, and when not.
    pub reconnect: ReconnectOptions,
    /// What to do on a close code: additions to and changes of the default table, by code.
    pub close_codes: BTreeMap<u16, CloseAction>,
    /// How a dead connection is noticed.
    pub heartbeat: HeartbeatOptions,
    /// What happens to messages sent while there is no connection.
    pub outbox: OutboxOptions,
    /// Bounds.
    pub limits: LimitOptions,
    /// The message that proves the connection ready (a welcome); absent: it is ready when it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Matcher>,
    /// Messages by which the server refuses the credential. The default knows the usual ones; it is tried on the last
    /// text message before a close. Given explicitly, every text message is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_error: Option<Vec<Matcher>>,
    /// How long one attempt may take from the first packet to ready, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Connect as soon as the socket is made, without a call.
    pub auto_connect: bool,
    /// Allows `ws://` with a credential to hosts other than loopback.
    pub allow_insecure: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            subprotocols: Vec::new(),
            credential: Credential::default(),
            renewal: Renewal::default(),
            duplicates: Duplicates::default(),
            reconnect: ReconnectOptions::default(),
            close_codes: BTreeMap::new(),
            heartbeat: HeartbeatOptions::default(),
            outbox: OutboxOptions::default(),
            limits: LimitOptions::default(),
            ready: None,
            auth_error: None,
            connect_timeout_ms: 15_000,
            auto_connect: true,
            allow_insecure: false,
        }
    }
}

impl fmt::Debug for SocketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketOptions")
            .field("url", &redact_url(&self.url))
            .field("subprotocols", &self.subprotocols)
            .field("credential", &self.credential)
            .field("renewal", &self.renewal)
            .field("duplicates", &self.duplicates)
            .field("reconnect", &self.reconnect)
            .field("close_codes", &self.close_codes)
            .field("heartbeat", &self.heartbeat)
            .field("outbox", &self.outbox)
            .field("limits", &self.limits)
            .field("ready", &self.ready)
            .field("auth_error", &self.auth_error)
            .field("connect_timeout_ms", &self.connect_timeout_ms)
            .field("auto_connect", &self.auto_connect)
            .field("allow_insecure", &self.allow_insecure)
            .finish()
    }
}

/// Where the credential travels (W2). Every attempt takes a fresh one.
///
/// ```
/// use freshsocket::{Options, options::Credential};
///
/// let read = |credential: &str| {
///     let json = format!(r#"{{"socket": {{"url": "wss://h/ws", "credential": {credential}}}}}"#);
///     Options::from_json(&json).unwrap().socket
/// };
/// assert_eq!(read(r#"{"placement": "subprotocol"}"#).credential, Credential::default());
/// let header = Credential::Header { name: "Authorization".into(), prefix: "Bearer ".into() };
/// assert_eq!(read(r#"{"placement": "header"}"#).credential, header);
/// let wrong = read(r#"{"placement": "firstMessage", "template": {"type": "auth"}}"#);
/// assert_eq!(wrong.validate().unwrap_err().field(), Some("socket.credential.template")); // no {token} in it
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "placement",
    deny_unknown_fields
)]
pub enum Credential {
    /// The subprotocol pair `[name, token]`; the server answers with `name`.
    Subprotocol {
        /// The marker, usually `access_token`.
        #[serde(default = "default_subprotocol")]
        name: String,
    },
    /// A query parameter with the token.
    Query {
        /// The parameter's name, usually `token`.
        #[serde(default = "default_parameter")]
        parameter: String,
    },
    /// A request header (not in browsers).
    Header {
        /// The header's name, usually `Authorization`.
        #[serde(default = "default_header")]
        name: String,
        /// What stands before the token, usually `Bearer ` (with the space).
        #[serde(default = "default_prefix")]
        prefix: String,
    },
    /// A cookie: of a cookie session its own cookies, otherwise one with the given name and the token.
    Cookie {
        /// The cookie's name; absent: the session's cookies.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// The first message on the open connection, made from a template with `{token}`.
    FirstMessage {
        /// The message; a string is sent as it is, anything else as JSON.
        #[serde(default = "default_first_message")]
        template: Json,
    },
    /// A short-lived one-time ticket, fetched with the access token for every attempt, then a query parameter.
    Ticket(TicketOptions),
    /// None: the connection is anonymous, and needs no session.
    None,
}

/// How to fetch a one-time ticket.
///
/// ```
/// use freshsocket::{Options, options::{Credential, TicketOptions}};
///
/// let json = r#"{"socket": {"credential": {"placement": "ticket", "url": "/api/ws-ticket/"}}}"#;
/// let ticket = TicketOptions { url: "/api/ws-ticket/".into(), ..TicketOptions::default() };
/// assert_eq!((ticket.pointer.as_str(), ticket.parameter.as_str()), ("/ticket", "ticket"));
/// assert_eq!(Options::from_json(json).unwrap().socket.credential, Credential::Ticket(ticket));
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TicketOptions {
    /// The HTTP method.
    pub method: Method,
    /// Path below the session's `baseUrl`, or a whole URL.
    pub url: String,
    /// JSON body, if the endpoint wants one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Json>,
    /// JSON pointer to the ticket in the answer.
    pub pointer: String,
    /// The query parameter that carries it.
    pub parameter: String,
}

impl Default for TicketOptions {
    fn default() -> Self {
        Self {
            method: Method::Post,
            url: String::new(),
            body: None,
            pointer: "/ticket".into(),
            parameter: "ticket".into(),
        }
    }
}

impl fmt::Debug for TicketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketOptions")
            .field("method", &self.method)
            .field("url", &redact_url(&self.url))
            .field("body", &self.body)
            .field("pointer", &self.pointer)
            .field("parameter", &self.parameter)
            .finish()
    }
}

impl Default for Credential {
    fn default() -> Self {
        Self::Subprotocol {
            name: default_subprotocol(),
        }
    }
}

fn default_subprotocol() -> String {
    "access_token".into()
}
fn default_parameter() -> String {
    "token".into()
}
fn default_header() -> String {
    "Authorization".into()
}
fn default_prefix() -> String {
    "Bearer ".into()
}
fn default_first_message() -> Json {
    Json::object([("type", Json::from("auth")), ("token", Json::from("{token}"))])
}

/// What to do with the live connection when the token is refreshed (W4).
///
/// ```
/// use freshsocket::{Options, options::Renewal};
///
/// let json = r#"{"socket": {"renewal": {"mode": "inBand", "template": {"op": "reauth", "jwt": "{token}"}}}}"#;
/// assert!(matches!(Options::from_json(json).unwrap().socket.renewal, Renewal::InBand { .. }));
/// assert_eq!(Renewal::default(), Renewal::Handover);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "mode",
    deny_unknown_fields
)]
pub enum Renewal {
    /// Open a new connection with the new token, then close the old one. For servers that check at the handshake. Where
    /// the server turns out to allow one connection per user, it becomes `reconnect`.
    #[default]
    Handover,
    /// Send a message on the live connection, made from a template with `{token}`.
    InBand {
        /// The message; a string is sent as it is, anything else as JSON.
        #[serde(default = "default_first_message")]
        template: Json,
        /// The server's answer that it has taken the new token. Where it does not come within `connectTimeoutMs`, a
        /// handover follows. Absent: sent is taken for done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ack: Option<Matcher>,
    },
    /// Close the old connection, then open a new one. For servers that allow one connection per user.
    Reconnect,
    /// Nothing. For servers that never check again.
    Keep,
}

/// Which messages count as the same while two connections overlap in a handover (W5). A server that sends to all
/// connections of a user sends to both.
///
/// ```
/// use freshsocket::{Options, options::Duplicates};
///
/// let json = r#"{"socket": {"url": "wss://h/ws", "duplicates": {"by": "id", "pointer": "/id"}}}"#;
/// let socket = Options::from_json(json).unwrap().socket;
/// assert_eq!(socket.duplicates, Duplicates::Id { pointer: "/id".into() });
/// assert!(socket.validate().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "by",
    deny_unknown_fields
)]
pub enum Duplicates {
    /// Those with equal payloads: each is delivered as often as the connection that brought it most often did. Two
    /// equal messages of which each connection got one are taken for one.
    #[default]
    Payload,
    /// Those with equal values at a JSON pointer. Messages without one are all delivered.
    Id {
        /// The JSON pointer, for example `/id`.
        pointer: String,
    },
    /// None: everything is delivered. For servers that send each message to one connection only.
    None,
}

/// When to try again, and when not (W6).
///
/// ```
/// use freshsocket::Options;
///
/// let json = r#"{"socket": {"url": "wss://h/ws", "reconnect": {"maxAttempts": 0}}}"#;
/// let socket = Options::from_json(json).unwrap().socket;
/// assert_eq!(socket.reconnect.healthy_after_ms, 5_000);
/// assert_eq!(socket.validate().unwrap_err().field(), Some("socket.reconnect.maxAttempts")); // left out: no limit
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ReconnectOptions {
    /// The delay before each retry.
    pub delay: RetryOptions,
    /// Give up after this many failed attempts in a row; absent: never. The end of a healthy connection is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// A connection that lived this long, in milliseconds, or delivered a message, counts as healthy, and only then the
    /// count of attempts starts again.
    pub healthy_after_ms: u64,
}

impl Default for ReconnectOptions {
    fn default() -> Self {
        Self {
            delay: RetryOptions::default(),
            max_attempts: None,
            healthy_after_ms: 5_000,
        }
    }
}

/// What a close code means (W7).
///
/// ```
/// use freshsocket::options::{CloseAction, SocketOptions};
///
/// let mut options = SocketOptions::default();
/// options.close_codes.insert(4000, CloseAction::Stop); // this server's "you were kicked"
/// options.close_codes.insert(4001, CloseAction::RefreshThenRetry); // and its "token expired"
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum CloseAction {
    /// Try again after a delay.
    Retry,
    /// The credential was refused: refresh, then try again; once.
    RefreshThenRetry,
    /// Do not try again.
    Stop,
    /// Try again once; stop when the next connection ends with a code of this kind too.
    StopOnRepeat,
}

/// How a dead connection is noticed (W9).
///
/// ```
/// use freshsocket::{Json, Options};
///
/// let json = r#"{"socket": {"heartbeat": {"message": {"type": "ping"}, "reply": {"/type": "pong"}}}}"#;
/// let heartbeat = Options::from_json(json).unwrap().socket.heartbeat;
/// assert_eq!((heartbeat.interval_ms, heartbeat.timeout_ms), (25_000, 10_000));
/// assert!(heartbeat.reply.unwrap().matches(&Json::parse(r#"{"type": "pong"}"#).unwrap()));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HeartbeatOptions {
    /// Ping after this long without receiving anything, in milliseconds; 0: never.
    pub interval_ms: u64,
    /// Dead when nothing arrives for this long after the ping, in milliseconds.
    pub timeout_ms: u64,
    /// The same after a wake (the device slept, the network changed), when a dead connection is likely, in milliseconds.
    pub probe_timeout_ms: u64,
    /// Send this message instead of a WebSocket ping (browsers cannot ping).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Json>,
    /// The server's answer to `message`; it is not delivered to the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Matcher>,
}

impl Default for HeartbeatOptions {
    fn default() -> Self {
        Self {
            interval_ms: 25_000,
            timeout_ms: 10_000,
            probe_timeout_ms: 2_500,
            message: None,
            reply: None,
        }
    }
}

/// What happens to messages sent while there is no connection (W10).
///
/// ```
/// use freshsocket::{Options, options::{OutboxOptions, WhenFull}};
///
/// let json = r#"{"socket": {"outbox": {"maxMessages": 100, "maxAgeMs": 0, "whenFull": "dropOldest"}}}"#;
/// let same = OutboxOptions {
///     max_messages: 100,
///     max_age_ms: 0,
///     when_full: WhenFull::DropOldest,
///     ..OutboxOptions::default()
/// };
/// assert_eq!(Options::from_json(json).unwrap().socket.outbox, same);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OutboxOptions {
    /// Keep them or refuse them.
    pub mode: OutboxMode,
    /// At most this many messages are kept.
    pub max_messages: usize,
    /// At most this many bytes of payload are kept.
    pub max_bytes: usize,
    /// A message that waited longer than this, in milliseconds, fails as expired; 0: no limit.
    pub max_age_ms: u64,
    /// Which message loses when the outbox is full.
    pub when_full: WhenFull,
}

impl Default for OutboxOptions {
    fn default() -> Self {
        Self {
            mode: OutboxMode::Queue,
            max_messages: 1_000,
            max_bytes: 1024 * 1024,
            max_age_ms: 60_000,
            when_full: WhenFull::RejectNew,
        }
    }
}

/// Whether messages wait for a connection.
///
/// ```
/// use freshsocket::{Options, options::OutboxMode};
///
/// // For messages that are worthless when they are late, such as a cursor's position.
/// let options = Options::from_json(r#"{"socket": {"outbox": {"mode": "reject"}}}"#).unwrap();
/// assert_eq!(options.socket.outbox.mode, OutboxMode::Reject);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum OutboxMode {
    /// They wait, up to the bounds.
    #[default]
    Queue,
    /// They fail at once.
    Reject,
}

/// Which message loses when the outbox is full.
///
/// ```
/// use freshsocket::{Options, options::WhenFull};
///
/// let options = Options::from_json(r#"{"socket": {"outbox": {"whenFull": "dropOldest"}}}"#).unwrap();
/// assert_eq!(options.socket.outbox.when_full, WhenFull::DropOldest);
/// assert_eq!(WhenFull::default(), WhenFull::RejectNew);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum WhenFull {
    /// The new one fails.
    #[default]
    RejectNew,
    /// The oldest ones fail.
    DropOldest,
}

/// Bounds of one socket (W11).
///
/// ```
/// use freshsocket::Options;
///
/// let json = r#"{"socket": {"url": "wss://h/ws", "limits": {"maxMessageBytes": 65536, "receiveMessages": 0}}}"#;
/// let wrong = Options::from_json(json).unwrap().socket.validate().unwrap_err();
/// assert_eq!(wrong.field(), Some("socket.limits.receiveMessages"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LimitOptions {
    /// The largest message accepted and sent, in bytes; checked before memory is taken for it.
    pub max_message_bytes: usize,
    /// Received messages that wait for the application; reading stops at this many.
    pub receive_messages: usize,
    /// Bytes of received messages that wait for the application; reading stops at this many.
    pub receive_bytes: usize,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 * 1024 * 1024,
            receive_messages: 256,
            receive_bytes: 8 * 1024 * 1024,
        }
    }
}
