//! Every option of the SDK: one structure, one JSON form (camelCase), the same on every platform.
//!
//! `Options` deserializes from JSON, is described by one JSON Schema (`docs/options.schema.json`, kept true by a
//! test), and is checked as a whole when a client is built: a mistake names its field. `Debug` shows URLs without their
//! query, where an application might have put a token.
//!
//! ```
//! use freshsocket::Options;
//!
//! let json = r#"{"session": {"baseUrl": "https://api.example.com"}, "socket": {"url": "http://api.example.com"}}"#;
//! let wrong = Options::from_json(json).unwrap().validate().unwrap_err();
//! assert_eq!(wrong.field(), Some("socket.url"));
//! ```

mod matcher;
mod session;
mod socket;
mod url;
mod validate;

pub use matcher::Matcher;
pub(crate) use session::ResolvedEndpoints;
pub use session::{Endpoint, Endpoints, Method, Preset, RefreshOptions, SessionOptions};
pub use socket::{
    CloseAction, Credential, Duplicates, HeartbeatOptions, LimitOptions, OutboxMode, OutboxOptions,
    ReconnectOptions, Renewal, SocketOptions, TicketOptions, WhenFull,
};
pub(crate) use url::{Url, join as join_url, with_parameter};

use serde::{Deserialize, Serialize};

/// All options: of the session and of the sockets opened without options of their own.
///
/// ```
/// use freshsocket::Options;
///
/// let mut options = Options::from_json(r#"{"session": {"baseUrl": "https://api.example.com"}}"#).unwrap();
/// options.socket.url = "wss://api.example.com/ws".into();
/// assert!(options.validate().is_ok());
/// assert_eq!(options.socket.heartbeat.interval_ms, 25_000); // what is left out has its default
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Options {
    /// How to sign in and stay signed in.
    pub session: SessionOptions,
    /// How to connect and stay connected.
    pub socket: SocketOptions,
}

/// An exponential delay: retry number n waits a uniform draw from 0 to `min(capMs, baseMs · factor^n)`.
///
/// ```
/// use freshsocket::{Options, options::RetryOptions};
///
/// let json = r#"{"socket": {"reconnect": {"delay": {"baseMs": 500, "factor": 2.0}}}}"#;
/// let delay = Options::from_json(json).unwrap().socket.reconnect.delay;
/// assert_eq!(delay, RetryOptions { base_ms: 500, factor: 2.0, cap_ms: 30_000 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RetryOptions {
    /// The ceiling of the first delay, in milliseconds.
    pub base_ms: u64,
    /// What the ceiling is multiplied with after each failure; at least 1.
    pub factor: f64,
    /// The highest ceiling, in milliseconds.
    pub cap_ms: u64,
}

impl Default for RetryOptions {
    fn default() -> Self {
        // Seven seconds for the first: 10,000 clients that drop together then put less than 2 % of themselves into any
        // 100 ms. Slow growth: after half a minute half of them are back within four seconds (section 7, docs/herd.md).
        Self {
            base_ms: 7_000,
            factor: 1.1,
            cap_ms: 30_000,
        }
    }
}

impl Options {
    /// Checks everything that can be checked without a network.
    ///
    /// ```
    /// let options = freshsocket::Options::default();
    /// assert_eq!(options.validate().unwrap_err().kind(), freshsocket::ErrorKind::InvalidOptions);
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`](crate::ErrorKind::InvalidOptions), naming the first field that is wrong.
    pub fn validate(&self) -> Result<(), crate::Error> {
        self.session.validate()?;
        self.socket.validate()
    }

    /// Reads options from JSON text.
    ///
    /// ```
    /// let json = r#"{"session": {"baseUrl": "https://h"}, "socket": {"url": "wss://h/ws"}}"#;
    /// let options = freshsocket::Options::from_json(json).unwrap();
    /// assert!(options.validate().is_ok());
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`](crate::ErrorKind::InvalidOptions) with the place where the text is wrong.
    pub fn from_json(text: &str) -> Result<Self, crate::Error> {
        if !text.trim_start().starts_with('{') {
            // An array would be read as the members in their order.
            let message = "the options are not a JSON object";
            let error = crate::Error::new(crate::ErrorKind::InvalidOptions, message);
            return Err(error.with_cause("at line 1: the text does not begin with {"));
        }
        serde_json::from_str(text).map_err(|cause| {
            crate::Error::new(
                crate::ErrorKind::InvalidOptions,
                "the options are not valid JSON of the documented form",
            )
            .with_cause(cause.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_an_object() {
        for text in ["[]", "[{}]", "null", "", "7"] {
            let error = Options::from_json(text).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidOptions, "{text}");
        }
        assert_eq!(Options::from_json(" {}").unwrap(), Options::default());
    }
}
