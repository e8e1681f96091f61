//! Errors: one stable set of kinds on all platforms, a sentence for people, the cause kept (never a token).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// What went wrong, to switch on. The same kinds, by these names, exist on every platform.
///
/// ```
/// use freshsocket::{Error, ErrorKind};
///
/// fn shown(error: &Error) -> &'static str {
///     match error.kind() {
///         ErrorKind::LoginRefused => "Wrong name or password.",
///         ErrorKind::Unreachable => "No connection. We keep trying.",
///         other => other.advice(),
///     }
/// }
/// assert_eq!(shown(&Error::new(ErrorKind::SignedOut, "nobody is signed in")), "Sign in.");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option is wrong; `field` names it.
    InvalidOptions,
    /// A URL would send credentials in clear text.
    InsecureUrl,
    /// Nobody is signed in.
    SignedOut,
    /// The server could not be reached, or was too busy to answer; the session is kept and tried again.
    Unreachable,
    /// The server refused the credentials given to `login`.
    LoginRefused,
    /// This session cannot do what was asked: no such endpoint, or the application supplies the tokens itself.
    Unsupported,
    /// The server answered something that is not what the options say.
    MalformedAnswer,
    /// The server's answer was larger than allowed.
    AnswerTooLarge,
    /// The server refused this credential, and a freshly issued one as well.
    Refused,
    /// The token store could not be read or written.
    StoreFailed,
    /// A callback of the application failed or took too long.
    CallbackFailed,
    /// There is no connection, and the options say not to queue.
    NotConnected,
    /// The outbox is full.
    OutboxFull,
    /// The message waited longer than the options allow.
    MessageExpired,
    /// The message is larger than allowed.
    MessageTooLarge,
    /// The user who queued the message signed out or changed.
    IdentityChanged,
    /// The socket was closed by the application, or for good by the server.
    Closed,
    /// All attempts that the options allow were used up.
    AttemptsExhausted,
    /// Something newer took this call's place (a sign-out during a sign-in, for example).
    Superseded,
    /// The client was shut down.
    Disposed,
}

impl ErrorKind {
    /// What a person can do about it.
    ///
    /// ```
    /// assert_eq!(freshsocket::ErrorKind::SignedOut.advice(), "Sign in.");
    /// ```
    pub fn advice(self) -> &'static str {
        match self {
            Self::InvalidOptions => "Correct the named option.",
            Self::InsecureUrl => "Use https:// and wss://, or allow clear text explicitly.",
            Self::SignedOut => "Sign in.",
            Self::Unreachable => {
                "Try again later; a session that is signed in is kept, and does so by itself."
            }
            Self::LoginRefused => "Check user name and password.",
            Self::Unsupported => "Configure the endpoint, or do it in the application.",
            Self::MalformedAnswer => "Compare the endpoint's options with what the server sends.",
            Self::AnswerTooLarge => "Check the URL; raise session.maxAnswerBytes if the answer is right.",
            Self::Refused => "Check that this user may connect; then connect again.",
            Self::StoreFailed => "Check the store's permissions and free space.",
            Self::CallbackFailed => "See the cause: it is the application's own error.",
            Self::NotConnected => "Wait for the socket to open, or let the outbox queue.",
            Self::OutboxFull => "Send less while disconnected, or raise the outbox's bounds.",
            Self::MessageExpired => "Send again if it still matters.",
            Self::MessageTooLarge => "Send smaller messages, or raise limits.maxMessageBytes.",
            Self::IdentityChanged => "Send again as the new user, if it is theirs to send.",
            Self::Closed => "Connect again.",
            Self::AttemptsExhausted => "Connect again when there is reason to believe it works.",
            Self::Superseded => "Nothing: what came after it counts.",
            Self::Disposed => "Make a new client.",
        }
    }

    /// The kind's name as it appears in JSON on every platform.
    ///
    /// ```
    /// assert_eq!(freshsocket::ErrorKind::SignedOut.as_str(), "signedOut");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidOptions => "invalidOptions",
            Self::InsecureUrl => "insecureUrl",
            Self::SignedOut => "signedOut",
            Self::Unreachable => "unreachable",
            Self::LoginRefused => "loginRefused",
            Self::Unsupported => "unsupported",
            Self::MalformedAnswer => "malformedAnswer",
            Self::AnswerTooLarge => "answerTooLarge",
            Self::Refused => "refused",
            Self::StoreFailed => "storeFailed",
            Self::CallbackFailed => "callbackFailed",
            Self::NotConnected => "notConnected",
            Self::OutboxFull => "outboxFull",
            Self::MessageExpired => "messageExpired",
            Self::MessageTooLarge => "messageTooLarge",
            Self::IdentityChanged => "identityChanged",
            Self::Closed => "closed",
            Self::AttemptsExhausted => "attemptsExhausted",
            Self::Superseded => "superseded",
            Self::Disposed => "disposed",
        }
    }

    /// Every kind, for generated tables and bindings.
    ///
    /// ```
    /// use freshsocket::ErrorKind;
    ///
    /// let from_json = |name: &str| ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    /// assert_eq!(from_json("outboxFull"), Some(ErrorKind::OutboxFull));
    /// ```
    pub const ALL: [Self; 20] = [
        Self::InvalidOptions,
        Self::InsecureUrl,
        Self::SignedOut,
        Self::Unreachable,
        Self::LoginRefused,
        Self::Unsupported,
        Self::MalformedAnswer,
        Self::AnswerTooLarge,
        Self::Refused,
        Self::StoreFailed,
        Self::CallbackFailed,
        Self::NotConnected,
        Self::OutboxFull,
        Self::MessageExpired,
        Self::MessageTooLarge,
        Self::IdentityChanged,
        Self::Closed,
        Self::AttemptsExhausted,
        Self::Superseded,
        Self::Disposed,
    ];
}

