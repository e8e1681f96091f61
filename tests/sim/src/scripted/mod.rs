//! A small deterministic world for the pure machine: clocks, an auth server, a store, a callback, a WebSocket server,
//! and a driver that performs what the machine asks for. Time jumps from event to event; nothing sleeps.
//!
//! After every step the world checks what must hold always (`check.rs`), so a test says only what is special to it.
// Tests use it as one piece, and read its fields. What the fields mean stands where that is not clear from the name.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss
)]

mod app;
mod auth;
mod check;
mod conns;
mod driver;
mod store;
mod token;
mod ws;

use std::collections::{BTreeMap, VecDeque};

use freshsocket::io::{CallId, ConnId, Input, OverlapStage, Reply, SendId, SessionView, SocketId};
use freshsocket::machine::Machine;
use freshsocket::options::{SessionOptions, SocketOptions};
use freshsocket::time::{Mono, Now};
use freshsocket::{AccessToken, Error, ErrorKind, SessionEvent, SessionState, SocketEvent, SocketState};

use auth::Auth;
use check::Checks;
use conns::Conn;
use driver::{Effect, Event};
use store::Store;
use ws::Ws;

pub use {
    auth::Fault,
    store::StoreFault,
    token::jwt,
    ws::{ConnectFault, OnOpen, RefuseAs},
};

/// Where simulated time begins, on a correct wall clock.
pub const EPOCH: u64 = 1_700_000_000_000;

pub const fn secs(n: u64) -> u64 {
    n * 1_000
}
pub const fn mins(n: u64) -> u64 {
    n * 60_000
}
pub const fn hours(n: u64) -> u64 {
    n * 3_600_000
}

/// How a world begins.
#[derive(Clone)]
pub struct Setup {
    pub session: SessionOptions,
    pub socket: SocketOptions,
    pub durable: bool,
    pub seed: u64,
}

impl Default for Setup {
    fn default() -> Self {
        let session = SessionOptions {
            base_url: "https://auth.test".into(),
            ..SessionOptions::default()
        };
        Self {
            session,
            socket: socket_options(),
            durable: false,
            seed: 1,
        }
    }
}

impl Setup {
    pub fn durable() -> Self {
        Self {
            durable: true,
            ..Self::default()
        }
    }

    pub fn session(change: impl FnOnce(&mut SessionOptions)) -> Self {
        let mut setup = Self::default();
        change(&mut setup.session);
        setup
    }

    pub fn socket(change: impl FnOnce(&mut SocketOptions)) -> Self {
        let mut setup = Self::default();
        change(&mut setup.socket);
        setup
    }

    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// The options of a socket to the simulated server.
pub fn socket_options() -> SocketOptions {
    SocketOptions {
        url: "wss://ws.test/ws".into(),
        ..SocketOptions::default()
    }
}

/// What the application's token callback does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callback {
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
pub struct World {
    setup: Setup,
    /// True time since the beginning, in milliseconds.
    pub now: u64,
    /// True time that the device slept: its monotonic clock stood still.
    suspended: u64,
    /// How wrong the device's wall clock is.
    pub clock_error: i64,
    /// A driver that wakes this much late for each deadline.
    pub late_by: u64,
    machine: Option<Machine>,
    /// Grows with every process: answers to a dead one go nowhere.
    life: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    inbox: VecDeque<Input>,
    effects: BTreeMap<u64, Effect>,
    conns: BTreeMap<u64, Conn>,
    direct: BTreeMap<SocketId, ConnId>,
    options: BTreeMap<SocketId, SocketOptions>,
    next_call: u64,
    next_send: u64,
    next_socket: u64,
    pub server: Auth,
    pub ws: Ws,
    pub store: Store,
    pub callback: Callback,
    /// For every time the callback was asked: whether a cached token would not do.
    pub asked: Vec<bool>,
    callback_token: Option<(String, u64)>,
    pub view: Option<SessionView>,
    pub session_states: Vec<SessionState>,
    pub session_events: Vec<SessionEvent>,
    pub told: Vec<AccessToken>,
    pub replies: BTreeMap<CallId, Result<Reply, Error>>,
    pub socket_states: BTreeMap<SocketId, Vec<(u64, SocketState)>>,
    pub socket_events: BTreeMap<SocketId, Vec<SocketEvent>>,
    /// What became of every message, by number.
    pub sends: BTreeMap<SendId, Sent>,
    /// The overlaps of connections in handovers, and when each stage began.
    pub overlaps: Vec<(u64, Overlap)>,
    pub checks: Checks,
}

/// How two connections of a socket overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    Began { old: ConnId, new: ConnId },
    Stage(OverlapStage),
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Queued,
    Out,
    Failed(ErrorKind),
}

