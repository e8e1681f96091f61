//! What people may see: the states of session and socket (S13, W12) and the events between them, listed once.
//!
//! Every state answers "why, and what happens next?". Times are milliseconds since 1970. The JSON form is the same on
//! every platform.

use serde::Serialize;

use crate::error::Error;

/// The session's state (S13).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
#[non_exhaustive]
pub enum SessionState {
    /// The store is being read; over before a builder returns.
    Restoring,
    /// Nobody is signed in.
    SignedOut {
        /// Why.
        cause: SignOutCause,
    },
    /// Signed in, with a valid token.
    Active {
        /// When the token expires; absent for a token without expiry.
        expires_at: Option<u64>,
    },
    /// Signed in; a new token is being fetched.
    Refreshing {
        /// When the present token expires, if it has not.
        expires_at: Option<u64>,
    },
    /// Signed in; the server could not be reached for a new token. A token that is still valid goes on being used.
    Unreachable {
        /// Since when.
        since: u64,
        /// What went wrong last.
        cause: Error,
        /// When the SDK tries again.
        next_attempt: u64,
        /// When the present token expires, if it has not.
        expires_at: Option<u64>,
    },
}

impl SessionState {
    /// Whether somebody is signed in (which an unreachable server does not change).
    pub fn is_signed_in(&self) -> bool {
        !matches!(self, Self::SignedOut { .. } | Self::Restoring)
    }

    /// The state's name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Restoring => "restoring",
            Self::SignedOut { .. } => "signedOut",
            Self::Active { .. } => "active",
            Self::Refreshing { .. } => "refreshing",
            Self::Unreachable { .. } => "unreachable",
        }
    }
}

/// Why nobody is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum SignOutCause {
    /// Nobody has signed in yet.
    NotSignedIn,
    /// `logout` was called.
    LoggedOut,
    /// The server refused the refresh token.
    RefreshRefused,
    /// The server refused the refresh token, and a process died while it was being exchanged: the answer with the new
    /// one was lost with it.
    RefreshInterrupted,
    /// The token expired and this server has no way to renew it.
    Expired,
    /// Another holder of the same store signed out.
    SignedOutElsewhere,
    /// The application's token callback said so.
    SaidByCallback,
}

/// A socket's state (W12).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
#[non_exhaustive]
pub enum SocketState {
    /// Not asked to connect.
    Idle,
    /// Nobody is signed in; connects after the next sign-in.
    WaitingForSession,
    /// Waiting for a valid token or a ticket.
    Authenticating,
    /// Opening a connection.
    Connecting {
        /// Attempts since the last healthy connection; 1 is the first.
        attempt: u32,
    },
    /// Connected and ready.
    Open,
    /// Waiting to try again.
    Backoff {
        /// Attempts that failed since the last healthy connection.
        attempt: u32,
        /// Why the last one ended.
        cause: Ended,
        /// When the next one begins.
        next_attempt: u64,
    },
    /// The device says that it has no network; connects when it says otherwise.
    Offline,
    /// The server refused the credential, and a freshly issued one as well. `connect` tries again.
    Refused {
        /// How it refused.
        cause: Ended,
    },
    /// Over, until `connect` is called.
    Closed {
        /// Who ended it.
        by: ClosedBy,
        /// The close code.
        code: u16,
        /// The reason given, possibly empty.
        reason: String,
    },
}

impl SocketState {
    /// Whether nothing more will happen unless the application calls `connect`.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Closed { .. })
    }

    /// Whether messages can go out now.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// The state's name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::WaitingForSession => "waitingForSession",
            Self::Authenticating => "authenticating",
            Self::Connecting { .. } => "connecting",
            Self::Open => "open",
            Self::Backoff { .. } => "backoff",
            Self::Offline => "offline",
            Self::Refused { .. } => "refused",
            Self::Closed { .. } => "closed",
        }
    }
}

/// Who ended a socket for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ClosedBy {
    /// The application, by `disconnect` or by dropping the last handle.
    Application,
    /// The server, with a code that the options call final.
    Server,
    /// The SDK, because all allowed attempts were used up.
    AttemptsExhausted,
}

