//! The loop between the machine and the host: takes inputs, performs outputs in order, asks to be woken at the next
//! deadline. Decides nothing.
//!
//! Everything runs on one thread, but not everything is over when it returns: whatever the host calls while an output is
//! performed waits in `inputs`. The host is never called while `world` is borrowed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use freshsocket::io::{
    CallId, ConnEnd, ConnId, ConnectRequest, Input, Output, OverlapStage, Reply, SessionView, SocketId,
};
use freshsocket::machine::Machine;
use freshsocket::options::SocketOptions;
use freshsocket::time::{Mono, Now};
use freshsocket::{AccessToken, Error, ErrorKind, Secret};
use wasm_bindgen::JsValue;

use crate::host::{self, Host};
use crate::lanes::{Conn, Lanes};
use crate::text;

/// While there is a deadline the machine looks at the clocks this often: timers stop while the device sleeps, and after a
/// wake the machine is to know of it soon (S7). It also keeps them far below the 2³¹ ms that a timer can count.
const LOOK_AT_CLOCKS_MS: u64 = 5_000;

pub(crate) struct Driver {
    host: Host,
    world: RefCell<World>,
    inputs: RefCell<VecDeque<Asked>>,
    runs: Cell<bool>,
}

/// What the host or the application wants.
pub(crate) enum Asked {
    Tell(Input),
    /// A token that is valid for the margin; the call is answered with it.
    Token(CallId),
}

struct World {
    machine: Machine,
    conns: BTreeMap<ConnId, Conn>,
    sockets: BTreeMap<SocketId, Lanes>,
    view: SessionView,
    /// Calls that wait for a token: all get the outcome of one refresh (S3).
    waiting: Vec<CallId>,
    /// When the host was asked to wake us.
    wakes_at: Mono,
}

impl Driver {
    pub(crate) fn new(machine: Machine, view: SessionView, host: Host) -> Self {
        let driver = Self {
            host,
            world: RefCell::new(World {
                machine,
                conns: BTreeMap::new(),
                sockets: BTreeMap::new(),
                view,
                waiting: Vec::new(),
                wakes_at: Mono::NEVER,
            }),
            inputs: RefCell::default(),
            runs: Cell::new(false),
        };
        driver.perform_all();
        driver.sleep();
        driver
    }

    pub(crate) fn tell(&self, input: Input) {
        self.take(Asked::Tell(input));
    }

    /// Takes what is asked, and everything that is asked meanwhile.
    pub(crate) fn take(&self, asked: Asked) {
        self.inputs.borrow_mut().push_back(asked);
        if self.runs.replace(true) {
            return;
        }
        loop {
            let next = self.inputs.borrow_mut().pop_front();
            match next {
                Some(Asked::Tell(input)) => self.handle(input),
                Some(Asked::Token(call)) => {
                    self.handle(Input::TokenNeeded);
                    self.world.borrow_mut().waiting.push(call);
                    self.answer_waiting();
                }
                None => break,
            }
        }
        self.sleep();
        self.runs.set(false);
    }

    /// The time that the host was asked for is over.
    pub(crate) fn tick(&self) {
        self.world.borrow_mut().wakes_at = Mono::NEVER;
        self.tell(Input::Tick);
    }

    pub(crate) fn open_socket(&self, socket: SocketId, options: SocketOptions) {
        let options = std::sync::Arc::new(options);
        self.world
            .borrow_mut()
            .sockets
            .insert(socket, Lanes::new(options.clone()));
        self.tell(Input::OpenSocket { socket, options });
    }

    pub(crate) fn drop_socket(&self, socket: SocketId) {
        self.tell(Input::DropSocket { socket });
        self.world.borrow_mut().sockets.remove(&socket);
    }

    /// The server selected a subprotocol, or none (an empty text).
    pub(crate) fn opened(&self, conn: ConnId, selected: String) {
        let subprotocol = {
            let world = &mut *self.world.borrow_mut();
            let Some(known) = world.conns.get_mut(&conn) else {
                return;
            };
            known.last_received = now().mono;
            let lanes = world.sockets.get(&known.socket);
            lanes.and_then(|lanes| lanes.tellable(selected))
        };
        self.tell(Input::Opened { conn, subprotocol });
    }

    /// A message came.
    pub(crate) fn received(&self, conn: ConnId, data: JsValue) {
        let (socket, deliver, notice) = {
            let world = &mut *self.world.borrow_mut();
            let Some(known) = world.conns.get_mut(&conn) else {
                return;
            };
            let (deliver, notice) = known.look(&data, now().mono);
            (known.socket, deliver, notice)
        };
        if let Some(notice) = notice {
            self.tell(Input::Noticed { conn, notice });
        }
        if !deliver {
            return;
        }
        let overlap = |world: &mut World| {
            let lanes = world.sockets.get_mut(&socket).filter(|lanes| lanes.overlaps());
            lanes.map(|lanes| lanes.arrived(conn, data.clone()))
        };
        let delivered = overlap(&mut self.world.borrow_mut());
        match delivered {
            None => self.host.deliver(socket.0 as f64, data),
            Some(all) => self.deliver(socket, all),
        }
    }