/// What went wrong: a kind to switch on, a sentence, and the cause. Cheap to clone: one failure has many waiters.
///
/// `Display` says all of it in one line, for logs; it holds no token.
///
/// ```
/// use freshsocket::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Unreachable, "the server cannot be reached").with_cause("connection refused");
/// assert_eq!(
///     error.to_string(),
///     "the server cannot be reached: connection refused. \
///      Try again later; a session that is signed in is kept, and does so by itself."
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Arc<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    field: Option<String>,
    cause: Option<String>,
    status: Option<u16>,
    next_attempt_unix_ms: Option<u64>,
}

impl Error {
    /// An error of this kind; `message` says what happened.
    ///
    /// ```
    /// use freshsocket::{Error, ErrorKind};
    ///
    /// // What a token store of the application's gives when its database does not answer.
    /// let error = Error::new(ErrorKind::StoreFailed, "the session table cannot be read");
    /// assert_eq!(error.message(), "the session table cannot be read");
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            field: None,
            cause: None,
            status: None,
            next_attempt_unix_ms: None,
        }))
    }

    /// The kind, to switch on.
    ///
    /// ```
    /// let error = freshsocket::Options::from_json("{").unwrap_err();
    /// assert_eq!(error.kind(), freshsocket::ErrorKind::InvalidOptions);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, in words, without the cause and the advice.
    ///
    /// ```
    /// let error = freshsocket::Options::default().validate().unwrap_err();
    /// println!("{}", error.message()); // `to_string` adds the field, the cause and the advice
    /// ```
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The option that is wrong.
    ///
    /// ```
    /// let error = freshsocket::Options::default().validate().unwrap_err();
    /// assert_eq!(error.field(), Some("session.baseUrl"));
    /// ```
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// What the layer below said: never a token, a URL's query, or a body.
    ///
    /// ```
    /// let error = freshsocket::Options::from_json(r#"{"sokcet": {}}"#).unwrap_err();
    /// assert!(error.cause().unwrap().starts_with("unknown field `sokcet`"));
    /// ```
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The HTTP status by which the server refused or failed.
    ///
    /// ```
    /// use freshsocket::{Error, ErrorKind};
    ///
    /// fn is_overloaded(error: &Error) -> bool {
    ///     matches!(error.status(), Some(429 | 503))
    /// }
    /// assert!(!is_overloaded(&Error::new(ErrorKind::Unreachable, "no answer"))); // no answer, no status
    /// ```
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// When the SDK tries again by itself, in milliseconds since 1970.
    ///
    /// ```
    /// use freshsocket::{Error, ErrorKind};
    ///
    /// fn seconds_to_wait(error: &Error, now_unix_ms: u64) -> Option<u64> {
    ///     Some(error.next_attempt_unix_ms()?.saturating_sub(now_unix_ms).div_ceil(1_000))
    /// }
    /// // Nothing tries again by itself when nobody is signed in.
    /// assert_eq!(seconds_to_wait(&Error::new(ErrorKind::SignedOut, "nobody is signed in"), 0), None);
    /// ```
    pub fn next_attempt_unix_ms(&self) -> Option<u64> {
        self.0.next_attempt_unix_ms
    }

    /// This error with a cause.
    ///
    /// ```
    /// use freshsocket::{Error, ErrorKind};
    ///
    /// let io = std::io::Error::other("disk full");
    /// let error = Error::new(ErrorKind::StoreFailed, "the session was not saved").with_cause(io.to_string());
    /// assert_eq!(error.cause(), Some("disk full"));
    /// ```
    pub fn with_cause(self, cause: impl Into<String>) -> Self {
        let cause: String = cause.into();
        self.changed(|inner| inner.cause = (!cause.is_empty()).then_some(cause))
    }

    pub(crate) fn with_field(self, field: impl Into<String>) -> Self {
        self.changed(|inner| inner.field = Some(field.into()))
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        self.changed(|inner| inner.status = Some(status))
    }

    pub(crate) fn with_next_attempt(self, unix_ms: Option<u64>) -> Self {
        self.changed(|inner| inner.next_attempt_unix_ms = unix_ms)
    }

    fn changed(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = self.field() {
            write!(f, "{field}: ")?;
        }
        f.write_str(self.message())?;
        if let Some(status) = self.status() {
            write!(f, " (HTTP {status})")?;
        }
        if let Some(cause) = self.cause() {
            write!(f, ": {cause}")?;
        }
        write!(f, ". {}", self.kind().advice())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.kind())
    }
}

impl std::error::Error for Error {}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind().as_str())?;
        map.serialize_entry("message", self.message())?;
        if let Some(field) = self.field() {
            map.serialize_entry("field", field)?;
        }
        if let Some(status) = self.status() {
            map.serialize_entry("status", &status)?;
        }
        if let Some(cause) = self.cause() {
            map.serialize_entry("cause", cause)?;
        }
        if let Some(at) = self.next_attempt_unix_ms() {
            map.serialize_entry("nextAttempt", &at)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_happened_why_and_what_to_do() {
        let error = Error::new(ErrorKind::LoginRefused, "the server refused the sign-in")
            .with_status(401)
            .with_cause("No active account");
        assert_eq!(
            error.to_string(),
            "the server refused the sign-in (HTTP 401): No active account. Check user name and password."
        );
    }

    #[test]
    fn names_are_the_json_form() {
        for kind in ErrorKind::ALL {
            assert_eq!(
                serde_json::to_string(&kind).unwrap(),
                format!("\"{}\"", kind.as_str())
            );
        }
    }
}
