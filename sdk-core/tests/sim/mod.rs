//! A small deterministic world for the pure machine: clocks, an auth server, a store, a callback, a WebSocket server,
//! and a driver that performs what the machine asks for. Time jumps from event to event; nothing sleeps.
//!
//! After every step the world checks what must hold always (`check.rs`), so a test says only what is special to it.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auth;
mod check;
mod driver;
mod store;
mod token;
mod ws;

use std::collections::{BTreeMap, VecDeque};

use freshsocket::io::{CallId, CallbackAnswer, Input, Reply, SendId, SessionView, SocketId, TokenGrant};
use freshsocket::machine::Machine;
use freshsocket::options::{SessionOptions, SocketOptions};
use freshsocket::time::{Mono, Now};
use freshsocket::{
    AccessToken, Error, ErrorKind, Message, RefreshToken, Secret, SessionEvent, SessionState, SocketEvent, SocketState,
};

pub(crate) use auth::{Auth, Fault};
pub(crate) use check::Checks;
pub(crate) use driver::{Conn, Effect, Event};
pub(crate) use store::{Store, StoreFault};
pub(crate) use token::jwt;
pub(crate) use ws::{ConnectFault, OnOpen, RefuseAs, Ws};

/// Where simulated time begins, on a correct wall clock.
pub(crate) const EPOCH: u64 = 1_700_000_000_000;

pub(crate) const fn secs(n: u64) -> u64 {
    n * 1_000
}
pub(crate) const fn mins(n: u64) -> u64 {
    n * 60_000
}
pub(crate) const fn hours(n: u64) -> u64 {
    n * 3_600_000
}

/// How a world begins.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) session: SessionOptions,
    pub(crate) socket: SocketOptions,
    pub(crate) durable: bool,
    pub(crate) seed: u64,
}

impl Default for Setup {
    fn default() -> Self {
        let session = SessionOptions { base_url: "https://auth.test".into(), ..SessionOptions::default() };
        Self { session, socket: socket_options(), durable: false, seed: 1 }
    }
}

impl Setup {
    pub(crate) fn durable() -> Self {
        Self { durable: true, ..Self::default() }
    }

    pub(crate) fn session(change: impl FnOnce(&mut SessionOptions)) -> Self {
        let mut setup = Self::default();
        change(&mut setup.session);
        setup
    }

    pub(crate) fn socket(change: impl FnOnce(&mut SocketOptions)) -> Self {
        let mut setup = Self::default();
        change(&mut setup.socket);
        setup
    }

    pub(crate) fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// The options of a socket to the simulated server.
pub(crate) fn socket_options() -> SocketOptions {
    SocketOptions { url: "wss://ws.test/ws".into(), ..SocketOptions::default() }
}

/// What the application's token callback does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callback {
    /// A new token each time.
    Fresh,
    /// The last token again, until it has this many milliseconds left (or the caller forces it).
    CachedUntil(u64),
    Throws,
    Hangs,
    Unreachable,
    SignedOut,
}

/// One application's device, and the servers it talks to.
pub(crate) struct World {
    setup: Setup,
    /// True time since the beginning, in milliseconds.
    pub(crate) now: u64,
    /// True time that the device slept: its monotonic clock stood still.
    suspended: u64,
    /// How wrong the device's wall clock is.
    pub(crate) clock_error: i64,
    /// A driver that wakes this much late for each deadline.
    pub(crate) late_by: u64,
    machine: Option<Machine>,
    /// Grows with every process: answers to a dead one go nowhere.
    life: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    inbox: VecDeque<Input>,
    effects: BTreeMap<u64, Effect>,
    conns: BTreeMap<u64, Conn>,
    direct: BTreeMap<SocketId, freshsocket::io::ConnId>,
    options: BTreeMap<SocketId, SocketOptions>,
    next_call: u64,
    next_send: u64,
    next_socket: u64,
    pub(crate) server: Auth,
    pub(crate) ws: Ws,
    pub(crate) store: Store,
    pub(crate) callback: Callback,
    /// For every time the callback was asked: whether a cached token would not do.
    pub(crate) asked: Vec<bool>,
    callback_token: Option<(String, u64)>,
    pub(crate) view: Option<SessionView>,
    pub(crate) session_states: Vec<SessionState>,
    pub(crate) session_events: Vec<SessionEvent>,
    pub(crate) told: Vec<AccessToken>,
    pub(crate) replies: BTreeMap<CallId, Result<Reply, Error>>,
    pub(crate) socket_states: BTreeMap<SocketId, Vec<(u64, SocketState)>>,
    pub(crate) socket_events: BTreeMap<SocketId, Vec<SocketEvent>>,
    /// What became of every message, by number.
    pub(crate) sends: BTreeMap<SendId, Sent>,
    pub(crate) checks: Checks,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Queued,
    Sent,
    Failed(ErrorKind),
}