    /// A connection is over, or the attempt at one is; `end` says how.
    pub(crate) fn ended(&self, conn: ConnId, end: impl FnOnce(&Conn) -> Input) {
        let known = self.world.borrow_mut().conns.remove(&conn);
        let Some(known) = known else { return };
        let released = {
            let world = &mut *self.world.borrow_mut();
            let lanes = world.sockets.get_mut(&known.socket);
            lanes.map(|lanes| lanes.ended(conn)).unwrap_or_default()
        };
        self.deliver(known.socket, released);
        self.tell(end(&known));
    }

    /// Whether the token has at most so much to live, or there is none (S5).
    pub(crate) fn expires_within(&self, ms: u64) -> bool {
        let world = self.world.borrow();
        let Some(token) = &world.view.token else {
            return true;
        };
        token.valid_until != Mono::NEVER && token.valid_until.since(now().mono) <= ms
    }

    /// The one place where the machine is told something, and is asked what to do until it has nothing more to say.
    fn handle(&self, input: Input) {
        self.world.borrow_mut().machine.handle(now(), input);
        self.perform_all();
    }

    /// What the application hears of the session comes last; see the native driver.
    fn perform_all(&self) {
        let mut news = Vec::new();
        loop {
            let next = self.world.borrow_mut().machine.poll();
            match next {
                Some(
                    output @ (Output::PublishSession(_)
                    | Output::SessionEvent(_)
                    | Output::TokenRefreshed { .. }
                    | Output::Reply { .. }),
                ) => news.push(output),
                Some(output) => self.perform(output),
                None => break,
            }
        }
        for output in news {
            self.perform(output);
        }
    }

    fn perform(&self, output: Output) {
        let host = &self.host;
        match output {
            Output::Http { effect, request } => {
                let mut headers = Vec::new();
                for (name, value) in &request.headers {
                    headers.extend([(*name).to_owned(), value.expose().to_owned()]);
                }
                if let Some((name, value)) = &request.extra_header {
                    headers.extend([name.clone(), value.expose().to_owned()]);
                }
                host.http(
                    effect.0 as f64,
                    request.method.as_str(),
                    &request.url,
                    headers,
                    request.body.as_ref().map(Secret::expose),
                    request.max_answer_bytes as f64,
                    request.timeout_ms as f64,
                );
            }
            Output::Cancel { effect } => host.cancel(effect.0 as f64),
            Output::AskCallback { effect, force } => host.ask(effect.0 as f64, force),
            Output::PublishSession(view) => self.publish(view),
            Output::SessionEvent(event) => host.session_event(&text::json(&event)),
            Output::TokenRefreshed { token } => host.refreshed(token.expose()),
            Output::Reply { call, result } => self.reply(call, result),
            Output::Connect {
                conn,
                socket,
                replaces,
                request,
            } => self.connect(conn, socket, replaces, request),
            Output::Overlap { socket, stage } => {
                let (old, released) = {
                    let world = &mut *self.world.borrow_mut();
                    let Some(lanes) = world.sockets.get_mut(&socket) else {
                        return;
                    };
                    (lanes.replaced(), lanes.overlap(stage))
                };
                self.deliver(socket, released);
                if let (OverlapStage::Over, Some(old)) = (stage, old) {
                    host.hurry(old.0 as f64);
                }
            }
            Output::Transmit { conn, messages } => {
                let socket = self.socket_of(conn);
                for (send, message) in messages {
                    host.transmit(conn.0 as f64, socket, send.0 as f64, text::value(&message));
                }
            }
            Output::TransmitSecret { conn, text } => {
                let value = JsValue::from_str(text.expose());
                host.transmit(conn.0 as f64, self.socket_of(conn), 0.0, value);
            }
            Output::Direct { socket, conn } => host.direct(socket.0 as f64, conn.0 as f64),
            Output::Indirect { socket } => host.direct(socket.0 as f64, 0.0),
            Output::ReadActivity { conn } => {
                let last_received = self
                    .world
                    .borrow()
                    .conns
                    .get(&conn)
                    .map(|conn| conn.last_received);
                if let Some(last_received) = last_received {
                    self.tell(Input::Activity { conn, last_received });
                }
            }
            // The machine is made without a store, and asks for none. And the web cannot ping: `options.rs` sees to it
            // that the machine does not rely on it.
            Output::LoadStore { .. } | Output::SwapStore { .. } | Output::Ping { .. } => {}
            Output::Close { conn, code, reason } => {
                let linger = self.is_replaced(conn);
                host.close(conn.0 as f64, code, &reason, linger);
            }
            Output::Abort { conn } => host.abort(conn.0 as f64),
            Output::PublishSocket { socket, state } => {
                host.socket_state(socket.0 as f64, &text::json(&state));
            }
            Output::SocketEvent { socket, event } => {
                host.socket_event(socket.0 as f64, &text::json(&event));
            }
            Output::SendFailed { socket, send, error } => {
                host.send_failed(socket.0 as f64, send.0 as f64, &text::error(&error));
            }
        }
    }

