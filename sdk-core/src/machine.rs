//! The machine: one session and any number of sockets behind one door in and one door out.
//!
//! Pure: no clock, no randomness, no I/O. Drive it like this:
//!
//! 1. [`Machine::handle`] one [`Input`] with what the clocks say now.
//! 2. [`Machine::poll`] until it gives `None`, performing every [`Output`] in order.
//! 3. Sleep until [`Machine::next_deadline`] or the next input, whichever is first; at a deadline, `Input::Tick`.
//!    Waking too early or too late is harmless.
//!
//! ```
//! use freshsocket::io::Input;
//! use freshsocket::machine::Machine;
//! use freshsocket::time::{Mono, Now};
//!
//! let mut options = freshsocket::options::SessionOptions::default();
//! options.base_url = "https://api.example.com".into();
//! let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
//! let mut machine = Machine::new(options, false, 42, now).unwrap();
//! while let Some(output) = machine.poll() {
//!     println!("{output:?}");
//! }
//! machine.handle(Now { mono: Mono(10), ..now }, Input::TokenNeeded);
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind};
use crate::io::{ConnId, EffectId, Input, Output, SocketId};
use crate::options::SessionOptions;
use crate::session::Session;
use crate::socket::{Socket, Wake};
use crate::time::{Mono, Now};
use crate::timer::Timer;

/// A session and its sockets (W13).
///
/// ```
/// # use freshsocket::{io::Input, machine::Machine, options::SessionOptions, time::{Mono, Now}};
/// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
/// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
/// // A session and its sockets in a test: no server, no clock, and the same run every time.
/// let mut machine = Machine::new(options, false, 42, now).unwrap();
/// machine.handle(now, Input::Network { online: false });
/// let outputs: Vec<_> = std::iter::from_fn(|| machine.poll()).collect();
/// assert_eq!(outputs.len(), 1); // the state to publish
/// ```
#[derive(Debug)]
pub struct Machine {
    ctx: Ctx,
    session: Session,
    sockets: BTreeMap<SocketId, Socket>,
    /// Sockets that may look different after the input being handled.
    touched: BTreeSet<SocketId>,
    online: bool,
    foreground: bool,
}

/// A deadline that is told this late means that nobody ran for a while: a frozen page, a stopped process (S7).
const LATE_MS: u64 = 2_000;

impl Machine {
    /// A machine for a session with these options; `durable`: the driver has a store for it. The same seed and the
    /// same inputs give the same outputs.
    ///
    /// ```
    /// use freshsocket::{machine::Machine, options::SessionOptions, time::{Mono, Now}};
    ///
    /// let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// let wrong = Machine::new(SessionOptions::default(), false, 42, now).unwrap_err();
    /// assert_eq!(wrong.field(), Some("session.baseUrl"));
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`] or
    /// [`ErrorKind::InsecureUrl`], naming the field.
    pub fn new(options: SessionOptions, durable: bool, seed: u64, now: Now) -> Result<Self, Error> {
        options.validate()?;
        let mut machine = Self {
            ctx: Ctx::new(now, seed),
            session: Session::new(options, durable),
            sockets: BTreeMap::new(),
            touched: BTreeSet::new(),
            online: true,
            foreground: true,
        };
        machine.session.start(&mut machine.ctx);
        machine.settle();
        Ok(machine)
    }

    /// Something happened. Afterwards, `poll` until `None`.
    ///
    /// ```
    /// # use freshsocket::{io::Input, machine::Machine, options::SessionOptions, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// # let mut machine = Machine::new(options, false, 42, now).unwrap();
    /// # use freshsocket::io::{CallId, TokenGrant};
    /// # let refresh = Some("r1".into());
    /// # let tokens = TokenGrant { access: "eyJ…".into(), refresh, expires_in_ms: Some(300_000), user: None };
    /// # machine.handle(now, Input::Adopt { call: CallId(0), tokens });
    /// # while machine.poll().is_some() {}
    /// let later = Now { mono: Mono(250_000), unix_ms: now.unix_ms + 250_000 };
    /// machine.handle(later, Input::Tick); // a token of 300 s is due for renewal
    /// assert!(machine.poll().is_some());
    /// ```
    pub fn handle(&mut self, now: Now, input: Input) {
        let (now, slept) = self.ctx.timeline.observe(now);
        let idle = now.mono.since(self.ctx.now.mono);
        self.ctx.now = now;
        let next = self.ctx.timers.next();
        let late = next.is_some_and(|(at, _)| now.mono.since(at) >= LATE_MS + slept);
        if slept > 0 || late {
            // An answer may have come while nobody ran: those who wait for one are given the time they still had. It may
            // be as old as the last input.
            let missed = if late { idle } else { slept };
            self.ctx.timers.postpone(missed, Timer::is_patience);
            self.session.stalled(idle);
        }
        if slept > 0 {
            self.session.slept(&mut self.ctx, slept);
        }
        // Deadlines first: what was due before the input happened counts as having happened before it. A machine that
        // slept must know that its token is old before it does anything with it.
        self.run_timers();
        if slept > 0 {
            self.woke(Wake::Slept);
        } else if late {
            self.woke(Wake::Hint);
        }
        self.take(input);
        self.run_timers();
        self.settle();
    }