pub(crate) const FIRST: SocketId = SocketId(1);

impl World {
    pub(crate) fn new(setup: Setup) -> Self {
        Self::prepared(setup, |_| ())
    }

    /// A world in which things are so before the application starts.
    pub(crate) fn prepared(setup: Setup, prepare: impl FnOnce(&mut Self)) -> Self {
        let mut world = Self {
            now: 0,
            suspended: 0,
            clock_error: 0,
            late_by: 0,
            machine: None,
            life: 0,
            events: BTreeMap::new(),
            sequence: 0,
            inbox: VecDeque::new(),
            effects: BTreeMap::new(),
            conns: BTreeMap::new(),
            direct: BTreeMap::new(),
            options: BTreeMap::new(),
            next_call: 0,
            next_send: 0,
            next_socket: 0,
            server: Auth::default(),
            ws: Ws::default(),
            store: Store::default(),
            callback: Callback::Fresh,
            asked: Vec::new(),
            callback_token: None,
            view: None,
            session_states: Vec::new(),
            session_events: Vec::new(),
            told: Vec::new(),
            replies: BTreeMap::new(),
            socket_states: BTreeMap::new(),
            socket_events: BTreeMap::new(),
            sends: BTreeMap::new(),
            checks: Checks::default(),
            setup,
        };
        prepare(&mut world);
        world.start();
        world
    }

    /// A world with default options, `ada` signed in, and her socket open.
    pub(crate) fn open(setup: Setup) -> Self {
        let mut world = Self::new(setup);
        world.login("ada");
        world.connect();
        world.run_for(200);
        assert!(world.is_open(), "the scene did not set: {:?}", world.socket_state());
        world
    }

    /// A new process on the same store.
    pub(crate) fn start(&mut self) {
        self.life += 1;
        let clock = self.clock();
        let machine = Machine::new(self.setup.session.clone(), self.setup.durable, self.setup.seed, clock).unwrap();
        self.machine = Some(machine);
        self.perform_outputs();
        self.run_for(0);
    }

    /// The process ends without a word.
    pub(crate) fn kill(&mut self) {
        self.machine = None;
        self.life += 1;
        self.inbox.clear();
        self.effects.clear();
        self.direct.clear();
        self.view = None;
        self.next_socket = 0;
        self.socket_states.clear();
        self.socket_events.clear();
        for conn in std::mem::take(&mut self.conns).into_keys() {
            self.ws.forget(conn);
        }
        let (life, keep) = (self.life, !self.store.loses_writes_on_kill);
        self.events.retain(|_, event| event.survives(life, keep));
        self.checks.forget_process();
    }

    /// Another seed for the next process.
    pub(crate) fn reseed(&mut self, seed: u64) {
        self.setup.seed = seed;
    }

    // ---- time ----

    /// What the device's clocks say.
    pub(crate) fn clock(&self) -> Now {
        let unix_ms = (EPOCH + self.now).saturating_add_signed(self.clock_error);
        Now { mono: Mono(self.now - self.suspended), unix_ms }
    }

    /// Lets this much time pass.
    pub(crate) fn run_for(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.step_before(end) {}
        self.now = end;
    }