    fn publish(&self, view: SessionView) {
        let (token, fresh_until) = match &view.token {
            Some(token) => (Some(token.token.clone()), token.fresh_until.0 as f64),
            None => (None, 0.0),
        };
        let by_wall_clock = view.token.as_ref().and_then(|token| {
            let expires_at = token.expires_at?;
            Some(expires_at.saturating_sub(token.margin_ms) as f64)
        });
        self.host.session_state(
            &text::json(&view.state),
            token.as_ref().map(AccessToken::expose),
            fresh_until,
            by_wall_clock.unwrap_or(f64::INFINITY),
        );
        self.world.borrow_mut().view = view;
        self.answer_waiting();
    }

    /// Answers everybody who waits for a token, if there is an answer.
    fn answer_waiting(&self) {
        let (answer, calls) = {
            let world = &mut *self.world.borrow_mut();
            let Some(answer) = world.view.answer() else { return };
            (answer, std::mem::take(&mut world.waiting))
        };
        for call in calls {
            match &answer {
                Ok(token) => self.host.reply(call.0 as f64, Some(token.expose())),
                Err(error) => self.host.reply_error(call.0 as f64, &text::error(error)),
            }
        }
    }

    fn reply(&self, call: CallId, result: Result<Reply, Error>) {
        let answer = match &result {
            Ok(Reply::SignedIn { user }) => user.as_ref().map(ToString::to_string),
            Ok(Reply::SignedOut { revoked: yes } | Reply::Verified(yes)) => Some(yes.to_string()),
            Err(error) => return self.host.reply_error(call.0 as f64, &text::error(error)),
        };
        self.host.reply(call.0 as f64, answer.as_deref());
    }

    fn connect(&self, conn: ConnId, socket: SocketId, replaces: Option<ConnId>, request: ConnectRequest) {
        let (held, max_message_bytes) = {
            let world = &mut *self.world.borrow_mut();
            let Some(lanes) = world.sockets.get_mut(&socket) else {
                return;
            };
            world
                .conns
                .insert(conn, Conn::new(socket, &lanes.options, now().mono));
            let held = replaces.map(|old| lanes.meet(old, conn)).unwrap_or_default();
            (held, lanes.options.limits.max_message_bytes)
        };
        self.deliver(socket, held);
        let protocols = request.subprotocols.iter();
        self.host.connect(
            conn.0 as f64,
            request.url.expose(),
            protocols.map(|name| name.expose().to_owned()).collect(),
            request.first_message.as_ref().map(Secret::expose),
            max_message_bytes as f64,
        );
    }

    fn deliver(&self, socket: SocketId, messages: Vec<JsValue>) {
        for data in messages {
            self.host.deliver(socket.0 as f64, data);
        }
    }

    fn is_replaced(&self, conn: ConnId) -> bool {
        let world = self.world.borrow();
        let known = world.conns.get(&conn);
        let lanes = known.and_then(|known| world.sockets.get(&known.socket));
        lanes.and_then(Lanes::replaced) == Some(conn)
    }

    fn socket_of(&self, conn: ConnId) -> f64 {
        let world = self.world.borrow();
        world.conns.get(&conn).map_or(0.0, |conn| conn.socket.0 as f64)
    }

    /// Asks to be woken, unless that is asked for early enough already: to wake too early is harmless.
    fn sleep(&self) {
        let wait = {
            let world = &mut *self.world.borrow_mut();
            let Some(deadline) = world.machine.next_deadline() else {
                return;
            };
            let now = now().mono;
            // One more, so that the clock has passed the deadline when its rounding has not.
            let wait = deadline.since(now).saturating_add(1).min(LOOK_AT_CLOCKS_MS);
            if world.wakes_at <= now + wait {
                return;
            }
            world.wakes_at = now + wait;
            wait
        };
        self.host.wake(wait as f64);
    }
}

/// What both clocks say.
pub(crate) fn now() -> Now {
    Now {
        mono: Mono(host::performance_now() as u64),
        unix_ms: host::date_now() as u64,
    }
}

/// Why there is no connection, as far as the web says.
pub(crate) fn unreachable(detail: String) -> Error {
    Error::new(ErrorKind::Unreachable, "the server cannot be reached").with_cause(detail)
}

/// The end of a connection that the host closed because its peer sent too much.
pub(crate) fn too_large() -> ConnEnd {
    ConnEnd::Violation {
        code: 1009,
        detail: "the message is larger than limits.maxMessageBytes".into(),
    }
}