    /// The next thing to do, or `None` when there is nothing more until the next input.
    ///
    /// ```
    /// # use freshsocket::{io::Input, machine::Machine, options::SessionOptions, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// # let mut machine = Machine::new(options, false, 42, now).unwrap();
    /// machine.handle(now, Input::TokenNeeded);
    /// while let Some(output) = machine.poll() {
    ///     println!("{output:?}"); // shows no token and no query of a URL
    /// }
    /// ```
    pub fn poll(&mut self) -> Option<Output> {
        self.ctx.take_output()
    }

    /// When the machine wants an `Input::Tick` at the latest, on the driver's monotonic clock.
    ///
    /// ```
    /// # use freshsocket::{io::Input, machine::Machine, options::SessionOptions, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// # let mut machine = Machine::new(options, false, 42, now).unwrap();
    /// assert_eq!(machine.next_deadline(), None); // nobody is signed in, nothing is planned
    /// # use freshsocket::io::{CallId, TokenGrant};
    /// # let refresh = Some("r1".into());
    /// # let tokens = TokenGrant { access: "eyJ…".into(), refresh, expires_in_ms: Some(300_000), user: None };
    /// # machine.handle(now, Input::Adopt { call: CallId(0), tokens });
    /// # while machine.poll().is_some() {}
    /// // Signed in with a token of 300 s:
    /// let sleep_ms = machine.next_deadline().unwrap().since(now.mono);
    /// assert!(sleep_ms <= 240_000); // its renewal
    /// ```
    pub fn next_deadline(&self) -> Option<Mono> {
        self.ctx.timers.next().map(|(at, _)| self.ctx.to_driver(at))
    }

    /// Why it wants it: for logs and tests.
    ///
    /// ```
    /// # use freshsocket::{io::Input, machine::Machine, options::SessionOptions, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// # let mut machine = Machine::new(options, false, 42, now).unwrap();
    /// # use freshsocket::io::{CallId, TokenGrant};
    /// # let refresh = Some("r1".into());
    /// # let tokens = TokenGrant { access: "eyJ…".into(), refresh, expires_in_ms: Some(300_000), user: None };
    /// # machine.handle(now, Input::Adopt { call: CallId(0), tokens });
    /// # while machine.poll().is_some() {}
    /// // Signed in with a token that can be renewed:
    /// assert_eq!(machine.next_timer(), Some(freshsocket::timer::Timer::RefreshDue));
    /// ```
    pub fn next_timer(&self) -> Option<Timer> {
        self.ctx.timers.next().map(|(_, timer)| timer)
    }

