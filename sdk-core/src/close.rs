//! What a close code means: one table, and the table is policy (W7).
//!
//! ```
//! use freshsocket::close;
//!
//! for code in [1000, 1008, 1009, 4401, 4403] {
//!     println!("{code}: {:?}", close::default_action(code));
//! }
//! ```

use crate::options::{CloseAction, SocketOptions};

/// The action for a close code: the options' own entry, else the default.
///
/// ```
/// use freshsocket::{Options, close, options::CloseAction};
///
/// let options = Options::from_json(r#"{"socket": {"closeCodes": {"4000": "stop"}}}"#).unwrap().socket;
/// assert_eq!(close::action(&options, 4000), CloseAction::Stop);
/// assert_eq!(close::action(&options, 4001), CloseAction::Retry); // not listed anywhere
/// ```
pub fn action(options: &SocketOptions, code: u16) -> CloseAction {
    options
        .close_codes
        .get(&code)
        .copied()
        .unwrap_or_else(|| default_action(code))
}

/// The default table. Codes that are not listed are retried: a server that wanted us gone would have said so with a
/// code that says so.
///
/// ```
/// use freshsocket::{close, options::CloseAction};
///
/// assert_eq!(close::default_action(4401), CloseAction::RefreshThenRetry);
/// assert_eq!(close::default_action(4403), CloseAction::Stop);
/// ```
pub fn default_action(code: u16) -> CloseAction {
    match code {
        // "Policy violation", what several servers send for a bad token; 3000 "Unauthorized" of the IANA registry;
        // 4401 by analogy with HTTP.
        1008 | 3000 | 4401 => CloseAction::RefreshThenRetry,
        // Forbidden: a fresh token would not help.
        4403 => CloseAction::Stop,
        // One of the two ends breaks the protocol; doing the same again gives the same again.
        1002 | 1003 | 1007 | 1009 | 1010 => CloseAction::StopOnRepeat,
        _ => CloseAction::Retry,
    }
}

/// Codes by which a server says that it is going away or overloaded: those who hear it are many, so they spread
/// further (W6).
pub(crate) fn widens_delay(code: u16) -> bool {
    matches!(code, 1012 | 1013)
}
