//! The applications: they sign in and out, send, ask for tokens, and do to their sockets what applications do.

use freshsocket::io::{CallId, Input, SendId, SocketId};
use freshsocket::{Message, Secret, SocketState};

use super::Fleet;
use super::event::Event;
use super::plan::pick;

impl Fleet {
    /// The first start of everybody. Where there is a store, one signs in and the others find the session there.
    pub(super) fn begin(&mut self) {
        self.start(0);
        self.login(0);
        self.after(self.plan.fault_every_ms, Event::Fault);
        for h in 0..self.plan.holders {
            let delay = 500 + self.rng.up_to(3_000);
            self.after(delay, Event::App { holder: h });
        }
    }

    /// One thing that an application does now and then.
    pub(super) fn act(&mut self, h: usize) {
        let wait = 1 + self.rng.up_to(2 * self.plan.act_every_ms);
        self.after(wait, Event::App { holder: h });
        if self.holders[h].life == 0 {
            self.start(h);
        }
        if !self.is_running(h) || self.rules.quiet {
            return;
        }
        if !self.holders[h].is_signed_in() {
            let restoring = self.holders[h]
                .state()
                .is_some_and(|state| state.name() == "restoring");
            let patience = if self.holders[h].wants_out { 50 } else { 400 };
            if !restoring && self.holders[h].watched.login.is_none() && self.chance(patience) {
                self.login(h);
            }
            return;
        }
        let socket = self.a_socket(h);
        match self.rng.up_to(if self.healed { 11 } else { 20 }) {
            0..=9 => {
                for _ in 0..=self.rng.up_to(3) {
                    self.send(h, socket);
                }
            }
            10 => self.feed(h, Input::TokenNeeded),
            11 => self.use_token(h),
            12 if self.plan.switches => self.logout(h),
            13 if self.plan.switches => self.login(h),
            14 => {
                self.holders[h].watched.asked_to_close(socket);
                let reason = String::new();
                self.feed(
                    h,
                    Input::Disconnect {
                        socket,
                        code: 1000,
                        reason,
                    },
                );
            }
            15 => {
                self.feed(h, Input::DropSocket { socket });
                self.holders[h].watched.forget(socket);
                self.holders[h].states.remove(&socket);
                self.holders[h].direct.remove(&socket);
                self.open_socket(h);
            }
            16 => self.foreground(h),
            17 => self.feed(h, Input::Woke),
            18 => {
                let call = self.call(h);
                self.feed(h, Input::Verify { call });
            }
            _ => self.connect_what_is_over(h),
        }
    }

    fn a_socket(&mut self, h: usize) -> SocketId {
        let sockets: Vec<SocketId> = self.holders[h].states.keys().copied().collect();
        if sockets.is_empty() {
            SocketId(1)
        } else {
            pick(&mut self.rng, &sockets)
        }
    }

    pub(super) fn open_socket(&mut self, h: usize) {
        let holder = &mut self.holders[h];
        holder.next_socket += 1;
        let socket = SocketId(holder.next_socket);
        let options = self.plan.socket.clone().into();
        self.feed(h, Input::OpenSocket { socket, options });
    }

    fn connect_what_is_over(&mut self, h: usize) {
        let over: Vec<SocketId> = self.holders[h]
            .states
            .iter()
            .filter(|(_, state)| state.is_final() || matches!(state, SocketState::Idle))
            .map(|(socket, _)| *socket)
            .collect();
        for socket in over {
            self.holders[h].watched.asked_to_connect(socket);
            self.feed(h, Input::Connect { socket });
        }
    }

    fn call(&mut self, h: usize) -> CallId {
        let holder = &mut self.holders[h];
        holder.next_call += 1;
        let call = CallId(holder.next_call);
        holder.watched.calls.insert(call, self.now);
        call
    }

    pub(super) fn login(&mut self, h: usize) {
        let user = if self.plan.switches {
            pick(&mut self.rng, &["ada", "bob"])
        } else {
            "ada"
        };
        self.excuse_exchanges(h, "the user signed in again");
        let call = self.call(h);
        self.holders[h].wants_out = false;
        self.holders[h].watched.generation_ends();
        self.holders[h].watched.login = Some(call);
        self.cover.count("app: signs in");
        let credentials = vec![
            ("username".to_owned(), Secret::from(user)),
            ("password".to_owned(), Secret::from("pw")),
        ];
        self.feed(h, Input::Login { call, credentials });
    }

    fn logout(&mut self, h: usize) {
        self.excuse_exchanges(h, "the user signed out");
        let call = self.call(h);
        self.holders[h].wants_out = true;
        self.holders[h].watched.generation_ends();
        self.holders[h].watched.logged_out = true;
        self.cover.count("app: signs out");
        self.feed(h, Input::Logout { call });
        self.holders[h].watched.logged_out = false;
    }

    /// The application goes to the background for a while.
    fn foreground(&mut self, h: usize) {
        self.cover.count("app: in the background");
        self.feed(h, Input::Foreground { foreground: false });
        let delay = self.rng.up_to(60_000);
        let to = self.process(h);
        self.after(delay, Event::Foreground { to });
    }

    /// A request of the application's own, with the token that the session shows.
    fn use_token(&mut self, h: usize) {
        self.feed(h, Input::Tick);
        let mono = self.clock(h).mono;
        let token = self.holders[h].view.as_ref().and_then(|view| view.token.clone());
        let Some(token) = token.filter(|token| mono < token.valid_until) else {
            return;
        };
        self.check_used(h, token.token.expose());
        if self.auth.accepts(token.token.expose(), self.now).is_none() {
            self.cover.count("app: a token is refused");
            self.feed(h, Input::TokenRejected { token: token.number });
        }
    }

    fn send(&mut self, h: usize, socket: SocketId) {
        if !self.holders[h].states.contains_key(&socket) {
            return;
        }
        let holder = &mut self.holders[h];
        holder.next_send += 1;
        let send = SendId(holder.next_send);
        let identity = holder.view.as_ref().and_then(|view| view.identity);
        let direct = holder.direct.get(&socket).copied();
        let number = self.new_send(h, socket, send);
        let message = Message::text(format!("m{number}"));
        match direct.filter(|conn| self.is_writable(h, *conn)) {
            Some(conn) => self.write(h, conn, send, message),
            None => self.feed(
                h,
                Input::Send {
                    socket,
                    send,
                    identity,
                    message,
                },
            ),
        }
    }

    fn is_writable(&self, h: usize, conn: freshsocket::io::ConnId) -> bool {
        let alone = self.sabotage == super::Sabotage::StaysDirect;
        self.conn_of(h, conn)
            .is_some_and(|conn| matches!(conn.client, super::sockets::Client::Open) || alone)
    }

    /// Faults are over: who is signed out signs in again, and what was closed for good is opened again.
    pub(super) fn ask_again(&mut self) {
        self.note(|| "*** the applications try again what had ended".into());
        for h in 0..self.holders.len() {
            if !self.holders[h].is_signed_in() && self.holders[h].watched.login.is_none() {
                self.login(h);
            }
            self.connect_what_is_over(h);
        }
    }
}