    /// How many sockets there are.
    ///
    /// ```
    /// # use freshsocket::{io::Input, machine::Machine, options::SessionOptions, time::{Mono, Now}};
    /// # let now = Now { mono: Mono(0), unix_ms: 1_700_000_000_000 };
    /// # let options = SessionOptions { base_url: "https://api.example.com".into(), ..SessionOptions::default() };
    /// use freshsocket::io::SocketId;
    /// use freshsocket::options::SocketOptions;
    ///
    /// let mut machine = Machine::new(options, false, 42, now).unwrap();
    /// let options = SocketOptions { url: "wss://api.example.com/ws".into(), ..SocketOptions::default() };
    /// machine.handle(now, Input::OpenSocket { socket: SocketId(1), options: options.into() });
    /// assert_eq!(machine.socket_count(), 1);
    /// machine.handle(now, Input::DropSocket { socket: SocketId(1) });
    /// assert_eq!(machine.socket_count(), 0);
    /// ```
    pub fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    fn take(&mut self, input: Input) {
        let Self { ctx, session, .. } = self;
        match input {
            Input::Tick => {}
            Input::Login { call, credentials } => session.login(ctx, call, &credentials),
            Input::Adopt { call, tokens } => session.adopt_grant(ctx, call, tokens),
            Input::Logout { call } => session.logout(ctx, call),
            Input::Verify { call } => session.verify(ctx, call),
            Input::TokenNeeded => session.token_needed(ctx),
            Input::TokenRejected { token } => session.token_rejected(ctx, token),
            Input::Network { online } => {
                let changed = std::mem::replace(&mut self.online, online) != online;
                if changed && online {
                    session.network_is_back(ctx);
                }
                if changed {
                    self.each_socket(|socket, ctx, session| socket.network(ctx, session, online));
                } else if online {
                    // Another network, perhaps.
                    self.woke(Wake::Hint);
                }
            }
            Input::Woke => self.woke(Wake::Hint),
            Input::Foreground { foreground } => {
                if std::mem::replace(&mut self.foreground, foreground) != foreground {
                    if foreground {
                        session.network_is_back(ctx);
                    }
                    self.each_socket(|socket, ctx, session| socket.foreground(ctx, session, foreground));
                }
            }
            Input::HttpAnswered { effect, answer } => match ctx.tickets.remove(&effect) {
                Some(id) => self.with_socket(id, |s, ctx, session| {
                    s.ticket_answered(ctx, session, effect, answer);
                }),
                None => session.on_http(ctx, effect, answer),
            },
            Input::StoreLoaded { effect, loaded } => session.on_loaded(ctx, effect, loaded),
            Input::StoreSwapped { effect, swapped } => session.on_swapped(ctx, effect, swapped),
            Input::StoreChanged => session.store_changed(),
            Input::CallbackAnswered { effect, answer } => session.on_callback(ctx, effect, answer),
            Input::OpenSocket { socket, options } => {
                let auto_connect = options.auto_connect;
                let mut opened = Socket::new(socket, options, self.online, self.foreground);
                if auto_connect {
                    opened.connect(ctx, session);
                }
                self.sockets.insert(socket, opened);
                self.touched.insert(socket);
            }
            Input::Connect { socket } => self.with_socket(socket, Socket::connect),
            Input::Disconnect { socket, code, reason } => {
                self.with_socket(socket, |s, ctx, _| s.disconnect(ctx, code, reason));
            }
            Input::DropSocket { socket } => self.with_socket(socket, |s, ctx, _| s.drop_handle(ctx)),
            Input::Send {
                socket,
                send,
                identity,
                message,
            } => {
                self.with_socket(socket, |s, ctx, session| {
                    s.send(ctx, session, send, identity, message);
                });
            }
            Input::Opened { conn, subprotocol } => {
                self.with_conn(conn, |s, ctx, session| s.opened(ctx, session, conn, subprotocol));
            }
            Input::ConnectFailed { conn, failure } => {
                self.with_conn(conn, |s, ctx, session| {
                    s.connect_failed(ctx, session, conn, failure);
                });
            }
            Input::Noticed { conn, notice } => {
                self.with_conn(conn, |s, ctx, session| s.noticed(ctx, session, conn, notice));
            }
            Input::Flushed { conn } => self.with_conn(conn, |s, ctx, _| s.flushed(ctx, conn)),
            Input::Ended { conn, end, unsent } => {
                self.with_conn(conn, |s, ctx, session| {
                    s.conn_ended(ctx, session, conn, end, unsent);
                });
            }
            Input::Activity { conn, last_received } => {
                let last_received = self.ctx.timeline.to_machine(last_received);
                self.with_conn(conn, |s, ctx, session| {
                    s.activity(ctx, session, conn, last_received);
                });
            }
        }
        self.spread_changes();
    }