    /// Lets time pass until this is so; false when it was not so within the limit.
    pub(crate) fn run_until(&mut self, limit: u64, so: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !so(self) {
            if !self.step_before(end) {
                self.now = end;
                return so(self);
            }
        }
        true
    }

    /// The device sleeps: nothing on it runs and its monotonic clock stands still.
    pub(crate) fn suspend(&mut self, ms: u64) {
        self.now += ms;
        self.suspended += ms;
        self.input(Input::Tick);
    }

    /// Somebody sets the device's clock.
    pub(crate) fn set_clock_error(&mut self, ms: i64) {
        self.clock_error = ms;
        self.input(Input::Tick);
    }

    /// One event or deadline, if there is one up to `end`.
    pub(crate) fn step_before(&mut self, end: u64) -> bool {
        let event = self.events.first_key_value().map(|(key, _)| key.0.max(self.now));
        let deadline = self.machine.as_ref().and_then(Machine::next_deadline);
        let due = deadline.map(|at| (at.0.saturating_add(self.suspended).saturating_add(self.late_by)).max(self.now));
        match (event, due) {
            (Some(at), due) if at <= end && due.is_none_or(|due| at <= due) => {
                self.now = at;
                let (_, event) = self.events.pop_first().unwrap();
                self.happen(event);
                true
            }
            (_, Some(at)) if at <= end => {
                self.now = at;
                self.input(Input::Tick);
                let next = self.machine.as_ref().and_then(Machine::next_deadline);
                self.checks.tick(self.now, deadline == next && self.late_by == 0);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn at(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    /// Puts an input in, and performs what follows from it.
    pub(crate) fn input(&mut self, input: Input) {
        self.inbox.push_back(input);
        while let Some(input) = self.inbox.pop_front() {
            let clock = self.clock();
            let Some(machine) = &mut self.machine else { continue };
            machine.handle(clock, input);
            self.perform_outputs();
        }
        self.check_sockets();
    }

    // ---- the application ----

    fn call(&mut self) -> CallId {
        self.next_call += 1;
        CallId(self.next_call)
    }

    pub(crate) fn begin_login(&mut self, user: &str) -> CallId {
        let call = self.call();
        let credentials = vec![("username".to_owned(), Secret::from(user)), ("password".to_owned(), "pw".into())];
        self.input(Input::Login { call, credentials });
        call
    }

    pub(crate) fn login(&mut self, user: &str) {
        let call = self.begin_login(user);
        self.run_until(secs(60), |world| world.replies.contains_key(&call));
        assert!(matches!(self.replies[&call], Ok(Reply::SignedIn { .. })), "{:?}", self.replies[&call]);
    }

    pub(crate) fn begin_logout(&mut self) -> CallId {
        let call = self.call();
        self.input(Input::Logout { call });
        call
    }

    pub(crate) fn logout(&mut self) -> bool {
        let call = self.begin_logout();
        self.run_until(secs(60), |world| world.replies.contains_key(&call));
        matches!(self.replies[&call], Ok(Reply::SignedOut { revoked: true }))
    }

    pub(crate) fn adopt(&mut self, access: &str, refresh: Option<&str>, expires_in_ms: Option<u64>) -> CallId {
        let call = self.call();
        let refresh = refresh.map(RefreshToken::from);
        let tokens = TokenGrant { access: AccessToken::from(access), refresh, expires_in_ms, user: None };
        self.input(Input::Adopt { call, tokens });
        call
    }

    pub(crate) fn verify(&mut self) -> Result<Reply, Error> {
        let call = self.call();
        self.input(Input::Verify { call });
        self.run_until(secs(60), |world| world.replies.contains_key(&call));
        self.replies[&call].clone()
    }

    /// The first socket, with the setup's options; after that, `connect` on it.
    pub(crate) fn connect(&mut self) {
        if self.next_socket == 0 {
            self.open_socket(self.setup.socket.clone());
        } else {
            self.input(Input::Connect { socket: FIRST });
        }
    }

    pub(crate) fn open_socket(&mut self, options: SocketOptions) -> SocketId {
        options.validate().unwrap();
        self.next_socket += 1;
        let socket = SocketId(self.next_socket);
        self.options.insert(socket, options.clone());
        self.input(Input::OpenSocket { socket, options: options.into() });
        socket
    }

    pub(crate) fn disconnect(&mut self) {
        self.input(Input::Disconnect { socket: FIRST, code: 1000, reason: "bye".into() });
    }

    pub(crate) fn network(&mut self, online: bool) {
        self.ws.offline = !online;
        self.server.offline = !online;
        self.input(Input::Network { online });
        if !online {
            self.cut_all();
        }
    }

    /// `send`, as the driver does it: into the connection where the machine allowed that, else through the machine.
    pub(crate) fn send(&mut self, text: &str) -> SendId {
        self.send_on(FIRST, text)
    }

    pub(crate) fn send_on(&mut self, socket: SocketId, text: &str) -> SendId {
        self.next_send += 1;
        let (send, message) = (SendId(self.next_send), Message::text(text));
        self.sends.insert(send, Sent::Queued);
        match self.direct.get(&socket).copied() {
            Some(conn) => self.write(conn, vec![(send, message)]),
            None => self.input(Input::Send { socket, send, message }),
        }
        send
    }

    // ---- what one sees ----

    pub(crate) fn session(&self) -> &SessionState {
        &self.view.as_ref().expect("nothing was published").state
    }

    pub(crate) fn answer(&self) -> Option<Result<AccessToken, Error>> {
        self.view.as_ref().and_then(SessionView::answer)
    }

    pub(crate) fn is_signed_in(&self) -> bool {
        self.session().is_signed_in()
    }

    pub(crate) fn socket_state(&self) -> &SocketState {
        self.state_of(FIRST)
    }

    pub(crate) fn state_of(&self, socket: SocketId) -> &SocketState {
        self.socket_states.get(&socket).and_then(|all| all.last()).map_or(&SocketState::Idle, |(_, state)| state)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.socket_state().is_open()
    }

    pub(crate) fn events_of(&self, socket: SocketId) -> &[SocketEvent] {
        self.socket_events.get(&socket).map_or(&[], Vec::as_slice)
    }

    /// How often the application saw its connection end.
    pub(crate) fn ends(&self) -> usize {
        self.events_of(FIRST).iter().filter(|event| matches!(event, SocketEvent::Ended { .. })).count()
    }

    /// How many requests, store accesses and callbacks are out.
    pub(crate) fn effects_out(&self) -> usize {
        self.effects.len()
    }

    pub(crate) fn machine(&self) -> &Machine {
        self.machine.as_ref().expect("the process is dead")
    }

    fn asked_callback(&mut self, force: bool) -> (u64, Option<CallbackAnswer>) {
        self.asked.push(force);
        let thrown = |kind| Some(CallbackAnswer::Unreachable(Error::new(kind, "the callback failed")));
        let answer = match self.callback {
            Callback::Throws => thrown(ErrorKind::CallbackFailed),
            Callback::Unreachable => thrown(ErrorKind::Unreachable),
            Callback::Hangs => None,
            Callback::SignedOut => Some(CallbackAnswer::SignedOut),
            Callback::Fresh => Some(self.callback_token(0, force)),
            Callback::CachedUntil(left) => Some(self.callback_token(left, force)),
        };
        (self.server.latency, answer)
    }

    fn callback_token(&mut self, until: u64, force: bool) -> CallbackAnswer {
        let cached = self.callback != Callback::Fresh && !force;
        let good = self.callback_token.clone().filter(|(_, end)| cached && self.now + until < *end);
        let (text, _) = good.unwrap_or_else(|| {
            let text = self.server.issue(self.now, "ada");
            (text.clone(), self.server.expires(&text))
        });
        self.callback_token = Some((text.clone(), self.server.expires(&text)));
        CallbackAnswer::Token { access: AccessToken::from(text), expires_in_ms: None }
    }
}
