//! The machine's one door in (`Input`) and one door out (`Output`). Nothing else enters or leaves.
//!
//! Every effect is numbered, and every answer quotes its effect's number: an answer that the machine no longer waits
//! for is dropped. Outputs are to be performed in the order they come.
//!
//! ```
//! use freshsocket::io::{CallId, Input, Output};
//! # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
//! # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
//! # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
//! # let mut machine = Machine::new(options, false, 42, now).unwrap();
//! # while machine.poll().is_some() {}
//!
//! machine.handle(now, Input::Verify { call: CallId(1) });
//! let Some(Output::Reply { call, result }) = machine.poll() else { panic!("a call has an answer") };
//! assert_eq!((call, result.unwrap_err().kind()), (CallId(1), freshsocket::ErrorKind::SignedOut));
//! ```

mod input;
mod output;
mod view;

pub use input::{CallbackAnswer, ConnEnd, ConnectFailure, HttpAnswer, Input, Notice, TokenGrant};
pub use output::{ConnectRequest, HttpRequest, Output, OverlapStage, Reply};
pub use view::{SessionView, TokenView};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    )*};
}

ids! {
    /// One HTTP request, store access or token callback.
    ///
    /// ```
    /// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// # let mut machine = Machine::new(options, true, 42, now).unwrap();
    /// let Some(Output::LoadStore { effect }) = machine.poll() else { panic!("a stored session is read first") };
    /// let empty = freshsocket::store::StoreSnapshot::default();
    /// machine.handle(now, Input::StoreLoaded { effect, loaded: Ok(empty) }); // the answer quotes the number
    /// ```
    EffectId;
    /// One socket of the application.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use freshsocket::{io::*, machine::Machine, options::{SessionOptions, SocketOptions}, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// # let mut machine = Machine::new(options, false, 42, now).unwrap();
    /// # while machine.poll().is_some() {}
    /// let options = Arc::new(SocketOptions { url: "wss://api.example.com/ws".into(), ..SocketOptions::default() });
    /// machine.handle(now, Input::OpenSocket { socket: SocketId(1), options: options.clone() });
    /// machine.handle(now, Input::OpenSocket { socket: SocketId(2), options });
    /// assert_eq!(machine.socket_count(), 2);
    /// ```
    SocketId;
    /// One connection, or attempt at one; never used again.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use freshsocket::io::{ConnId, Output};
    ///
    /// let mut connections: HashMap<ConnId, &str> = HashMap::from([(ConnId(7), "a TCP stream")]);
    /// if let Output::Abort { conn } = (Output::Abort { conn: ConnId(7) }) {
    ///     connections.remove(&conn);
    /// }
    /// assert!(connections.is_empty());
    /// ```
    ConnId;
    /// One call of the application that waits for an answer; the driver numbers them.
    ///
    /// ```
    /// # use freshsocket::{io::*, machine::Machine, options::SessionOptions, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// # let mut machine = Machine::new(options, false, 42, now).unwrap();
    /// # while machine.poll().is_some() {}
    /// machine.handle(now, Input::Verify { call: CallId(1) });
    /// machine.handle(now, Input::Verify { call: CallId(2) });
    /// let replies = std::iter::from_fn(|| machine.poll()).filter_map(|output| match output {
    ///     Output::Reply { call, .. } => Some(call),
    ///     _ => None,
    /// });
    /// assert_eq!(replies.collect::<Vec<_>>(), [CallId(1), CallId(2)]);
    /// ```
    CallId;
    /// One message of one socket; the driver numbers them, in the order of the application's calls.
    ///
    /// ```
    /// # use freshsocket::{io::*, machine::Machine, options::{SessionOptions, SocketOptions}, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// # let mut machine = Machine::new(options, false, 42, now).unwrap();
    /// # let refresh = Some("r1".into());
    /// # let tokens = TokenGrant { access: "eyJ…".into(), refresh, expires_in_ms: Some(300_000), user: None };
    /// # machine.handle(now, Input::Adopt { call: CallId(0), tokens });
    /// # let options = SocketOptions { url: "wss://api.example.com/ws".into(), ..SocketOptions::default() };
    /// # let options = std::sync::Arc::new(options);
    /// # machine.handle(now, Input::OpenSocket { socket: SocketId(1), options });
    /// # while machine.poll().is_some() {}
    /// let hello = |send| Input::Send { socket: SocketId(1), send, identity: None, message: "hello".into() };
    /// machine.handle(now, hello(SendId(1)));
    /// machine.handle(now, hello(SendId(2)));
    /// machine.handle(now, Input::Opened { conn: ConnId(1), subprotocol: None });
    /// let sent = std::iter::from_fn(|| machine.poll()).find_map(|output| match output {
    ///     Output::Transmit { messages, .. } => Some(messages),
    ///     _ => None,
    /// });
    /// assert_eq!(sent.unwrap()[1].0, SendId(2)); // in order, once there is a connection
    /// ```
    SendId;
}