    /// The one handler of all wake signals (S7). The clocks have been looked at and the token's timers have run: what is
    /// left is to look at the connections.
    fn woke(&mut self, wake: Wake) {
        if wake == Wake::Slept {
            self.session.network_is_back(&mut self.ctx);
        }
        self.each_socket(|socket, ctx, session| socket.woke(ctx, session, wake));
        self.spread_changes();
    }

    fn run_timers(&mut self) {
        while let Some(timer) = self.ctx.timers.take_due(self.ctx.now.mono) {
            match timer {
                Timer::RefreshDue | Timer::TokenExpired | Timer::RefreshRetry | Timer::StoreRetry => {
                    self.session.on_timer(&mut self.ctx, timer);
                }
                Timer::Effect(effect) => self.effect_timed_out(effect, timer),
                Timer::Reconnect(id) | Timer::OutboxAge(id) | Timer::Overlap(id) => {
                    self.with_socket(id, |s, ctx, session| s.on_timer(ctx, session, timer));
                }
                Timer::Attempt(conn)
                | Timer::Healthy(conn)
                | Timer::Heartbeat(conn)
                | Timer::Drain(conn)
                | Timer::Renewal(conn) => {
                    self.with_conn(conn, |s, ctx, session| s.on_timer(ctx, session, timer));
                }
            }
            self.spread_changes();
        }
    }

    fn effect_timed_out(&mut self, effect: EffectId, timer: Timer) {
        match self.ctx.tickets.remove(&effect) {
            Some(id) => {
                self.ctx.emit(Output::Cancel { effect });
                let late = Error::new(ErrorKind::Unreachable, "no answer within the time limit");
                self.with_socket(id, |s, ctx, session| {
                    s.ticket_answered(ctx, session, effect, Err(late));
                });
            }
            None => self.session.on_timer(&mut self.ctx, timer),
        }
    }

    /// Tells every socket what changed in the session, until nothing changes any more.
    fn spread_changes(&mut self) {
        loop {
            let changes = self.session.take_changes();
            if changes.is_empty() {
                return;
            }
            for change in changes {
                self.each_socket(|socket, ctx, session| socket.session_changed(ctx, session, change));
            }
        }
    }

    /// Publishes what is different and forgets what is over.
    fn settle(&mut self) {
        self.session.settle(&mut self.ctx);
        for id in std::mem::take(&mut self.touched) {
            let Some(socket) = self.sockets.get_mut(&id) else {
                continue;
            };
            socket.publish(&mut self.ctx);
            if socket.is_gone() {
                self.sockets.remove(&id);
            }
        }
    }

    fn with_socket(&mut self, id: SocketId, act: impl FnOnce(&mut Socket, &mut Ctx, &mut Session)) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            self.touched.insert(id);
            act(socket, &mut self.ctx, &mut self.session);
        }
    }

    fn with_conn(&mut self, conn: ConnId, act: impl FnOnce(&mut Socket, &mut Ctx, &mut Session)) {
        if let Some(id) = self.ctx.conns.get(&conn).copied() {
            self.with_socket(id, act);
        }
    }

    fn each_socket(&mut self, mut act: impl FnMut(&mut Socket, &mut Ctx, &mut Session)) {
        for (id, socket) in &mut self.sockets {
            self.touched.insert(*id);
            act(socket, &mut self.ctx, &mut self.session);
        }
    }
}
