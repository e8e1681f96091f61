//! What the application does, and what it sees.

use freshsocket::io::{CallId, CallbackAnswer, Input, Reply, SendId, SessionView, SocketId, TokenGrant};
use freshsocket::machine::Machine;
use freshsocket::options::SocketOptions;
use freshsocket::{
    AccessToken, Error, ErrorKind, Message, RefreshToken, Secret, SessionState, SocketEvent, SocketState,
};

use super::{Callback, FIRST, Sent, World, secs};

impl World {
    fn call(&mut self) -> CallId {
        self.next_call += 1;
        CallId(self.next_call)
    }

    pub fn begin_login(&mut self, user: &str) -> CallId {
        let call = self.call();
        let credentials = vec![
            ("username".to_owned(), Secret::from(user)),
            ("password".to_owned(), "pw".into()),
        ];
        self.input(Input::Login { call, credentials });
        call
    }

    pub fn login(&mut self, user: &str) {
        let call = self.begin_login(user);
        self.run_until(secs(60), |world| world.replies.contains_key(&call));
        assert!(
            matches!(self.replies[&call], Ok(Reply::SignedIn { .. })),
            "{:?}",
            self.replies[&call]
        );
    }

    pub fn begin_logout(&mut self) -> CallId {
        let call = self.call();
        self.input(Input::Logout { call });
        call
    }

    pub fn logout(&mut self) -> bool {
        let call = self.begin_logout();
        self.run_until(secs(60), |world| world.replies.contains_key(&call));
        matches!(self.replies[&call], Ok(Reply::SignedOut { revoked: true }))
    }

    pub fn adopt(&mut self, access: &str, refresh: Option<&str>, expires_in_ms: Option<u64>) -> CallId {
        let call = self.call();
        let refresh = refresh.map(RefreshToken::from);
        let tokens = TokenGrant {
            access: AccessToken::from(access),
            refresh,
            expires_in_ms,
            user: None,
        };
        self.input(Input::Adopt { call, tokens });
        call
    }

    pub fn verify(&mut self) -> Result<Reply, Error> {
        let call = self.call();
        self.input(Input::Verify { call });
        self.run_until(secs(60), |world| world.replies.contains_key(&call));
        self.replies[&call].clone()
    }

    /// The first socket, with the setup's options; after that, `connect` on it.
    pub fn connect(&mut self) {
        if self.next_socket == 0 {
            self.open_socket(self.setup.socket.clone());
        } else {
            self.input(Input::Connect { socket: FIRST });
        }
    }

    pub fn open_socket(&mut self, options: SocketOptions) -> SocketId {
        options.validate().unwrap();
        self.next_socket += 1;
        let socket = SocketId(self.next_socket);
        self.options.insert(socket, options.clone());
        self.input(Input::OpenSocket {
            socket,
            options: options.into(),
        });
        socket
    }

    pub fn disconnect(&mut self) {
        self.input(Input::Disconnect {
            socket: FIRST,
            code: 1000,
            reason: "bye".into(),
        });
    }

    pub fn network(&mut self, online: bool) {
        self.ws.offline = !online;
        self.server.offline = !online;
        self.input(Input::Network { online });
        if !online {
            self.cut_all();
        }
    }

    /// `send`, as the driver does it: into the connection where the machine allowed that, else through the machine.
    pub fn send(&mut self, text: &str) -> SendId {
        self.send_on(FIRST, text)
    }

    pub fn send_on(&mut self, socket: SocketId, text: &str) -> SendId {
        self.next_send += 1;
        let (send, message) = (SendId(self.next_send), Message::text(text));
        self.sends.insert(send, Sent::Queued);
        match self.direct.get(&socket).copied() {
            Some(conn) => self.write(conn, vec![(send, message)]),
            None => self.input(Input::Send {
                identity: None,
                socket,
                send,
                message,
            }),
        }
        send
    }

    // ---- what one sees ----

    pub fn session(&self) -> &SessionState {
        &self.view.as_ref().expect("nothing was published").state
    }

    pub fn answer(&self) -> Option<Result<AccessToken, Error>> {
        self.view.as_ref().and_then(SessionView::answer)
    }

    pub fn is_signed_in(&self) -> bool {
        self.session().is_signed_in()
    }

    pub fn socket_state(&self) -> &SocketState {
        self.state_of(FIRST)
    }

    pub fn state_of(&self, socket: SocketId) -> &SocketState {
        self.socket_states
            .get(&socket)
            .and_then(|all| all.last())
            .map_or(&SocketState::Idle, |(_, state)| state)
    }

    pub fn is_open(&self) -> bool {
        self.socket_state().is_open()
    }

    pub fn events_of(&self, socket: SocketId) -> &[SocketEvent] {
        self.socket_events.get(&socket).map_or(&[], Vec::as_slice)
    }

    /// How often the application saw its connection end.
    pub fn ends(&self) -> usize {
        self.events_of(FIRST)
            .iter()
            .filter(|event| matches!(event, SocketEvent::Ended { .. }))
            .count()
    }

    /// How many requests, store accesses and callbacks are out.
    pub fn effects_out(&self) -> usize {
        self.effects.len()
    }

    pub fn machine(&self) -> &Machine {
        self.machine.as_ref().expect("the process is dead")
    }

    pub fn asked_callback(&mut self, force: bool) -> (u64, Option<CallbackAnswer>) {
        self.asked.push(force);
        let thrown = |kind| {
            Some(CallbackAnswer::Unreachable(Error::new(
                kind,
                "the callback failed",
            )))
        };
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
        let good = self
            .callback_token
            .clone()
            .filter(|(_, end)| cached && self.now + until < *end);
        let (text, _) = good.unwrap_or_else(|| {
            let text = self.server.issue(self.now, "ada");
            (text.clone(), self.server.expires(&text))
        });
        self.callback_token = Some((text.clone(), self.server.expires(&text)));
        CallbackAnswer::Token {
            access: AccessToken::from(text),
            expires_in_ms: None,
        }
    }
}