/// How a connection, or an attempt at one, ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "how")]
#[non_exhaustive]
pub enum Ended {
    /// A close frame came; 1005 when it had no code.
    Closed {
        /// The close code (RFC 6455, section 7.4).
        code: u16,
        /// The reason, possibly empty.
        reason: String,
    },
    /// The transport ended without a close frame (1006).
    Lost {
        /// What the transport said.
        detail: String,
    },
    /// Nothing came from the server for too long (W9).
    Silent,
    /// The server answered the upgrade with something other than 101.
    Http {
        /// The status.
        status: u16,
    },
    /// No connection: DNS, TCP, TLS, or not a WebSocket server.
    Unreachable {
        /// What the transport said.
        detail: String,
    },
    /// The attempt took longer than `connectTimeoutMs`.
    TimedOut,
    /// The server sent a message that the options call an auth refusal.
    AuthMessage,
    /// There was no valid token (or no ticket) to connect with.
    NoToken {
        /// Why there was none.
        cause: Error,
    },
    /// The SDK replaced the connection by a newer one (renewal).
    Replaced,
    /// The application asked for it.
    Asked,
}

impl Ended {
    /// The close code that stands for this end: the server's own, or 1006 where there was none.
    pub fn code(&self) -> u16 {
        match self {
            Self::Closed { code, .. } => *code,
            Self::Asked | Self::Replaced => 1000,
            _ => 1006,
        }
    }
}

/// What happened on a socket, for those who want events rather than states (W1).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
#[non_exhaustive]
pub enum SocketEvent {
    /// An attempt begins.
    Attempt {
        /// Attempts since the last healthy connection; 1 is the first.
        attempt: u32,
        /// Where the credential travels: `subprotocol`, `query`, `header`, `cookie`, `firstMessage`, `ticket`, `none`.
        placement: &'static str,
        /// Which token of this session it carries, counted from 1; 0: none.
        token: u64,
        /// Whether a live connection is being replaced.
        handover: bool,
    },
    /// A connection is ready for the application.
    Opened {
        /// The subprotocol that the server selected.
        subprotocol: Option<String>,
        /// Whether it replaced a live one, so that the application saw no gap.
        handover: bool,
    },
    /// The application's connection ended (a handover raises none).
    Ended {
        /// How.
        ended: Ended,
        /// Whether the SDK will try again.
        will_retry: bool,
    },
    /// A renewed token was sent on the live connection.
    Renewed,
    /// The server refused the credential of this attempt; what follows is in the state.
    AuthRefused {
        /// How.
        ended: Ended,
    },
    /// Received messages were dropped, because the application read nothing over many connections.
    Unread {
        /// How many.
        count: u64,
    },
    /// A queued message failed.
    SendFailed {
        /// The message's number on this socket.
        send: u64,
        /// Why.
        error: Error,
    },
}

/// What happened to a message (W10).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "status", content = "error")]
#[non_exhaustive]
pub enum SendStatus {
    /// Waiting for a connection.
    Queued,
    /// Handed to the operating system whole, on a connection that was open.
    Sent,
    /// It will not be sent.
    Failed(Error),
}

/// What happened to the session, beyond its state.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
#[non_exhaustive]
pub enum SessionEvent {
    /// A refresh attempt begins.
    RefreshStarted {
        /// What asked for it.
        why: RefreshReason,
    },
    /// A new token was adopted and stored.
    Refreshed {
        /// Which token of this session it is, counted from 1.
        token: u64,
        /// When it expires.
        expires_at: Option<u64>,
    },
    /// A refresh attempt failed; the state says what follows.
    RefreshFailed {
        /// Why.
        error: Error,
    },
    /// The token expires soon and this server has no way to renew it: sign in again before it does.
    ExpiringSoon {
        /// When it expires.
        expires_at: u64,
    },
    /// The store failed; the session goes on in memory.
    StoreFailed {
        /// Why.
        error: Error,
    },
}

/// What asked for a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RefreshReason {
    /// The timer (S6).
    Timer,
    /// A call of the application or a connection attempt needed a token.
    Needed,
    /// A server refused the token.
    Refused,
    /// The attempt before failed.
    Retry,
}