pub const FIRST: SocketId = SocketId(1);

impl World {
    pub fn new(setup: Setup) -> Self {
        Self::prepared(setup, |_| ())
    }

    /// A world in which things are so before the application starts.
    pub fn prepared(setup: Setup, prepare: impl FnOnce(&mut Self)) -> Self {
        let mut world = Self::unstarted(setup);
        prepare(&mut world);
        world.start();
        world
    }

    /// A world whose application does not run yet.
    pub fn unstarted(setup: Setup) -> Self {
        Self {
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
            overlaps: Vec::new(),
            checks: Checks::default(),
            setup,
        }
    }

    /// Exchanges server and store with another world, so that both can live on the same ones in turns.
    pub fn share_with(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.server, &mut other.server);
        std::mem::swap(&mut self.store, &mut other.store);
    }

    /// A world with default options, `ada` signed in, and her socket open.
    pub fn open(setup: Setup) -> Self {
        let mut world = Self::new(setup);
        world.login("ada");
        world.connect();
        world.run_for(200);
        assert!(
            world.is_open(),
            "the scene did not set: {:?}",
            world.socket_state()
        );
        world
    }

    /// A new process on the same store.
    pub fn start(&mut self) {
        self.life += 1;
        let clock = self.clock();
        // Every process throws other dice.
        let seed = self.setup.seed.wrapping_add(self.life << 32);
        let machine = Machine::new(self.setup.session.clone(), self.setup.durable, seed, clock).unwrap();
        self.machine = Some(machine);
        self.perform_outputs();
        self.run_for(0);
    }

    /// The process ends without a word.
    pub fn kill(&mut self) {
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

    // ---- time ----

    /// What the device's clocks say.
    pub fn clock(&self) -> Now {
        let unix_ms = (EPOCH + self.now).saturating_add_signed(self.clock_error);
        Now {
            mono: Mono(self.now - self.suspended),
            unix_ms,
        }
    }

    /// Lets this much time pass.
    pub fn run_for(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.step_before(end) {}
        self.now = end;
    }

    /// Lets time pass until this is so; false when it was not so within the limit.
    pub fn run_until(&mut self, limit: u64, so: impl Fn(&Self) -> bool) -> bool {
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
    pub fn suspend(&mut self, ms: u64) {
        self.now += ms;
        self.suspended += ms;
        self.input(Input::Tick);
    }

    /// The process is stopped and goes on later: its clocks run on, and what happens to it meanwhile waits.
    pub fn freeze(&mut self, ms: u64) {
        let end = self.now + ms;
        let mut waiting = Vec::new();
        while let Some((key, event)) = self.events.pop_first() {
            if key.0 >= end {
                self.events.insert(key, event);
                break;
            }
            waiting.push(event);
        }
        self.now = end;
        for event in waiting {
            self.at(0, event);
        }
        self.input(Input::Tick);
    }

    /// Somebody sets the device's clock.
    pub fn set_clock_error(&mut self, ms: i64) {
        self.clock_error = ms;
        self.input(Input::Tick);
    }

    /// One event or deadline, if there is one up to `end`.
    pub fn step_before(&mut self, end: u64) -> bool {
        let event = self.events.first_key_value().map(|(key, _)| key.0.max(self.now));
        let deadline = self.machine.as_ref().and_then(Machine::next_deadline);
        let due = deadline
            .map(|at| (at.0.saturating_add(self.suspended).saturating_add(self.late_by)).max(self.now));
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

    pub fn at(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    /// Puts an input in, and performs what follows from it.
    pub fn input(&mut self, input: Input) {
        self.inbox.push_back(input);
        while let Some(input) = self.inbox.pop_front() {
            let clock = self.clock();
            let Some(machine) = &mut self.machine else {
                continue;
            };
            machine.handle(clock, input);
            self.perform_outputs();
        }
        self.check_sockets();
    }
}
