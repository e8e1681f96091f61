//! What the session looks like from outside.

use crate::error::{Error, ErrorKind};
use crate::json::Json;
use crate::secret::{AccessToken, Secret};
use crate::state::SessionState;
use crate::time::Mono;

/// What the session looks like from outside, at once.
///
/// ```
/// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
/// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
/// # let mut machine = Machine::new(options, false, 42, now).unwrap();
/// # let refresh = Some("r1".into());
/// # let tokens = TokenGrant { access: "eyJ…".into(), refresh, expires_in_ms: Some(300_000), user: None };
/// # machine.handle(now, Input::Adopt { call: CallId(0), tokens });
/// let views = std::iter::from_fn(|| machine.poll()).filter_map(|output| match output {
///     Output::PublishSession(view) => Some(view),
///     _ => None,
/// });
/// let states: Vec<&str> = views.map(|view| view.state.name()).collect();
/// assert_eq!(states, ["signedOut", "active"]); // before and after a sign-in
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    /// The state.
    pub state: SessionState,
    /// The token and its validity, while there is a valid one.
    pub token: Option<TokenView>,
    /// The user record that the server gave with the tokens.
    pub user: Option<Json>,
    /// How many refresh attempts have ended, in success or not: a waiter that saw a smaller number may look again.
    pub attempts_ended: u64,
    /// Who is signed in: another number for every sign-in; `None`: nobody.
    pub identity: Option<u64>,
    /// The cookies of a cookie session, as a `Cookie` header.
    pub cookies: Option<Secret>,
}

impl SessionView {
    /// The answer for somebody who needs a token (S2): the token if there is a valid one, why not if there is none,
    /// `None` while a refresh is under way and its outcome decides.
    ///
    /// ```
    /// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// # let mut machine = Machine::new(options, false, 42, now).unwrap();
    /// # let refresh = Some("r1".into());
    /// # let tokens = TokenGrant { access: "eyJ…".into(), refresh, expires_in_ms: Some(300_000), user: None };
    /// # machine.handle(now, Input::Adopt { call: CallId(0), tokens });
    /// # let last = std::iter::from_fn(|| machine.poll()).filter_map(|output| match output {
    /// #     Output::PublishSession(view) => Some(view),
    /// #     _ => None,
    /// # });
    /// # let view = last.last().unwrap();
    /// // The view of a session that is signed in:
    /// match view.answer() {
    ///     Some(Ok(token)) => assert_eq!(token.expose(), "eyJ…"),
    ///     Some(Err(why)) => panic!("{why}"),
    ///     None => println!("wait for the next view"),
    /// }
    /// ```
    pub fn answer(&self) -> Option<Result<AccessToken, Error>> {
        if matches!(
            self.state,
            SessionState::Refreshing { .. } | SessionState::Restoring
        ) {
            return None;
        }
        Some(match &self.token {
            Some(view) => Ok(view.token.clone()),
            None => Err(self.no_token()),
        })
    }

    /// Why there is no (other) token.
    ///
    /// ```
    /// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// # let mut machine = Machine::new(options, false, 42, now).unwrap();
    /// # let last = std::iter::from_fn(|| machine.poll()).filter_map(|output| match output {
    /// #     Output::PublishSession(view) => Some(view),
    /// #     _ => None,
    /// # });
    /// # let view = last.last().unwrap();
    /// // The view of a session that nobody has signed in to:
    /// assert_eq!(view.no_token().kind(), freshsocket::ErrorKind::SignedOut);
    /// ```
    pub fn no_token(&self) -> Error {
        match &self.state {
            SessionState::SignedOut { .. } => Error::new(ErrorKind::SignedOut, "nobody is signed in"),
            SessionState::Unreachable {
                cause, next_attempt, ..
            } => Error::new(
                ErrorKind::Unreachable,
                "the server cannot be reached for a new token",
            )
            .with_cause(cause.message().to_owned())
            .with_next_attempt(Some(*next_attempt)),
            _ => Error::new(ErrorKind::Unreachable, "there is no new token yet"),
        }
    }

    /// Whether a refresh that was just asked for is, or will be, under way: not when nobody is signed in, and not while
    /// the session waits for its next attempt.
    ///
    /// ```
    /// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// # let mut machine = Machine::new(options, false, 42, now).unwrap();
    /// # let last = std::iter::from_fn(|| machine.poll()).filter_map(|output| match output {
    /// #     Output::PublishSession(view) => Some(view),
    /// #     _ => None,
    /// # });
    /// # let view = last.last().unwrap();
    /// // The view of a session that nobody has signed in to:
    /// if !view.may_yet_refresh() {
    ///     println!("do not wait: {}", view.no_token());
    /// }
    /// # assert!(!view.may_yet_refresh());
    /// ```
    pub fn may_yet_refresh(&self) -> bool {
        !matches!(
            self.state,
            SessionState::SignedOut { .. } | SessionState::Unreachable { .. }
        )
    }
}

/// A token that may be handed out.
///
/// ```
/// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
/// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
/// # let mut machine = Machine::new(options, false, 42, now).unwrap();
/// # let refresh = Some("r1".into());
/// # let tokens = TokenGrant { access: "eyJ…".into(), refresh, expires_in_ms: Some(300_000), user: None };
/// # machine.handle(now, Input::Adopt { call: CallId(0), tokens });
/// # let last = std::iter::from_fn(|| machine.poll()).filter_map(|output| match output {
/// #     Output::PublishSession(view) => Some(view),
/// #     _ => None,
/// # });
/// # let view = last.last().unwrap();
/// // A token that lives for 300 s and was received at 0:
/// let token = view.token.unwrap();
/// assert_eq!((token.number, token.margin_ms), (1, 60_000));
/// assert_eq!((token.fresh_until, token.valid_until), (Mono(240_000), Mono(300_000)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TokenView {
    /// The token.
    pub token: AccessToken,
    /// Its number in this session, counted from 1: tokens are told apart by this, never by their text (W8).
    pub number: u64,
    /// Until when it is valid for at least the margin, in the driver's monotonic time.
    pub fresh_until: Mono,
    /// Until when it is valid at all, in the driver's monotonic time.
    pub valid_until: Mono,
    /// The same as `valid_until` on the wall clock; `None` for a token without expiry.
    pub expires_at: Option<u64>,
    /// Margin before expiry that counts as fresh, in milliseconds.
    pub margin_ms: u64,
}
